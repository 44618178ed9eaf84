"""What a rule sees at an instant: which series breach it, which are clearly well, and of which too little is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np

from stream_maas.monitor.fold import Fold
from stream_maas.monitor.histogram import quantile_of
from stream_maas.monitor.lag import Lag
from stream_maas.monitor.partial import RequestPartition
from stream_maas.monitor.rules import DAY_US, Per, Rule
from stream_maas.monitor.series import (
    BAD,
    CLIENT,
    DEGRADED,
    FIRST_SLOW,
    LATE,
    MISSING,
    MONITOR,
    OVERFLOW,
    REDACTION,
    TOTAL,
    UNREADABLE,
    UNWRITTEN,
    Counts,
    Series,
)

State = Literal["breach", "clear", "between", "insufficient_data"]
"""`between`: neither above the threshold nor clearly below it. It and `insufficient_data` change nothing."""


class Window(NamedTuple):
    """One window's counts."""

    length_us: int
    bad: int
    total: int


class Reading(NamedTuple):
    """One rule on one series."""

    series: Series
    state: State
    value: float
    """In the rule's unit."""
    windows: tuple[Window, ...] = ()
    """Shortest first."""
    counter: int = BAD
    """Whose evidence belongs to it."""


class Measurer:
    """Reads rules off a fold at its instant. `active`: series with a pending or firing alert of the rule.

    Only those and breaching ones are told; everything else is well and was well.
    """

    def __init__(self, fold: Fold, time_scale: float) -> None:
        self._fold = fold
        self._day_steps = round(DAY_US * time_scale / fold.timing.step_us)
        self._windows: dict[tuple[int, int], np.ndarray] = {}
        self._counts: dict[tuple[Per, int], tuple[list[Series], Counts]] = {}

    def readings(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        """Breaching series and active ones, in the order of their labels."""
        return _READERS[rule.measure](self, rule, active)

    def burn(self, rule: Rule, series: Series) -> tuple[list[Window], float]:
        """Both windows of an SLO rule and the burn rate in the shorter one (nan without events), for display."""
        row = self._fold.store.index.get(series)
        if row is None:
            return [Window(length_us, 0, 0) for length_us in rule.windows_us], math.nan
        windows_of = [self._window(length_us)[[row]].astype(np.int64) for length_us in rule.windows_us]
        counts = [self._good_bad(rule, window) for window in windows_of]
        windows = [
            Window(length, int(bad[0]), int(valid[0]))
            for length, (bad, valid) in zip(rule.windows_us, counts, strict=True)
        ]
        valid = windows[0].total
        return windows, windows[0].bad / valid / (1 - rule.objective) if valid else math.nan

    def next_instant(self) -> None:
        """The fold has moved on."""
        self._windows.clear()
        self._counts.clear()

    def _window(self, length_us: int, ago_steps: int = 0) -> np.ndarray:
        key = (length_us, ago_steps)
        if (known := self._windows.get(key)) is None:
            steps = length_us // self._fold.timing.step_us
            known = self._windows[key] = self._fold.store.window(steps, self._fold.instant, ago=ago_steps)
        return known

    def _of_kind(self, per: Per, length_us: int) -> tuple[list[Series], Counts]:
        """The series of a kind and their window, shape (series, columns) int64. Rules of one kind share it."""
        if (known := self._counts.get((per, length_us))) is None:
            series, rows = self._fold.store.of_kind(per)
            known = self._counts[per, length_us] = series, self._window(length_us)[rows].astype(np.int64)
        return known

    # Counts -------------------------------------------------------------------------------------------------------

    # Most series are well at most instants: each reader first asks the cheapest question that settles that.

    @staticmethod
    def _bad(rule: Rule, counts: Counts) -> Counts:
        bad: Counts = counts[:, BAD]
        return bad if rule.slow < 0 else bad + counts[:, FIRST_SLOW + rule.slow]

    @classmethod
    def _good_bad(cls, rule: Rule, counts: Counts) -> tuple[Counts, Counts]:
        """(bad, valid) of rows of a window, each (rows,) int64. Faults of callers are neither."""
        return cls._bad(rule, counts), counts[:, TOTAL] - counts[:, CLIENT]

    def _burn(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        series, short = self._of_kind(rule.per, rule.windows_us[0])
        if not series or (not active and self._bad(rule, short).max() < rule.min_bad):
            return
        counts = [self._good_bad(rule, self._of_kind(rule.per, length_us)[1]) for length_us in rule.windows_us]
        (bad, valid), (long_bad, long_valid) = counts[0], counts[-1]
        budget = 1 - rule.objective
        # burn >= rate, written without a division: no series has too few events to be compared.
        short_burns = bad >= rule.threshold * budget * valid
        breach = short_burns & (long_bad >= rule.threshold * budget * long_valid)
        breach &= (bad >= rule.min_bad) & (valid >= rule.min_events)
        for place in self._told(series, breach, active):
            windows = tuple(
                Window(length, int(b[place]), int(v[place]))
                for length, (b, v) in zip(rule.windows_us, counts, strict=True)
            )
            value = bad[place] / valid[place] / budget if valid[place] else 0.0
            state: State = "breach" if breach[place] else _burn_state(rule, windows, budget)
            counter = BAD if rule.slow < 0 or not windows[0].bad else self._slow_or_bad(rule, series[place])
            yield Reading(series[place], state, float(value), windows, counter)

    def _slow_or_bad(self, rule: Rule, series: Series) -> int:
        slow = FIRST_SLOW + rule.slow
        return slow if (series, slow) in self._fold.evidence else BAD

    def _told(self, series: list[Series], breach: np.ndarray, active: Collection[Series]) -> list[int]:
        told = set(np.flatnonzero(breach).tolist())
        if active:
            told |= {place for place, one in enumerate(series) if one in active}
        return sorted(told)

    def _ratio(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        """Share of one counter in all events; of a code, in all events of its model."""
        series, own = self._of_kind(rule.per, rule.windows_us[0])
        counter = {"reject_ratio": CLIENT, "degraded_ratio": DEGRADED}.get(rule.measure, TOTAL)
        if not series or (not active and not own[:, counter].any()):
            return
        bad, total = own[:, counter], own[:, TOTAL]
        if rule.measure == "code_ratio":
            index, window = self._fold.store.index, self._window(rule.windows_us[0])
            models = [index.get(Series("model", one.labels[:2])) for one in series]
            total = np.array([window[row, TOTAL] if row is not None else 0 for row in models], dtype=np.int64)
        breach = (bad > rule.threshold * total) & (total >= rule.min_events)
        evidence = CLIENT if rule.measure == "reject_ratio" else BAD
        for place in self._told(series, breach, active):
            b, t = int(bad[place]), int(total[place])
            yield _compared(rule, series[place], b / t if t else 0.0, t >= rule.min_events, b, t, evidence)

    def _count(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        """How many of one counter. Nothing counted is clearly well: these events are told where they happen."""
        counter = _COUNTERS[rule.measure]
        series, own = self._of_kind(rule.per, rule.windows_us[0])
        if not series:
            return
        counts = own[:, counter]
        if counter == MISSING:
            # Two witnesses of the same hole, request offsets and the writers' own count: one may see what the other
            # cannot, and what both see is one.
            counts = np.maximum(counts, own[:, UNWRITTEN])
        if not active and counts.max() <= rule.threshold:
            return
        for place in self._told(series, counts > rule.threshold, active):
            count = int(counts[place])
            yield _compared(rule, series[place], count, True, count, int(own[place, TOTAL]), counter)

    def _quantile(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        name = "latency" if rule.measure == "latency_quantile" else "queue"
        steps = rule.windows_us[0] // self._fold.timing.step_us
        for series in self._fold.store.of_kind(rule.per)[0]:
            ring = self._fold.store.histograms.get((series, name))
            if ring is None:
                continue
            counts = ring.window(steps, self._fold.instant)
            total = int(counts.sum())
            if total < rule.min_events and series not in active:
                continue
            value = quantile_of(counts, rule.quantile) / 1e6 if total else 0.0
            if series in active or value > rule.threshold:
                above = total - int(np.floor(rule.quantile * total))
                yield _compared(rule, series, value, total >= rule.min_events, above, total, BAD)

    # Gauges -------------------------------------------------------------------------------------------------------

    def _lag(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        now_us = self._fold.now_us
        for (topic, partition), lag in sorted(self._fold.lags.items()):
            series = Series("partition", (("partition", str(partition)), ("topic", topic)))
            seconds = lag.seconds(now_us) if lag.unanswered > 1 else 0.0
            if series in active or seconds > rule.threshold:
                yield _compared(rule, series, seconds, True, lag.unanswered, lag.unanswered, BAD)

    def _no_results(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        """Requests are waiting, and for the whole window not one of their lane was answered."""
        lanes: dict[str, list[tuple[RequestPartition, Lag]]] = {}
        for source, lag in sorted(self._fold.lags.items()):
            lanes.setdefault(source[0], []).append((source, lag))
        now_us, length_us = self._fold.now_us, rule.windows_us[0]
        for topic, lags in lanes.items():
            series = Series("lane", (("topic", topic),))
            waiting = sum(lag.unanswered for _, lag in lags)
            seconds = max(lag.seconds(now_us) for _, lag in lags)
            last = max(lag.last_answer for _, lag in lags)
            silent_us = now_us - last * self._fold.timing.step_us
            breach = waiting >= rule.min_events and seconds * 1e6 >= length_us and silent_us >= length_us
            if breach or series in active:
                # An answer ends the silence; whether they come fast enough is the lag's business.
                clear = silent_us < length_us or waiting < rule.min_events
                state: State = "breach" if breach else "clear" if clear else "between"
                yield Reading(series, state, seconds, (Window(length_us, waiting, waiting),))

    def _no_requests(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        length_us = rule.windows_us[0]
        if (self._fold.instant - self._fold.origin) * self._fold.timing.step_us < length_us:
            return
        series, counts = self._of_kind(rule.per, length_us)
        now = counts[:, TOTAL]
        if not series or (not active and now.all()):
            return
        if rule.expect == "always":
            breach = now == 0
        else:
            rows = self._fold.store.of_kind(rule.per)[1]
            days = [self._window(length_us, ago)[rows, TOTAL] for ago in (self._day_steps, 2 * self._day_steps)]
            breach = (now == 0) & (days[0] >= rule.min_events) & (days[1] >= rule.min_events)
        for place in self._told(series, breach, active):
            count = int(now[place])
            state: State = "breach" if breach[place] else "clear" if count else "insufficient_data"
            yield Reading(series[place], state, length_us / 1e6, (Window(length_us, 0, count),))

    def _away(self, rule: Rule, active: Collection[Series]) -> Iterator[Reading]:
        away_s = self._fold.away_s
        if away_s > rule.threshold or MONITOR in active:
            yield Reading(MONITOR, "breach" if away_s > rule.threshold else "clear", away_s)


_COUNTERS: Mapping[str, int] = {
    "redaction_failures": REDACTION, "audit_gap": MISSING, "late_events": LATE, "unreadable_events": UNREADABLE,
    "series_overflow": OVERFLOW,
}  # fmt: skip

_READERS: Mapping[str, Callable[[Measurer, Rule, Collection[Series]], Iterator[Reading]]] = {
    "error_burn": Measurer._burn, "latency_burn": Measurer._burn,
    "latency_quantile": Measurer._quantile, "queue_quantile": Measurer._quantile,
    "reject_ratio": Measurer._ratio, "code_ratio": Measurer._ratio, "degraded_ratio": Measurer._ratio,
    "lag_seconds": Measurer._lag, "no_results": Measurer._no_results, "no_requests": Measurer._no_requests,
    "monitor_gap": Measurer._away, **dict.fromkeys(_COUNTERS, Measurer._count),
}  # fmt: skip


def _burn_state(rule: Rule, windows: tuple[Window, ...], budget: float) -> State:
    """Not breaching: clear when the shortest window that holds enough events burns clearly less.

    A service with little traffic may never again have `min_events` in the short window; the long one then decides, and
    where that holds too little as well, nothing does. Missing data is no recovery.
    """
    for window in windows:
        if window.total >= rule.min_events:
            limit = rule.clear_ratio * rule.threshold * budget * window.total
            return "clear" if window.bad <= limit or window.bad < rule.min_bad else "between"
    return "insufficient_data"


def _compared(rule: Rule, series: Series, value: float, enough: bool, bad: int, total: int, counter: int) -> Reading:
    windows = (Window(rule.windows_us[0], bad, total),)
    if not enough:
        return Reading(series, "insufficient_data", value, windows, counter)
    if value > rule.threshold:
        return Reading(series, "breach", value, windows, counter)
    clear = value <= rule.clear_ratio * rule.threshold
    return Reading(series, "clear" if clear else "between", value, windows, counter)
