"""Silence says three different things, and none of them is "all is well"."""

from __future__ import annotations

from collections.abc import Sequence

from stream_maas.monitor.lag import Tick
from tests.unit.monitor.histories import REQUESTS, SCALE, START_US, Answer, History, Idle, play, rules

RULES = rules("""
version: 1
rules:
  - {id: errors, slo: errors, per: model, objective: 99%}
  - {id: lag, measure: lag_seconds, above: 5s, severity: page}
  - {id: no-results, silence: no_results, over: 2m, min_events: 3, severity: page}
  - {id: no-requests, silence: no_requests, expect: always, over: 5m, muted_by: [no-results]}
  - {id: away, silence: monitor_gap, above: 30s}
""")
STEP_US = RULES.timing.step_us
SECOND_US = 1_000_000
FIRST = START_US // STEP_US


def answers(begin_s: float, end_s: float, *, per_s: int = 20, failing: bool = False) -> list[Answer | Idle | bytes]:
    """Evenly spread answers; every second one fails, if told to."""
    count = round((end_s - begin_s) * per_s)
    times = [START_US + round((begin_s + n / per_s) * SECOND_US) for n in range(count)]
    return [Answer(at_us, "model_error" if failing and n % 2 else "") for n, at_us in enumerate(times)]


def idle(at_s: float) -> Idle:
    return Idle(START_US + round(at_s * SECOND_US))


def ticks(ends: Sequence[tuple[float, int]], away_s: float = 0) -> list[Tick]:
    return [
        Tick(START_US + round(at_s * SECOND_US), {}, {(REQUESTS, 0): end}, round(away_s * SECOND_US), FIRST)
        for at_s, end in ends
    ]


def test_no_traffic_fires_with_zero_events() -> None:
    run = play(History({0: [idle(60)], 1: [idle(60)]}), RULES)
    assert run.steps("no-requests") == ["firing"]
    assert not run.monitor.fold.store.totals[0].any()


def test_traffic_that_comes_back_ends_it() -> None:
    run = play(History({0: [idle(60), *answers(60, 80), idle(82)]}), RULES)
    assert run.steps("no-requests") == ["firing", "resolved"]


def test_learned_silence_knows_yesterday() -> None:
    """Traffic at this time of two days, none on the third: that is silence. On the second day it was not yet."""
    day_s = 24 * 3600 * SCALE
    learned = rules("""
version: 1
rules: [{id: quiet, silence: no_requests, over: 15m, min_events: 30}]
""")
    items: list[Answer | Idle | bytes] = []
    for day in range(3):
        # An hour each day, none on the last.
        items += answers(day * day_s + 100, day * day_s + 172) if day < 2 else []
        items.append(idle((day + 1) * day_s))
    run = play(History({0: items}), learned)
    assert run.steps("quiet") == ["firing"]
    assert run.told[0]["at_us"] > START_US + 2 * day_s * SECOND_US


def test_a_lagging_monitor_closes_no_window() -> None:
    """One partition is read to its end, the other is not and no tick calls it idle: time stands still."""
    run = play(History({0: [*answers(0, 60), idle(500)], 1: answers(0, 10)}), RULES)
    assert run.monitor.fold.now_us <= START_US + 10 * SECOND_US
    assert run.events == []


def test_a_paused_broker_resolves_nothing() -> None:
    """It fires, then the broker says nothing any more: no record, no tick that calls anybody idle."""
    ill = [*answers(0, 10), *answers(10, 25, failing=True)]
    run = play(History({0: ill}), RULES)
    assert run.steps("errors:fast") == ["firing"]
    now_us = run.monitor.fold.now_us
    for at_s in range(30, 600, 10):  # the clock of the monitor goes on
        run.monitor.tick(Tick(START_US + at_s * SECOND_US, {}, {}, seen_at=run.monitor.fold.instant))
        assert run.monitor.advance().events == []
    assert run.monitor.fold.now_us == now_us
    assert run.monitor.lifecycle.alerts
    assert all(alert.firing for alert in run.monitor.lifecycle.alerts.values())


def test_missing_data_resolves_nothing_and_good_data_does() -> None:
    ill = [*answers(0, 10), *answers(10, 25, failing=True)]
    silent = play(History({0: [*ill, idle(600)]}), RULES)
    assert silent.steps("errors:fast") == ["firing"]
    well = play(History({0: [*ill, *answers(25, 60), idle(61)]}), RULES)
    assert well.steps("errors:fast") == ["firing", "resolved"]
    assert [data["reason"] for data in well.told if data["rule"] == "errors:fast" and data["event"] == "resolved"] == [
        "recovered"
    ]


def test_requests_without_results_fire_and_the_first_answer_ends_it() -> None:
    """Ends of the request topic go on, the audit topic does not; then the worker is back."""
    before = answers(0, 5)
    ends = [(n / 2, 100 + max(0, n - 10) * 10) for n in range(1, 60)]
    late = [Answer(START_US + 31 * SECOND_US + n * 1000, request_offset=100 + n) for n in range(600)]
    run = play(History({0: [*before, idle(30), *late, idle(60)]}, ticks(ends)), RULES)
    assert run.steps("no-results") == ["firing", "resolved"]
    assert run.steps("lag") == ["firing", "resolved"]
    fired = next(data for data in run.told if data["rule"] == "no-results")
    assert fired["labels"] == {"topic": REQUESTS}


def test_an_idle_service_with_a_client_marker_is_no_lag() -> None:
    """The last offset of a request topic may be the marker of a client's transaction, which nobody answers."""
    run = play(History({0: [*answers(0, 5), idle(120)]}, ticks([(n, 101) for n in range(1, 100)])), RULES)
    assert run.steps("lag") == []
    assert run.steps("no-results") == []


def test_a_monitor_that_was_away_says_so() -> None:
    run = play(History({0: [*answers(0, 60), idle(61)]}, ticks([(30, 600)], away_s=95)), RULES)
    assert run.steps("away") == ["firing", "resolved"]
    assert next(data for data in run.told if data["rule"] == "away")["value"] == 95.0


def test_a_consequence_is_inhibited_by_its_cause() -> None:
    ends = [(n / 2, 100 + max(0, n - 10) * 10) for n in range(1, 120)]
    run = play(History({0: [*answers(0, 5), idle(60)]}, ticks(ends)), RULES)
    fired = {data["rule"]: data for data in run.told if data["event"] == "firing"}
    assert "inhibited_by" not in fired["no-results"]
    assert fired["no-requests"]["inhibited_by"] == "no-results"
