"""The sealer as a pure function of the log: same roots on every way there, and nothing it must not sign."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.errors import LedgerError
from stream_maas.ledger import proofs
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.hint import Hint
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.notes import Checkpoint, parse_checkpoint, parse_note
from stream_maas.ledger.sealing import LogSealer, Sealed
from stream_maas.ledger.store import LogStore
from stream_maas.ledger.tiles import layout, node_source, tile_path
from stream_maas.ledger.witnessing import Memory, judge
from tests.support.audit_log import Stored, Writer, stored

ORIGIN = "example.org/maas.audit/0"
KEY = SigningKey("example.org", NOTE, b"s" * 32)
VALUES = Writer().run(2000, heartbeat_every=100)
LEAVES = leaf_hashes(VALUES)
RECORDS = stored(VALUES, gap_every=7)


def root(size: int) -> bytes:
    tree = CompactRange()
    tree.extend(LEAVES[:size])
    return tree.root()


def sealer(folder: Path) -> LogSealer:
    return LogSealer(ORIGIN, LogStore(folder, ORIGIN))


def seal(log: LogSealer, published: Checkpoint | None = None) -> Sealed:
    sealed = log.seal(KEY, published)
    assert sealed is not None
    return sealed


@given(st.lists(st.integers(1, 700), min_size=1, max_size=8), st.data())
def test_any_number_of_restarts_reaches_the_same_roots(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("sealer")
    log, published, memory = sealer(folder), None, Memory(ORIGIN)
    for step in steps:
        log.take(RECORDS[log.size : log.size + step])
        if data.draw(st.booleans(), "seal"):
            sealed = log.seal(KEY, published)
            if sealed is not None:
                checkpoint = sealed.checkpoint
                assert checkpoint.root == root(log.size)
                assert sealed.note.signers([KEY.public]) == [KEY.public]
                assert CompactRange(checkpoint.size, sealed.hint.frontier).root() == checkpoint.root
                assert judge(memory, checkpoint, sealed.hint.proof_from, sealed.hint.proof) == "consistent"
                published, memory = checkpoint, Memory(ORIGIN, checkpoint.size, checkpoint.root)
        if data.draw(st.booleans(), "crash"):
            log = sealer(folder)
            assert log.size == (published.size if published else 0)
    assert log.root_at(log.size) == root(log.size)


@pytest.fixture(scope="module")
def sealed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 70,000 events (the layout of the tlog-tiles specification), sealed in uneven steps and restarts."""
    folder = tmp_path_factory.mktemp("large")
    values = [
        b'{"id":"maas.requests:0:%d","type":"x","time":"","data":{"request":{"id":"r-%d","topic":"t","offset":%d}}}'
        % (number, number, number)
        for number in range(70_000)
    ]
    log, records = sealer(folder), stored(values, gap_every=50)
    published, done = None, 0
    for step in (1, 255, 1, 9_743, 30_000, 25_536, 4_464):
        log.take(records[done : done + step])
        done += step
        published = seal(log, published).checkpoint
        log = sealer(folder)
    (folder / "values.json").write_text(json.dumps([value.decode() for value in values]))
    return folder


def large(folder: Path) -> list[bytes]:
    return [value.encode() for value in json.loads((folder / "values.json").read_text())]


def test_tiles_lie_as_the_specification_says(sealed_folder: Path) -> None:
    """70,000 leaves: one full tile of level 1, a partial one of width 17, a partial one of level 2 of width 1."""
    store = LogStore(sealed_folder, ORIGIN)
    tiles = {str(path.relative_to(store.folder)) for path in (store.folder / "tile").rglob("*") if path.is_file()}
    assert tiles == {tile_path(1, 0), tile_path(1, 1, 17), tile_path(2, 0, 1)}
    assert (layout(70_000, 1), layout(70_000, 2)) == ((1, 17), (0, 1))
    leaves = leaf_hashes(large(sealed_folder))
    for index in (0, 100, 272):
        tree = CompactRange()
        tree.extend(leaves[index * 256 : (index + 1) * 256])
        assert store.read_tile(1, index // 256)[index % 256 * 32 :][:32] == tree.root()


def test_proofs_are_drawn_from_tiles_and_single_blocks(sealed_folder: Path) -> None:
    store, values = LogStore(sealed_folder, ORIGIN), large(sealed_folder)
    leaves = leaf_hashes(values)
    checkpoint = parse_checkpoint(parse_note(store.read_checkpoint() or b"").text)
    read: set[int] = set()

    def block(number: int) -> list[bytes]:
        read.add(number)
        return leaves[number * 256 : (number + 1) * 256]

    for index in (0, 12_345, 65_535, 65_536, 69_999):
        read.clear()
        proof = proofs.inclusion_proof(index, 70_000, node_source(store.read_tile, block))
        assert proofs.verify_inclusion(index, 70_000, leaves[index], proof, checkpoint.root)
        assert len(read) <= 2
    read.clear()
    proof = proofs.range_proof(30_000, 40_000, 70_000, node_source(store.read_tile, block))
    assert proofs.root_from_range(30_000, 70_000, leaves[30_000:40_000], proof) == checkpoint.root
    assert len(proof) < 40
    assert len(read) <= 3


def test_events_are_found_by_both_their_ids(sealed_folder: Path) -> None:
    store = LogStore(sealed_folder, ORIGIN)
    records = stored(large(sealed_folder), gap_every=50)
    for index in (0, 65_535, 65_536, 69_999):
        assert store.find(f"maas.requests:0:{index}", 70_000) == [index]
        assert store.find(f"r-{index}", 70_000) == [index]
        assert store.first_offset(index // 256) == records[index // 256 * 256].offset
    assert store.find("r-70000", 70_000) == []
    assert store.find("r-69999", 69_999) == []
    with pytest.raises(LedgerError):
        store.first_offset(70_000 // 256 + 1)


def test_what_a_crash_left_behind_does_not_count(tmp_path: Path) -> None:
    """Everything but the state is on disk when the process dies: the next one writes over it."""
    log = sealer(tmp_path)
    log.take(RECORDS[:300])
    first = seal(log)
    log.take(RECORDS[300:1500])
    log._store_tree()
    log = sealer(tmp_path)
    assert log.size == 300
    log.take(RECORDS[300:1600])
    assert seal(log, first.checkpoint).checkpoint.root == root(1600)
    store = LogStore(tmp_path, ORIGIN)
    assert store.find("worker-0-aaaa-1200", 1600) == [next(
        index for index, value in enumerate(VALUES) if b'"worker-0-aaaa-1200"' in value
    )]  # fmt: skip
    assert store.first_offset(5) == RECORDS[1280].offset


def test_two_sealers_reach_identical_roots_at_equal_sizes(tmp_path: Path) -> None:
    first, second = sealer(tmp_path / "1"), sealer(tmp_path / "2")
    heads: dict[int, set[bytes]] = {}
    published = None
    for number, end in enumerate(range(100, 1900, 100)):
        for log in (first, second) if number % 3 else (second, first):
            log.take(RECORDS[log.size : end])
            sealed = log.seal(KEY, published)
            if sealed is not None:
                published = sealed.checkpoint
            heads.setdefault(end, set()).add(log.root_at(log.size) or b"")
    assert all(len(roots) == 1 for roots in heads.values())
    assert heads[1800] == {root(1800)}


def test_a_log_that_was_changed_is_not_sealed(tmp_path: Path) -> None:
    log = sealer(tmp_path)
    log.take(RECORDS[:300])
    published = seal(log).checkpoint
    changed = sealer(tmp_path / "new")
    changed.take([Stored(0, b"x"), *RECORDS[1:400]])
    with pytest.raises(LedgerError, match="another root at size 300"):
        changed.seal(KEY, published)


def test_nothing_smaller_than_what_was_published_is_signed(tmp_path: Path) -> None:
    log = sealer(tmp_path)
    log.take(RECORDS[:300])
    assert log.seal(KEY, Checkpoint(ORIGIN, 301, bytes(32))) is None
    assert log.seal(KEY, Checkpoint(ORIGIN, 300, root(300))) is None


def test_what_was_sealed_is_not_taken_again(tmp_path: Path) -> None:
    log = sealer(tmp_path)
    log.take(RECORDS[:300])
    with pytest.raises(LedgerError):
        log.take(RECORDS[299:310])


def test_a_state_of_another_log_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    log = sealer(tmp_path)
    log.take(RECORDS[:300])
    seal(log)
    state = LogStore(tmp_path, ORIGIN).folder / "state.json"
    good = state.read_text()
    for bad in (good.replace(ORIGIN, "other"), good[:-2], good.replace('"size":300', '"size":301'), "[]"):
        state.write_text(bad)
        with pytest.raises(LedgerError):
            sealer(tmp_path)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 300, 512, 2000])
def test_a_topic_that_does_not_hold_what_was_sealed_is_known_by_its_newest_block(tmp_path: Path, size: int) -> None:
    log = sealer(tmp_path)
    log.take(RECORDS[:size])
    seal(log)
    log = sealer(tmp_path)
    first = (size - 1) // 256 * 256
    assert log.newest_block() == RECORDS[first].offset
    leaves = LEAVES[first:size]
    assert log.holds(leaves)
    pruned = leaves[1:]
    assert log.holds(pruned)
    for at in range(len(leaves)):
        other = [*leaves[:at], bytes(32), *leaves[at + 1 :]]
        assert not log.holds(other)
    assert not log.holds([*leaves, bytes(32)])
    assert log.holds(leaves), "asking changes nothing"


def test_a_log_whose_state_is_lost_must_lead_to_what_was_signed(tmp_path: Path) -> None:
    """Also where no checkpoint is published any more: the note beside the state says what was signed."""
    log = sealer(tmp_path)
    log.take(RECORDS[:300])
    seal(log)
    (LogStore(tmp_path, ORIGIN).folder / "state.json").unlink()
    honest, forged = sealer(tmp_path), sealer(tmp_path)
    honest.take(RECORDS[:200])
    assert honest.missing(None) == 300
    assert honest.seal(KEY, None) is None, "smaller than what was signed"
    honest.take(RECORDS[200:400])
    assert honest.missing(None) == 0
    assert seal(honest).checkpoint.root == root(400)
    forged.take([Stored(record.offset, b"{}") for record in RECORDS[:400]])
    with pytest.raises(LedgerError, match="another root at size 300"):
        forged.keep(None)
    with pytest.raises(LedgerError, match="another root at size 300"):
        forged.seal(KEY, None)


def test_a_checkpoint_in_the_log_s_folder_is_the_published_one(tmp_path: Path) -> None:
    log = sealer(tmp_path)
    log.take(RECORDS[:300])
    sealed = seal(log)
    assert LogStore(tmp_path, ORIGIN).read_checkpoint() == sealed.note.encode().encode()
    assert sealed.note.text == f"{ORIGIN}\n300\n{sealed.note.text.splitlines()[2]}\n"


def test_an_origin_cannot_leave_the_folder(tmp_path: Path) -> None:
    for origin in ("../../etc/x", "/etc/x", "a/./b", "a//b", "a/%2e%2e/b"):
        assert LogStore(tmp_path, origin).folder.resolve().is_relative_to(tmp_path.resolve())


def test_hints_are_read_back_and_junk_is_none() -> None:
    hint = Hint(7, (b"f" * 32,), 3, (b"p" * 32,), (2, 5, (b"q" * 32,)))
    assert Hint.decode(hint.encode()) == hint
    for junk in (None, b"", b"[]", b"{}", b'{"next_offset":"x","frontier":[]}', b"\xff"):
        assert Hint.decode(junk) is None


def test_heartbeats_and_prunes_are_remembered(tmp_path: Path) -> None:
    writer = Writer()
    values = writer.run(120, heartbeat_every=50)
    tree = CompactRange()
    tree.extend(leaf_hashes(values[:60]))
    frontier = [node.hex() for node in tree.frontier()]
    said = {"partition": 0, "size": 60, "next_offset": 60, "root": tree.root().hex(), "frontier": frontier}
    values.append(writer.service("pruned.v1", {"pruned": said}))
    log = sealer(tmp_path)
    log.take(stored(values))
    (heartbeat,) = log.heartbeats()
    assert (heartbeat.session, heartbeat.leaf) == (writer.session, leaf_hashes(values)[heartbeat.index])
    assert b"heartbeat" in values[heartbeat.index]
    assert log.heartbeats() == []
    pruned = (60, 60, tuple(tree.frontier()))
    assert seal(log).hint.pruned == pruned
    assert sealer(tmp_path)._pruned == pruned


def judged(memory: Memory, sealed: Sequence[Sealed]) -> list[str]:
    return [judge(memory, each.checkpoint, each.hint.proof_from, each.hint.proof) for each in sealed]


def test_a_witness_wants_a_proof_from_what_it_remembers(tmp_path: Path) -> None:
    log, sealed = sealer(tmp_path), list[Sealed]()
    for end in (100, 200, 777):
        log.take(RECORDS[log.size : end])
        sealed.append(seal(log, sealed[-1].checkpoint if sealed else None))
    assert judged(Memory(ORIGIN, 200, root(200)), sealed) == ["old", "consistent", "consistent"]
    assert judged(Memory(ORIGIN, 100, root(100)), sealed) == ["consistent", "consistent", "unproven"]
    with pytest.raises(LedgerError, match="different histories"):
        judged(Memory(ORIGIN, 200, root(199)), sealed[2:])
    with pytest.raises(LedgerError, match="different histories"):
        judged(Memory(ORIGIN, 777, root(199)), sealed[2:])
    with pytest.raises(LedgerError, match="another log"):
        judged(Memory("other", 200, root(200)), sealed[2:])
