"""Whatever Kafka does not promise changes nothing: order between partitions, chunks, repetitions, crashes."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_maas.monitor.commands import Acknowledge, Retire, Silence
from stream_maas.monitor.fold import Fold, _counts
from stream_maas.monitor.lag import Tick
from stream_maas.monitor.outcomes import read_outcomes
from stream_maas.monitor.partial import Partial
from stream_maas.monitor.series import LATE, MONITOR, TOTAL
from tests.unit.monitor.histories import (
    REQUESTS,
    SCALE,
    START_US,
    Answer,
    History,
    Idle,
    Stored,
    event_bytes,
    play,
    rules,
    shown_by,
)

RULES = rules(
    """
version: 1
max_tenants: 2
rules:
  - {id: tenants, slo: errors, per: tenant, objective: 99%, min_events: 5, min_bad: 2}
  - {id: errors, slo: errors, per: model, objective: 99%, min_events: 5, min_bad: 2, escalate_after: 2m}
  - {id: slow, slo: latency, below: 100ms, per: lane, objective: 90%, min_events: 5, muted_by: ["errors:fast"]}
  - {id: p90, measure: latency_quantile, quantile: 0.9, per: model, above: 150ms, min_events: 5, for: 1m}
  - {id: rejected, measure: reject_ratio, per: lane, above: 30%, min_events: 5, over: 2m, repeat_every: 3m}
  - {id: code, measure: code_ratio, above: 20%, min_events: 5}
  - {id: redaction, measure: redaction_failures, above: 0, severity: page}
  - {id: gap, measure: audit_gap, above: 0}
  - {id: late, measure: late_events, above: 0}
  - {id: unreadable, measure: unreadable_events, above: 0}
  - {id: lag, measure: lag_seconds, above: 2s}
  - {id: no-results, silence: no_results, over: 1m}
  - {id: no-requests, silence: no_requests, expect: always, over: 4m}
""",
    SCALE,
)
STEP_US = RULES.timing.step_us
CODES = ("", "", "", "", "model_error", "expired", "invalid_input", "redaction_error")


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Up to three partitions over about half a minute (at this scale: 25 minutes of windows), with disorder, late
    events, pauses that a tick noticed, faults in spells, unreadable records and skipped requests."""
    chance = random.Random(draw(st.integers(0, 1 << 30)))
    partitions: dict[int, list[Answer | Idle | bytes]] = {}
    for number in range(draw(st.integers(1, 3))):
        items: list[Answer | Idle | bytes] = []
        now_us, request = START_US, 0
        ill_us = range(0)
        session, counter = f"writer-{number}", 0
        for _ in range(draw(st.integers(0, 80))):
            now_us += int(chance.expovariate(1 / 250_000))
            if chance.random() < 0.03:
                ill_us = range(now_us, now_us + chance.randrange(8_000_000))
            if chance.random() < 0.01:
                items.append(b"not json")
            if chance.random() < 0.03:
                items.append(Idle(now_us))
                now_us += chance.randrange(4_000_000)
            request += 1 if chance.random() < 0.97 else chance.choice((0, 2, 5))
            back_us = chance.choice((0, 0, 0, 300_000, 2_000_000, 5_000_000, 14_000_000))
            code = chance.choice(CODES) if now_us in ill_us else ""
            if chance.random() < 0.02:
                session, counter = f"{session}+", 0
            counter += 1 if chance.random() < 0.98 else chance.choice((0, 3))
            # Who calls most changes with time.
            tenant = chance.choice(("", "t1", f"t{2 + (now_us - START_US) // 7_000_000}", f"t{chance.randrange(9)}"))
            total_us = chance.choice((10_000, 20_000, 300_000) if now_us in ill_us else (10_000, 20_000))
            items.append(Answer(max(START_US, now_us - back_us), code, total_us, chance.choice(("a", "b")),
                                tenant, request_offset=request, session=(session, counter)))  # fmt: skip
        items.append(Idle(START_US + 32_000_000))
        partitions[number] = items
    first = START_US // STEP_US
    ends = itertools.accumulate(chance.choice((0, 1, 6, -40)) for _ in range(32))
    samples = [
        Tick(START_US + n * 1_000_000, {}, {(REQUESTS, 0): max(0, end)}, seen_at=first + 5 * n - 3)
        for n, end in enumerate(ends)
    ]
    commands = [
        (first + 60, Silence("s1", {"rule": "rejected"}, START_US, START_US + 20_000_000)),
        (first + 90, Retire("r1", {"model": "b"})),
    ]
    return History(partitions, samples, commands)


def schedule(history: History, seed: int) -> list[tuple[int, int]]:
    """Small bites of the partitions in any order."""
    chance = random.Random(seed)
    bites = []
    for number, items in history.partitions.items():
        left = len(items)
        while left > 0:
            bite = chance.choice((1, 2, 7, 40))
            bites.append((number, bite))
            left -= bite
    chance.shuffle(bites)
    return bites


@settings(max_examples=15)
@given(histories(), st.integers(0, 1 << 30))
def test_interleaving_chunking_repetition_and_crashes_change_nothing(history: History, seed: int) -> None:
    """The same windows, bit for bit, and the same alert events with the same ids."""
    plain = play(history, RULES)
    shaken = play(history, RULES, schedule(history, seed), seed=seed)
    assert shaken.told == plain.told
    assert shaken.totals() == plain.totals()


@settings(max_examples=12)
@given(histories(), st.lists(st.integers(0, 2), min_size=3, max_size=3), st.integers(0, 1 << 30))
def test_any_split_over_workers_merges_bit_for_bit(history: History, worker_of: list[int], seed: int) -> None:
    """Each worker folds its share of the partitions by itself; what they have for an instant and step is added up in
    any order, shown, and is what one worker has that reads everything."""
    chance = random.Random(seed)
    whole = unshown(history, list(history.partitions))
    shares = [[n for n in history.partitions if worker_of[n] == worker] for worker in range(3)]
    merged = unshown(history, [])
    parts = [unshown(history, share) for share in shares if share]
    chance.shuffle(parts)
    for part in parts:
        merged.partitions |= part.partitions
        for shown_at, steps in part.pending.items():
            for step_end, partial in steps.items():
                merged.pending.setdefault(shown_at, {}).setdefault(step_end, Partial()).merge(partial)
    for fold in (whole, merged):
        while fold.instant < whole.target:
            fold.show_next()
            fold.exchange_tenants(())
    assert shown_by(merged) == shown_by(whole)


def unshown(history: History, partitions: list[int]) -> Fold:
    """A fold that has taken in these partitions and shows nothing yet."""
    fold = Fold(RULES, dict.fromkeys(partitions, 0), history.at_us)
    for number in partitions:
        answers = [item for item in history.partitions[number] if not isinstance(item, Idle)]
        records = [
            Stored(offset, item if isinstance(item, bytes) else event_bytes(number, offset, item))
            for offset, item in enumerate(answers)
        ]
        if records:
            fold.take(number, read_outcomes(records))
        fold.be_idle(number, len(records), START_US + 32_000_000)
    return fold


@settings(max_examples=15)
@given(histories())
def test_every_event_of_a_tenant_counts_once_whoever_has_a_series(history: History) -> None:
    """Series change owners; what they have counted goes on counting, in every window."""
    run = play(history, RULES)
    store, instant = run.monitor.fold.store, run.monitor.fold.instant
    rows = store.of_kind("tenant")[1]
    answers = [item for items in history.partitions.values() for item in items if isinstance(item, Answer)]
    repeats = sum(clock.repeats for clock in run.monitor.fold.partitions.values())
    late = int(store.totals[store.index[MONITOR], LATE])
    # Late ones that came when the history was all but over are shown at an instant that it does not reach.
    steps = [steps for instant, steps in run.monitor.fold.pending.items() if instant > run.monitor.fold.instant]
    partials = [partial for each in steps for partial in each.values()]
    waiting = sum(
        int(_counts(kind, cell, store.totals.shape[1])[TOTAL]) for one in partials for kind, cell in one.cells.items()
    )
    assert len(answers) == int(store.totals[0, TOTAL]) + repeats + late + waiting
    assert len(rows) <= 3
    named = sum(bool(answer.tenant) for answer in answers)
    assert named - repeats - late - waiting <= int(store.totals[rows, TOTAL].sum()) <= named
    for steps in (5, 30, 150):
        assert (store.window(steps, instant)[rows, TOTAL].sum()) <= store.window(steps, instant)[0, TOTAL]


@settings(max_examples=15)
@given(histories())
def test_one_firing_for_each_incident_and_dense_sequences(history: History) -> None:
    run = play(history, RULES)
    fired = [event.alert.incident_id for event in run.events if event.step == "firing"]
    assert len(fired) == len(set(fired))
    ids = [event.id for event in run.events]
    assert len(ids) == len(set(ids))
    last: dict[str, int] = {}
    for event in run.events:
        incident = event.data["incident_id"]
        assert event.data["sequence"] == last.get(incident, -1) + 1
        last[incident] = event.data["sequence"]


@settings(max_examples=6)
@given(histories(), st.integers(0, 1 << 30))
def test_an_acknowledgement_is_told_once(history: History, seed: int) -> None:
    """Wherever it is acknowledged: one event, and neither repetition nor escalation after it."""
    fired = [event for event in play(history, RULES).events if event.step == "firing"]
    if not fired:
        return
    target = random.Random(seed).choice(fired)
    instant = target.data["at_us"] // STEP_US + 3
    history.commands = [*history.commands, (instant, Acknowledge("a1", target.data["incident_id"]))]
    run = play(history, RULES, schedule(history, seed), seed=seed)
    assert run.told == play(history, RULES).told
    steps = [event.step for event in run.events if event.data["incident_id"] == target.data["incident_id"]]
    if "acknowledged" in steps:
        assert steps.count("acknowledged") == 1
        assert set(steps[steps.index("acknowledged") + 1 :]) <= {"resolved"}
