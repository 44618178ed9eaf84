"""What is done to every contender: full load, a steady flow, a flow with a SIGKILL in it, a flow with poison in it.

In a flow, requests fall due by a seeded Poisson process that waits for nobody; each carries its number as its key, and
answers are counted by key as a read_committed consumer sees them. So one trial tells latency, lost and doubled answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks import cluster
from benchmarks.cluster import Run
from benchmarks.peers.contenders import Peer
from benchmarks.peers.process import Killable, launched
from benchmarks.workload import SEED, Request

HEADERS = (("mlserver-model", b"sentiment-lite"),)
"""MLServer cannot do without it; everybody gets it."""
WARM_UP_ROWS = 500
WARM_UP_S = 2.0
STALL_S, KILLED_STALL_S = 6.0, 75.0
"""A flow is over when all are answered, or when nothing came for this long. After a SIGKILL longer than Kafka's default
transaction timeout of a minute: until then a killed transaction may keep readers of committed records waiting."""
POISON = (b'{"id": "poison", "inputs": [', b'{"id": "poison", "inputs": [{"name": "text", "shape": [1], '
          b'"datatype": "BYTES", "data": [17]}]}')  # fmt: skip
"""Bytes that are no JSON, and a number where a text belongs."""
_TICK_S = 0.002


@dataclass(frozen=True, slots=True)
class Throughput:
    """Full load. `rss_bytes` after it."""

    rows: int
    wall_s: float
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Flow:
    """What came of `sent` requests. Milliseconds from due to consumed, warm-up left out."""

    sent: int
    rate_per_s: float
    answered: int
    extra: int
    """Answers beyond the first of a request."""
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    poison: int
    """How many of the requests were poison."""


async def full_load(peer: Peer, run: Run, requests: Sequence[Request]) -> Throughput:
    """From the moment all requests become visible until the last is committed (or answered, without a group)."""
    warm_up, load = requests[:WARM_UP_ROWS], requests[WARM_UP_ROWS:]
    async with contextlib.AsyncExitStack() as stack, cluster.Progress(run) as progress:
        started = [
            await stack.enter_async_context(launched(peer.contender, replace(run, instance=f"bench-{number}")))
            for number in range(peer.processes)
        ]
        cpu_s = lambda: sum(server.cpu_s() for server in started)  # noqa: E731
        watch = _Ends(run)
        await watch.start()
        try:
            offsets = await _write(run, warm_up)
            await _until_done(peer, progress, watch, offsets, len(warm_up))
            if peer.has_group:
                async with cluster.hold(run, load) as held:
                    await asyncio.sleep(0.5)
                    before_s, began_s = cpu_s(), await held.release()
                    done_s = await progress.reach(held.next_offsets)
            else:
                # It reads uncommitted records too, so nothing can be held back: the clock starts with the writing.
                before_s, began_s = cpu_s(), time.perf_counter()
                offsets = await _write(run, load)
                done_s = await _until_done(peer, progress, watch, offsets, len(requests))
            await asyncio.sleep(0.3)
            rss_bytes = sum(server.rss_bytes() for server in started)
            return Throughput(len(load), done_s - began_s, cpu_s() - before_s, rss_bytes)
        finally:
            await watch.stop()


async def flow(
    peer: Peer,
    run: Run,
    requests: Sequence[Request],
    *,
    rate_per_s: float,
    seconds: float,
    kill_at_s: float | None = None,
    poison_every: int = 0,
) -> Flow:
    """A steady flow; with `kill_at_s` the server is killed then, `WARM_UP_S` in, and started again at once."""
    count = int(rate_per_s * (WARM_UP_S + seconds))
    rng = random.Random(SEED)
    due_s = np.cumsum([rng.expovariate(rate_per_s) for _ in range(count)])
    skipped = int(rate_per_s * WARM_UP_S)
    values = [requests[number % len(requests)].value for number in range(count)]
    poisoned = range(skipped, count, poison_every) if poison_every else range(0)
    for turn, number in enumerate(poisoned):
        values[number] = POISON[turn % len(POISON)]
    producer = AIOKafkaProducer(bootstrap_servers=run.bootstrap, acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=run.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await producer.start()
    await consumer.start()
    consumer.assign([TopicPartition(run.results, number) for number in range(run.partitions)])
    gc.collect()
    gc.disable()
    try:
        first_s, counts, began_s = await _flow(peer, run, producer, consumer, values, due_s, kill_at_s)
    finally:
        gc.enable()
        await consumer.stop()
        await producer.stop()
    waits_ms = (first_s - began_s - due_s)[skipped:] * 1000
    answered_ms = waits_ms[~np.isnan(waits_ms)]
    p50, p99, slowest = np.percentile(answered_ms, (50, 99, 100)).tolist() if len(answered_ms) else [math.nan] * 3
    answered = int((counts > 0).sum())
    return Flow(count, rate_per_s, answered, int(counts.sum()) - answered, p50, p99, slowest, len(poisoned))


async def _flow(
    peer: Peer,
    run: Run,
    producer: Any,
    consumer: Any,
    values: Sequence[bytes],
    due_s: np.ndarray,
    kill_at_s: float | None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """(moment of the first answer or NaN, number of answers, begin), by request."""
    first_s, counts = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.int64)
    server: Killable
    async with launched(peer.contender, run) as server:
        began_s = time.perf_counter() + 0.05
        collecting = asyncio.create_task(_collect(consumer, first_s, counts))
        sending = asyncio.create_task(_send(producer, run, values, began_s + due_s))
        if kill_at_s is None:
            await sending
            await _settled(counts, server, STALL_S)
        else:
            await asyncio.sleep(max(0.0, began_s + WARM_UP_S + kill_at_s - time.perf_counter()))
            await server.kill()
            async with launched(peer.contender, run) as second:
                await sending
                await _settled(counts, second, KILLED_STALL_S)
        collecting.cancel()
    return first_s, counts, began_s


async def _settled(counts: np.ndarray, server: Killable, stall_s: float) -> None:
    """All answered, or nothing new for `stall_s`, or nobody left to answer. Late doubles get a second more."""
    moved_s, total = time.perf_counter(), int(counts.sum())
    while not (counts > 0).all():
        if time.perf_counter() - moved_s > (2.0 if server.ended else stall_s):
            return
        await asyncio.sleep(0.1)
        if int(counts.sum()) != total:
            moved_s, total = time.perf_counter(), int(counts.sum())
    await asyncio.sleep(1.0)


async def _send(producer: Any, run: Run, values: Sequence[bytes], moments_s: np.ndarray) -> None:
    deliveries = []
    moments = moments_s.tolist()
    sent = 0
    while sent < len(moments):
        now_s = time.perf_counter()
        while sent < len(moments) and moments[sent] <= now_s:
            key, partition = b"%032x" % sent, sent % run.partitions
            deliveries.append(
                await producer.send(run.requests, values[sent], key=key, partition=partition, headers=list(HEADERS))
            )
            sent += 1
        await asyncio.sleep(_TICK_S)
    await asyncio.gather(*deliveries)


async def _collect(consumer: Any, first_s: np.ndarray, counts: np.ndarray) -> None:
    while True:
        chunks = await consumer.getmany(timeout_ms=200)
        now_s = time.perf_counter()
        for records in chunks.values():
            for record in records:
                try:
                    index = int(record.key or b"", 16)
                except ValueError:
                    continue  # an answer that names no request answers nobody
                counts[index] += 1
                if counts[index] == 1:
                    first_s[index] = now_s


async def _write(run: Run, requests: Sequence[Request]) -> dict[TopicPartition, int]:
    """As `cluster.write`, with the header."""
    producer = AIOKafkaProducer(
        bootstrap_servers=run.bootstrap, max_batch_size=cluster.PRODUCE_BATCH_BYTES, acks="all", linger_ms=5
    )
    await producer.start()
    try:
        deliveries = [
            await producer.send(
                run.requests, request.value, key=request.key, partition=number % run.partitions, headers=list(HEADERS)
            )
            for number, request in enumerate(requests)
        ]
        next_offsets: dict[TopicPartition, int] = {}
        for delivered in await asyncio.gather(*deliveries):
            place = TopicPartition(delivered.topic, delivered.partition)
            next_offsets[place] = max(next_offsets.get(place, 0), delivered.offset + 1)
        return next_offsets
    finally:
        await producer.stop()


class _Ends:
    """How many answers stand in the results of a contender that writes no transactions: the sum of end offsets."""

    def __init__(self, run: Run) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=run.bootstrap)
        self._partitions = [TopicPartition(run.results, number) for number in range(run.partitions)]

    async def start(self) -> None:
        await self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def count(self) -> int:
        return sum((await self._consumer.end_offsets(self._partitions)).values())


async def _until_done(
    peer: Peer, progress: cluster.Progress, watch: _Ends, offsets: dict[TopicPartition, int], rows: int
) -> float:
    """The moment (perf_counter seconds) when the group committed `offsets`, or `rows` answers are there.

    Raises `TimeoutError`.
    """
    if peer.has_group:
        return await progress.reach(offsets)
    moved_s, last = time.perf_counter(), -1
    while True:
        now_s, count = time.perf_counter(), await watch.count()
        if count >= rows:
            return now_s
        if count != last:
            moved_s, last = now_s, count
        elif now_s - moved_s > cluster.STALL_S:
            raise TimeoutError(f"{peer.contender.title}: {count} of {rows} answers, and no more")
        await asyncio.sleep(0.02)
