"""How far sealing trails behind a worker at full load: `python -m benchmarks.sealer_lag [REQUESTS]`.

A worker with everything on and a sealer on the same machine, with a broker; the load becomes visible at once. The lag
of an audit event is the time from its append, by the broker's clock, to the append of the first checkpoint that covers
it. Ends with 1 when the largest is above the bar.
"""

from __future__ import annotations

import asyncio
import bisect
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import cluster, machine, servers, workload
from benchmarks.cluster import Run
from stream_maas import topics
from stream_maas.brokers import LocalKafka
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.ledger.notes import parse_checkpoint, parse_note

BAR_S = 2.0
"""Lag that no event may exceed."""
REQUESTS = 60_000
PARTITIONS = 4
WARM_UP = 2_000
_SETTLE_S = 3.0
"""Longer than a sealing interval: the last events get their checkpoint as well."""


def sealer(folder: Path) -> servers.Contender:
    """A sealer with defaults; its files go into `folder`."""
    return servers.Contender(
        "sealer", "sealer",
        lambda run: [
            sys.executable, "-m", "stream_maas", "sealer", "--bootstrap", run.bootstrap, "--prefix", run.prefix,
            "--instance", "sealer", "--folder", str(folder), "--json",
        ],
    )  # fmt: skip


async def measure(bootstrap: str, count: int) -> list[float]:
    """Lags in seconds of all audit events of `count` requests."""
    run = Run(bootstrap, f"lag-{secrets.token_hex(3)}", PARTITIONS, DEFAULT_BUNDLE)
    requests = workload.requests(WARM_UP + count)
    with tempfile.TemporaryDirectory() as folder:
        async with cluster.topics_of(run), cluster.Progress(run) as progress:
            warm = await cluster.write(run, requests[:WARM_UP])
            async with (
                cluster.hold(run, requests[WARM_UP:]) as held,
                servers.started(servers.EXACTLY_ONCE, run) as worker,
                servers.started(sealer(Path(folder)), run) as sealing,
            ):
                await progress.reach(warm)
                await asyncio.sleep(_SETTLE_S)
                others, before_s = machine.OtherLoad(), (worker.cpu_s(), sealing.cpu_s())
                released_ms, released_s = int(time.time() * 1000), await held.release()
                wall_s = await progress.reach(held.next_offsets) - released_s
                spent = [now.cpu_s() - then for now, then in zip((worker, sealing), before_s, strict=True)]
                await asyncio.sleep(_SETTLE_S)
                print(
                    f"{count} requests in {wall_s:.1f} s ({count / wall_s:,.0f}/s) on {os.cpu_count()} cores: worker "
                    f"{spent[0] / count * 1e6:.1f} us, sealer {spent[1] / count * 1e6:.1f} us of CPU per event; "
                    f"others took {others.cores():.2f} cores"
                )  # fmt: skip
                return await read_lags(
                    run, released_ms
                )  # before the worker stops, and writes what nobody is left to seal


async def read_lags(run: Run, since_ms: int) -> list[float]:
    """One lag for each record of the audit topic that was appended since, by the timestamps that the broker set."""
    sealed: dict[str, list[tuple[int, int]]] = {}
    for record in await read_all(run.bootstrap, topics.audit_checkpoints(run.prefix), 1):
        checkpoint = parse_checkpoint(parse_note(record.value).text)
        sealed.setdefault(checkpoint.origin, []).append((checkpoint.size, record.timestamp))
    heads = {origin.rpartition("/")[2]: sorted(rows) for origin, rows in sealed.items()}
    counts: dict[int, int] = {}
    lags = []
    for record in await read_all(run.bootstrap, run.audit, run.partitions):
        index = counts.get(record.partition, 0)
        counts[record.partition] = index + 1
        if record.timestamp < since_ms:
            continue  # the warm-up: the sealer was starting
        rows = heads[str(record.partition)]
        covering = rows[bisect.bisect_left(rows, (index + 1, 0)) :]
        lags.append((min(moment for _, moment in covering) - record.timestamp) / 1000)
    return lags


async def read_all(bootstrap: str, topic: str, partitions: int) -> list[object]:
    """The committed records of a topic, in order within each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(tps)
        rows = []
        while not all([await consumer.position(tp) >= end for tp, end in ends.items()]):
            for chunk in (await consumer.getmany(timeout_ms=200)).values():
                rows += chunk
        return rows
    finally:
        await consumer.stop()


def main(count: int) -> int:
    """Print the lags; 1 when the bar is missed."""
    if bootstrap := os.environ.get("STREAM_MAAS_TEST_BOOTSTRAP"):
        lags = asyncio.run(measure(bootstrap, count))
    else:
        with LocalKafka() as broker:
            lags = asyncio.run(measure(broker.bootstrap, count))
    lags.sort()
    shown = ", ".join(f"{name} {lags[int(share * (len(lags) - 1))]:.2f} s" for name, share in
                      (("median", 0.5), ("p99", 0.99), ("largest", 1.0)))  # fmt: skip
    print(f"lag of {len(lags)} events: {shown}")
    return 0 if lags[-1] <= BAR_S else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS))
