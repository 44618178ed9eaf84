"""Keeps how little of an audit event a live view needs: read in one pass, tolerant of what it does not know.

`decode_audit` proves that an event is exactly what this version writes; a page that shows tens of thousands of events
a second, some of them written by newer workers, needs neither the proof nor its price. No text of a request is read.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from stream_maas.wire.headers import DECISION_PREFIX

"""How the types of all events begin that are about one request, whichever version wrote them."""


class _Request(Struct):
    id: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    lane: str


class _Model(Struct):
    name: str
    version: str


class _Redaction(Struct):
    counts: dict[str, int] = {}


class _Timings(Struct):
    queue: int = 0
    redact: int = 0
    infer: int = 0
    total: int = 0


class AuditGlance(Struct):
    """What one decision was: names, codes, counts and stage durations (microseconds); the members of the schema."""

    status: str
    request: _Request
    redaction: _Redaction
    timings_us: _Timings
    code: str | None = None
    model: _Model | None = None
    degraded: bool = False


class _Event(Struct):
    type: str
    data: msgspec.Raw


_EVENT = msgspec.json.Decoder(_Event)
_GLANCE = msgspec.json.Decoder(AuditGlance)


def glance_audit(value: bytes | None) -> AuditGlance | None:
    """The decision in an audit record's value; None for other types of events and for what is no event at all."""
    try:
        event = _EVENT.decode(value or b"")
        return _GLANCE.decode(event.data) if event.type.startswith(DECISION_PREFIX) else None
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
