"""How spooled audit events get into the audit topic: a producer of its own, and cursors that only move together with
what they stand for.

Two consumer groups without members hold a number of the spool each, noted with the spool's id on partition 0 of the
requests topic: how far results are committed (moved by the worker's transaction), and how far events are in the audit
topic (moved by the transaction that writes them). So a worker that dies anywhere in between finds out which frames
count, and which are to be written. On a broker without transactions the file's own numbers have to do, and what the
topic holds already (already_written.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream_maas import wire
from stream_maas.kafka.offsets import committed_positions
from stream_maas.records import Outgoing
from stream_maas.settings import KafkaConfig
from stream_maas.worker.already_written import digest, find_written
from stream_maas.worker.batches import send_batches, send_in_order
from stream_maas.worker.kip447 import FencedProducer
from stream_maas.worker.producers import close_producer
from stream_maas.worker.spool import Frame, Spool

log = structlog.get_logger()

STEP_EVENTS = 5_000
"""Events in one transaction, and one frame more."""
_CURSOR_LIFE_S = 12 * 3600.0
"""A cursor that is younger cannot have been forgotten by the broker: offsets.retention.minutes is days."""


class SpoolMover:
    """Moves one worker's spool. Not for several tasks at once."""

    def __init__(
        self,
        spool: Spool,
        *,
        config: KafkaConfig,
        common: Mapping[str, Any],
        name: str,
        groups: str,
        audit: str,
        requests: str,
        transactional: bool,
        timeout_s: float,
    ) -> None:
        """`common`: keyword arguments of a producer; `name`: of the producer, also its transactional id; `groups`: what
        the names of both cursors' groups begin with; `timeout_s`: of one step."""
        self._spool, self._config, self._common, self._name = spool, config, common, name
        self._audit, self._cursor_place = audit, TopicPartition(requests, 0)
        self._transactional, self._timeout_s = transactional, timeout_s
        self.confirmed_group, self._moved_group = f"{groups}-answered", f"{groups}-moved"
        self._producer: Any = None
        self._in_doubt = False
        """Whether the outcome of the last step is not known."""
        self._written: set[bytes] = set()
        """Digests of events that wait and are in the topic all the same (at-least-once)."""
        self.disk = asyncio.Lock()
        """Of the spool: one thread at a time."""

    def cursor(self, number: int) -> dict[TopicPartition, OffsetAndMetadata]:
        """What to commit for a cursor's group: frames up to `number` count."""
        return {self._cursor_place: OffsetAndMetadata(number, self._spool.id)}

    async def settle(self) -> None:
        """At the start: bring the spool to what Kafka knows. Raises what the broker does."""
        await self.settle_moved()
        await self.settle_confirmed()
        self._in_doubt = not self._transactional and not self._spool.is_empty

    async def settle_confirmed(self) -> None:
        """Keep the frames whose results are committed, cut off the others. No transaction of the worker may be open."""
        if self._spool.is_empty:
            return
        if not self._transactional:
            self._spool.confirm(self._spool.number)
            return
        confirmed = await self._read_cursor(self.confirmed_group)
        if confirmed is None and not self._spool.confirmed and self._is_young():
            confirmed = 0  # nothing of this filling was ever committed
        elif confirmed is None:
            log.warning("the broker has forgotten the spool's cursor: every event in it counts as answered")
            confirmed = self._spool.number
        async with self.disk:
            await asyncio.to_thread(self._spool.settle, self._spool.id, confirmed=confirmed)

    async def settle_moved(self) -> None:
        """Find out which frames are in the topic, after a step whose outcome is not known."""
        if self._transactional and not self._spool.is_empty:
            if self._producer is None:
                self._producer = await self._new_producer()  # ends what was left open
            moved = await self._read_cursor(self._moved_group)
            async with self.disk:
                await asyncio.to_thread(self._spool.settle, self._spool.id, moved=moved)
        self._in_doubt = False

    async def move(self) -> list[Frame]:
        """Write a part of what waits; the frames that are in the topic since, [] when none waited.

        Raises what the broker does; the next call finds out whether they were written.
        """
        if self._in_doubt and not self._transactional:
            self._written = await self._find_written()
            self._in_doubt = False
        elif self._in_doubt:
            before = self._spool.moved
            await self.settle_moved()
            if self._spool.moved > before:
                return [frame for frame in self._spool.frames() if before < frame.number <= self._spool.moved]
        async with self.disk:
            frames = await asyncio.to_thread(self._spool.waiting, STEP_EVENTS)
        if frames:
            rows: dict[int, list[Outgoing]] = {}
            for frame in frames:
                for row in frame.rows:
                    if not self._written or digest(row.value) not in self._written:
                        rows.setdefault(row.partition, []).append(Outgoing(row.key, row.value, wire.audit_headers()))
            await self._write(rows, frames[-1].number)
            async with self.disk:
                await asyncio.to_thread(self._spool.move, frames[-1].number, durable=not self._transactional)
        return frames

    async def announce(self, rows: Mapping[int, Sequence[Outgoing]]) -> None:
        """Write these audit events, by partition, when everything was moved, and empty the spool."""
        await self._write(rows, self._spool.number + 1)
        async with self.disk:
            await asyncio.to_thread(self._spool.clear)

    async def _write(self, rows: Mapping[int, Sequence[Outgoing]], number: int) -> None:
        """Rows and cursor; returns when they are committed."""
        self._in_doubt = True
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._producer is None:
                    self._producer = await self._new_producer()
                placed = {(self._audit, partition): batch for partition, batch in rows.items()}
                if not self._transactional:
                    await send_in_order(self._producer, placed)
                else:
                    await self._producer.open_transaction(
                        [TopicPartition(*place) for place in placed], self._moved_group
                    )
                    deliveries: list[asyncio.Future[Any]] = []
                    await send_batches(self._producer, placed, deliveries)
                    await asyncio.gather(*deliveries)
                    await self._producer.send_offsets(self.cursor(number), self._moved_group)
                    await self._producer.commit_transaction()
        except BaseException:
            await self.close()
            raise
        self._in_doubt = False

    async def close(self) -> None:
        """Leave nothing open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)

    async def _new_producer(self) -> Any:
        if self._transactional:
            producer = FencedProducer(**self._common, client_id=self._name, transactional_id=self._name)
        else:
            producer = AIOKafkaProducer(**self._common, client_id=self._name)
        await producer.start()
        return producer

    async def _find_written(self) -> set[bytes]:
        def waiting() -> dict[int, set[bytes]]:
            by_partition: dict[int, set[bytes]] = {}
            for frame in self._spool.frames():
                for row in frame.rows if frame.number > self._spool.moved else ():
                    by_partition.setdefault(row.partition, set()).add(digest(row.value))
            return by_partition

        async with self.disk:
            wanted = await asyncio.to_thread(waiting)
        if not wanted:
            return set()
        since_ms = self._spool.since_us // 1000
        return await find_written(self._config, self._audit, wanted, since_ms=since_ms, stall_s=self._timeout_s)

    async def _read_cursor(self, group: str) -> int | None:
        """The number, None where the group has none for this filling of the spool."""
        found = await committed_positions(self._config, group, [self._cursor_place])
        number, spool = found.get(self._cursor_place, (0, ""))
        return number if spool == self._spool.id else None

    def _is_young(self) -> bool:
        return time.time() - self._spool.since_us / 1e6 < _CURSOR_LIFE_S
