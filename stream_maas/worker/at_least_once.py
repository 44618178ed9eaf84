"""At-least-once: rows are acknowledged by the broker before the offsets behind them are committed.

Rows can be read as soon as they are acknowledged, so nothing waits for a commit: intervals are sent one after the
other, audit events before all else (no result without its event), and what is acknowledged is committed in the
background every `commit_interval_ms`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from stream_maas.worker.batches import Rows, send_batches
from stream_maas.worker.interval import Interval
from stream_maas.worker.producers import is_cancelled
from stream_maas.worker.publisher import Publisher


class PlainPublisher(Publisher):
    """Sends intervals, and commits what was acknowledged in the order in which it was sent."""

    mode = "at-least-once"

    def __init__(self, *, instance: str, idempotence: bool, **common: Any) -> None:
        super().__init__(**common)
        self._instance = instance
        self._idempotence = idempotence
        self._sent: deque[Interval] = deque()
        """Not acknowledged yet, oldest first."""
        self._acknowledged: Interval | None = None
        """All that is acknowledged and not committed yet, as one."""
        self._has_sent = asyncio.Event()
        self._none_sent = asyncio.Event()
        self._none_sent.set()
        self._has_acknowledged = asyncio.Event()
        self._commit_lock = asyncio.Lock()

    async def start(self) -> None:
        await super().start()
        self._spawn(self._acknowledge_loop(), "acknowledger")
        self._spawn(self._offsets_loop(), "offsets")

    async def finish(self) -> None:
        await super().finish()
        await self._none_sent.wait()
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
        producer = AIOKafkaProducer(
            **self._common,
            client_id=self._instance,
            enable_idempotence=self._idempotence,
        )
        await producer.start()
        return producer

    async def _begin(self) -> None:
        """Nothing to open."""

    async def _commit(self, interval: Interval) -> None:
        """Its audit events are on their way; `_acknowledge_loop` waits for them and sends the rest."""
        if self.outage.spool is not None:
            self.outage.spool.confirm(interval.frame)
        if not (interval.audits or interval.later):
            return
        self._sent.append(interval)
        self._none_sent.clear()
        self._has_sent.set()

    def _committed(self, interval: Interval, started_s: float) -> None:
        """Not yet: `_commit_acknowledged` says so."""

    async def _acknowledge_loop(self) -> None:
        while True:
            await self._has_sent.wait()
            intervals = list(self._sent)
            try:
                await self.outage.acknowledged([], [audit for interval in intervals for audit in interval.audits])
                async with self._lock:
                    if not self._are_sent(intervals):
                        continue
                    for interval in intervals:
                        await send_batches(self._producer, interval.later, interval.deliveries)
                await asyncio.gather(*[delivery for interval in intervals for delivery in interval.deliveries])
            except (Exception, asyncio.CancelledError) as error:
                if not self._are_sent(intervals):
                    if isinstance(error, asyncio.CancelledError) and is_cancelled():
                        raise
                    continue  # a recovery dropped them meanwhile
                if not isinstance(error, Exception):
                    raise
                await self._recover_alone(error)
                continue
            for interval in intervals:
                self._sent.popleft()
                self._merge(interval)
            if any(interval.audits for interval in intervals):
                self.outage.end()
            self._none_left()

    def _are_sent(self, intervals: Sequence[Interval]) -> bool:
        """Whether no recovery has dropped them."""
        return bool(self._sent) and self._sent[0] is intervals[0]

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
        while True:
            await self._has_acknowledged.wait()
            await asyncio.sleep(self._interval_s)
            await self._commit_acknowledged()

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
        for interval in self._sent:
            for delivery in (*interval.audits, *interval.deliveries):
                delivery.cancel()  # a closed producer may never settle them
        self._sent.clear()
        self._acknowledged = None
        self._has_acknowledged.clear()
        self._none_left()

    def _none_left(self) -> None:
        if not self._sent:
            self._has_sent.clear()
            self._none_sent.set()
