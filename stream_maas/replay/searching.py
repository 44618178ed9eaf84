"""Which events match a question, and which part of the log has to be read to know."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from stream_maas.records import KafkaRecord
from stream_maas.replay.audit_log import Logs, end_offsets, find_indexed, offsets_at
from stream_maas.replay.reading import read_chunks
from stream_maas.wire.headers import AUDIT_PREFIX


@dataclass(frozen=True, slots=True)
class Question:
    """All given members must match. Times are compared with the record's timestamp, milliseconds since the epoch."""

    from_ms: int | None = None
    to_ms: int | None = None
    offsets: tuple[int | None, int | None] = (None, None)
    """First and last Kafka offset."""
    request: str | None = None
    tenant: str | None = None
    model: str | None = None
    version: str | None = None
    status: str | None = None
    """`prediction`, `rejection`, or a rejection code."""
    label: str | None = None
    kind: str | None = None
    """CloudEvents type; its common start may be left out, and so may its version."""
    trace: str | None = None

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether an event, parsed, is one of those asked for (place and time apart)."""
        data = event.get("data") or {}
        caller, model, output = data.get("caller") or {}, data.get("model") or {}, data.get("output") or {}
        wanted = (
            (self.request, (data.get("request") or {}).get("id")),
            (self.tenant, caller.get("tenant")),
            (self.model, model.get("name")),
            (self.version, model.get("version")),
            (self.label, output.get("label")),
            (self.trace, data.get("trace_id")),
        )
        if any(value is not None and value != found for value, found in wanted):
            return False
        if self.status is not None and self.status not in (data.get("status"), data.get("code")):
            return False
        return self.kind is None or _is_kind(str(event.get("type", "")), self.kind)

    def covers(self, record: KafkaRecord) -> bool:
        """Whether the record lies within the times and offsets asked for."""
        first, last = self.offsets
        return (
            (first is None or record.offset >= first)
            and (last is None or record.offset <= last)
            and (self.from_ms is None or record.timestamp >= self.from_ms)
            and (self.to_ms is None or record.timestamp <= self.to_ms)
        )


def _is_kind(kind: str, asked: str) -> bool:
    short = kind.removeprefix(AUDIT_PREFIX)
    return asked in (kind, short) or short.startswith(f"{asked}.")


def parse(record: KafkaRecord) -> dict[str, Any]:
    """The event as a document; {} for a record that is none."""
    try:
        document = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


async def search(
    logs: Logs, question: Question, *, limit: int | None = None, progress: Callable[[int], None] | None = None
) -> AsyncGenerator[tuple[KafkaRecord, dict[str, Any]], None]:
    """Matching records in log order of each partition, with their parsed events.

    A time is turned into offsets by the broker; a request id is looked up in the sealer's index where that is at hand.
    """
    matched, seen = 0, 0
    starts = {partition: logs.beginnings[partition] for partition in logs.partitions}
    partitions = set(logs.partitions)
    known: set[tuple[int, int]] = set()
    if question.request is not None:
        indexed, behind = await find_indexed(logs, question.request)
        starts |= {partition: offset for partition, (_, offset) in behind.items()}
        for found in indexed:
            event = parse(found.record)
            known.add((found.partition, found.record.offset))
            if question.covers(found.record) and question.matches(event):
                yield found.record, event
                matched += 1
                if matched == limit:
                    return
    if question.from_ms is not None:
        begun = await offsets_at(logs, question.from_ms)
        partitions &= begun.keys()
        starts |= {partition: max(starts[partition], at) for partition, at in begun.items()}
    if question.offsets[0] is not None:
        ends = await end_offsets(logs)
        starts = {partition: max(at, question.offsets[0]) for partition, at in starts.items()}
        partitions = {partition for partition in partitions if starts[partition] < ends[partition]}
    done: set[int] = set()
    offsets = {partition: starts[partition] for partition in partitions}
    chunks = read_chunks(logs.settings.kafka, logs.topic, offsets=offsets, only=partitions, until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            for record in chunk:
                if _is_past(record, question):
                    done.add(record.partition)
                    break
                event = parse(record)
                if event and question.matches(event) and (record.partition, record.offset) not in known:
                    yield record, event
                    matched += 1
                    if matched == limit:
                        return
            seen += len(chunk)
            if progress is not None:
                progress(seen)
            if done >= partitions:
                return


def _is_past(record: KafkaRecord, question: Question) -> bool:
    last = question.offsets[1]
    if last is not None and record.offset > last:
        return True
    return question.to_ms is not None and record.timestamp > question.to_ms
