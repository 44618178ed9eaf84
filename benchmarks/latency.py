"""Keeps how latency is taken: open loop, from the moment a request was due to the moment its answer was consumed.

Requests fall due by a seeded Poisson process that waits for nobody, so a server that stalls is charged for every
request that fell due meanwhile (no coordinated omission). Answers are consumed read_committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from benchmarks import machine, servers
from benchmarks.cluster import STALL_S, Run
from benchmarks.workload import SEED, Request

WARM_UP_S = 2.0
_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class Latency:
    """One measured run of one contender at one rate. Milliseconds."""

    contender: str
    rate_per_s: float
    rows: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_share: float
    """Of one core, server process."""
    meanwhile: machine.Meanwhile


async def measure(
    contender: servers.Contender, run: Run, requests: Sequence[Request], *, rate_per_s: float, duration_s: float
) -> Latency:
    """Send at `rate_per_s` for the warm-up plus `duration_s`, cycling through `requests`. Topics must exist."""
    due_s, skipped = due(rate_per_s, duration_s)
    async with servers.started(contender, run) as server, clients(run) as (producer, consumer):
        with machine.Watch() as watch:
            cpu_before_s = server.cpu_s()
            begin_s = time.perf_counter() + 0.05
            answered = asyncio.create_task(_collect(consumer, len(due_s)))
            await send(producer, run, requests, begin_s + due_s)
            answered_s = await answered
            span_s = time.perf_counter() - begin_s
            cpu_share, meanwhile = (server.cpu_s() - cpu_before_s) / span_s, watch.seen()
    latencies_ms = (answered_s - begin_s - due_s)[skipped:] * 1000
    p50, p95, p99 = np.percentile(latencies_ms, (50, 95, 99)).tolist()
    return Latency(contender.name, rate_per_s, len(latencies_ms), p50, p95, p99, cpu_share, meanwhile)


def due(rate_per_s: float, duration_s: float) -> tuple[np.ndarray, int]:
    """When requests fall due, seconds [n] from the beginning, and how many of them are the warm-up."""
    rng = random.Random(SEED)
    count = int(rate_per_s * (WARM_UP_S + duration_s))
    return np.cumsum([rng.expovariate(rate_per_s) for _ in range(count)]), int(rate_per_s * WARM_UP_S)


@contextlib.asynccontextmanager
async def clients(run: Run) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    """A producer that sends at once and a consumer at the end of the results; collections of garbage wait."""
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
        yield producer, consumer
    finally:
        gc.enable()
        await consumer.stop()
        await producer.stop()


async def send(producer: AIOKafkaProducer, run: Run, requests: Sequence[Request], due_s: np.ndarray) -> list[int]:
    """Send request i when due; its key says i, written like a UUID, so that redaction has no reason to change it.

    Returns when each was sent, epoch milliseconds. What falls due while a request to the broker is under way goes with
    the next one, as a client does it, in whole batches: a call per record would take a fifth of a core from everybody.
    """
    moments = due_s.tolist()
    sent_ms: list[int] = []
    while len(sent_ms) < len(moments):
        now_s, now_ms = time.perf_counter(), time.time_ns() // 1_000_000
        batches: dict[int, BatchBuilder] = {}
        for number in range(len(sent_ms), len(moments)):
            if moments[number] > now_s:
                break
            partition = number % run.partitions
            batch = batches.get(partition) or batches.setdefault(partition, producer.create_batch())
            value = requests[number % len(requests)].value
            if batch.append(key=b"%032x" % number, value=value, timestamp=now_ms) is None:
                break  # full, after a stall: the rest goes with the next request
            sent_ms.append(now_ms)
        deliveries = []
        for partition, batch in batches.items():
            batch.close()
            deliveries.append(await producer.send_batch(batch, run.requests, partition=partition))
        await asyncio.gather(*deliveries)
        await asyncio.sleep(_TICK_S)
    return sent_ms


async def _collect(consumer: AIOKafkaConsumer, count: int) -> np.ndarray:
    """When each request's answer was consumed, perf_counter seconds [count]."""
    answered_s = np.full(count, np.nan)
    left, moved_s = count, time.perf_counter()
    while left:
        chunks = await consumer.getmany(timeout_ms=200)
        now_s = time.perf_counter()
        for records in chunks.values():
            for record in records:
                index = int(record.key, 16)
                if np.isnan(answered_s[index]):
                    answered_s[index] = now_s
                    left -= 1
                    moved_s = now_s
        if now_s - moved_s > STALL_S:
            raise TimeoutError(f"{left} of {count} requests got no answer")
    return answered_s
