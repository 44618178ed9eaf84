"""Exactly-once: one transaction per interval, input offsets included (KIP-98, KIP-447)."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition

from stream_maas.worker.kip447 import FencedProducer
from stream_maas.worker.publisher import Interval, Publisher


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
        self._recent: set[TopicPartition] = set()
        """Input partitions of the last interval: most likely those of the next one."""
        self._boxed = False
        """Whether it had boxes. A partition that is not named when a transaction opens costs it another round trip."""

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

    async def _begin(self) -> None:
        expected = self._recent | {chunk.tp for chunk, _ in self._waiting}
        topics = [self._topics.results, self._topics.audit, *([self._topics.boxes] if self._boxed else [])]
        await self._producer.open_transaction(
            [TopicPartition(topic, number) for number in {tp.partition for tp in expected} for topic in topics],
            self._group_id,
        )

    async def _commit(self, interval: Interval) -> None:
        self._recent = set(interval.offsets)
        self._boxed = any(answered.boxes for _, answered in interval.chunks)
        # The offsets travel while the rows do. Heartbeats of the audit trail alone have none.
        offsets = (
            [self._producer.send_offsets(interval.offsets, self._group_id, interval.group)] if interval.group else []
        )
        await asyncio.gather(*offsets, *interval.deliveries)
        self._ending = True
        await self._producer.commit_transaction()
        self._ending = False
