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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream_maas.monitor.histogram import BIN_COUNT, bins_of
from stream_maas.monitor.outcomes import ANSWERED, REDACTION_ERROR, Outcome, Outcomes
from stream_maas.monitor.rules import Ruleset
from stream_maas.monitor.series import (
    BAD,
    CLIENT,
    DEGRADED,
    FIRST_SLOW,
    LATE,
    MISSING,
    MONITOR,
    REDACTION,
    SERVICE,
    TOTAL,
    UNREADABLE,
    Series,
    SeriesStore,
    series_of,
)

Counts = npt.NDArray[np.int64]
RequestPartition = tuple[str, int]
Place = tuple[int, int]
"""Partition of the audit topic, and offset."""

MAX_EVIDENCE = 5
MAX_SAMPLES = 128
GAP_TOLERANCE = 1
"""Missing request offsets that mean nothing: the marker of a client's transaction takes up one."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What the world looked like from outside the log, as an input: written to the journal before it matters."""

    at_us: int
    idle: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Audit partition -> (next offset to read, time up to which it is known that nothing came, epoch us)."""
    ends: Mapping[RequestPartition, int] = field(default_factory=dict)
    """End offsets of the request topics."""
    away_us: int = 0
    """How long no monitor was there before this tick."""
    seen_at: int = 0
    """The instant that was shown when it was taken in: it can only be shown after that."""


@dataclass(slots=True)
class Cell:
    """Counts of one outcome in one step."""

    events: int
    slow: Counts
    """Above each latency limit; shape (limits,)."""


@dataclass(slots=True)
class Delta:
    """What one instant will show of one step."""

    cells: dict[Outcome, Cell] = field(default_factory=dict)
    distributions: dict[tuple[str, str, str], Counts] = field(default_factory=dict)
    """(lane, model, version) -> bin counts of latency and queue delay, shape (2, BIN_COUNT)."""
    evidence: dict[tuple[Outcome, int], list[Place]] = field(default_factory=dict)
    """(outcome, counter) -> the first places that it counts."""
    answered: dict[RequestPartition, list[int]] = field(default_factory=dict)
    """[next request offset, requests without an event]."""
    late: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class PartitionClock:
    """One partition of the audit topic."""

    next_offset: int
    clock_us: int
    repeats: int = 0
    """Events that told of a request that had been told of before (at-least-once brokers)."""


@dataclass(slots=True)
class Lag:
    """One request partition as of the last instant."""

    answered: int | None = None
    """The next request offset that no audit event has told of; None until something is known."""
    unanswered_since: list[tuple[int, int]] = field(default_factory=list)
    """(time in us, end offset): samples whose end is still ahead of `answered`, oldest first."""
    last_answer: int = 0
    """Instant."""
    end: int = 0
    """As last sampled."""

    @property
    def unanswered(self) -> int:
        """Requests without an answer when last sampled."""
        return max(0, self.unanswered_since[-1][1] - (self.answered or 0)) if self.unanswered_since else 0

    def seconds(self, now_us: int) -> float:
        """How long the oldest unanswered request has been waiting, at least: since the sample that first showed it."""
        return max(0, now_us - self.unanswered_since[0][0]) / 1e6 if self.unanswered_since else 0.0


class Fold:
    """Partitions, what is not shown yet, and what is shown (`store`, `lags`) at `instant`."""

    def __init__(self, rules: Ruleset, offsets: Mapping[int, int], at_us: int) -> None:
        """`offsets`: where each audit partition begins. `at_us`: event time before which nothing is looked at."""
        timing = self.timing = rules.timing
        self.limits_us = rules.latency_limits_us
        self.instant = self.origin = (at_us - timing.disorder_us) // timing.step_us
        """What is shown, and where it began: nothing is known of what was before `origin`."""
        self.partitions = {number: PartitionClock(offset, at_us) for number, offset in sorted(offsets.items())}
        self.pending: dict[int, dict[int, Delta]] = {}
        """Instant of showing -> end of the step (instant) -> what is shown."""
        self.store = SeriesStore(FIRST_SLOW + len(self.limits_us), rules.max_series, rules.max_tenants)
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
        self.partitions.setdefault(partition, PartitionClock(offset, clock_us))

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
        for offset in outcomes.unreadable:
            behind = self._behind(int(newest[np.searchsorted(outcomes.offset, offset)]))
            self._delta(behind, behind).unreadable += 1
        if not len(outcomes):
            return
        repeated, missing = self._follow_requests(clock, outcomes)
        self._place(partition, outcomes, newest[:-1] - self.timing.disorder_us, repeated, missing)

    def _behind(self, clock_us: int) -> int:
        """The first instant after a partition's watermark."""
        return (clock_us - self.timing.disorder_us) // self.timing.step_us + 1

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
        rows: npt.NDArray[np.intp],
        repeated: npt.NDArray[np.bool_],
        missing: Counts,
    ) -> npt.NDArray[np.intp]:
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
        for shown_at, end in sorted({*zip(shown.tolist(), step_end.tolist(), strict=True)}):
            rows = (shown == shown_at) & (step_end == end)
            delta = self._delta(shown_at, end)
            delta.late += int((rows & dropped & ~repeated).sum())
            self._add(delta, partition, outcomes, np.flatnonzero(rows & ~dropped & ~repeated))
            self._answer(delta, outcomes, np.flatnonzero(rows & ~repeated), missing)

    def _delta(self, shown_at: int, step_end: int) -> Delta:
        return self.pending.setdefault(shown_at, {}).setdefault(step_end, Delta())

    def _answer(self, delta: Delta, outcomes: Outcomes, rows: npt.NDArray[np.intp], missing: Counts) -> None:
        for number in np.unique(outcomes.request[rows]).tolist():
            mine = rows[outcomes.request[rows] == number]
            entry = delta.answered.setdefault(outcomes.requests[number], [0, 0])
            entry[0] = max(entry[0], int(outcomes.request_offset[mine].max()) + 1)
            entry[1] += int(missing[mine].sum())

    def _add(self, delta: Delta, partition: int, outcomes: Outcomes, rows: npt.NDArray[np.intp]) -> None:
        """Count rows (indexes) of one step."""
        if not len(rows):
            return
        kinds, total_us = outcomes.kind[rows], outcomes.total_us[rows]
        size = len(outcomes.kinds)
        answered = np.array([kind.code == ANSWERED for kind in outcomes.kinds])[kinds]
        events = np.bincount(kinds, minlength=size)
        slow_rows = [answered & (total_us > limit) for limit in self.limits_us]
        counts = [np.bincount(kinds[over], minlength=size) for over in slow_rows]
        slow = np.array(counts, dtype=np.int64).reshape(-1, size)
        for number in np.flatnonzero(events).tolist():
            kind = outcomes.kinds[number]
            cell = delta.cells.setdefault(kind, Cell(0, np.zeros(len(self.limits_us), dtype=np.int64)))
            cell.events += int(events[number])
            cell.slow += slow[:, number]
            if kind.code != ANSWERED:
                counter = CLIENT if kind.is_client_fault else BAD
                self._keep(delta, kind, counter, partition, outcomes.offset[rows[kinds == number]])
        for limit, over in enumerate(slow_rows):
            for number in np.unique(kinds[over]).tolist():
                places = outcomes.offset[rows[over & (kinds == number)]]
                self._keep(delta, outcomes.kinds[number], FIRST_SLOW + limit, partition, places)
        self._distribute(delta, outcomes, rows, answered)

    @staticmethod
    def _keep(delta: Delta, kind: Outcome, counter: int, partition: int, offsets: Counts) -> None:
        places = delta.evidence.setdefault((kind, counter), [])
        places += [(partition, offset) for offset in offsets[:MAX_EVIDENCE].tolist()]
        places.sort()
        del places[MAX_EVIDENCE:]

    @staticmethod
    def _distribute(
        delta: Delta, outcomes: Outcomes, rows: npt.NDArray[np.intp], answered: npt.NDArray[np.bool_]
    ) -> None:
        groups: dict[tuple[str, str, str], int] = {}
        group_of = np.array([groups.setdefault(kind[:3], len(groups)) for kind in outcomes.kinds])
        group = group_of[outcomes.kind[rows]]
        size = len(groups) * BIN_COUNT
        queue = np.bincount(group * BIN_COUNT + bins_of(outcomes.queue_us[rows]), minlength=size)
        taken = group[answered] * BIN_COUNT + bins_of(outcomes.total_us[rows][answered])
        latency = np.bincount(taken, minlength=size)
        both = np.stack([latency, queue]).reshape(2, -1, BIN_COUNT)
        for name, number in groups.items():
            if both[:, number].any():
                counts = delta.distributions.setdefault(name, np.zeros((2, BIN_COUNT), dtype=np.int64))
                counts += both[:, number]

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
        deltas = self.pending.pop(instant, {})
        for step_end in sorted(deltas):
            self._show(deltas[step_end], step_end)
        self._show_samples()
        self.store.close(instant)

    def _show(self, delta: Delta, step_end: int) -> None:
        column_count = self.store.totals.shape[1]
        sums: dict[Series, Counts] = {}
        for kind in sorted(delta.cells):
            counts = _counts(kind, delta.cells[kind], column_count)
            for series in series_of(*kind[:5]):
                sums[series] = sums[series] + counts if series in sums else counts
        monitor = np.zeros(column_count, dtype=np.int64)
        monitor[LATE], monitor[UNREADABLE] = delta.late, delta.unreadable
        monitor[MISSING] = sum(missing for _, missing in delta.answered.values())
        if monitor.any():
            sums[MONITOR] = monitor
            sums[SERVICE] = sums.get(SERVICE, np.zeros(column_count, dtype=np.int64)) + _only(monitor, MISSING)
        for series in sorted(sums):
            self.store.add(series, sums[series], instant=self.instant, bucket_end=step_end)
        self._show_distributions(delta, step_end)
        for (kind, counter), places in sorted(delta.evidence.items()):
            self._show_evidence(series_of(*kind[:5]), counter, places)
        for source, (answered, _) in sorted(delta.answered.items()):
            lag = self.lags.setdefault(source, Lag())
            lag.answered = max(lag.answered or 0, answered)
            lag.last_answer = self.instant
            _forget_answered(lag)

    def _show_distributions(self, delta: Delta, step_end: int) -> None:
        for (lane, model, version), (latency, queue) in sorted(delta.distributions.items(), key=lambda item: item[0]):
            for series in series_of(lane, model, version, "", ""):
                for name, counts in (("latency", latency), ("queue", queue)):
                    self.store.add_distribution(series, name, counts, instant=self.instant, bucket_end=step_end)

    def _show_evidence(self, found: Iterable[Series], counter: int, places: list[Place]) -> None:
        for series in found:
            kept = self.evidence.setdefault((series, counter), [])
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
                self._sample(source, end, tick.at_us)

    def _sample(self, source: RequestPartition, end: int, at_us: int) -> None:
        lag = self.lags.setdefault(source, Lag())
        if lag.answered is None or end < lag.end:
            # Nothing is known of what was before the first look, or the topic was made anew: begin here.
            lag.answered = end
            lag.unanswered_since.clear()
        elif end > lag.answered:
            lag.unanswered_since.append((at_us, end))
            if len(lag.unanswered_since) > MAX_SAMPLES:
                # Every second one but the oldest: the past gets coarser, its beginning stays.
                del lag.unanswered_since[1::2]
        lag.end = end

    def set_limits(self, limits_us: tuple[int, ...]) -> None:
        """Other latency limits: counts of those that stay are kept, those of new ones begin now."""
        kept = [self.limits_us.index(limit) if limit in self.limits_us else -1 for limit in limits_us]
        for deltas in self.pending.values():
            for delta in deltas.values():
                for cell in delta.cells.values():
                    cell.slow = np.array([cell.slow[old] if old >= 0 else 0 for old in kept], dtype=np.int64)
        self.store.take_columns([*range(FIRST_SLOW), *(FIRST_SLOW + old if old >= 0 else -1 for old in kept)])
        self.limits_us = limits_us

    def gone(self, series: Series) -> None:
        """Forget a series that has been silent for as long as anything is remembered."""
        self.store.drop(series)
        for key in [key for key in self.evidence if key[0] == series]:
            del self.evidence[key]


def _forget_answered(lag: Lag) -> None:
    """Drop samples that are answered."""
    answered = lag.answered or 0
    lag.unanswered_since = [sample for sample in lag.unanswered_since if sample[1] > answered]


def _counts(kind: Outcome, cell: Cell, column_count: int) -> Counts:
    counts = np.zeros(column_count, dtype=np.int64)
    counts[TOTAL] = cell.events
    counts[BAD] = cell.events if kind.is_bad else 0
    counts[CLIENT] = cell.events if kind.is_client_fault else 0
    counts[REDACTION] = cell.events if kind.code == REDACTION_ERROR else 0
    counts[DEGRADED] = cell.events if kind.degraded else 0
    counts[FIRST_SLOW:] = cell.slow
    return counts


def _only(counts: Counts, column: int) -> Counts:
    kept = np.zeros_like(counts)
    kept[column] = counts[column]
    return kept
