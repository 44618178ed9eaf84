"""The picture against sums and numpy's quantiles of the same events, in any order and any chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.dashboard.picture import ALL, BUCKET_S, COLUMNS, MAX_VIEWS, OTHER, QUANTILES, Picture
from stream_maas.records import ModelRef, Timings
from stream_maas.wire import AuditGlance
from tests.unit.dashboard.samples import glance

START_MS = 1_790_000_000_000
CODES = (None, None, None, "invalid_input", "model_error")
events = st.lists(
    st.tuples(
        st.integers(0, 60_000), st.integers(0, 10_000_000), st.sampled_from(CODES), st.sampled_from(["default", "fast"])
    ),
    min_size=1, max_size=60,
)  # fmt: skip


def built(rows: list[tuple[int, int, str | None, str]]) -> list[tuple[int, AuditGlance]]:
    return [
        (
            START_MS + after_ms,
            glance(code=code, lane=lane, timings=Timings(1, 2, 3, total_us), redactions={"EMAIL": 1}),
        )
        for after_ms, total_us, code, lane in rows
    ]


@given(events, st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_and_chunks_do_not_matter(rows: Any, random: Any, size: int) -> None:
    pairs = built(rows)
    whole, parts = Picture(3600), Picture(3600)
    whole.add(pairs)
    random.shuffle(pairs)
    for start in range(0, len(pairs), size):
        parts.add(pairs[start : start + size])
    assert whole.views.keys() == parts.views.keys()
    assert all(whole.columns(view) == parts.columns(view) for view in whole.views)


@given(events)
def test_sums_and_quantiles_are_those_of_the_events(rows: Any) -> None:
    picture = Picture(3600)
    picture.add(built(rows))
    summary = picture.summary(ALL, START_MS / 1000 + 60)
    codes = [code for _, _, code, _ in rows]
    assert summary["requests"] == len(rows)
    assert summary["ok"] == codes.count(None)
    assert summary["refused"] == codes.count("invalid_input")
    assert summary["failed"] == codes.count("model_error")
    totals_us = [max(total, 0) for _, total, _, _ in rows]
    for quantile, name in zip(QUANTILES, ("p50", "p90", "p99"), strict=True):
        exact_ms = np.quantile(totals_us, quantile, method="lower") / 1000
        # 1 % of the histogram and half a microsecond of rounding, added.
        assert summary[name] == pytest.approx(exact_ms, abs=0.0101 * exact_ms + 0.0006)
    lanes = [picture.summary(view, START_MS / 1000 + 60)["requests"] for view in picture.views if "lane:" in view]
    assert sum(lanes) == len(rows)


def test_columns_are_whole_and_sorted() -> None:
    picture = Picture(3600)
    picture.add(built([(11_000, 500, None, "default"), (0, 500, "expired", "default"), (1_000, 500, None, "default")]))
    columns = picture.columns(ALL)
    assert set(columns) == {*COLUMNS, "codes", "types"}
    assert columns["t"] == [START_MS // 1000, START_MS // 1000 + 2 * BUCKET_S]
    assert columns["requests"] == [2, 1]
    assert columns["codes"] == [{"expired": 1}, {}]
    assert columns["types"] == [{"EMAIL": 2}, {"EMAIL": 1}]
    assert picture.columns("model:nobody 1")["t"] == []


def test_changes_are_told_once() -> None:
    picture = Picture(3600)
    picture.add(built([(0, 500, None, "default")]))
    told = picture.take_changes()
    assert {view: [row["requests"] for row in rows] for view, rows in told.items()} == {
        ALL: [1], "lane:default": [1], "model:sentiment-lite 1": [1],
    }  # fmt: skip
    assert picture.take_changes() == {}
    picture.add(built([(1, 500, None, "default")]))
    assert [row["requests"] for row in picture.take_changes()[ALL]] == [2]


def test_what_is_old_is_forgotten() -> None:
    picture = Picture(60)
    picture.add(built([(0, 500, None, "default"), (59_000, 500, None, "default")]))
    picture.forget(START_MS / 1000 + 100)
    assert picture.columns(ALL)["t"] == [START_MS // 1000 + 55]
    assert [row["t"] for row in picture.take_changes()[ALL]] == [START_MS // 1000 + 55]


def test_too_many_models_share_a_view() -> None:
    picture = Picture(3600)
    for number in range(MAX_VIEWS + 5):
        picture.add([(START_MS, glance(model=ModelRef(f"m{number}", "1", "0" * 64, "MIT")))])
    assert len(picture.views) == MAX_VIEWS + 1
    assert picture.summary(ALL, START_MS / 1000)["requests"] == MAX_VIEWS + 5
    assert picture.summary(OTHER, START_MS / 1000)["requests"] == 7


def test_clocks_that_differ_are_no_negative_time() -> None:
    picture = Picture(3600)
    picture.add([(START_MS, glance(timings=Timings(-5000, 10, 20, -3000)))])
    row = picture.take_changes()[ALL][0]
    assert row["queue"] == 0
    assert row["max"] == 0
