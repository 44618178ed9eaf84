"""Whom the `audit` commands believe: keys of sealers, witnesses and writers, from options, settings or this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_maas.ledger.keys import VerifierKey
    from stream_maas.settings import Settings


def trusted_keys(
    settings: Settings, given: Sequence[str] | None, folder: Path | None = None, witness: Path | None = None
) -> list[VerifierKey]:
    """Verifier keys of sealers and witnesses. Raises `SettingsError` for one that cannot be read.

    Without any in options or settings, those that a sealer (in `folder`, or the configured one) or a witness (in
    `witness`, or the configured one) on this machine made for itself: enough to try things out, and worth nothing
    against whoever can write to this machine.
    """
    from stream_maas.worker.sealer import ledger_folder
    from stream_maas.worker.witness import witness_folder

    sources = list(given or settings.ledger.keys)
    if not sources:
        sealer = folder or ledger_folder(settings)
        own = (sealer / "sealer.vkey", (witness or witness_folder(settings)) / "witness.vkey")
        sources = [str(path) for path in own if path.exists()]
    return _load(sources)


def trusted_writers(settings: Settings, given: Sequence[str] | None) -> list[VerifierKey]:
    """Verifier keys of workers; empty: each session's own key is believed. Raises `SettingsError`."""
    return _load(given or settings.ledger.writer_keys)


def _load(sources: Sequence[str]) -> list[VerifierKey]:
    """A key that cannot be read is wrong use, and nothing that a log could be blamed for."""
    from stream_maas.errors import LedgerError, SettingsError
    from stream_maas.ledger.keyring import load_verifier_keys

    try:
        return load_verifier_keys(sources)
    except LedgerError as error:
        raise SettingsError(f"{error}; next: --key takes a line such as NAME+ID+BASE64, or a file of them") from error
