"""What must be remembered of a growing tree: the roots of its perfect subtrees, one for each bit of its size."""

from __future__ import annotations

from collections.abc import Sequence

from stream_maas.errors import LedgerError
from stream_maas.ledger.hashing import EMPTY_ROOT, HASH_BYTES, node_hash, parents

TILE_HEIGHT = 8
"""Levels of one C2SP tile: a tile has 2^8 hashes, and hashes at multiples of this level are stored."""


class CompactRange:
    """The tree over leaves [0, size), by at most 64 hashes. A pure function of the leaves appended.

    `extend` works level by level over whole chunks, which costs one hash per leaf and next to nothing else.
    """

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, frontier: Sequence[bytes] = ()) -> None:
        """`frontier` as `frontier()` gave it. Raises `LedgerError` when it does not fit `size`."""
        if size < 0 or len(frontier) != size.bit_count() or any(len(node) != HASH_BYTES for node in frontier):
            raise LedgerError(f"frontier: a tree of {size} leaves has {max(size, 0).bit_count()} hashes of 32 bytes")
        self.size = size
        self._nodes: list[bytes | None] = []
        """Level -> root of the perfect subtree of 2^level leaves that stands alone at the right edge."""
        hashes = iter(reversed(frontier))
        for level in range(size.bit_length()):
            self._nodes.append(next(hashes) if size >> level & 1 else None)

    def extend(self, leaves: list[bytes]) -> dict[int, list[bytes]]:
        """Append leaf hashes. Returns tile level L >= 1 -> the roots of perfect subtrees of 256^L leaves that became
        complete, in order; the first has index `size_before >> (8 * L)`."""
        self.size += len(leaves)
        completed: dict[int, list[bytes]] = {}
        level, current = 0, leaves
        while current:
            if level == len(self._nodes):
                self._nodes.append(None)
            alone = self._nodes[level]
            if alone is not None:
                current = [alone, *current]
            self._nodes[level] = current[-1] if len(current) % 2 else None
            current = parents(current[:-1] if len(current) % 2 else current)
            level += 1
            if current and level % TILE_HEIGHT == 0:
                completed[level // TILE_HEIGHT] = current
        return completed

    def append(self, leaf: bytes) -> None:
        """Append one leaf hash."""
        self.extend([leaf])

    def root(self) -> bytes:
        """Root hash (RFC 6962 MTH) of the present size."""
        root: bytes | None = None
        for node in self._nodes:
            if node is not None:
                root = node if root is None else node_hash(node, root)
        return EMPTY_ROOT if root is None else root

    def frontier(self) -> list[bytes]:
        """The roots of the perfect subtrees from left to right; `CompactRange(size, frontier)` goes on from here."""
        return [node for node in reversed(self._nodes) if node is not None]

    def copy(self) -> CompactRange:
        """An independent copy."""
        return CompactRange(self.size, self.frontier())
