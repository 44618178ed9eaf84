"""At-least-once: rows are acknowledged by the broker before the offsets behind them are committed.

Rows can be read as soon as they are acknowledged, so nothing waits for a commit: intervals are sent one after the
other, audit events before all else (no result without its event), and what is acknowledged is committed in the
background, every `commit_interval_ms` at most.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from stream_maas.worker.batches import Rows, send_batches
from stream_maas.worker.interval import Interval
from stream_maas.worker.producers import close_producer, is_cancelled
from stream_maas.worker.publisher import Publisher


class PlainPublisher(Publisher):
    """Sends intervals, and commits what was acknowledged in the order in which it was sent."""

    mode = "at-least-once"

    def __init__(self, *, instance: str, idempotence: bool, **common: Any) -> None:
        super().__init__(**common)
        self._instance = instance
        self._idempotence = idempotence
        self._others: AIOKafkaProducer | None = None
        """Sends everything but audit events."""
        self._sent: deque[Interval] = deque()
        """Audit events are on their way, oldest first."""
        self._followed: deque[Interval] = deque()
        """All the rest is on its way as well, oldest first."""
        self._acknowledged: Interval | None = None
        """All that is acknowledged and not committed yet, as one."""
        self._has_sent = asyncio.Event()
        self._has_followed = asyncio.Event()
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._has_acknowledged = asyncio.Event()
        self._commit_lock = asyncio.Lock()

    async def start(self) -> None:
        await super().start()
        self._spawn(self._follow_loop(), "results")
        self._spawn(self._acknowledge_loop(), "acknowledger")
        self._spawn(self._offsets_loop(), "offsets")

    async def finish(self) -> None:
        await super().finish()
        await self._none_left.wait()
        await self._commit_acknowledged()

    def _is_aborted(self) -> bool:
        return False

    def _is_due(self) -> bool:
        return self._open is not None

    async def _send_others(self, interval: Interval, rows: Rows) -> None:
        """They wait until the audit events are acknowledged, or on the disk."""
        for place, outgoing in rows.items():
            interval.later.setdefault(place, []).extend(outgoing)

    async def _new_producer(self) -> AIOKafkaProducer:
        """For audit events; `_others` is made with it. aiokafka has one request to a broker under way per producer, so
        the events of a pass would wait for the results of the one before."""
        producers = [
            AIOKafkaProducer(**self._common, client_id=name, enable_idempotence=self._idempotence)
            for name in (self._instance, f"{self._instance}-results")
        ]
        try:
            for producer in producers:
                await producer.start()
        except BaseException:
            for producer in producers:
                await close_producer(producer)
            raise
        audits, self._others = producers
        return audits

    async def _close_producer(self) -> None:
        await super()._close_producer()
        others, self._others = self._others, None
        if others is not None:
            await close_producer(others)

    async def _begin(self) -> None:
        """Nothing to open."""

    async def _commit(self, interval: Interval) -> None:
        """Its audit events are on their way; `_follow_loop` waits for them and sends the rest."""
        if self.outage.spool is not None:
            self.outage.spool.confirm(interval.frame)
        if not (interval.audits or interval.later):
            return
        self._sent.append(interval)
        self._tell()

    def _committed(self, interval: Interval, started_s: float) -> None:
        """Not yet: `_commit_acknowledged` says so."""

    async def _follow_loop(self) -> None:
        """Results go out as soon as their audit events are acknowledged, while other events are on their way."""
        while True:
            await self._has_sent.wait()
            interval = self._sent[0]
            if not await self._succeeds(self.outage.acknowledged([], interval.audits), self._sent, interval):
                continue
            async with self._lock:
                if not _is_first(self._sent, interval):
                    continue
                try:
                    # What a request has acknowledged together goes out together.
                    while self._sent and all(map(_is_acknowledged, self._sent[0].audits)):
                        await send_batches(self._others, self._sent[0].later, self._sent[0].deliveries)
                        self._followed.append(self._sent.popleft())
                except Exception as error:  # noqa: BLE001 - rule 5
                    await self._recover(error)
            self._tell()

    async def _acknowledge_loop(self) -> None:
        while True:
            await self._has_followed.wait()
            interval = self._followed[0]
            if not await self._succeeds(asyncio.gather(*interval.deliveries), self._followed, interval):
                continue
            self._followed.popleft()
            self._merge(interval)
            if interval.audits:
                self.outage.end()
            self._tell()

    async def _succeeds(self, waiting: Awaitable[Any], queue: deque[Interval], interval: Interval) -> bool:
        """Wait for the first interval of a queue. False when that failed, which is recovered from, or when a recovery
        dropped it meanwhile."""
        try:
            await waiting
        except (Exception, asyncio.CancelledError) as error:
            if not isinstance(error, Exception) and (_is_first(queue, interval) or is_cancelled()):
                raise
            async with self._lock:
                if _is_first(queue, interval):
                    await self._recover(error)  # type: ignore[arg-type]
            return False
        return _is_first(queue, interval)

    def _merge(self, interval: Interval) -> None:
        if not interval.offsets:
            return
        if self._acknowledged is None:
            self._acknowledged = interval
        else:
            self._acknowledged.offsets |= interval.offsets
            self._acknowledged.chunks += interval.chunks
        self._has_acknowledged.set()

    async def _offsets_loop(self) -> None:
        """At once after a pause, at a distance where acknowledgements keep coming."""
        while True:
            await self._has_acknowledged.wait()
            began_s = time.monotonic()
            await self._commit_acknowledged()
            await asyncio.sleep(began_s + self._interval_s - time.monotonic())

    async def _commit_acknowledged(self) -> None:
        async with self._commit_lock:
            acknowledged, self._acknowledged = self._acknowledged, None
            self._has_acknowledged.clear()
            if acknowledged is None:
                return
            started_s = time.monotonic()
            try:
                await self._consumer().commit_offsets(acknowledged.offsets)
            except Exception as error:  # noqa: BLE001 - rule 5
                await self._recover_alone(error)
                return
        super()._committed(acknowledged, started_s)

    async def _recover_alone(self, error: Exception) -> None:
        async with self._lock:
            await self._recover(error)

    def _drop(self) -> None:
        super()._drop()
        for interval in (*self._sent, *self._followed):
            for delivery in (*interval.audits, *interval.deliveries):
                delivery.cancel()  # a closed producer may never settle them
        self._sent.clear()
        self._followed.clear()
        self._acknowledged = None
        self._has_acknowledged.clear()
        self._tell()

    def _tell(self) -> None:
        """Whoever waits for a queue to have something, or nothing, is told."""
        for event, state in (
            (self._has_sent, bool(self._sent)),
            (self._has_followed, bool(self._followed)),
            (self._none_left, not (self._sent or self._followed)),
        ):
            event.set() if state else event.clear()


def _is_first(queue: Sequence[Interval], interval: Interval) -> bool:
    """Whether no recovery has dropped it."""
    return bool(queue) and queue[0] is interval


def _is_acknowledged(delivery: asyncio.Future[Any]) -> bool:
    return delivery.done() and not delivery.cancelled() and delivery.exception() is None
