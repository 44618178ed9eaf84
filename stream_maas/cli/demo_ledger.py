"""The part of the demo about proof: the sealed log verified, and a bundle of it checked by a Python without us."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stream_maas.cli.demo_checks import Check

if TYPE_CHECKING:
    from stream_maas.settings import Settings

_SEALED_S = 40.0
_BUNDLE_S = 30.0


async def check_log(settings: Settings, state: Path) -> list[Check]:
    """The log is valid under the sealer's checkpoints and the receipts of all results, and a bundle of it is valid."""
    from stream_maas.ledger.findings import INCOMPLETE
    from stream_maas.ledger.keyring import load_verifier_keys
    from stream_maas.replay.audit_log import open_logs
    from stream_maas.replay.verification import Evidence, verify

    give_up = time.monotonic() + _SEALED_S
    while True:
        key = state / "sealer.vkey"
        keys = load_verifier_keys([str(key)] if key.exists() else [])
        logs = await open_logs(settings, state)
        report = await verify(logs, Evidence(keys=keys, with_results=True, wait_s=1.0))
        if report.exit_code != INCOMPLETE or time.monotonic() > give_up:
            break
        await asyncio.sleep(0.2)
    totals = report.totals()
    problem = "; ".join([finding.detail for finding in report.findings][:3] + report.document()["incomplete"][:1])
    detail = (
        f"{totals['events']} events under {totals['checkpoints']} signed checkpoints, {totals['receipts']} receipts, "
        f"{totals['sessions']} writer session"
    )
    valid = Check("the audit log is what was sealed", report.exit_code == 0, problem or detail)
    return [valid, await _check_bundle(settings, state)]


async def _check_bundle(settings: Settings, state: Path) -> Check:
    from stream_maas.errors import LedgerError
    from stream_maas.ledger.bundle import bundle_files, write_bundle
    from stream_maas.ledger.keyring import load_verifier_keys
    from stream_maas.replay.audit_log import open_logs
    from stream_maas.replay.exporting import Range, collect

    claim, folder = "a proof bundle is valid for a Python without us", state / "bundle"
    try:
        keys = load_verifier_keys([str(state / "sealer.vkey")])
        logs = await open_logs(settings, state)
        bundled, _ = await collect(logs, Range(), keys)
        write_bundle(folder, bundle_files(logs.topic, bundled, keys, "2026-01-01T00:00:00Z"))
    except LedgerError as error:
        return Check(claim, False, str(error))
    verifier = [sys.executable, "-I", "-S", str(folder / "verify_bundle.py"), str(folder)]
    process = await asyncio.create_subprocess_exec(*verifier, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(_BUNDLE_S):
        out, _ = await process.communicate()
    last = out.decode().strip().rpartition("\n")[2]
    return Check(claim, process.returncode == 0, f"verify_bundle.py says {last}")
