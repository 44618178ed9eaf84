"""A mergeable histogram of durations with 1 % relative error: which bin a value falls into, and what a bin stands for.

The mapping is DDSketch's logarithmic one (Masson, Rim, Lee: DDSketch, VLDB 2019): bin k holds the values in
(gamma^(k-1), gamma^k] with gamma = (1 + a) / (1 - a), and answers 2 gamma^k / (gamma + 1), which is at most the
fraction a away from all of them. Unlike a t-digest, histograms of one mapping add and subtract exactly, so any
split of the data over processes and any order of merging gives the same histogram, bit for bit.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = float(np.log(GAMMA))
BIN_COUNT = 1280
"""Bin 0 holds what is not positive, bin i > 0 the key i - 1: from 1 us to about 35 hours in microseconds."""

Counts = npt.NDArray[np.int64]


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
    """Counts of durations in microseconds by bin, with exact count, sum and maximum beside them."""

    __slots__ = ("counts", "max", "sum")

    def __init__(self) -> None:
        self.counts: Counts = np.zeros(BIN_COUNT, dtype=np.int64)
        self.sum = 0
        """Exact, microseconds; negative durations (clocks that differ) count as 0."""
        self.max = 0
        """Largest value ever added, microseconds; `subtract` cannot take it back."""

    def add(self, values_us: npt.ArrayLike) -> None:
        """Add durations in microseconds, shape (n,), integers."""
        array = np.maximum(np.asarray(values_us, dtype=np.int64), 0)
        if array.size:
            self.counts += np.bincount(bins_of(array), minlength=BIN_COUNT)
            self.sum += int(array.sum())
            self.max = max(self.max, int(array.max()))

    @property
    def count(self) -> int:
        """How many values it holds."""
        return int(self.counts.sum())

    def merge(self, other: LogHistogram) -> Self:
        """Add another one's values; returns itself."""
        self.counts += other.counts
        self.sum += other.sum
        self.max = max(self.max, other.max)
        return self

    def subtract(self, other: LogHistogram) -> Self:
        """Take away values that were merged before; returns itself. `max` stays an upper bound."""
        self.counts -= other.counts
        self.sum -= other.sum
        return self

    def quantile(self, q: float) -> float:
        """See `quantile_of`; never above `max`."""
        value = quantile_of(self.counts, q)
        return min(value, float(self.max)) if self.max else value
