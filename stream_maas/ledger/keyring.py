"""Keys in files: private ones that only their owner may read, and the lists of those that are believed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from stream_maas.errors import LedgerError
from stream_maas.ledger.keys import SigningKey, VerifierKey


def load_signing_key(path: Path) -> SigningKey:
    """The private key in `path`. Raises `LedgerError` when it cannot be read or others may read it."""
    try:
        if path.stat().st_mode & 0o007:  # group: how Kubernetes mounts secrets
            raise LedgerError(f"{path}: everybody may read this private key; next: chmod 600 {path}")
        return SigningKey.parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(
            f"{path}: cannot be read ({type(error).__name__}); next: `stream-maas audit keygen` makes one"
        ) from error


def store_signing_key(path: Path, key: SigningKey) -> Path:
    """Write the private key (mode 600) and beside it the public one, whose path is returned. Overwrites nothing.

    Raises `LedgerError` when a file is there already or cannot be written.
    """
    public = path.with_suffix(".vkey")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key.encode() + "\n")
        public.write_text(key.vkey + "\n", encoding="ascii")
    except OSError as error:
        raise LedgerError(f"{path}: not written ({type(error).__name__})") from error
    return public


def load_or_make(path: Path, name: str, kind: int, seed: Callable[[], bytes]) -> SigningKey:
    """The key in `path`; a new one under `name` where there is no file. `seed` gives 32 random bytes."""
    if not path.exists():
        store_signing_key(path, SigningKey(name, kind, seed()))
    return load_signing_key(path)


def load_verifier_keys(sources: Iterable[str]) -> list[VerifierKey]:
    """Each source is a verifier key, or a file with one per line (blank lines and # comments apart).

    Raises `LedgerError` naming the source that is neither.
    """
    keys: dict[str, VerifierKey] = {}
    for source in sources:
        for text in [source] if _is_key(source) else _lines(Path(source)):
            key = VerifierKey.parse(text)
            keys[key.vkey] = key
    return list(keys.values())


def _is_key(source: str) -> bool:
    # A path may have a plus sign as well; a key has exactly the id of eight hex digits between its first two.
    parts = source.strip().split("+", 2)
    return len(parts) == 3 and len(parts[1]) == 8 and not Path(source).exists()


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: neither a verifier key nor a file of them ({type(error).__name__})") from error
    return [line for line in lines if line and not line.startswith("#")]
