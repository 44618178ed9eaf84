"""Keeps how the benchmark talks to Kafka: topics of one run, a held-back load, progress, and what came out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.workload import Request
from stream_maas import topics

PRODUCE_BATCH_BYTES = 16_384
"""Kafka's default batch.size: a consumer pays per batch, so larger ones would flatter everybody."""
HEAP = ("-Xms2560m", "-Xmx2560m", "-Xmn2g", "-XX:+AlwaysPreTouch")
"""Of a broker that is started for a benchmark. It stops for 10 to 40 ms whenever the memory for new objects is full:
with the development broker's heap once a second, which is a p99 of its own; with this one in one round of several."""
HOLD_TIMEOUT_MS = 300_000
"""How long a loaded but uncommitted topic may wait for its server."""
POLL_S = 0.01
STALL_S = 30.0
_CREATION_RETRIES = 50


@dataclass(frozen=True, slots=True)
class Run:
    """Topics and consumer group of one server process."""

    bootstrap: str
    prefix: str
    partitions: int
    model: Path
    """Bundle of a word-bag model."""
    instance: str = "bench"
    """Name of the worker that is started for it; workers that share the run have one each."""

    @property
    def group(self) -> str:
        return self.prefix

    @property
    def requests(self) -> str:
        return topics.requests(self.prefix)

    @property
    def results(self) -> str:
        return topics.results(self.prefix)

    @property
    def audit(self) -> str:
        return topics.audit(self.prefix)

    def input_partitions(self) -> list[TopicPartition]:
        return [TopicPartition(self.requests, number) for number in range(self.partitions)]


@dataclass(slots=True)
class Load:
    """Requests written but, as `hold` keeps their transaction open, not yet visible to a read_committed consumer."""

    producer: AIOKafkaProducer
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    """What the group has committed once everything is answered."""

    async def release(self) -> float:
        """Make everything visible at once; returns the moment (perf_counter seconds) before it was asked for."""
        released_s = time.perf_counter()
        await self.producer.commit_transaction()
        return released_s


@contextlib.asynccontextmanager
async def topics_of(run: Run) -> AsyncIterator[None]:
    """Create the topics of the project's table under the run's prefix and delete them afterwards."""
    admin = AIOKafkaAdminClient(bootstrap_servers=run.bootstrap)
    await admin.start()
    specs = topics.table(run.prefix)
    try:
        await admin.create_topics(
            [
                NewTopic(
                    spec.name,
                    run.partitions if spec.partitions == "requests" else 1,
                    1,
                    topic_configs=spec.configs(1),
                )
                for spec in specs
            ]
        )
        await _wait_for_leaders(admin, [spec.name for spec in specs])
        yield
    finally:
        with contextlib.suppress(Exception):  # the broker may be gone already; nothing depends on it
            await admin.delete_topics([spec.name for spec in specs])
        await admin.close()


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    for _ in range(_CREATION_RETRIES):
        rows = await admin.describe_topics(list(names))
        if all(row["error_code"] == 0 and all(p["leader"] >= 0 for p in row["partitions"]) for row in rows):
            return
        await asyncio.sleep(0.05)
    raise TimeoutError("the topics of the run got no leader")


async def write(run: Run, requests: Sequence[Request]) -> dict[TopicPartition, int]:
    """Write requests round robin, visible at once; returns the offset behind the last one by partition."""
    producer = AIOKafkaProducer(bootstrap_servers=run.bootstrap, max_batch_size=PRODUCE_BATCH_BYTES, acks="all")
    await producer.start()
    try:
        return await _write(producer, run, requests)
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def hold(run: Run, requests: Sequence[Request]) -> AsyncIterator[Load]:
    """Pre-load the topic inside one open transaction, so that the server starts and settles on an idle topic.

    `Load.release` commits it: all requests become visible in the same moment, and neither the server's start nor
    the load generator's own CPU falls into the measured time.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=run.bootstrap,
        max_batch_size=PRODUCE_BATCH_BYTES,
        acks="all",
        transactional_id=f"{run.prefix}-load",
        transaction_timeout_ms=HOLD_TIMEOUT_MS,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        load = Load(producer)
        load.next_offsets = await _write(producer, run, requests)
        yield load
    finally:
        await producer.stop()


async def _write(producer: AIOKafkaProducer, run: Run, requests: Sequence[Request]) -> dict[TopicPartition, int]:
    next_offsets: dict[TopicPartition, int] = {}
    for partition in range(run.partitions):
        deliveries = []
        batch = producer.create_batch()
        for request in requests[partition :: run.partitions]:
            row: dict[str, Any] = {"key": request.key, "value": request.value, "timestamp": None, "headers": []}
            if batch.append(**row) is None:
                batch.close()
                deliveries.append(await producer.send_batch(batch, run.requests, partition=partition))
                batch = producer.create_batch()
                batch.append(**row)
        rows_in_last = batch.record_count()
        batch.close()
        deliveries.append(await producer.send_batch(batch, run.requests, partition=partition))
        last = (await asyncio.gather(*deliveries))[-1]
        next_offsets[TopicPartition(run.requests, partition)] = last.offset + rows_in_last
    return next_offsets


class Progress:
    """Watches the group's committed offsets: they stand for answered requests with every contender."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._admin = AIOKafkaAdminClient(bootstrap_servers=run.bootstrap)

    async def __aenter__(self) -> Progress:
        await self._admin.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()

    async def reach(self, offsets: Mapping[TopicPartition, int]) -> float:
        """Wait until the group committed `offsets`; returns the moment (perf_counter seconds).

        Raises `TimeoutError` when nothing moves for `STALL_S`.
        """
        last_sum, moved_s = -1, time.perf_counter()
        while True:
            committed = await self._admin.list_consumer_group_offsets(self._run.group, partitions=list(offsets))
            now_s = time.perf_counter()
            if all(committed[tp].offset >= offset for tp, offset in offsets.items()):
                return now_s
            total = sum(row.offset for row in committed.values())
            if total != last_sum:
                last_sum, moved_s = total, now_s
            elif now_s - moved_s > STALL_S:
                raise TimeoutError(f"{self._run.group}: no commit for {STALL_S:.0f} s")
            await asyncio.sleep(POLL_S)


async def read(run: Run, topic: str, *, first: int | None = None) -> list[ConsumerRecord]:
    """Committed records of a topic; `first` bounds how many are wanted."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=run.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )  # fmt: skip
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(run.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        rows: list[ConsumerRecord] = []
        while first is None or len(rows) < first:
            # Positions move past transaction markers, which `ends` counts too.
            if all([await consumer.position(tp) >= end for tp, end in ends.items()]):
                break
            for chunk in (await consumer.getmany(timeout_ms=200)).values():
                rows += chunk
        return rows[:first]
    finally:
        await consumer.stop()
