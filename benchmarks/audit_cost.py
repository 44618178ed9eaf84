"""`python -m benchmarks.audit_cost`: what the audit trail costs a worker per event beyond the produce, on one core.

Encoding the event in canonical bytes, the digest of the input, linking it into the chain (leaf hash, receipt), the
session's share (start, heartbeats) and, with boxes, sealing the input. CPU time of the thread, fastest repetition.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import stages
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.keystore import open_store
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.session import Session
from stream_maas.records import Writer

BAR_US = 10.0
"""CPU per event that the trail may cost a worker, without boxes."""


def main() -> int:
    """Print the table; 1 when the bar is missed."""
    service = stages.make_service(DEFAULT_BUNDLE)
    chunks = stages.make_chunks()
    costs = {cost.name: cost.us for cost in stages.measure(service, chunks)}
    session = Session("0" * 32, Writer("app", "bench", "0"), "maas.audit", SigningKey("bench", NOTE, b"s" * 32))
    _, chain = session.start(0, 0)
    # A heartbeat a second and partition: at 1,000 events a second in one partition each event bears a thousandth.
    beat_us = stages.fastest_us(lambda: session.end(chain, 0, 1)) / 1000
    with tempfile.TemporaryDirectory() as folder:
        boxing = dataclasses.replace(service, boxes=open_store(Path(folder) / "keys.sqlite"))
        gc.collect()
        gc.disable()
        plain_us = stages.serve_us(service, chunks)
        boxed_us = stages.serve_us(boxing, chunks)
        gc.enable()
    parts = {
        "encode event": costs["encode audit event"],
        "digest of input": costs["digest of input"],
        "link, leaf hash, receipt": costs["link audit events"],
        "heartbeat, at 1,000 events/s": beat_us,
    }
    total = sum(parts.values())
    table = Table(title="CPU us per event", title_justify="left")
    table.add_column("part")
    table.add_column("us", justify="right")
    for name, us in [*parts.items(), ("together", total), ("boxes, besides", boxed_us - plain_us)]:
        table.add_row(name, f"{us:.2f}")
    Console().print(table)
    return 0 if total <= BAR_US else 1


if __name__ == "__main__":
    sys.exit(main())
