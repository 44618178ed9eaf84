"""Bounded memory: caps, overflow, tenants, idle series, and snapshots that write only what has changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_maas.monitor import snapshot
from stream_maas.monitor.series import OTHER, OVERFLOW, TOTAL, Series
from tests.unit.monitor.histories import START_US, Answer, History, Idle, play, reborn, rules

SECOND_US = 1_000_000
RULES_TEXT = "version: 1\nmax_series: {}\nmax_tenants: {}\nrules: [{{id: lag, measure: lag_seconds, above: 1m}}]\n"


def many(count: int, **which: str) -> list[Answer | Idle | bytes]:
    """`count` answers; "%" in a value becomes a number of its own."""
    values = [{name: value.replace("%", str(n)) for name, value in which.items()} for n in range(count)]
    items: list[Answer | Idle | bytes] = [Answer(START_US + n * 10_000, **one) for n, one in enumerate(values)]  # type: ignore[arg-type]
    return [*items, Idle(START_US + 30 * SECOND_US)]


def totals(run: Any, series: Series) -> int:
    store = run.monitor.fold.store
    return int(store.totals[store.index[series], TOTAL])


def test_a_flood_of_models_ends_in_one_overflow_series_that_is_told() -> None:
    text = "version: 1\nmax_series: 20\nmax_tenants: 5\nrules: [{id: many, measure: series_overflow, above: 0}]\n"
    run = play(History({0: many(100, model="model-%")}), rules(text))
    store = run.monitor.fold.store
    assert len(store.index) <= 20 + 3
    assert totals(run, Series("model", (("model", OTHER), ("version", OTHER)))) > 0
    assert totals(run, Series("service")) == 100
    assert store.totals[store.index[Series("monitor")], OVERFLOW] > 0
    assert run.steps("many")[0] == "firing"


def test_tenants_beyond_the_limit_are_counted_together() -> None:
    run = play(History({0: many(50, tenant="tenant-%")}), rules(RULES_TEXT.format(100, 8)))
    tenants = run.monitor.fold.store.of_kind("tenant")[0]
    assert len(tenants) == 9
    assert totals(run, Series("tenant", (("tenant", OTHER),))) == 42


def test_a_text_never_becomes_a_label() -> None:
    run = play(History({0: many(3, tenant="please call me, 030 1234567")}), rules(RULES_TEXT.format(100, 8)))
    assert [dict(series.labels) for series in run.monitor.fold.store.of_kind("tenant")[0]] == [{"tenant": OTHER}]


def test_a_series_that_is_silent_for_as_long_as_windows_reach_is_forgotten() -> None:
    """Three days are 86 minutes at this scale."""
    small = rules(RULES_TEXT.format(100, 8))
    items = [*many(5, model="old"), Idle(START_US + 4 * 86 * 60 * SECOND_US // 3)]
    run = play(History({0: items}), small)
    assert run.monitor.fold.store.of_kind("model")[0] == []
    assert run.monitor.fold.store.of_kind("service")[0] == [Series("service")]


def test_only_changed_series_are_written_again() -> None:
    small = rules(RULES_TEXT.format(100, 8))
    run = play(History({0: many(40, model="model-%")}), small)
    writer = snapshot.SnapshotWriter(run.monitor)
    whole = writer.records(snapshot.Position())
    assert len(whole) > 40
    again = writer.records(snapshot.Position())
    assert [key for key, _ in again] == [snapshot.HEADER]
    run.monitor.fold.be_idle(0, 40, START_US + 90 * SECOND_US)
    run.monitor.advance()
    later = writer.records(snapshot.Position())
    assert [key for key, _ in later] == [snapshot.HEADER]
    loaded = snapshot.load([*whole, *again, *later])
    assert loaded is not None
    assert_same(loaded.monitor, run.monitor)


def test_a_torn_write_leaves_a_state_that_fits() -> None:
    """The records of series are there and the header of the same write is not: the older header still loads."""
    small = rules(RULES_TEXT.format(100, 8))
    run = play(History({0: many(20, model="m")}), small)
    before = reborn(run.monitor)
    writer = snapshot.SnapshotWriter(run.monitor)
    first = writer.records(snapshot.Position())
    store = run.monitor.fold.store
    store.add(Series("service"), np.ones(store.totals.shape[1], dtype=np.int64), instant=run.monitor.fold.instant + 1,
              bucket_end=run.monitor.fold.instant + 1)  # fmt: skip
    run.monitor.fold.be_idle(0, 20, START_US + 90 * SECOND_US)
    run.monitor.advance()
    torn = writer.records(snapshot.Position())[:-1]
    loaded = snapshot.load([*first, *torn])
    assert loaded is not None
    assert_same(loaded.monitor, before)


def assert_same(one: Any, other: Any) -> None:
    """Equal totals and rings, by series."""
    assert one.fold.instant == other.fold.instant
    assert one.fold.store.index.keys() == other.fold.store.index.keys()
    for series, row in one.fold.store.index.items():
        theirs = other.fold.store.index[series]
        assert np.array_equal(one.fold.store.totals[row], other.fold.store.totals[theirs])
        for mine, ring in zip(one.fold.store.rings, other.fold.store.rings, strict=True):
            assert np.array_equal(mine[:, row], ring[:, theirs])
    for key, ring in one.fold.store.histograms.items():
        assert np.array_equal(ring.slots, other.fold.store.histograms[key].slots)
