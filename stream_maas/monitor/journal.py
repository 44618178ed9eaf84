"""The journal: what the audit topic cannot tell and yet decides, written down so that everything can be folded again.

It says where the monitor began and by which rules, where partitions were found idle, how far requests had come, and
at which instant a command or other rules took effect. `Feeder` puts records through a monitor as the journal says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from stream_maas.errors import UndecodableError
from stream_maas.monitor.commands import Command, command_of
from stream_maas.monitor.lag import Tick
from stream_maas.monitor.monitor import Applied, Monitor
from stream_maas.monitor.outcomes import Outcomes
from stream_maas.monitor.rules import Ruleset
from stream_maas.monitor.rules_file import ruleset_of


class Began(Struct, frozen=True, tag_field="kind", tag="start"):
    """A monitor without a past began."""

    sequence: int
    at_us: int
    audit_topic: str
    offsets: dict[int, int]
    rules: dict[str, Any]
    alerts_offset: int = 0
    """Alert events before this offset belong to an earlier beginning."""


class Ticked(Struct, frozen=True, tag_field="kind", tag="tick", omit_defaults=True):
    """See `fold.Tick`."""

    sequence: int
    at_us: int
    seen_at: int
    idle: dict[int, tuple[int, int]] = {}
    ends: list[tuple[str, int, int]] = []
    away_us: int = 0

    @classmethod
    def of(cls, sequence: int, tick: Tick) -> Ticked:
        ends = [(*source, end) for source, end in sorted(tick.ends.items())]
        return cls(sequence, tick.at_us, tick.seen_at, dict(tick.idle), ends, tick.away_us)

    def tick(self) -> Tick:
        ends = {(topic, partition): end for topic, partition, end in self.ends}
        return Tick(self.at_us, self.idle, ends, self.away_us, self.seen_at)


class TookEffect(Struct, frozen=True, tag_field="kind", tag="applied", omit_defaults=True):
    """A command or other rules took effect at an instant."""

    sequence: int
    instant: int
    command: dict[str, Any] | None = None
    rules: dict[str, Any] | None = None

    @classmethod
    def of(cls, sequence: int, applied: Applied) -> TookEffect:
        return cls(sequence, applied.instant, **applied.document)

    def effect(self) -> Command | Ruleset:
        return ruleset_of(self.rules) if self.rules is not None else command_of(self.command)


class Added(Struct, frozen=True, tag_field="kind", tag="partition"):
    """The audit topic got another partition."""

    sequence: int
    partition: int
    offset: int
    clock_us: int


Entry = Began | Ticked | TookEffect | Added
_DECODER = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """A journal record's value."""
    return msgspec.json.encode(entry)


def decode_entry(value: bytes) -> Entry:
    """Raises `UndecodableError`."""
    try:
        entry: Entry = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableError("value: not a journal entry of this version") from None
    return entry


def newest_run(entries: Iterable[Entry]) -> list[Entry]:
    """The entries since the monitor last began, by sequence.

    Without transactions an entry may stand there twice: then the later one is what the monitor went on with.
    """
    run: dict[int, Entry] = {}
    for entry in entries:
        if isinstance(entry, Began):
            run = {}
        run[entry.sequence] = entry
    return [run[sequence] for sequence in sorted(run)]


class Feeder:
    """Puts records through a monitor; entries of the journal take effect where and when they did."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._marks: dict[int, deque[tuple[int, int]]] = {}

    def follow(self, entry: Entry) -> None:
        """An entry to come. Entries are given in order, before the records that they belong to."""
        fold = self.monitor.fold
        if isinstance(entry, Ticked):
            tick = entry.tick()
            fold.sample(tick)
            for partition, mark in tick.idle.items():
                self._marks.setdefault(partition, deque()).append(mark)
                self._pass_marks(partition)
        elif isinstance(entry, TookEffect):
            self.monitor.schedule(entry.instant, entry.effect())
        elif isinstance(entry, Added):
            fold.add_partition(entry.partition, entry.offset, entry.clock_us)

    def take(self, partition: int, outcomes: Outcomes) -> None:
        """Take in records, stopping at every mark to let it take effect."""
        clock = self.monitor.fold.partitions[partition]
        marks = self._marks.get(partition)
        while marks and marks[0][0] < outcomes.next_offset:
            self.monitor.take(partition, outcomes.between(clock.next_offset, marks[0][0]))
            clock.next_offset = max(clock.next_offset, marks[0][0])
            self._pass_marks(partition)
        self.monitor.take(partition, outcomes)
        self._pass_marks(partition)

    def _pass_marks(self, partition: int) -> None:
        fold, marks = self.monitor.fold, self._marks.get(partition)
        while marks and marks[0][0] <= fold.partitions[partition].next_offset:
            offset, clock_us = marks.popleft()
            fold.be_idle(partition, offset, clock_us)
