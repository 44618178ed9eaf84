"""A service as the monitor sees it: audit events that keep coming, and a share of them that fails when told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from stream_maas import topics
from tests.support.log_reading import Tap
from tests.unit.monitor.histories import Answer, event_bytes

PERIOD_S = 0.05


class AuditFeed:
    """Writes audit events, a few in every period and partition, in transactions as a worker does."""

    def __init__(self, bootstrap: str, prefix: str, partitions: int, *, transactional: bool = True) -> None:
        self._topic = topics.audit(prefix)
        self._partitions = partitions
        self._requests = dict.fromkeys(range(partitions), 0)
        self.skipped = 0
        """Numbers of its writer session that were given to events which are not there."""
        self._transactional = transactional
        self._options: dict[str, Any] = {"bootstrap_servers": bootstrap}
        if transactional:
            self._options["transactional_id"] = f"{prefix}-feed"
        self.failing = False
        """Half of the answers fail."""
        self.sent = 0

    async def run(self) -> None:
        producer = AIOKafkaProducer(**self._options)
        await producer.start()
        try:
            while True:
                await self._send(producer)
                await asyncio.sleep(PERIOD_S)
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer) -> None:
        async with producer.transaction() if self._transactional else contextlib.nullcontext():
            for partition in range(self._partitions):
                for _ in range(2):
                    number = self._requests[partition]
                    code = "model_error" if self.failing and number % 2 else ""
                    place = ("feed", number + self.skipped)
                    answer = Answer(time.time_ns() // 1000, code, request_offset=number, session=place)
                    await producer.send(self._topic, event_bytes(partition, 0, answer), partition=partition)
                    self._requests[partition] += 1
                    self.sent += 1


@asynccontextmanager
async def fed(feed: AuditFeed) -> AsyncIterator[AuditFeed]:
    """The feed runs meanwhile."""
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def alert_event(tap: Tap, step: str, rule: str, timeout_s: float = 90) -> Mapping[str, Any]:
    """Wait for an alert event that anybody can read."""
    async with asyncio.timeout(timeout_s):
        while True:
            for record in tap.records:
                data: Mapping[str, Any] = json.loads(record.value)["data"]
                if (data["event"], data["rule"]) == (step, rule):
                    return data
            await asyncio.sleep(0.05)


async def sent(feed: AuditFeed, count: int) -> None:
    """Wait until the feed has sent so many events."""
    async with asyncio.timeout(120):
        while feed.sent < count:  # noqa: ASYNC110 - a producer
            await asyncio.sleep(PERIOD_S)
