"""Lag in seconds from end offsets alone, against the append times that a reader of the records would see."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_maas.dashboard.lag import PartitionLag

LOOK_S = 2


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=60))
def test_lag_is_the_age_of_the_oldest_waiting_record_to_one_look(steps: list[tuple[int, int]]) -> None:
    lag, appended_s, committed = PartitionLag(), list[int](), 0
    for number, (new, answered) in enumerate(steps):
        now_s = number * LOOK_S
        appended_s += [now_s] * new  # between the last look and this one
        committed = min(committed + answered, len(appended_s))
        lag.looked(len(appended_s), committed, now_s)
        assert lag.records == len(appended_s) - committed
        waiting = appended_s[committed:]
        assert lag.seconds(now_s) == (now_s - waiting[0] if waiting else 0)


def test_nothing_is_known_before_the_first_look() -> None:
    assert PartitionLag().records is None
    assert PartitionLag().seconds(1.0) is None


def test_nothing_committed_means_that_all_waits() -> None:
    lag = PartitionLag()
    lag.looked(3, None, 10.0)
    assert (lag.records, lag.seconds(14.0)) == (3, 4.0)


def test_a_topic_made_anew_starts_over() -> None:
    lag = PartitionLag()
    lag.looked(100, 100, 1.0)
    lag.looked(2, 0, 5.0)
    assert (lag.records, lag.seconds(6.0)) == (2, 1.0)
