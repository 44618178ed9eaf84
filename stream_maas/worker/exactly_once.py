"""Exactly-once: one transaction per interval, input offsets included (KIP-98, KIP-447)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from stream_maas.worker.chunks import Chunk
from stream_maas.worker.interval import Interval
from stream_maas.worker.kip447 import FencedProducer
from stream_maas.worker.outage import AuditRefusedError
from stream_maas.worker.producers import read_error
from stream_maas.worker.publisher import Publisher

AHEAD_S = 1.0
"""Longest life of an empty transaction. It keeps no reader waiting: nobody has written under it. Ending one costs as
much as ending a full one, so it is not opened for those that come less often."""


class TransactionalPublisher(Publisher):
    """One transactional producer for everything, fenced by the consumer group."""

    mode = "exactly-once"

    def __init__(self, *, group_id: str, transactional_id: str, transaction_timeout_ms: int, **common: Any) -> None:
        super().__init__(**common)
        self._ending = False
        """A commit was asked for, and no answer has come."""
        self._group_id = group_id
        self._transactional_id = transactional_id
        self._transaction_timeout_ms = transaction_timeout_ms
        self._ahead_s = min(AHEAD_S, transaction_timeout_ms / 4000)
        self._recent: set[TopicPartition] = set()
        """Input partitions of the last interval: most likely those of the next one."""
        self._announced: set[TopicPartition] = set()
        """Input partitions of chunks whose serving began since the last commit did."""
        self._boxed = False
        """Whether it had boxes. A partition that is not named when a transaction opens costs it another round trip."""

    def _drop(self) -> None:
        super()._drop()
        self._announced.clear()

    def _is_aborted(self) -> bool:
        ending, self._ending = self._ending, False
        return not ending

    async def _new_producer(self) -> FencedProducer:
        producer = FencedProducer(
            **self._common,
            client_id=self._transactional_id,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._transaction_timeout_ms,
        )
        await producer.start()
        return producer

    def announce(self, chunk: Chunk) -> None:
        self._announced.add(chunk.tp)
        if self._open is not None:
            # Named while the chunk is served. Its rows would name it as well, and wait until it is done.
            self._producer.name(self._places([chunk.tp]))
        self._expecting = True
        self._arrived.set()

    def _places(self, inputs: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Output partitions that rows of these input partitions most likely go to."""
        topics = [self._topics.results]
        if not self.outage.spooling:
            topics.append(self._topics.audit)
        if self._boxed:
            topics.append(self._topics.boxes)
        return [TopicPartition(topic, number) for number in {tp.partition for tp in inputs} for topic in topics]

    async def _begin(self) -> None:
        expected = self._recent | self._announced | {chunk.tp for chunk, _ in self._waiting}
        groups = [self._group_id]
        if self.outage.spooling and self._mover is not None:
            groups.append(self._mover.confirmed_group)
        opening = asyncio.ensure_future(self._producer.open_transaction(self._places(expected), *groups))
        opening.add_done_callback(read_error)
        try:
            # A broker that is away is waited for here: a producer that is given up in between leaves the end of its
            # last transaction to a broker that has just come back, and its offsets may stay unstable.
            while not (await asyncio.wait([opening], timeout=self.outage.limit_s))[0]:
                error = await self.outage.not_opened(TimeoutError(), self._topics.audit)
                if isinstance(error, AuditRefusedError):
                    raise error
            opening.result()
            self._producer.name(self._places(self._announced - expected))
        except TopicAuthorizationFailedError as error:
            raise await self.outage.not_opened(error, self._topics.audit) from error
        finally:
            opening.cancel()

    async def _commit(self, interval: Interval) -> None:
        self._recent = set(interval.offsets)
        self._announced.clear()
        self._boxed = any(answered.boxes for _, answered in interval.chunks)
        # The offsets travel while the rows do. Heartbeats of the audit trail alone have none.
        offsets = (
            [self._producer.send_offsets(interval.offsets, self._group_id, interval.group)] if interval.group else []
        )
        await self.outage.acknowledged([*offsets, *interval.deliveries], interval.audits)
        if interval.frame and self._mover is not None:
            await self._producer.send_offsets(self._mover.cursor(interval.frame), self._mover.confirmed_group)
        self._ending = True
        await self._producer.commit_transaction()
        self._ending = False
        if interval.frame and self.outage.spool is not None:
            self.outage.spool.confirm(interval.frame)
        elif interval.audits:
            self.outage.end()
        # What arrived meanwhile is fetched and served while the next transaction is opened; had it been served
        # meanwhile, each step of the commit would have waited for a turn, and the rows would wait for the same end.
        self._consumer().poll_now()
