"""Watching topics while something happens to the workers: counts that tests wait for instead of sleeping."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

STALL_S = 90.0
"""A wait gives up when nothing at all arrived for this long. Not a measurement: machines are shared and slow."""


class Tap:
    """Reads topics from their beginning, without a group, for as long as it is open; survives broker restarts."""

    def __init__(self, bootstrap: str, *topics: str, isolation_level: str = "read_committed") -> None:
        self.records: list[ConsumerRecord] = []
        self._topics = topics
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level=isolation_level, auto_offset_reset="earliest",
            fetch_max_wait_ms=20, enable_auto_commit=False,
        )  # fmt: skip
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        return len(self.records)

    def on(self, partition: int) -> list[ConsumerRecord]:
        """What arrived on one partition."""
        return [record for record in self.records if record.partition == partition]

    async def until(self, enough: int | Callable[[], bool], what: str, *, stall_s: float = STALL_S) -> None:
        """Wait until so many records arrived, or until `enough()`. `what` says in words what is waited for."""
        reached = enough if callable(enough) else lambda: self.count >= enough
        seen, give_up = self.count, time.monotonic() + stall_s
        while not reached():
            if self.count > seen:
                seen, give_up = self.count, time.monotonic() + stall_s
            assert time.monotonic() < give_up, f"waited {stall_s:.0f} s for {what}; {self.count} records so far"
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._news.wait()

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(await partitions_of(self._consumer, *self._topics))
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        # aiokafka's consumer cancels itself when it is stopped while its broker is away.
        await asyncio.gather(self._consumer.stop(), return_exceptions=True)

    async def _read(self) -> None:
        while True:
            try:
                fetched = await self._consumer.getmany(timeout_ms=100)
            except KafkaError:
                await asyncio.sleep(0.1)
                continue
            for records in fetched.values():
                self.records += records
            if fetched:
                self._news.set()


async def partitions_of(consumer: AIOKafkaConsumer, *topics: str) -> list[TopicPartition]:
    """All partitions of the topics, which must exist."""
    await consumer._client.set_topics(topics)  # a consumer without a subscription knows no partitions yet
    found = {topic: consumer.partitions_for_topic(topic) for topic in topics}
    assert all(found.values()), f"no such topics: {[topic for topic, ids in found.items() if not ids]}"
    return [TopicPartition(topic, number) for topic, ids in found.items() for number in sorted(ids or ())]


async def end_offsets(bootstrap: str, topic: str, isolation_level: str) -> dict[int, int]:
    """Partition -> last stable offset (read_committed) or high watermark (read_uncommitted)."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation_level)
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(await partitions_of(consumer, topic))
    finally:
        await consumer.stop()
    return {tp.partition: end for tp, end in ends.items()}


def header(record: Any, name: str) -> str | None:
    """The header's text, or None."""
    for key, value in record.headers:
        if key == name and value is not None:
            return str(value.decode())
    return None
