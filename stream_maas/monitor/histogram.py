"""A mergeable histogram of durations with 1 % relative error: which bin a value falls into, and what a bin stands for.

The mapping is DDSketch's logarithmic one (Masson, Rim, Lee: DDSketch, VLDB 2019): bin k holds the values in
(gamma^(k-1), gamma^k] with gamma = (1 + a) / (1 - a), and answers 2 gamma^k / (gamma + 1), which is at most the
fraction a away from all of them. Unlike a t-digest, histograms of one mapping add and subtract exactly, so any
split of the data over processes and any order of merging gives the same histogram, bit for bit.

Two forms over the one mapping: arrays of all bins, for the few long series of the monitor that are added up thousands
at a time, and `LogHistogram`, which keeps the bins that hold something, for the many short buckets of the live page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = float(np.log(GAMMA))
BIN_COUNT = 1280
"""Bin 0 holds what is not positive, bin i > 0 the key i - 1: from 1 us to about 35 hours in microseconds."""


def bins_of(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bin numbers of durations in microseconds, shape (n,), any real dtype -> (n,) int64 in [0, BIN_COUNT).

    Values below one microsecond but positive count as one; values beyond the last bin fall into it.
    """
    array = np.asarray(values, dtype=np.float64)
    keys = np.ceil(np.log(np.maximum(array, 1.0)) / _LOG_GAMMA)
    # Powers of gamma are not exact floats: a value on a bin's edge must not depend on the library's rounding.
    return np.where(array > 0, np.minimum(keys + 1, BIN_COUNT - 1), 0).astype(np.int64)


_REPRESENTATIVES = np.concatenate([[0.0], np.power(GAMMA, np.arange(BIN_COUNT - 1)) * 2 / (1 + GAMMA)])


def quantile_of(counts: npt.NDArray[np.integer], q: float) -> float:
    """The q-quantile (0 <= q <= 1) in microseconds of bin counts, shape (BIN_COUNT,); nan when there are none.

    The value at rank q (n - 1) of the sorted data, like numpy's method "lower", within `RELATIVE_ERROR`.
    """
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    if total == 0:
        return float("nan")
    place = int(np.searchsorted(cumulative, q * (total - 1), side="right"))
    return float(_REPRESENTATIVES[min(place, BIN_COUNT - 1)])


class LogHistogram:
    """Durations in microseconds by bin, with exact count, sum and maximum. Negative ones (clocks that differ) are 0."""

    __slots__ = ("bins", "count", "max", "sum")

    def __init__(self) -> None:
        self.bins: Counter[int] = Counter()
        """Bin number -> how many values; no zeros."""
        self.count = 0
        self.sum = 0
        """Microseconds."""
        self.max = 0
        """Largest value ever added, microseconds; `subtract` cannot take it back."""

    def add(self, values_us: npt.ArrayLike) -> None:
        """Add durations, shape (n,), integers."""
        array = np.maximum(np.asarray(values_us, dtype=np.int64), 0)
        for value_us, bin_ in zip(array.tolist(), bins_of(array).tolist(), strict=True):
            self.add_one(value_us, bin_)

    def add_one(self, value_us: int, bin_: int) -> None:
        """Add a duration (0 or more) whose bin is known: `bins_of` is cheap for many values at once only."""
        self.bins[bin_] += 1
        self.count += 1
        self.sum += value_us
        self.max = max(self.max, value_us)

    def merge(self, other: LogHistogram) -> Self:
        """Add another one's values; returns itself."""
        self.bins.update(other.bins)
        self.count += other.count
        self.sum += other.sum
        self.max = max(self.max, other.max)
        return self

    def subtract(self, other: LogHistogram) -> Self:
        """Take away values that were merged before; returns itself. `max` stays an upper bound."""
        self.bins -= other.bins
        self.count -= other.count
        self.sum -= other.sum
        return self

    def quantiles(self, qs: Sequence[float]) -> list[float]:
        """See `quantile_of`, for several ranks in one pass; nan without values, never above `max`."""
        if not self.count:
            return [float("nan")] * len(qs)
        bins = np.array(sorted(self.bins), dtype=np.int64)
        cumulative = np.cumsum([self.bins[bin_] for bin_ in bins.tolist()])
        places = np.searchsorted(cumulative, np.asarray(qs) * (self.count - 1), side="right")
        values = _REPRESENTATIVES[bins[np.minimum(places, len(bins) - 1)]]
        return [float(value) for value in np.minimum(values, self.max)]
