"""What proof costs: verification and sealing per event, proofs from a log of a million events.

    python -m benchmarks.ledger_speed [EVENTS]

One process, one core, CPU time; best of three where it matters. Events have the size of real ones.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stream_maas.ledger import proofs
from stream_maas.ledger.findings import VALID, Report
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.sealing import LogSealer
from stream_maas.ledger.store import LogStore
from stream_maas.ledger.tiles import node_source
from stream_maas.ledger.verifying import Expectations, Head, LogVerifier
from tests.support.audit_log import Stored, Writer, stored

ORIGIN = "example.org/benchmark/0"
CHUNK = 500
SEAL_EVERY = 20_000
FILLER = {
    "input": {"bytes": 412, "digest": "9b" * 32},
    "model": {"digest": "5f" * 32, "licence": "Apache-2.0", "name": "sentiment-lite", "version": "1"},
    "redaction": {"counts": {"EMAIL": 1}, "policy": "2026.1", "engine": "re2", "ruleset": "8f" * 8},
    "timings_us": {"infer": 410, "queue": 1200, "redact": 35, "total": 2100},
    "batch": {"id": "maas.requests:3:40/0", "index": 2, "size": 8},
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}


def make_log(count: int) -> list[Stored]:
    """`count` decisions of one writer with a heartbeat after each 10,000."""
    writer = Writer()
    values = [writer.start()]
    for number in range(1, count):
        values.append(writer.heartbeat() if number % 10_000 == 0 else writer.decision(**FILLER))
    return stored(values, gap_every=100)


def seal(records: Sequence[Stored], folder: Path) -> tuple[float, list[Head]]:
    """CPU seconds per event of the sealer's own work, and the heads that it signed."""
    log, key = LogSealer(ORIGIN, LogStore(folder, ORIGIN)), SigningKey(ORIGIN, NOTE, bytes(32))
    heads, published = [], None
    started = time.process_time()
    for at in range(0, len(records), CHUNK):
        log.take(records[at : at + CHUNK])
        if log.size % SEAL_EVERY == 0 or at + CHUNK >= len(records):
            sealed = log.seal(key, published)
            if sealed is not None:
                published = sealed.checkpoint
                heads.append(Head(published.size, published.root, "root"))
    return (time.process_time() - started) / len(records), heads


def verify(records: Sequence[Stored], heads: list[Head]) -> float:
    """CPU seconds per event of a verification with everything in it."""
    verifier = LogVerifier(
        topic="maas.audit", partition=0, origin=ORIGIN, writer_keys=[Writer().key.public],
        expected=Expectations(heads=list(heads)),
    )  # fmt: skip
    started = time.process_time()
    for at in range(0, len(records), CHUNK):
        verifier.feed(records[at : at + CHUNK])
    report = verifier.finish()
    elapsed = time.process_time() - started
    assert Report((report,)).exit_code == VALID, report.findings[:3]
    return elapsed / len(records)


def prove(records: Sequence[Stored], folder: Path, heads: list[Head]) -> None:
    """One inclusion proof and one range proof, from tiles and single blocks of events."""
    store, size, root = LogStore(folder, ORIGIN), heads[-1].size, heads[-1].root
    read = {"events": 0}

    def block(number: int) -> list[bytes]:
        part = records[number * 256 : (number + 1) * 256]
        read["events"] += len(part)
        return leaf_hashes(record.value for record in part)

    started = time.perf_counter()
    index = size * 2 // 3
    (found,) = store.find(f"worker-0-aaaa-{index - 1 - index // 10_000}", size)
    proof = proofs.inclusion_proof(found, size, node_source(store.read_tile, block))
    took_ms = (time.perf_counter() - started) * 1000
    assert proofs.verify_inclusion(found, size, leaf_hashes([records[found].value])[0], proof, root)
    print(f"inclusion proof of event {found} of {size}, found by its id: {len(proof)} hashes, {read['events']} events "
          f"read, {took_ms:.1f} ms without Kafka")  # fmt: skip
    start = size // 2 - 77
    hashes = proofs.range_proof(start, start + 10_000, size, node_source(store.read_tile, block))
    leaves = leaf_hashes(record.value for record in records[start : start + 10_000])
    assert proofs.root_from_range(start, size, leaves, hashes) == root
    print(f"range proof of 10,000 neighbours: {len(hashes)} hashes")


def main(count: int) -> None:
    records = make_log(count)
    size = sum(len(record.value) for record in records) / count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sealing, heads = seal(records, folder)
        verifying = min(verify(records, heads) for _ in range(3))
        print(f"{count} events of {size:.0f} bytes, one core")
        print(f"verify: {verifying * 1e6:.2f} us per event, {1 / verifying:,.0f} events/s")
        print(f"seal:   {sealing * 1e6:.2f} us per event, {1 / sealing:,.0f} events/s")
        prove(records, folder, heads)
        kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"files of the sealer: {kept / count:.1f} bytes per event")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
