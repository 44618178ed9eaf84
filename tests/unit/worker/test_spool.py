"""The spool against a list: whatever happens in whatever order, and whenever a crash tears the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_maas.errors import SpoolError
from stream_maas.worker.spool import Spool, SpooledRow

LIMIT = 1 << 16


def rows(first: int, count: int) -> list[SpooledRow]:
    return [SpooledRow(number % 3, b"k%d" % number, b"v%d" % number) for number in range(first, first + count)]


def values(spool: Spool) -> list[bytes]:
    """What is to be moved."""
    return [row.value for frame in spool.waiting(10_000) for row in frame.rows]


ACTIONS = st.lists(
    st.sampled_from(["append", "append", "confirm", "roll back", "move one", "reopen", "tear", "clear"]), max_size=25
)


@given(ACTIONS, st.integers(0, 200))
@example(["append", "confirm", "move one", "append", "roll back", "reopen"], 0)
@example(["append", "confirm", "append", "move one", "roll back", "reopen"], 0)
def test_what_is_confirmed_is_there_until_it_was_moved(
    tmp_path_factory: pytest.TempPathFactory, actions: list[str], torn_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("spool") / "s" / "w.spool"
    spool = Spool(path, LIMIT)
    confirmed: list[list[bytes]] = []
    open_frames: list[list[bytes]] = []
    made = moved = 0
    for action in actions:
        if action == "append":
            frame = rows(made, 1 + made % 3)
            made += len(frame)
            spool.append(frame, at_us=made, reason="NotEnoughReplicasError")
            open_frames.append([row.value for row in frame])
        elif action == "confirm":
            spool.confirm(spool.number)
            confirmed, open_frames = confirmed + open_frames, []
        elif action == "roll back":
            spool.roll_back()
            open_frames = []
        elif action == "move one" and confirmed:
            frame_number = spool.waiting(1)[0].number
            spool.move(frame_number)
            confirmed.pop(0)
            moved += 1
        elif action in ("reopen", "tear"):
            # What Kafka has committed decides about what was open.
            known, number = spool.id, spool.number - len(open_frames)
            spool.close()
            if action == "tear":
                with path.open("ab") as file:
                    file.write(os.urandom(torn_bytes))
            spool = Spool(path, LIMIT)
            spool.settle(known, confirmed=number)
            open_frames = []
        elif action == "clear" and not confirmed and not open_frames:
            spool.clear()
        assert values(spool) == [value for frame in confirmed for value in frame]
        assert spool.size_bytes == path.stat().st_size <= LIMIT
        assert spool.events == sum(map(len, confirmed)) + sum(map(len, open_frames))
    spool.close()


def test_a_full_spool_takes_nothing_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "w.spool", 400)
    spool.append(rows(0, 2), at_us=1, reason="r")
    size = spool.size_bytes
    with pytest.raises(SpoolError, match="full"):
        spool.append([SpooledRow(0, b"k", b"v" * 400)], at_us=2, reason="r")
    assert (spool.size_bytes, spool.number) == (size, 1)
    spool.confirm(1)
    assert values(spool) == [b"v0", b"v1"]


def test_frames_that_kafka_knows_and_the_file_does_not_are_an_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "w.spool", LIMIT)
    for number in range(3):
        spool.append(rows(number, 1), at_us=1, reason="r")
    spool.close()
    (tmp_path / "w.spool").write_bytes((tmp_path / "w.spool").read_bytes()[:-5])
    spool = Spool(tmp_path / "w.spool", LIMIT)
    assert spool.torn_bytes > 0
    with pytest.raises(SpoolError, match="frame 3 to 3 are missing"):
        spool.settle(spool.id, confirmed=3)


def test_the_cursor_of_another_filling_says_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "w.spool", LIMIT)
    spool.append(rows(0, 1), at_us=1, reason="r")
    spool.settle("f" * 32, confirmed=0, moved=9)
    assert (spool.number, spool.confirmed, spool.moved) == (1, 0, 0)
    spool.settle(spool.id, confirmed=1, moved=2)
    assert spool.is_empty


def test_two_processes_never_share_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "w.spool", LIMIT)
    with pytest.raises(SpoolError, match="another process"):
        Spool(tmp_path / "w.spool", LIMIT)
    spool.close()
    Spool(tmp_path / "w.spool", LIMIT).close()
