"""Trees and proofs against a reference written from the RFC, and against everything that a proof must not show."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.errors import IncompleteError, LedgerError
from stream_maas.ledger import proofs
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import leaf_hash, leaf_hashes
from stream_maas.ledger.tiles import behind_front
from tests.unit.ledger import reference

MOST = 300
VALUES = [f"event {number}".encode() for number in range(MOST)]
LEAVES = leaf_hashes(VALUES)


@cache
def node(level: int, index: int) -> bytes:
    """Perfect subtrees, from the reference."""
    return reference.mth(VALUES[index << level : (index + 1) << level])


@cache
def root(size: int) -> bytes:
    return reference.mth(VALUES[:size])


def test_every_size_up_to_300_has_the_root_of_the_reference() -> None:
    tree = CompactRange()
    for size in range(MOST + 1):
        assert tree.root() == root(size)
        assert proofs.subtree_hash(0, size, node) == root(size)
        assert CompactRange(size, tree.frontier()).root() == root(size)
        if size < MOST:
            tree.append(LEAVES[size])


def test_every_inclusion_proof_up_to_70_is_the_reference_s() -> None:
    for size in range(1, 71):
        for index in range(size):
            proof = proofs.inclusion_proof(index, size, node)
            assert proof == reference.path(index, VALUES[:size])
            assert proofs.verify_inclusion(index, size, LEAVES[index], proof, root(size))


def test_every_consistency_proof_up_to_70_is_the_reference_s() -> None:
    for size in range(1, 71):
        for smaller in range(1, size + 1):
            proof = proofs.consistency_proof(smaller, size, node)
            assert proof == reference.proof(smaller, VALUES[:size])
            assert proofs.verify_consistency(smaller, size, root(smaller), root(size), proof)


@given(st.integers(1, MOST), st.data())
def test_proofs_of_larger_trees(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    smaller = data.draw(st.integers(1, size))
    assert proofs.inclusion_proof(index, size, node) == reference.path(index, VALUES[:size])
    assert proofs.consistency_proof(smaller, size, node) == reference.proof(smaller, VALUES[:size])


@given(st.lists(st.integers(0, 60), max_size=12))
def test_the_way_in_which_leaves_come_in_does_not_matter(steps: list[int]) -> None:
    tree, done = CompactRange(), 0
    for step in steps:
        step = min(step, MOST - done)
        tree.extend(LEAVES[done : done + step])
        done += step
    assert tree.size == done
    assert tree.root() == root(done)


def test_extend_names_the_subtrees_that_became_complete() -> None:
    leaves = leaf_hashes(str(number).encode() for number in range(66_000))
    tree, levels = CompactRange(), dict[int, list[bytes]]()
    for start in range(0, len(leaves), 1000):
        for level, hashes in tree.extend(leaves[start : start + 1000]).items():
            levels.setdefault(level, []).extend(hashes)
    assert {level: len(hashes) for level, hashes in levels.items()} == {1: 66_000 // 256, 2: 1}
    first = CompactRange()
    first.extend(leaves[:256])
    assert levels[1][0] == first.root()


@given(st.integers(1, MOST), st.data())
def test_a_range_proof_gives_the_root_and_nothing_else_does(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    proof = proofs.range_proof(start, end, size, node)
    assert proofs.root_from_range(start, size, LEAVES[start:end], proof) == root(size)
    changed = data.draw(st.integers(0, len(proof) + end - start - 1))
    leaves = list(LEAVES[start:end])
    (proof if changed < len(proof) else leaves)[changed if changed < len(proof) else changed - len(proof)] = b"x" * 32
    assert proofs.root_from_range(start, size, leaves, proof) != root(size)


@pytest.mark.parametrize(("start", "size"), [(0, 10_000), (499_999, 1_000_000), (123_456, 1_000_000), (3, 2**40)])
def test_ten_thousand_neighbours_need_under_forty_hashes(start: int, size: int) -> None:
    asked = []

    def source(level: int, index: int) -> bytes:
        asked.append((level, index))
        return bytes(32)

    assert len(proofs.range_proof(start, start + 10_000, size, source)) < 40


@given(st.integers(2, MOST), st.data())
def test_a_proof_of_another_shape_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = proofs.inclusion_proof(index, size, node)
    for wrong in (proof[:-1], [*proof, bytes(32)], [*proof[:-1], proof[-1] + b"x"]):
        assert not proofs.verify_inclusion(index, size, LEAVES[index], wrong, root(size))
    with pytest.raises(LedgerError):
        proofs.root_from_range(0, size, LEAVES[: size - 1], [])


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 5), (0, 0), (0, 2**64 + 1)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    assert not proofs.verify_inclusion(index, size, LEAVES[0], [], LEAVES[0])
    if size <= 5:
        with pytest.raises(LedgerError):
            proofs.inclusion_proof(index, size, node)


def test_a_frontier_must_fit_its_size() -> None:
    with pytest.raises(LedgerError):
        CompactRange(3, [bytes(32)])
    with pytest.raises(LedgerError):
        CompactRange(1, [bytes(31)])


@given(st.integers(1, MOST), st.data())
def test_what_is_left_of_a_pruned_log_is_proven_by_the_frontier_of_what_went(size: int, data: st.DataObject) -> None:
    """No node that lies before the cut is asked for, except from the frontier."""
    cut = data.draw(st.integers(0, size - 1))
    gone = CompactRange()
    gone.extend(LEAVES[:cut])

    def left(level: int, index: int) -> bytes:
        assert level >= 8 or index << level >= cut, "this was deleted"
        return node(level, index)

    nodes = behind_front(left, cut, gone.frontier())
    index = data.draw(st.integers(cut, size - 1))
    assert proofs.inclusion_proof(index, size, nodes) == proofs.inclusion_proof(index, size, node)
    end = data.draw(st.integers(index + 1, size))
    assert proofs.range_proof(index, end, size, nodes) == proofs.range_proof(index, end, size, node)
    assert proofs.consistency_proof(index + 1, size, nodes) == proofs.consistency_proof(index + 1, size, node)


def test_a_pruned_event_is_not_proven() -> None:
    gone = CompactRange()
    gone.extend(LEAVES[:6])
    nodes = behind_front(node, 6, gone.frontier())
    for index in range(6):
        with pytest.raises(IncompleteError, match="the first one left is 6"):
            proofs.inclusion_proof(index, 9, nodes)


def test_a_leaf_never_looks_like_a_node() -> None:
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != root(2)
