"""Audit events as columns: which few members of an event the monitor reads, and how a chunk of them becomes arrays.

Reading must cost microseconds, so this is no validation (wire/audit_reading.py is): unknown members are skipped,
records that are no decision are ignored, and what cannot be read is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from stream_maas.wire.headers import DECISION_PREFIX

CLIENT_FAULTS = frozenset({"undecodable", "invalid_input", "unknown_model", "unknown_tenant", "too_large", "quota"})
"""Rejections that the caller caused: they use up no error budget, and have rules of their own. Every other code,
also one that this version does not know, is a fault of the service."""
ANSWERED = ""
"""Code of a prediction."""
REDACTION_ERROR = "redaction_error"

Int64s = npt.NDArray[np.int64]


class AuditRecord(Protocol):
    """What is read of a Kafka record."""

    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


class Outcome(NamedTuple):
    """Everything about an event that decides in which series it counts."""

    lane: str
    model: str
    """Name of the model that was asked; "" where none was found."""
    version: str
    code: str
    """`ANSWERED` or a rejection code."""
    tenant: str
    degraded: bool

    @property
    def is_client_fault(self) -> bool:
        return self.code in CLIENT_FAULTS

    @property
    def is_bad(self) -> bool:
        """Counts against the error budget."""
        return self.code != ANSWERED and self.code not in CLIENT_FAULTS


_TIME_CHARS = len("2026-11-22T15:00:00.000000")
_Int = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""No event of ours has a larger one (docs/audit-format.md), and no array of ours could hold it."""


class _Request(msgspec.Struct, gc=False):
    topic: str
    partition: _Int
    offset: _Int
    timestamp_ms: _Int
    lane: str


class _Caller(msgspec.Struct, gc=False):
    tenant: str = ""


class _Model(msgspec.Struct, gc=False):
    name: str
    version: str


class _Timings(msgspec.Struct, gc=False):
    queue: _Int
    total: _Int


class _Session(msgspec.Struct, gc=False):
    id: str
    counter: _Int


class _Writer(msgspec.Struct):
    session: _Session | None = None


class _Data(msgspec.Struct):
    request: _Request
    timings_us: _Timings
    code: str = ANSWERED
    degraded: bool = False
    model: _Model | None = None
    caller: _Caller | None = None
    writer: _Writer | None = None


class _Event(msgspec.Struct):
    type: str
    time: str
    data: _Data


class _ServiceData(msgspec.Struct):
    writer: _Writer | None = None


class _ServiceEvent(msgspec.Struct):
    type: str
    data: _ServiceData


_EVENTS = msgspec.json.Decoder(_Event)
_SERVICE_EVENTS = msgspec.json.Decoder(_ServiceEvent)


@dataclass(slots=True)
class Outcomes:
    """n decisions of one audit partition, in offset order. All arrays have shape (n,)."""

    kinds: list[Outcome]
    """The distinct outcomes; `kind` indexes them."""
    kind: Int64s
    offset: Int64s
    """Offsets of the audit records."""
    event_us: Int64s
    """When the answer was built, epoch microseconds (CloudEvents `time`)."""
    total_us: Int64s
    queue_us: Int64s
    requests: list[tuple[str, int]]
    """The distinct request partitions (topic, partition); `request` indexes them."""
    request: Int64s
    request_offset: Int64s
    request_ms: Int64s
    """Timestamps of the request records, epoch milliseconds."""
    next_offset: int
    """The offset after the last record that was looked at, decisions or not."""
    unreadable: Int64s
    """Offsets of records that look like no audit event at all, shape (u,)."""
    sessions: list[str]
    """The distinct writer sessions; `link` indexes them."""
    link: Int64s
    """Of every event with a place in the chain of its writer, decision or not, in offset order; shape (l,)."""
    counter: Int64s
    """Its number in that chain, shape (l,)."""
    link_offset: Int64s
    """Offset of the audit record, shape (l,)."""

    def __len__(self) -> int:
        return len(self.kind)

    def between(self, begin: int, end: int) -> Outcomes:
        """What stands at the offsets [begin, end), as a chunk of its own."""
        end = min(end, self.next_offset)
        span = slice(*np.searchsorted(self.offset, [begin, end]))
        linked = slice(*np.searchsorted(self.link_offset, [begin, end]))
        return Outcomes(
            self.kinds, self.kind[span], self.offset[span], self.event_us[span], self.total_us[span],
            self.queue_us[span], self.requests, self.request[span], self.request_offset[span], self.request_ms[span],
            end,
            self.unreadable[slice(*np.searchsorted(self.unreadable, [begin, end]))],
            self.sessions, self.link[linked], self.counter[linked], self.link_offset[linked],
        )  # fmt: skip


def read_outcomes(records: Sequence[AuditRecord]) -> Outcomes:
    """The decisions among consecutive records (at least one) of an audit partition."""
    kinds: dict[tuple[str, str, str, str, str, bool], int] = {}
    requests: dict[tuple[str, int], int] = {}
    rows: list[tuple[int, ...]] = []
    times: list[str] = []
    unreadable: list[int] = []
    sessions: dict[str, int] = {}
    links: list[tuple[int, int, int]] = []
    decode = _EVENTS.decode
    for record in records:
        offset = record.offset
        try:
            event = decode(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            writer = _writer_of_other(record.value or b"")
            if writer is None:
                unreadable.append(offset)
            elif (session := writer.session) is not None:
                links.append((sessions.setdefault(session.id, len(sessions)), session.counter, offset))
            continue
        data = event.data
        if data.writer is not None and (session := data.writer.session) is not None:
            links.append((sessions.setdefault(session.id, len(sessions)), session.counter, offset))
        if not event.type.startswith(DECISION_PREFIX):
            continue
        request, timings, model, caller = data.request, data.timings_us, data.model, data.caller
        kind = (
            request.lane,
            model.name if model is not None else "",
            model.version if model is not None else "",
            data.code,
            caller.tenant if caller is not None else "",
            data.degraded,
        )
        source = (request.topic, request.partition)
        rows.append(
            (
                kinds.setdefault(kind, len(kinds)),
                offset,
                timings.total,
                timings.queue,
                requests.setdefault(source, len(requests)),
                request.offset,
                request.timestamp_ms,
            )
        )
        times.append(event.time[:_TIME_CHARS])
    wrong = _wrong_times(times)
    if wrong:
        unreadable = sorted([*unreadable, *(rows[place][1] for place in wrong)])
        rows = [row for place, row in enumerate(rows) if place not in wrong]
        times = [time for place, time in enumerate(times) if place not in wrong]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 7).T
    chained = np.array(links, dtype=np.int64).reshape(-1, 3).T
    return Outcomes(
        kinds=[Outcome(*kind) for kind in kinds],
        kind=columns[0],
        offset=columns[1],
        event_us=_instants(times),
        total_us=columns[2],
        queue_us=columns[3],
        requests=list(requests),
        request=columns[4],
        request_offset=columns[5],
        request_ms=columns[6],
        next_offset=records[-1].offset + 1,
        unreadable=np.array(unreadable, dtype=np.int64),
        sessions=list(sessions),
        link=chained[0],
        counter=chained[1],
        link_offset=chained[2],
    )


def _instants(times: Sequence[str]) -> Int64s:
    """Epoch microseconds of RFC 3339 times without their zone. Raises `ValueError`."""
    return np.array(times, dtype="datetime64[us]").astype(np.int64)


def _wrong_times(times: Sequence[str]) -> set[int]:
    """Places of those that are no times after 1970. They are looked for one by one only if there is one."""
    try:
        # The length comes first: NumPy takes words such as "now" for times.
        right = {_TIME_CHARS}.issuperset(map(len, times)) and _instants(times).min(initial=0) >= 0
    except ValueError:
        right = False
    if right:
        return set()
    if len(times) == 1:
        return {0}
    return {place for place, time in enumerate(times) if _wrong_times([time])}


def _writer_of_other(value: bytes) -> _Writer | None:
    """The writer of an event of another type (a session's heartbeat, a model that was loaded); None for no event."""
    try:
        event = _SERVICE_EVENTS.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if event.type.startswith(DECISION_PREFIX):
        return None
    return event.data.writer or _Writer()
