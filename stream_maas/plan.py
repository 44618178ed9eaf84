"""What is on its way: a record, a model call, a chunk, between the steps whose order pipeline.py alone knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from stream_maas import wire
from stream_maas.errors import RequestError
from stream_maas.inference import Model, Output, Row
from stream_maas.records import BatchPosition, IdSource, KafkaRecord, Redacted, Request, Timings

Ahead = Callable[[Model], int]
"""Microseconds of calls that wait for a model before a new one, at least."""


class Item(Struct, eq=False, gc=False):
    """One record on its way. Mutable, but it never leaves the chunk that made it.

    It knows neither its chunk nor its batch: in a cycle everything of a pass would live until the collector comes,
    which cost a tenth of the whole pass.
    """

    record: KafkaRecord
    event_id: str
    """Of its audit event."""
    request_id: str
    """The coordinates, until an id is found that may be repeated."""
    id_source: IdSource = "coordinates"
    request: Request | None = None
    """What the client wrote, between `_decode` and `_redact` only."""
    key: bytes | None = None
    looped: bool = False
    redacted: Redacted[Request] | None = None
    subject_ref: str | None = None
    deadline_us: int | None = None
    model: Model | None = None
    row: Row | None = None
    output: Output | None = None
    output_digest: str | None = None
    error: RequestError | None = None
    batch: BatchPosition | None = None
    inputs: bytes | None = None
    box: str | None = None
    redact_us: int = 0
    infer_us: int = 0
    timings: Timings = Timings()


def take_up(record: KafkaRecord) -> Item:
    """A record at the beginning of its way."""
    coordinates = wire.audit_id(record.topic, record.partition, record.offset)
    return Item(record, coordinates, coordinates)


@dataclass(slots=True, eq=False)
class Batch:
    """Rows for one model call. `outcome` is what it gave, once it was called."""

    model: Model
    items: Sequence[Item]
    outcome: Outcome | None = None

    @property
    def deadline_us(self) -> int | None:
        """Epoch microseconds after which nobody wants any of its answers; None when somebody always will."""
        deadlines = [item.deadline_us for item in self.items]
        return max(deadline for deadline in deadlines if deadline is not None) if None not in deadlines else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model call gave: one item per row, when it began (a clock reading), and its duration."""

    outputs: Sequence[Output | RequestError]
    started_ns: int
    infer_us: int


@dataclass(frozen=True, slots=True)
class Moment:
    """When a chunk was dequeued and where from."""

    lane: str
    now_us: int
    """Epoch microseconds."""
    started_ns: int
    """`clock` at the same moment."""
    ahead_us: Ahead


@dataclass(frozen=True, slots=True)
class Plan:
    """A chunk after `prepare`: every item has an error or stands in exactly one batch."""

    items: Sequence[Item]
    batches: Sequence[Batch]
    moment: Moment
    stages_us: dict[str, int]

    def split(self, sizes: Sequence[int]) -> list[Plan]:
        """The same items in consecutive parts of `sizes` records, to be finished one by one.

        What was measured of the whole (stages, batches) stays with the first part, so that it is counted once.
        """
        parts = []
        start = 0
        for size in sizes:
            first = start == 0
            parts.append(
                Plan(
                    self.items[start : start + size],
                    self.batches if first else (),
                    self.moment,
                    self.stages_us if first else {},
                )
            )
            start += size
        return parts
