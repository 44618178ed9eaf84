"""Concluding again: the same audit events and the same journal must give the same alert events, ids and all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_maas.errors import ServiceError
from stream_maas.monitor.journal import Began, Entry, Feeder, TookEffect, newest_run
from stream_maas.monitor.monitor import Monitor
from stream_maas.monitor.outcomes import AuditRecord, read_outcomes
from stream_maas.monitor.rules import Ruleset
from stream_maas.monitor.rules_file import ruleset_of
from stream_maas.monitor.snapshot import Extent


class Recomputation:
    """One run of the monitor, from where it began to where its newest state is, folded again."""

    def __init__(self, entries: Sequence[Entry], extent: Extent) -> None:
        """`entries`: the journal. Raises `ServiceError` when it does not say where the run began, or has gaps."""
        run = [entry for entry in newest_run(entries) if entry.sequence < extent.journal_sequence]
        if not run or not isinstance(run[0], Began):
            raise ServiceError("monitor.journal: does not tell where the monitor began; it cannot be replayed")
        if [entry.sequence for entry in run] != list(range(len(run))) or len(run) != extent.journal_sequence:
            raise ServiceError("monitor.journal: entries are missing; it cannot be replayed")
        self._began, self._run = run[0], run[1:]
        self._extent = extent
        self._feeder: Feeder | None = None
        self._rules = ruleset_of(run[0].rules)
        self._what_if = False
        self.offsets = dict(self._began.offsets)
        """Where to begin reading each audit partition."""
        self.offsets |= {n: 0 for n in extent.offsets if n not in self.offsets}
        self.left = {n: max(0, end - self.offsets[n]) for n, end in extent.offsets.items()}
        """Offsets that are still to be read, by partition."""
        self.events: list[Mapping[str, Any]] = []
        self.events_read = 0
        self.instants = 0

    @property
    def time_scale(self) -> float:
        """Of the run; windows of another scale cannot be compared with it."""
        return self._rules.time_scale

    @property
    def alerts_offset(self) -> int:
        """Alert events before this offset belong to an earlier run."""
        return self._began.alerts_offset

    @property
    def extent_us(self) -> int:
        """Event time up to which is recomputed."""
        return self._extent.instant * self._rules.timing.step_us

    def use_rules(self, rules: Ruleset) -> None:
        """Recompute by other rules than those that were in force."""
        self._rules, self._what_if = rules, True

    def _start(self) -> Feeder:
        if self._feeder is None:
            monitor = Monitor(self._rules, self._began.audit_topic, self._began.offsets, self._began.at_us)
            self._feeder = Feeder(monitor)
            for entry in self._run:
                if not (self._what_if and isinstance(entry, TookEffect) and entry.rules is not None):
                    self._feeder.follow(entry)
        return self._feeder

    def take(self, partition: int, records: Sequence[AuditRecord]) -> None:
        """Consecutive records of one partition, in any order among partitions; what is beyond the run is left out."""
        end = self._extent.offsets.get(partition, 0)
        mine = [record for record in records if record.offset < end]
        if mine:
            self._start().take(partition, read_outcomes(mine))
            self.events_read += len(mine)
        next_offset = records[-1].offset + 1
        self.left[partition] = max(0, end - next_offset)
        self._go_on()

    def _go_on(self) -> None:
        outputs = self._start().monitor.advance(until=self._extent.instant)
        self.events += [event.data for event in outputs.events]
        self.instants += outputs.instants

    def finish(self) -> None:
        """Everything has been read. Raises `ServiceError` when that does not reach as far as the monitor had come."""
        self._go_on()
        reached = self._start().monitor.fold.instant
        if reached < self._extent.instant:
            raise ServiceError("the audit topic holds less than the monitor has seen; it was cut or is another one")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Published and recomputed alert events of a stretch of event time. Differences name rule, step and id."""

    from_us: int
    to_us: int
    published: int
    recomputed: int
    not_published: list[dict[str, Any]] = field(default_factory=list)
    not_recomputed: list[dict[str, Any]] = field(default_factory=list)
    repeated: list[dict[str, Any]] = field(default_factory=list)
    different: list[dict[str, Any]] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not (self.not_published or self.not_recomputed or self.repeated or self.different)


def compare(
    done: Recomputation,
    published: Sequence[tuple[int, Mapping[str, Any]]],
    *,
    from_us: int | None,
    to_us: int | None,
) -> Comparison:
    """`published`: (offset in the alerts topic, alert data). Events outside of [from_us, to_us] are left out."""
    mine = [data for offset, data in published if offset >= done.alerts_offset]
    first, last = from_us or 0, min(done.extent_us if to_us is None else to_us, done.extent_us)
    mine = [data for data in mine if first <= data["at_us"] <= last]
    again = {data["event_id"]: data for data in done.events if first <= data["at_us"] <= last}
    counts = Counter(data["event_id"] for data in mine)
    by_id = {data["event_id"]: data for data in mine}
    differing = {key: _members(by_id[key], again[key]) for key in by_id.keys() & again.keys()}
    return Comparison(
        from_us=first,
        to_us=last,
        published=len(mine),
        recomputed=len(again),
        not_published=[_name(data) for key, data in again.items() if key not in by_id],
        not_recomputed=[_name(data) for key, data in by_id.items() if key not in again],
        repeated=[_name(by_id[key]) for key, count in counts.items() if count > 1],
        different=[_name(by_id[key]) | {"members": names} for key, names in sorted(differing.items()) if names],
    )


def _members(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _name(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"event_id": data["event_id"], "step": data["event"], "rule": data["rule"], "at_us": data["at_us"]}
