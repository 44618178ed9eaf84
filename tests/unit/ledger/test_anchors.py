"""Places outside the broker: what was put there comes back, and nothing that is there is ever written again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.errors import LedgerError
from stream_maas.ledger.anchors import (
    Anchored,
    AnchoredCheckpoint,
    AnchoredHeartbeat,
    FileAnchor,
    FolderObjects,
    ObjectAnchor,
    open_anchor,
)

ENTRIES: list[Anchored] = [
    AnchoredCheckpoint("o/0", "o/0\n12\n...\n"),
    AnchoredHeartbeat("o/0", 7, b"l" * 32, "a" * 32),
    AnchoredCheckpoint("o/1", "o/1\n140\n...\n"),
]


@pytest.mark.parametrize("place", ["worm/anchor.jsonl", "worm/"])
def test_an_anchor_gives_back_what_it_was_given(tmp_path: Path, place: str) -> None:
    anchor = open_anchor(f"{tmp_path}/{place}")
    assert isinstance(anchor, ObjectAnchor if place.endswith("/") else FileAnchor)
    anchor.append(ENTRIES[:2])
    anchor.append(ENTRIES[2:])
    assert list(anchor.read()) == ENTRIES
    assert list(open_anchor(f"{tmp_path}/{place}").read()) == ENTRIES
    with pytest.raises(LedgerError, match="cannot be read"):
        list(open_anchor(f"{tmp_path}/none{place}").read())


def test_a_line_that_a_crash_cut_off_is_passed_over_and_no_other(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor.jsonl")
    anchor.append(ENTRIES[:1])
    with anchor.path.open("ab") as file:
        file.write(b'{"cut')
    assert list(anchor.read()) == ENTRIES[:1]
    anchor.append(ENTRIES[1:])
    assert list(anchor.read()) == ENTRIES
    with anchor.path.open("ab") as file:
        file.write(b'{"broken\n{}\n')
    with pytest.raises(LedgerError, match="line 6"):
        list(anchor.read())


class LockedObjects:
    """A store in compliance mode: it knows no overwriting, no appending and no deleting."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_if_absent(self, name: str, data: bytes) -> None:
        self.objects.setdefault(name, data)

    def names(self) -> list[str]:
        return list(self.objects)

    def get(self, name: str) -> bytes:
        return self.objects[name]


@given(st.lists(st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=3), max_size=5))
def test_a_store_that_only_takes_new_objects_is_enough(calls: list[list[Anchored]]) -> None:
    """Two sealers that put the same are one; the order is that of the trees."""
    objects = LockedObjects()
    for entries in calls:
        ObjectAnchor(objects).append(entries)
        ObjectAnchor(objects).append(entries)
    kept = list(ObjectAnchor(objects).read())
    assert set(kept) == {entry for entries in calls for entry in entries}
    assert len(objects.objects) == len({tuple(entries) for entries in calls})
    assert [name[:20] for name in sorted(objects.objects)] == sorted(name[:20] for name in objects.objects)


def test_an_object_is_made_once_and_a_changed_one_is_found(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "worm")
    anchor = ObjectAnchor(objects)
    anchor.append(ENTRIES)
    (name,) = objects.names()
    assert name.startswith("00000000000000000140-")
    path = tmp_path / "worm" / name
    assert path.stat().st_mode & 0o222 == 0, "nobody may write to it"
    objects.put_if_absent(name, b"something else")
    assert list(anchor.read()) == ENTRIES
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"140", b"141"))
    with pytest.raises(LedgerError, match="is not what was put there"):
        list(anchor.read())
