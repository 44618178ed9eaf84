"""What proves a statement about a tree: inclusion, consistency and ranges (RFC 9162, 2.1.3 to 2.1.5).

Building asks a node source for roots of perfect subtrees; checking needs nothing but the proof. Both walk down the
same definition, so they cannot disagree about its shape. Subtrees are those of draft-ietf-plants-merkle-tree-certs:
[start, end) is one when start is a multiple of the smallest power of two that is not below end - start. Inclusion in
a tree is inclusion in the subtree [0, n), and consistency of two trees is that of the subtree [0, m) with n.

A range proof is the list of the roots of all largest subtrees outside [start, end), from left to right: for 10,000
neighbours in a tree of a million leaves it has at most 34 hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stream_maas.errors import LedgerError
from stream_maas.ledger.hashing import EMPTY_ROOT, HASH_BYTES, node_hash, parents

NodeSource = Callable[[int, int], bytes]
"""(level, index) -> root of the perfect subtree of the leaves [index * 2^level, (index + 1) * 2^level)."""

_MAX_SIZE = 1 << 64


def split(count: int) -> int:
    """The largest power of two below `count` >= 2: where RFC 6962 divides a tree."""
    return 1 << (count - 1).bit_length() - 1


def is_subtree(start: int, end: int) -> bool:
    """Whether [start, end) is a valid subtree of some tree; empty ranges are."""
    if not 0 <= start <= end:
        return False
    return start == end or start & (1 << (end - start - 1).bit_length()) - 1 == 0


def covering(start: int, end: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """One or two subtrees that together cover [start, end) with little around it (the draft's section 4.5).

    The second is empty where one suffices."""
    if end - start <= 1:
        return (start, end), (end, end)
    last = end - 1
    bits = (start ^ last).bit_length() - 1
    middle = last >> bits << bits
    left_bits = (middle - start - 1).bit_length()
    return (start >> left_bits << left_bits, middle), (middle, end)


# Building -----------------------------------------------------------------------------------------------------------


def subtree_hash(start: int, end: int, node: NodeSource) -> bytes:
    """Root hash of the subtree [start, end)."""
    if start == end:
        return EMPTY_ROOT
    count = end - start
    if count & count - 1 == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    middle = start + split(count)
    return node_hash(subtree_hash(start, middle, node), subtree_hash(middle, end, node))


def inclusion_proof(index: int, end: int, node: NodeSource, *, start: int = 0) -> list[bytes]:
    """Proof that leaf `index` is in the tree [start, end), from the leaf's sibling up (RFC 9162, 2.1.3.1).

    Raises `LedgerError` for an index outside of it."""
    if not start <= index < end or not is_subtree(start, end):
        raise LedgerError("index: not in this tree")
    proof = []
    low, high = start, end
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            proof.append(subtree_hash(middle, high, node))
            high = middle
        else:
            proof.append(subtree_hash(low, middle, node))
            low = middle
    return proof[::-1]


def consistency_proof(end: int, size: int, node: NodeSource, *, start: int = 0) -> list[bytes]:
    """Proof that the subtree [start, end) is part of the tree of `size` leaves (RFC 9162, 2.1.4.1 with start 0).

    Empty for an empty subtree. Raises `LedgerError` for one that is not in the tree."""
    if not is_subtree(start, end) or end > size:
        raise LedgerError("subtree: not in this tree")
    if start == end:
        return []
    proof = []
    low, high, cut = 0, size, False
    while (start, end) != (low, high):
        middle = low + split(high - low)
        if end <= middle:
            proof.append(subtree_hash(middle, high, node))
            high = middle
        else:
            proof.append(subtree_hash(low, middle, node))
            cut, start = cut or start < middle, max(start, middle)
            low = middle
    return [*([subtree_hash(low, high, node)] if cut else []), *proof[::-1]]


def range_proof(start: int, end: int, size: int, node: NodeSource) -> list[bytes]:
    """Roots of the largest subtrees outside [start, end) in a tree of `size` leaves, from left to right.

    Raises `LedgerError` for an empty range or one that is not in the tree."""
    return [subtree_hash(low, high, node) for low, high in _outside(start, end, size)]


def _outside(start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    if not 0 <= start < end <= size:
        raise LedgerError("range: empty, or not in this tree")

    def walk(low: int, high: int) -> Iterator[tuple[int, int]]:
        if high <= start or end <= low:
            yield low, high
        elif low < start or end < high:
            middle = low + split(high - low)
            yield from walk(low, middle)
            yield from walk(middle, high)

    return walk(0, size)


# Checking -----------------------------------------------------------------------------------------------------------


def root_from_inclusion(index: int, end: int, leaf: bytes, proof: Sequence[bytes], *, start: int = 0) -> bytes:
    """Root of [start, end) that `proof` gives for `leaf` at `index`. Raises `LedgerError` for a wrong shape."""
    if not (start <= index < end <= _MAX_SIZE and is_subtree(start, end)) or not _hashes(leaf, *proof):
        raise LedgerError("inclusion proof: the index is not in the tree, or a hash has not 32 bytes")
    sides = []
    low, high = start, end
    while high - low > 1:
        middle = low + split(high - low)
        sides.append(index < middle)
        low, high = (low, middle) if index < middle else (middle, high)
    if len(proof) != len(sides):
        raise LedgerError(f"inclusion proof: has {len(proof)} hashes, must have {len(sides)}")
    root = leaf
    for sibling, is_left in zip(proof, reversed(sides), strict=True):
        root = node_hash(root, sibling) if is_left else node_hash(sibling, root)
    return root


def verify_inclusion(index: int, end: int, leaf: bytes, proof: Sequence[bytes], root: bytes, *, start: int = 0) -> bool:
    """Whether `proof` shows that `leaf` is at `index` of the tree [start, end) with this root."""
    try:
        return root_from_inclusion(index, end, leaf, proof, start=start) == root
    except LedgerError:
        return False


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `size1` leaves with `root1` is a prefix of that of `size2`.

    Equal sizes need equal roots and an empty proof, whatever the roots are. Size 0 proves nothing and is refused, as
    in transparency-dev/merkle; who may start from nothing (a witness) says so itself.
    """
    return size1 > 0 and verify_subtree(0, size1, size2, root1, root2, proof)


def verify_subtree(start: int, end: int, size: int, subtree_root: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the subtree [start, end) is part of the tree of `size` leaves with this root.

    An empty subtree is part of every tree, and the whole tree is part of itself: both with an empty proof."""
    if not (is_subtree(start, end) and end <= size <= _MAX_SIZE):
        return False
    if start == end:
        return not proof and subtree_root == EMPTY_ROOT
    if (start, end) == (0, size):
        return not proof and subtree_root == root
    if not _hashes(subtree_root, root, *proof):
        return False
    steps = []
    low, high, cut = 0, size, False
    while (start, end) != (low, high):
        middle = low + split(high - low)
        if end <= middle:
            steps.append("right")
            high = middle
        else:
            # A left neighbour that the subtree itself reaches into is hashed into both roots.
            steps.append("both" if start < middle else "left")
            cut, start, low = cut or start < middle, max(start, middle), middle
    if len(proof) != len(steps) + cut:
        return False
    small = large = proof[0] if cut else subtree_root
    for step, sibling in zip(reversed(steps), proof[cut:], strict=True):
        large = node_hash(large, sibling) if step == "right" else node_hash(sibling, large)
        if step == "both":
            small = node_hash(sibling, small)
    return small == subtree_root and large == root


def root_from_range(start: int, size: int, leaves: Sequence[bytes], proof: Sequence[bytes]) -> bytes:
    """Root of the tree of `size` leaves that has `leaves` from index `start` on and `proof` around them.

    Raises `LedgerError` for a proof of wrong shape."""
    end, hashes = start + len(leaves), iter(proof)
    wanted = sum(1 for _ in _outside(start, end, size))
    if len(proof) != wanted or not _hashes(*proof):
        raise LedgerError(f"range proof: has {len(proof)} hashes, must have {wanted} of 32 bytes")

    def walk(low: int, high: int) -> bytes:
        if high <= start or end <= low:
            return next(hashes)
        if start <= low and high <= end:
            return _tree(list(leaves[low - start : high - start]))
        middle = low + split(high - low)
        left = walk(low, middle)
        return node_hash(left, walk(middle, high))

    return walk(0, size)


def _tree(level: list[bytes]) -> bytes:
    """Root over one or more leaf hashes: an odd last hash moves up as it is, which gives RFC 6962's shape."""
    while len(level) > 1:
        last = [level[-1]] if len(level) % 2 else []
        level = parents(level[: len(level) - len(last)]) + last
    return level[0]


def _hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
