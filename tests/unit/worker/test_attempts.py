"""Attempts against the obvious reference: a number for every record, counted one by one."""

from __future__ import annotations

from collections import Counter

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.records import InputRecord
from stream_maas.worker.attempts import Attempts

TP = TopicPartition("maas.requests", 3)


def rows(first: int, count: int) -> list[InputRecord]:
    return [InputRecord("maas.requests", 3, offset, 0, None, b"") for offset in range(first, first + count)]


@given(st.lists(st.tuples(st.lists(st.integers(1, 6), max_size=4), st.floats(0, 1)), max_size=8))
def test_every_record_knows_how_often_it_was_taken_up(eras: list[tuple[list[int], float]]) -> None:
    """Each era hands out some fetches from the committed offset on, commits a part of them, and ends."""
    attempts, seen, committed = Attempts(), Counter[int](), 0
    for fetches, share in eras:
        offset = committed
        for number, count in enumerate(fetches):
            if number == 0:
                attempts.begun(TP, offset)
            runs = attempts.parts(TP, rows(offset, count))
            assert [row.offset for run, _ in runs for row in run] == list(range(offset, offset + count))
            for run, attempt in runs:
                for row in run:
                    seen[row.offset] += 1
                    assert attempt == seen[row.offset]
            offset += count
        if fetches:
            attempts.dropped(TP, offset)
        committed += round(share * (offset - committed))


def test_what_was_committed_is_forgotten() -> None:
    attempts = Attempts()
    for _ in range(3):
        attempts.dropped(TP, 10)
    assert attempts.parts(TP, rows(9, 2)) == [(rows(9, 1), 4), (rows(10, 1), 1)]
    attempts.begun(TP, 10)
    assert attempts.parts(TP, rows(9, 2)) == [(rows(9, 2), 1)]
