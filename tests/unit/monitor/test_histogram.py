"""One percent, against exact values and against DataDog's own ddsketch; merging in any way gives the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.monitor.histogram import BIN_COUNT, RELATIVE_ERROR, LogHistogram, bins_of, quantile_of

QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0)
DURATIONS = st.lists(st.integers(-5, 10**10), min_size=1, max_size=200)


def of(values: object) -> LogHistogram:
    histogram = LogHistogram()
    histogram.add(np.asarray(values, dtype=np.int64))
    return histogram


def dense(values: object) -> np.ndarray:
    """The other form over the same mapping: all bins."""
    return np.bincount(bins_of(values), minlength=BIN_COUNT)


def samples(name: str) -> np.ndarray:
    chance = np.random.default_rng(7)
    if name == "lognormal":
        return chance.lognormal(10, 1.5, 50_000).astype(np.int64) + 1
    if name == "bimodal":
        return np.concatenate([chance.normal(20_000, 900, 40_000), chance.normal(3e6, 2e5, 2_000)]).astype(np.int64)
    return chance.integers(1, 10**9, 50_000)


@pytest.mark.parametrize("name", ["lognormal", "bimodal", "uniform"])
@pytest.mark.parametrize("q", QUANTILES)
def test_within_one_percent_of_the_exact_value(name: str, q: float) -> None:
    values = samples(name)
    exact = float(np.quantile(values, q, method="lower"))
    assert of(values).quantiles([q])[0] == pytest.approx(exact, rel=RELATIVE_ERROR)


@given(DURATIONS, st.floats(0, 1))
def test_within_one_percent_for_any_values(values: list[int], q: float) -> None:
    clamped = np.maximum(values, 0)
    exact = float(np.quantile(clamped, q, method="lower"))
    assert of(values).quantiles([q])[0] == pytest.approx(exact, rel=RELATIVE_ERROR)


@pytest.mark.parametrize("name", ["lognormal", "bimodal", "uniform"])
def test_equals_ddsketch(name: str) -> None:
    """The published implementation with its logarithmic mapping puts the values into the same bins."""
    values = samples(name)[:5_000]
    oracle = DDSketch(RELATIVE_ERROR)
    for value in values.tolist():
        oracle.add(value)
    ours = of(values)
    for q in QUANTILES[1:-1]:
        assert quantile_of(dense(values), q) == pytest.approx(oracle.get_quantile_value(q), rel=1e-9)
    assert ours.count == oracle.count
    assert ours.sum == oracle.sum


@given(DURATIONS, st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_both_forms_tell_the_same(values: list[int], qs: list[float]) -> None:
    ours = of(values)
    assert ours.quantiles(qs) == [min(quantile_of(dense(np.maximum(values, 0)), q), ours.max) for q in qs]


@given(DURATIONS, st.lists(st.integers(0, 4), min_size=200, max_size=200))
def test_any_split_over_workers_merges_bit_for_bit(values: list[int], workers: list[int]) -> None:
    parts = [of([v for v, w in zip(values, workers, strict=False) if w == worker]) for worker in range(5)]
    merged = LogHistogram()
    for part in reversed(parts):
        merged.merge(part)
    whole = of(values)
    assert merged.bins == whole.bins
    assert (merged.count, merged.sum, merged.max) == (whole.count, whole.sum, whole.max)


@given(DURATIONS, DURATIONS)
def test_what_was_merged_can_be_subtracted(kept: list[int], gone: list[int]) -> None:
    both = of(kept).merge(of(gone)).subtract(of(gone))
    assert both.bins == of(kept).bins
    assert both.sum == of(kept).sum


def test_extremes() -> None:
    assert bins_of([0, -7]).tolist() == [0, 0]
    assert bins_of([1]).tolist() == [1]
    assert bins_of([1 << 60]).tolist() == [BIN_COUNT - 1]
    assert np.isnan(LogHistogram().quantiles([0.5])[0])
    assert quantile_of(dense([0, 0, 0]), 0.99) == 0.0
    assert of([100]).quantiles([1.0])[0] <= 100
