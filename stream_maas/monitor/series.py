"""Running totals of every series and what they were at the ends of past buckets: any window is one subtraction.

A series is one thing that is watched: the service, a lane, a model version, a tenant, an error code of a model. For
each a row of counters only ever grows (modulo 2^32, which subtraction does not notice). Rings remember the totals at
the ends of buckets of 1, 6 and 30 steps (10 s, 60 s, 300 s at full scale), so that a window of any length up to three
days is the totals minus one ring slot, however many events it holds. Late events are added to the slots they missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream_maas.monitor.histogram import BIN_COUNT

Totals = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]

LEVELS: tuple[tuple[int, int], ...] = ((1, 362), (6, 362), (30, 866))
"""(steps in a bucket, slots): an hour, six hours and three days, plus the bucket that is being filled and one more."""
HISTOGRAM_LEVEL = (6, 62)
OTHER = "__other__"

TOTAL, BAD, CLIENT, REDACTION, DEGRADED, MISSING, UNWRITTEN, LATE, UNREADABLE, OVERFLOW, FIRST_SLOW = range(11)
"""Counters. MISSING: requests without an audit event; UNWRITTEN: events that their writers have counted and that are
not there; LATE: events after their grace; OVERFLOW: how often a series had no room; from FIRST_SLOW on, answers above
each latency limit."""


class Series(NamedTuple):
    """What is watched: a kind and its labels."""

    per: str
    labels: tuple[tuple[str, str], ...] = ()


SERVICE = Series("service")
MONITOR = Series("monitor")
HISTOGRAMS: Mapping[str, tuple[str, ...]] = {
    "service": ("latency", "queue"), "lane": ("latency", "queue"), "model": ("latency",),
}  # fmt: skip
"""Kinds that have distributions, and which."""
MAX_HISTOGRAM_SERIES = 64


class HistogramRing:
    """The same idea for a distribution: bin totals now, and at the ends of the last buckets (60 s for an hour)."""

    __slots__ = ("slots", "totals")

    def __init__(self) -> None:
        self.totals = np.zeros(BIN_COUNT, dtype=np.uint32)
        self.slots = np.zeros((HISTOGRAM_LEVEL[1], BIN_COUNT), dtype=np.uint32)

    def window(self, steps: int, instant: int) -> Counts:
        """Bin counts of the last `steps` steps, rounded up to a bucket; shape (BIN_COUNT,) int64."""
        size, slots = HISTOGRAM_LEVEL
        counts: Counts = (self.totals - self.slots[((instant - steps) // size) % slots]).astype(np.int64)
        return counts


class SeriesStore:
    """All series. Time is an instant: a number of steps."""

    def __init__(self, column_count: int, max_series: int, max_tenants: int) -> None:
        self._max_series = max_series
        self._max_tenants = max_tenants
        self._tenants = 0
        self.index: dict[Series, int] = {}
        self._kinds: dict[str, tuple[list[Series], npt.NDArray[np.intp]]] = {}
        self._free: list[int] = []
        self.totals: Totals = np.zeros((16, column_count), dtype=np.uint32)
        self.rings: list[Totals] = [np.zeros((slots, 16, column_count), dtype=np.uint32) for _, slots in LEVELS]
        self.histograms: dict[tuple[Series, str], HistogramRing] = {}
        self.changed: set[Series] = set()
        """Since whoever keeps snapshots emptied it."""
        for series in (SERVICE, MONITOR):
            self.row(series)

    @property
    def room_for_tenants(self) -> int:
        """How many tenants more can have a series of their own."""
        return max(0, min(self._max_tenants - self._tenants, self._max_series - len(self.index)))

    def home(self, series: Series) -> Series:
        """Where a series counts: itself, or the overflow series of its kind where it has no row and no room."""
        if series in self.index:
            return series
        overflow = _overflow(series)
        if series == overflow:
            return series  # One overflow series for each kind always has room.
        full = self.room_for_tenants == 0 if series.per == "tenant" else len(self.index) >= self._max_series
        return overflow if full else series

    def row(self, series: Series) -> int:
        """The row of a series, made when it is new; that of its kind's overflow series where there is no room."""
        home = self.home(series)
        if home != series and (series.per != "tenant" or self._tenants < self._max_tenants):
            # That tenants are shown together is meant; anything else is not.
            self.totals[self.index[MONITOR], OVERFLOW] += 1
            self.changed.add(MONITOR)
        return self.make(home)

    def make(self, series: Series) -> int:
        """The row of a series, made when it is new, whatever room there is."""
        if (known := self.index.get(series)) is not None:
            return known
        row = self._free.pop() if self._free else len(self.index)
        if row >= len(self.totals):
            self._grow()
        self.index[series] = row
        self._tenants += _is_tenant(series)
        self._kinds.pop(series.per, None)
        if series.per in HISTOGRAMS and len(self.histograms) < 2 * MAX_HISTOGRAM_SERIES:
            self.histograms |= {(series, name): HistogramRing() for name in HISTOGRAMS[series.per]}
        self.changed.add(series)
        return row

    def give_up(self, series: Series) -> None:
        """Drop a series without distributions; all that it has counted, whenever, counts in the overflow series."""
        row, other = self.index[series], self.make(_overflow(series))
        for array in (self.totals[None], *self.rings):
            array[:, other] += array[:, row]
        self.changed.add(_overflow(series))
        self.drop(series)

    def _grow(self) -> None:
        self.totals = np.concatenate([self.totals, np.zeros_like(self.totals)])
        self.rings = [np.concatenate([ring, np.zeros_like(ring)], axis=1) for ring in self.rings]

    def take_columns(self, columns: Sequence[int]) -> None:
        """Keep these columns in this order; -1 is a new one."""
        empty = np.array(columns) < 0
        arrays = [array[..., columns] for array in (self.totals, *self.rings)]
        for array in arrays:
            array[..., empty] = 0
        self.totals, self.rings = arrays[0], arrays[1:]
        self.changed |= set(self.index)

    def drop(self, series: Series) -> None:
        """Forget a series; its row is used again."""
        row = self.index.pop(series)
        self._tenants -= _is_tenant(series)
        self._kinds.pop(series.per, None)
        self.totals[row] = 0
        for ring in self.rings:
            ring[:, row] = 0
        for name in HISTOGRAMS.get(series.per, ()):
            self.histograms.pop((series, name), None)
        self._free.append(row)
        self._free.sort(reverse=True)
        self.changed.discard(series)

    def add(self, series: Series, counts: Counts, *, instant: int, bucket_end: int) -> None:
        """Add counts, shape (columns,), of the step that ends at `bucket_end`, while the totals of `instant` are made.

        A step that is over already is a late one: the slots since then get it too.
        """
        row = self.row(series)
        added = counts.astype(np.uint32)
        self.totals[row] += added
        for (size, slots), ring in zip(LEVELS, self.rings, strict=True):
            for bucket in range(-(-bucket_end // size), (instant - 1) // size + 1):
                ring[bucket % slots, row] += added
        self.changed.add(series)

    def add_distribution(self, series: Series, name: str, counts: Counts, *, instant: int, bucket_end: int) -> None:
        """Like `add`, for bin counts of the distribution `name`, shape (BIN_COUNT,)."""
        ring = self.histograms.get((series, name))
        if ring is None:
            return
        added = counts.astype(np.uint32)
        ring.totals += added
        size, slots = HISTOGRAM_LEVEL
        for bucket in range(-(-bucket_end // size), (instant - 1) // size + 1):
            ring.slots[bucket % slots] += added

    def close(self, instant: int) -> None:
        """Remember the totals wherever a bucket ends at `instant`."""
        for (size, slots), ring in zip(LEVELS, self.rings, strict=True):
            if instant % size == 0:
                ring[(instant // size) % slots] = self.totals
        size, slots = HISTOGRAM_LEVEL
        if instant % size == 0:
            for histogram in self.histograms.values():
                histogram.slots[(instant // size) % slots] = histogram.totals

    def window(self, steps: int, instant: int, *, ago: int = 0) -> Totals:
        """Counts of the `steps` steps that end `ago` steps before `instant`, shape (rows, columns) uint32.

        The finest buckets that reach back far enough are taken, so the window may begin up to one bucket earlier.
        """
        size, slots, ring = self._level(steps + ago)
        begin = ring[((instant - ago - steps) // size) % slots]
        end = self.totals if ago == 0 else ring[((instant - ago) // size) % slots]
        counts: Totals = end - begin
        return counts

    def _level(self, steps: int) -> tuple[int, int, Totals]:
        for (size, slots), ring in zip(LEVELS, self.rings, strict=True):
            if steps <= (slots - 2) * size:
                return size, slots, ring
        size, slots = LEVELS[-1]
        return size, slots, self.rings[-1]

    def of_kind(self, per: str) -> tuple[list[Series], npt.NDArray[np.intp]]:
        """The series of one kind in the order of their labels, and their rows, shape (series,)."""
        if (known := self._kinds.get(per)) is None:
            series = sorted(one for one in self.index if one.per == per)
            known = self._kinds[per] = series, np.array([self.index[one] for one in series], dtype=np.intp)
        return known

    def idle(self, instant: int) -> list[Series]:
        """Series that can be dropped, sorted: nothing was counted for as long as the rings reach back."""
        size, slots = LEVELS[-1]
        busy = {*np.flatnonzero(self.window((slots - 2) * size, instant).any(axis=1)).tolist()}
        kept = {SERVICE, MONITOR}
        return sorted(series for series, row in self.index.items() if row not in busy and series not in kept)


def _overflow(series: Series) -> Series:
    return Series(series.per, tuple((name, OTHER) for name, _ in series.labels))


def _is_tenant(series: Series) -> bool:
    return series.per == "tenant" and series != _overflow(series)


def labels_of(series: Series) -> dict[str, str]:
    """The labels as a mapping."""
    return dict(series.labels)


def safe_label(value: str) -> str:
    """A value as a label: short, and of a few characters; anything else is `OTHER`. No text ever becomes a label."""
    plain = value.isascii() and len(value) <= 64 and value.replace("-", "").replace("_", "").replace(".", "").isalnum()
    return value if plain else OTHER


@lru_cache(maxsize=4096)
def series_of(lane: str, model: str, version: str, code: str, tenant: str) -> tuple[Series, ...]:
    """The series in which one outcome counts."""
    found = [SERVICE, Series("lane", (("lane", safe_label(lane)),))]
    if model:
        labels = (("model", safe_label(model)), ("version", safe_label(version)))
        found.append(Series("model", labels))
        if code:
            found.append(Series("code", (*labels, ("code", safe_label(code)))))
    if tenant:
        found.append(Series("tenant", (("tenant", safe_label(tenant)),)))
    return tuple(found)
