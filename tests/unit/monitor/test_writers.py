"""A hole in a writer's counter is a gap though every request offset is there; an end without goodbye is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pytest

from stream_maas.monitor.outcomes import read_outcomes
from stream_maas.monitor.writers import MAX_SESSIONS, WriterCounts
from tests.unit.monitor.histories import START_US, Answer, History, Idle, Run, Stored, play, reborn, rules

RULES = rules("version: 1\nrules: [{id: gap, measure: audit_gap, above: 0, over: 5m}]")
SECOND_US = 1_000_000


def service_event(session: str, counter: int, kind: str = "session.heartbeat") -> bytes:
    """An event about a writer session itself, with the members that the monitor reads."""
    data = {"partition": 0, "writer": {"session": {"id": session, "counter": counter}}}
    return orjson.dumps({"type": f"org.stream-maas.audit.{kind}.v1", "time": "2026-01-01T00:00:00Z", "data": data})


def after(counters: Sequence[tuple[str, int]]) -> Run:
    """The monitor after answers with these places in chains; their request offsets leave nothing out."""
    answers = [Answer(START_US + n * 100_000, session=place) for n, place in enumerate(counters)]
    return play(History({0: [*answers, Idle(START_US + 20 * SECOND_US)]}), RULES)


def test_a_hole_in_the_counter_is_a_gap_and_its_evidence_is_what_follows_it() -> None:
    run = after([*(("a", n) for n in range(10)), *(("a", n) for n in range(13, 20))])
    fired = next(data for data in run.told if data["event"] == "firing")
    assert fired["value"] == 3
    assert fired["evidence"] == [{"topic": "maas.audit", "partition": 0, "offset": 10}]


def test_what_both_witnesses_see_is_counted_once() -> None:
    answers = [Answer(START_US + n * 100_000, session=("a", n), request_offset=n) for n in range(20) if n not in (7, 8)]
    run = play(History({0: [*answers, Idle(START_US + 20 * SECOND_US)]}), RULES)
    assert next(data for data in run.told if data["event"] == "firing")["value"] == 2


@pytest.mark.parametrize(
    "counters",
    [
        [*(("a", n) for n in range(9)), *(("b", n) for n in range(9))],
        [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)],
        [("a", 0), ("a", 1), ("a", 1), ("a", 0), ("a", 2)],
    ],
    ids=["one ends without goodbye", "two take turns", "a writer without transactions repeats itself"],
)
def test_no_gap(counters: list[tuple[str, int]]) -> None:
    assert after(counters).told == []


def test_a_session_without_its_beginning_is_a_gap_where_the_log_was_read_from_its_own() -> None:
    assert next(data for data in after([("a", 4), ("a", 5)]).told if data["event"] == "firing")["value"] == 4
    joined = WriterCounts(joins=True)
    assert joined.follow(read_outcomes([Stored(70, service_event("a", 4))])).tolist() == [0]
    assert joined.follow(read_outcomes([Stored(71, service_event("a", 7))])).tolist() == [2]


def test_events_about_the_session_count_as_well() -> None:
    records: list[Answer | Idle | bytes] = [service_event("a", 0, "session.start"), service_event("a", 1)]
    answers = [Answer(START_US + n, session=("a", n)) for n in (2, 4)]
    whole = [*records, answers[0], service_event("a", 3), answers[1]]
    holed = [*records, answers[0], answers[1]]
    idle = Idle(START_US + 20 * SECOND_US)
    assert play(History({0: [*whole, idle]}), RULES).told == []
    assert play(History({0: [*holed, idle]}), RULES).told[0]["value"] == 1


def test_snapshots_carry_the_counts() -> None:
    run = after([("a", 0), ("a", 1)])
    again = reborn(run.monitor)
    missing = again.fold.partitions[0].writers.follow(read_outcomes([Stored(2, service_event("a", 5))]))
    assert missing.tolist() == [3]


def test_memory_is_bounded_by_forgetting_who_was_silent_longest() -> None:
    writers = WriterCounts(joins=False)
    records = [Stored(n, service_event(f"s{n}", 0)) for n in range(MAX_SESSIONS + 50)]
    assert not np.any(writers.follow(read_outcomes(records)))
    assert len(writers.next) == MAX_SESSIONS
    assert "s0" not in writers.next
    assert writers.follow(read_outcomes([Stored(5000, service_event("s0", 3))])).tolist() == [0]
