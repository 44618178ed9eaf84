"""Tenants with a series of their own are those that call most: against exact counts, and against what bounds memory."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stream_maas.monitor.frequent import LEAD, FrequentTenants
from stream_maas.monitor.series import OTHER, TOTAL, Series
from tests.unit.monitor.histories import START_US, Answer, History, Idle, play, rules

INSTANTS = st.lists(st.dictionaries(st.sampled_from([f"t{n}" for n in range(12)]), st.integers(1, 50)), max_size=20)
SECOND_US = 1_000_000
STEP_US = 200_000
"""At the scale of the histories; series are exchanged every 30 steps."""


@given(INSTANTS, st.integers(1, 12))
def test_no_count_is_too_high_nor_too_low_by_more_than_the_error(instants: list[dict[str, int]], capacity: int) -> None:
    summary, exact = FrequentTenants(capacity), Counter[str]()
    for calls in instants:
        summary.add(calls)
        exact.update(calls)
    assert len(summary.counts) <= capacity
    assert summary.error * capacity <= exact.total()
    for name, count in exact.items():
        assert count - summary.error <= summary.counts.get(name, 0) <= count


@given(INSTANTS, st.integers(1, 6), st.sets(st.sampled_from(["t0", "t1"])))
def test_after_an_exchange_nobody_outside_calls_clearly_more_than_anybody_inside(
    instants: list[dict[str, int]], room: int, kept: set[str]
) -> None:
    summary, exact = FrequentTenants(100), Counter[str]()
    shown = set(kept)
    for calls in instants:
        summary.add(calls)
        exact.update(calls)
        for goes, comes in summary.exchange(shown, kept, max(0, room + len(kept) - len(shown))):
            shown = (shown - {goes}) | {comes}
    assert kept <= shown
    assert len(shown) <= room + len(kept)
    outside = [count for name, count in exact.items() if name not in shown]
    inside = [exact[name] for name in shown - kept]
    if outside and inside:
        assert max(outside) * LEAD[1] <= min(inside) * LEAD[0]


def calls_of(second: int, **per_second: int) -> list[Answer | Idle | bytes]:
    """A second of answers, evenly spread."""
    names = [name for name, count in per_second.items() for _ in range(count)]
    at_us = START_US + second * SECOND_US
    return [Answer(at_us + n * SECOND_US // len(names), tenant=name) for n, name in enumerate(names)]


def shown_tenants(run: object) -> dict[str, int]:
    store = run.monitor.fold.store  # type: ignore[attr-defined]
    series, rows = store.of_kind("tenant")
    return {one.labels[0][1]: int(store.totals[row, TOTAL]) for one, row in zip(series, rows, strict=True)}


def test_a_tenant_that_calls_most_takes_the_place_of_one_that_came_first() -> None:
    """Ten come first, two are left room; later somebody else calls more than all of them."""
    text = "version: 1\nmax_tenants: 2\nrules: [{id: lag, measure: lag_seconds, above: 1m}]\n"
    items = [*calls_of(0, **{f"early-{n}": 1 for n in range(10)}), *calls_of(1, rare=1, late=30, later=20)]
    items += [item for second in range(2, 14) for item in calls_of(second, **{"late": 10, "later": 10, "early-9": 1})]
    run = play(History({0: [*items, Idle(START_US + 20 * SECOND_US)]}), rules(text))
    shown = shown_tenants(run)
    assert shown.keys() == {"late", "later", OTHER}
    assert sum(shown.values()) == len(items)
    # A new series begins at nothing: what its tenant did before is among the others, and no rule sees it twice.
    assert 0 < shown["late"] < 150


def test_who_has_an_alert_keeps_the_series() -> None:
    """Most calls of `ill` fail; then somebody else calls far more often, and a series is wanted."""
    text = """
version: 1
max_tenants: 1
rules: [{id: tenants, slo: errors, per: tenant, objective: 99%, min_events: 5, min_bad: 3}]
"""
    ill = [
        Answer(START_US + n * SECOND_US // 10, "model_error" if n % 5 else "", tenant="ill", request_offset=n)
        for n in range(40)
    ]
    items = [*ill, *(item for second in range(4, 12) for item in calls_of(second, loud=30))]
    run = play(History({0: [*items, Idle(START_US + 13 * SECOND_US)]}), rules(text))
    assert "firing" in run.steps("tenants:fast")
    assert shown_tenants(run).keys() == {"ill", OTHER}
    assert Series("tenant", (("tenant", "ill"),)) in {series for _, series in run.monitor.lifecycle.alerts}
