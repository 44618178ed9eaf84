"""The fold: how records and ticks become totals at instants, in the same way whatever order they arrive in.

What an instant shows may depend on the content of each partition and on ticks, never on how partitions interleave,
how records are cut into chunks, or how often they are delivered. Three rules make it so:

1. Each partition has a clock of its own, the newest event time that it has shown (or a tick, while it is idle), and a
   watermark `disorder` behind it. Whether an event is late is decided by its own partition's watermark.
2. An event in time is shown at the end of its step. A late one is shown at the first instant after its partition's
   watermark, and is added to the step to which it belongs; after `grace` it is only counted.
3. An instant is evaluated when the watermarks of all partitions have passed it. What is to be shown at it cannot
   change any more then: rule 2 puts everything that a partition brings later behind its watermark.

A partition is idle only where a tick says so, and a tick only says so of one that has been read to its end. A monitor
that lags, or a broker that says nothing, therefore closes no window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_maas.monitor.frequent import CAPACITY_FACTOR, DECAY_STEPS, EXCHANGE_STEPS, FrequentTenants
from stream_maas.monitor.lag import Lag, Tick
from stream_maas.monitor.outcomes import REDACTION_ERROR, Outcome, Outcomes
from stream_maas.monitor.partial import (
    MAX_EVIDENCE,
    Cell,
    Counts,
    Partial,
    Place,
    RequestPartition,
    counted,
    first_places,
)
from stream_maas.monitor.rules import Ruleset
from stream_maas.monitor.series import (
    BAD,
    CLIENT,
    DEGRADED,
    FIRST_SLOW,
    LATE,
    MISSING,
    MONITOR,
    OTHER,
    REDACTION,
    SERVICE,
    TOTAL,
    UNREADABLE,
    UNWRITTEN,
    Series,
    SeriesStore,
    series_of,
)
from stream_maas.monitor.writers import WriterCounts

Rows = npt.NDArray[np.intp]
GAP_TOLERANCE = 1
"""Missing request offsets that mean nothing: the marker of a client's transaction takes up one."""


@dataclass(slots=True)
class PartitionClock:
    """One partition of the audit topic."""

    next_offset: int
    clock_us: int
    writers: WriterCounts
    repeats: int = 0
    """Events that told of a request that had been told of before (at-least-once brokers)."""


class Fold:
    """Partitions, what is not shown yet, and what is shown (`store`, `lags`) at `instant`."""

    def __init__(self, rules: Ruleset, offsets: Mapping[int, int], at_us: int) -> None:
        """`offsets`: where each audit partition begins. `at_us`: event time before which nothing is looked at."""
        timing = self.timing = rules.timing
        self.limits_us = rules.latency_limits_us
        self.instant = self.origin = (at_us - timing.disorder_us) // timing.step_us
        """What is shown, and where it began: nothing is known of what was before `origin`."""
        self.partitions = {number: _clock(offset, at_us) for number, offset in sorted(offsets.items())}
        self.pending: dict[int, dict[int, Partial]] = {}
        """Instant of showing -> end of the step (instant) -> what is shown."""
        self.store = SeriesStore(FIRST_SLOW + len(self.limits_us), rules.max_series, rules.max_tenants)
        self.tenants = FrequentTenants(CAPACITY_FACTOR * max(1, rules.max_tenants))
        self.lags: dict[RequestPartition, Lag] = {}
        self.told: dict[RequestPartition, tuple[int, int]] = {}
        """(next request offset, newest request timestamp in ms) as read, not as shown: finds repeats and gaps."""
        self.samples: list[tuple[int, Tick]] = []
        """Ticks that are not shown yet, each with the instant at which it will be; in the order of taking in."""
        self.away_s = 0.0
        """How long no monitor was there, at this instant."""
        self.evidence: dict[tuple[Series, int], list[tuple[int, int, int]]] = {}
        """(series, counter) -> newest (instant, partition, offset), at most MAX_EVIDENCE."""

    def add_partition(self, partition: int, offset: int, clock_us: int) -> None:
        """The audit topic got another partition; before `clock_us` nothing of it is waited for."""
        self.partitions.setdefault(partition, _clock(offset, clock_us))

    # Taking in ----------------------------------------------------------------------------------------------------

    def take(self, partition: int, outcomes: Outcomes) -> None:
        """Take in consecutive records of a partition; those that were taken in before are skipped."""
        clock = self.partitions[partition]
        if outcomes.next_offset <= clock.next_offset:
            return
        outcomes = outcomes.between(clock.next_offset, outcomes.next_offset)
        clock.next_offset = outcomes.next_offset
        # The clock as each row finds it: what came before the row decides whether it is late.
        newest = np.maximum.accumulate(np.concatenate([[clock.clock_us], outcomes.event_us]))
        clock.clock_us = int(newest[-1])
        for offset in outcomes.unreadable.tolist():
            self._behind(outcomes, newest, offset).unreadable += 1
        unwritten = clock.writers.follow(outcomes)
        for place in np.flatnonzero(unwritten).tolist():
            offset = int(outcomes.link_offset[place])
            partial = self._behind(outcomes, newest, offset)
            partial.unwritten += int(unwritten[place])
            partial.holes = first_places(partial.holes, [(partition, offset)])
        if not len(outcomes):
            return
        repeated, missing = self._follow_requests(clock, outcomes)
        self._place(partition, outcomes, newest[:-1] - self.timing.disorder_us, repeated, missing)

    def _behind(self, outcomes: Outcomes, newest: Counts, offset: int) -> Partial:
        """What is shown at the first instant after the watermark that a record found, and belongs to no step."""
        clock_us = int(newest[np.searchsorted(outcomes.offset, offset)])
        behind = (clock_us - self.timing.disorder_us) // self.timing.step_us + 1
        return self._partial(behind, behind)

    def _follow_requests(self, clock: PartitionClock, outcomes: Outcomes) -> tuple[npt.NDArray[np.bool_], Counts]:
        """Which rows tell of a request a second time, and how many requests were skipped before each row."""
        repeated = np.zeros(len(outcomes), dtype=bool)
        missing = np.zeros(len(outcomes), dtype=np.int64)
        for number, source in enumerate(outcomes.requests):
            rows = np.flatnonzero(outcomes.request == number)
            while len(rows):
                rows = self._follow(source, outcomes, rows, repeated, missing)
        clock.repeats += int(repeated.sum())
        return repeated, missing

    def _follow(
        self,
        source: RequestPartition,
        outcomes: Outcomes,
        rows: Rows,
        repeated: npt.NDArray[np.bool_],
        missing: Counts,
    ) -> Rows:
        """Mark rows of one request partition up to where its topic was made anew; the rows that are left.

        A partition's requests are answered in order, so what is not ahead of everything before is a repetition; unless
        it is newer than everything before, for a repeated request was there before: then offsets have begun again.
        """
        offsets, times_ms = outcomes.request_offset[rows], outcomes.request_ms[rows]
        told, newest_ms = self.told.get(source, (int(offsets[0]), int(times_ms[0])))
        before = np.maximum.accumulate(np.concatenate([[told], offsets + 1]))
        newest = np.maximum.accumulate(np.concatenate([[newest_ms], times_ms]))
        behind = offsets < before[:-1]
        anew = np.flatnonzero(behind & (times_ms > newest[:-1]))
        end = int(anew[0]) if len(anew) else len(rows)
        repeated[rows[:end]] = behind[:end]
        ahead = offsets[:end] - before[:end]
        missing[rows[:end]] = np.where(ahead > GAP_TOLERANCE, ahead, 0)
        if end < len(rows):
            self.told[source] = (int(offsets[end]), int(newest[end]))
        else:
            self.told[source] = (int(before[-1]), int(newest[-1]))
        return rows[end:]

    def _place(
        self,
        partition: int,
        outcomes: Outcomes,
        watermark_us: Counts,
        repeated: npt.NDArray[np.bool_],
        missing: Counts,
    ) -> None:
        """Rule 2: at which instant each row is shown, and in which step it counts."""
        step_us = self.timing.step_us
        step_end = outcomes.event_us // step_us + 1
        behind = watermark_us // step_us + 1
        late = step_end < behind
        shown = np.where(late, behind, step_end)
        dropped = late & (watermark_us - step_end * step_us > self.timing.grace_us)
        step_end = np.where(dropped, shown, step_end)
        order = np.lexsort((step_end, shown))
        changes = np.flatnonzero(np.diff(shown[order]) | np.diff(step_end[order])) + 1
        for rows in np.split(order, changes):
            partial = self._partial(int(shown[rows[0]]), int(step_end[rows[0]]))
            if repeated.any():
                rows = rows[~repeated[rows]]
            partial.merge(self._counted(partition, outcomes, rows, dropped[rows], missing))

    def _counted(
        self, partition: int, outcomes: Outcomes, rows: Rows, dropped: npt.NDArray[np.bool_], missing: Counts
    ) -> Partial:
        """Rows (indexes, ascending) of one step; those that came after their grace only tell that they came."""
        late = int(np.count_nonzero(dropped))
        partial = counted(partition, outcomes, rows[~dropped] if late else rows, self.limits_us)
        partial.late = late
        _answer(partial, partition, outcomes, rows, missing)
        return partial

    def _partial(self, shown_at: int, step_end: int) -> Partial:
        return self.pending.setdefault(shown_at, {}).setdefault(step_end, Partial())

    def tick(self, tick: Tick) -> None:
        """Take in a tick whose idle partitions stand where it says."""
        for number, (offset, clock_us) in tick.idle.items():
            self.be_idle(number, offset, clock_us)
        self.sample(tick)

    def be_idle(self, partition: int, offset: int, clock_us: int) -> None:
        """Nothing came to this partition up to `clock_us`; it stands before `offset`, or the call does nothing."""
        clock = self.partitions.get(partition)
        if clock is not None and clock.next_offset == offset:
            clock.clock_us = max(clock.clock_us, clock_us)

    def sample(self, tick: Tick) -> None:
        """The part of a tick that is shown once the watermarks reach it."""
        if tick.ends or tick.away_us:
            shown_at = max(-(-tick.at_us // self.timing.step_us), tick.seen_at + 1)
            self.samples.append((shown_at, tick))

    # Showing ------------------------------------------------------------------------------------------------------

    @property
    def watermark_us(self) -> int:
        """Up to here every partition has told everything that is in time."""
        return min(clock.clock_us for clock in self.partitions.values()) - self.timing.disorder_us

    @property
    def target(self) -> int:
        """The last instant that the watermarks have passed (rule 3)."""
        return self.watermark_us // self.timing.step_us

    @property
    def now_us(self) -> int:
        """Event time of the instant that is shown."""
        return self.instant * self.timing.step_us

    def show_next(self) -> None:
        """Go on by one instant. Only while `instant < target`."""
        self.instant += 1
        instant = self.instant
        partials = self.pending.pop(instant, {})
        calls: dict[str, int] = {}
        for step_end in sorted(partials):
            self._show(partials[step_end], step_end, calls)
        self.tenants.add(calls)
        self._show_samples()
        self.store.close(instant)

    def _show(self, partial: Partial, step_end: int, calls: dict[str, int]) -> None:
        column_count = self.store.totals.shape[1]
        sums: dict[Series, Counts] = {}
        for kind in sorted(partial.cells):
            counts = _counts(kind, partial.cells[kind], column_count)
            for series in series_of(*kind[:5]):
                sums[series] = sums[series] + counts if series in sums else counts
        for series, counts in sums.items():
            if series.per == "tenant" and series.labels[0][1] != OTHER:
                name = series.labels[0][1]
                calls[name] = calls.get(name, 0) + int(counts[TOTAL])
        self._show_log(partial, sums, column_count)
        # Where there is no room for all that are new, those that call most have it.
        for series in sorted(sums, key=lambda one: (-sums[one][TOTAL], one)):
            self.store.add(series, sums[series], instant=self.instant, bucket_end=step_end)
        self._show_distributions(partial, step_end)
        for (kind, counter), places in sorted(partial.evidence.items()):
            self._show_evidence(series_of(*kind[:5]), counter, places)
        for source, (next_offset, _) in sorted(partial.answered.items()):
            self.lags.setdefault(source, Lag()).answer(next_offset, self.instant)

    def _show_log(self, partial: Partial, sums: dict[Series, Counts], column_count: int) -> None:
        """What is wrong with the audit log itself."""
        missing = sum(missing for _, missing in partial.answered.values())
        if not (partial.late or partial.unreadable or partial.unwritten or missing):
            return
        gap = np.zeros(column_count, dtype=np.int64)
        gap[MISSING], gap[UNWRITTEN] = missing, partial.unwritten
        sums[SERVICE] = sums.get(SERVICE, np.zeros(column_count, dtype=np.int64)) + gap
        monitor = gap.copy()
        monitor[LATE], monitor[UNREADABLE] = partial.late, partial.unreadable
        sums[MONITOR] = monitor
        if partial.holes:
            self._show_evidence((SERVICE,), MISSING, partial.holes)

    def _show_distributions(self, partial: Partial, step_end: int) -> None:
        for (lane, model, version), (latency, queue) in sorted(partial.distributions.items(), key=lambda item: item[0]):
            for series in series_of(lane, model, version, "", ""):
                for name, counts in (("latency", latency), ("queue", queue)):
                    self.store.add_distribution(series, name, counts, instant=self.instant, bucket_end=step_end)

    def _show_evidence(self, found: Iterable[Series], counter: int, places: list[Place]) -> None:
        for series in found:
            kept = self.evidence.setdefault((self.store.home(series), counter), [])
            kept += [(self.instant, *place) for place in places]
            kept.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
            del kept[MAX_EVIDENCE:]

    def _show_samples(self) -> None:
        """Ticks whose instant has come."""
        self.away_s = 0.0
        due = [tick for shown_at, tick in self.samples if shown_at <= self.instant]
        if not due:
            return
        self.samples = [sample for sample in self.samples if sample[0] > self.instant]
        for tick in due:
            self.away_s = max(self.away_s, tick.away_us / 1e6)
            for source, end in sorted(tick.ends.items()):
                self.lags.setdefault(source, Lag()).sample(end, tick.at_us)

    # Keeping ------------------------------------------------------------------------------------------------------

    def exchange_tenants(self, kept: Collection[Series]) -> bool:
        """Give the series of tenants to those that call most, where that is due at this instant; whether any changed.

        What a tenant that goes has counted goes on counting in the overflow series. `kept` have alerts: they stay.
        """
        changes: list[tuple[str | None, str]] = []
        if self.instant % EXCHANGE_STEPS == 0:
            shown = {series.labels[0][1] for series in self.store.of_kind("tenant")[0]} - {OTHER}
            names = {series.labels[0][1] for series in kept if series.per == "tenant"}
            changes = self.tenants.exchange(shown, names, self.store.room_for_tenants)
        for goes, comes in changes:
            if goes is not None:
                series = _tenant(goes)
                self.store.give_up(series)
                self._forget_evidence(series)
            self.store.row(_tenant(comes))
        if self.instant % DECAY_STEPS == 0:
            self.tenants.decay()
        return bool(changes)

    def set_limits(self, limits_us: tuple[int, ...]) -> None:
        """Other latency limits: counts of those that stay are kept, those of new ones begin now."""
        kept = [self.limits_us.index(limit) if limit in self.limits_us else -1 for limit in limits_us]
        for partials in self.pending.values():
            for partial in partials.values():
                for cell in partial.cells.values():
                    cell.slow = np.array([cell.slow[old] if old >= 0 else 0 for old in kept], dtype=np.int64)
        self.store.take_columns([*range(FIRST_SLOW), *(FIRST_SLOW + old if old >= 0 else -1 for old in kept)])
        self.limits_us = limits_us

    def gone(self, series: Series) -> None:
        """Forget a series that has been silent for as long as anything is remembered."""
        self.store.drop(series)
        self._forget_evidence(series)

    def _forget_evidence(self, series: Series) -> None:
        for key in [key for key in self.evidence if key[0] == series]:
            del self.evidence[key]


def _clock(offset: int, clock_us: int) -> PartitionClock:
    return PartitionClock(offset, clock_us, WriterCounts(joins=offset > 0))


def _tenant(name: str) -> Series:
    return Series("tenant", (("tenant", name),))


def _answer(partial: Partial, partition: int, outcomes: Outcomes, rows: Rows, missing: Counts) -> None:
    """Which requests rows (indexes) tell of, and what is missing before them."""
    for number in np.unique(outcomes.request[rows]).tolist():
        mine = rows[outcomes.request[rows] == number]
        next_offset = int(outcomes.request_offset[mine].max()) + 1
        partial.answered[outcomes.requests[number]] = [next_offset, int(missing[mine].sum())]
    holes = outcomes.offset[rows[missing[rows] > 0]][:MAX_EVIDENCE]
    partial.holes = first_places(partial.holes, [(partition, offset) for offset in holes.tolist()])


def _counts(kind: Outcome, cell: Cell, column_count: int) -> Counts:
    counts = np.zeros(column_count, dtype=np.int64)
    counts[TOTAL] = cell.events
    counts[BAD] = cell.events if kind.is_bad else 0
    counts[CLIENT] = cell.events if kind.is_client_fault else 0
    counts[REDACTION] = cell.events if kind.code == REDACTION_ERROR else 0
    counts[DEGRADED] = cell.events if kind.degraded else 0
    counts[FIRST_SLOW:] = cell.slow
    return counts
