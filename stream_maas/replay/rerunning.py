"""Where a rerun finds what it needs: decisions in the audit topic, inputs in their boxes, keys in the key store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from stream_maas import topics, wire
from stream_maas.errors import BrokerError, LedgerError, UndecodableError
from stream_maas.kafka.reading import partitions_of, reader
from stream_maas.keystore import KeyStore
from stream_maas.ledger import boxes
from stream_maas.replay.reading import read_chunks
from stream_maas.rerun import Recorded
from stream_maas.settings import Settings
from stream_maas.wire import AuditEvent

_SLACK_MS = 300_000
"""A box may carry an earlier time than its event: clocks differ, and broker and writer both set times."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions are to be run again."""

    partitions: Collection[int] | None = None
    offsets: Mapping[int, int] | None = None
    """Partition -> first offset of the audit topic."""
    until_ms: int | None = None
    ids: Collection[str] = ()
    """Of events, or of the requests that they are about."""
    limit: int = 1_000
    """So many predictions; the batch mates that were read on the way come along."""


async def find_decisions(settings: Settings, wanted: Wanted) -> tuple[list[AuditEvent], set[str]]:
    """Predictions in the order of the log, and the ids of those that were asked for; the others are batch mates.

    Raises `TopicsError` and `BrokerError`.
    """
    events: list[AuditEvent] = []
    chosen: set[str] = set()
    batches: set[str] = set()
    ids = set(wanted.ids)
    chunks = read_chunks(
        settings.kafka, topics.audit(settings.topics.prefix), offsets=wanted.offsets, only=wanted.partitions,
        until_end=True,
    )  # fmt: skip
    async with aclosing(chunks):
        async for chunk in chunks:
            for record in chunk:
                event = _prediction(record.value or b"")
                if event is None:
                    continue
                events.append(event)
                late = wanted.until_ms is not None and event.time_us > wanted.until_ms * 1000
                if not late and len(chosen) < wanted.limit and (not ids or names_of(event) & ids):
                    chosen.add(event.id)
                    if event.decision.batch is not None:
                        batches.add(event.decision.batch.id)
    mates = [e for e in events if e.id in chosen or (e.decision.batch is not None and e.decision.batch.id in batches)]
    return mates, chosen


def names_of(event: AuditEvent) -> set[str]:
    """By what an event can be asked for: its id, and that of the request it is about."""
    return {event.id, event.decision.request_id}


def _prediction(value: bytes) -> AuditEvent | None:
    if not wire.is_decision(value):
        return None
    try:
        event = wire.decode_audit(value)
    except UndecodableError:
        return None
    return event if event.decision.status == "prediction" else None


async def open_inputs(settings: Settings, events: Sequence[AuditEvent], keys: KeyStore | None) -> list[Recorded]:
    """The decisions with their inputs, or with the reason why there is none."""
    names = {event.decision.box for event in events if event.decision.box is not None}
    found = await _find_boxes(settings, names, min((event.time_us for event in events), default=0) // 1000)
    contents: dict[str, Mapping[str, boxes.BoxedRequest] | str] = {
        name: _open(value, keys) for name, value in found.items()
    }
    recorded = []
    for event in events:
        name = event.decision.box
        held = "no input was kept" if name is None else contents.get(name, "its box is gone: expired, or never written")
        request = None if isinstance(held, str) else held.get(event.id)
        reason = held if isinstance(held, str) else "" if request is not None else "its box does not hold it"
        recorded.append(Recorded(event.id, event.decision, event.writer, request, reason))
    return recorded


async def _find_boxes(settings: Settings, names: set[str], from_ms: int) -> dict[str, bytes]:
    """Digest -> box, as far as the topic still has them. A box counts only if its digest is its name."""
    if not names:
        return {}
    topic = topics.audit_boxes(settings.topics.prefix)
    try:
        tps = (await partitions_of(settings.kafka, topic))[topic]
        async with reader(settings.kafka, when_lost="none", fetch_max_wait_ms=100) as consumer:
            places = await consumer.offsets_for_times({tp: max(0, from_ms - _SLACK_MS) for tp in tps})
    except KafkaError as error:
        raise BrokerError(f"topic {topic}: cannot be read ({type(error).__name__})") from error
    offsets = {tp.partition: place.offset for tp, place in places.items() if place is not None}
    found: dict[str, bytes] = {}
    if not offsets:
        return found
    chunks = read_chunks(settings.kafka, topic, offsets=offsets, only=list(offsets), until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            for record in chunk:
                value = record.value or b""
                if (record.key or b"").decode("ascii", "replace") in names and (name := boxes.digest(value)) in names:
                    found[name] = value
            if len(found) == len(names):
                break
    return found


def _open(box: bytes, keys: KeyStore | None) -> Mapping[str, boxes.BoxedRequest] | str:
    """What is in it, or why that cannot be known."""
    if keys is None:
        return "there is no key store here"
    try:
        key_id = boxes.key_id(box)
        key = keys.find(key_id)
        if key is None:
            return "its key was destroyed" if keys.is_destroyed(key_id) else "its key is not in this key store"
        return boxes.unpack(key.open(box))
    except LedgerError as error:
        return str(error)
