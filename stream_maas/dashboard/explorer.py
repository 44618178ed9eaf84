"""Finding one audit event and its exact bytes: by request id, by event id, or by its place in the audit topic.

The page shows what the bytes say and hashes these same bytes, so nothing is decoded here on its behalf.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from stream_maas.kafka.reading import partitions_of, start_reader, stop_reader
from stream_maas.settings import KafkaConfig
from stream_maas.wire import AuditGlance, glance_audit

KEPT_IDS = 100_000
"""Decisions that are found by request id at once."""
KEPT_ROWS = 2_000
"""Decisions in the list of the latest ones."""
_FETCH_MS = 3_000
_FETCH_BYTES = 1 << 16
"""One record is wanted; a broker sends a larger one all the same."""

Place = tuple[int, int]
"""Partition and offset in the audit topic."""


class Recent:
    """The newest decisions: where each one is, and the latest of them as rows for the page."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, list[Place]] = OrderedDict()
        self._latest: deque[tuple[int, int, int, AuditGlance]] = deque(maxlen=KEPT_ROWS)

    def add(self, partition: int, offset: int, time_ms: int, event: AuditGlance) -> None:
        """Remember a decision under its request id."""
        id_ = event.request.id
        self._places.setdefault(id_, []).append((partition, offset))
        self._places.move_to_end(id_)
        if len(self._places) > KEPT_IDS:
            self._places.popitem(last=False)
        self._latest.append((partition, offset, time_ms, event))

    def places(self, id_: str) -> list[Place]:
        """Where the decisions about this request id are, oldest first."""
        return list(self._places.get(id_, ()))

    def rows(self, limit: int, outcome: str | None = None, model: str | None = None) -> list[dict[str, Any]]:
        """The newest rows first; `outcome` is "prediction", "rejection" or a code."""

        def wanted() -> Iterator[dict[str, Any]]:
            for row in itertools.starmap(_row, reversed(self._latest)):
                refused = row["outcome"] not in ("prediction", "degraded")
                if outcome and outcome != row["outcome"] and not (outcome == "rejection" and refused):
                    continue
                if model and row["model"] != model:
                    continue
                yield row

        return [row for row, _ in zip(wanted(), range(limit), strict=False)]


class Explorer:
    """Reads single records of the audit topic over a connection of its own."""

    def __init__(self, kafka: KafkaConfig, audit_topic: str) -> None:
        self._kafka, self._topic = kafka, audit_topic
        self._consumer: Any = None
        self._partitions: list[int] = []
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        if self._consumer is not None:
            await stop_reader(self._consumer)
            self._consumer = None

    async def record(self, partition: int, offset: int) -> dict[str, Any] | None:
        """The record there, None when there is none (a transaction's marker, an aborted record, a wrong place)."""
        async with self._one_at_a_time:
            found = await self._at_or_after(partition, offset)
        return _document(found) if found is not None and found.offset == offset else None

    async def find_coordinates(self, topic: str, partition: int, offset: int) -> Place | None:
        """Where the decision about a request record is.

        Audit events stand in the partition of their request, in the order in which requests were answered, so those
        of one request topic are sorted by request offset: a binary search needs about twenty reads. Events of other
        topics in between are stepped over.
        """
        async with self._one_at_a_time:
            await self._connect()
            if partition not in self._partitions:
                return None
            tp = TopicPartition(self._topic, partition)
            low = (await self._consumer.beginning_offsets([tp]))[tp]
            high = (await self._consumer.end_offsets([tp]))[tp]
            while low < high:
                middle = (low + high) // 2
                place, seen = await self._decision(partition, middle, high, topic)
                if place is None or seen > offset:
                    high = middle
                elif seen < offset:
                    low = place + 1
                else:
                    return partition, place
        return None

    async def _decision(self, partition: int, start: int, end: int, topic: str) -> tuple[int | None, int]:
        """(audit offset, request offset) of the first decision about `topic` in [start, end), or (None, -1)."""
        while start < end:
            record = await self._at_or_after(partition, start)
            if record is None or record.offset >= end:
                return None, -1
            event = glance_audit(record.value)
            if event is not None and event.request.topic == topic:
                return record.offset, event.request.offset
            start = record.offset + 1
        return None, -1

    async def _at_or_after(self, partition: int, offset: int) -> Any:
        await self._connect()
        if partition not in self._partitions:
            return None
        tp = TopicPartition(self._topic, partition)
        self._consumer.seek(tp, offset)
        self._consumer.resume(tp)
        try:
            fetched = await self._consumer.getmany(tp, timeout_ms=_FETCH_MS, max_records=1)
        except OffsetOutOfRangeError:
            return None
        finally:
            self._consumer.pause(tp)
        return next((record for records in fetched.values() for record in records), None)

    async def _connect(self) -> None:
        if self._consumer is None:
            partitions = (await partitions_of(self._kafka, self._topic))[self._topic]
            consumer = await start_reader(
                self._kafka, when_lost="none", fetch_max_wait_ms=50, partition_fetch_bytes=_FETCH_BYTES
            )
            consumer.assign(partitions)
            consumer.pause(*partitions)
            self._consumer, self._partitions = consumer, [tp.partition for tp in partitions]


def _row(partition: int, offset: int, time_ms: int, event: AuditGlance) -> dict[str, Any]:
    return {
        "partition": partition, "offset": offset, "time_ms": time_ms, "id": event.request.id,
        "lane": event.request.lane, "model": f"{event.model.name} {event.model.version}" if event.model else None,
        "outcome": event.code or ("degraded" if event.degraded else "prediction"),
        "total_us": event.timings_us.total, "redactions": dict(event.redaction.counts),
    }  # fmt: skip


def _document(record: Any) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "value_base64": base64.b64encode(record.value or b"").decode(),
    }
