"""Where the hashes of a tree lie: C2SP tlog-tiles of level 1 and above, and how a proof is drawn from them.

A tile of level L holds up to 256 hashes, each the root of 256^L leaves. Level 0 (the leaf hashes themselves, 32 bytes
an event) is not stored: the leaves of one block of 256 are read again from the log when a proof needs them, so the
stored tree costs about an eighth of a byte per event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stream_maas.errors import IncompleteError, LedgerError
from stream_maas.ledger.compact import TILE_HEIGHT
from stream_maas.ledger.hashing import HASH_BYTES, node_hash, parents
from stream_maas.ledger.proofs import NodeSource

TILE_WIDTH = 1 << TILE_HEIGHT
BLOCK_EVENTS = TILE_WIDTH
"""Leaves under one hash of level 1: what is read from the log at once."""
_MAX_LEVEL = 7

TileReader = Callable[[int, int], bytes]
"""(level >= 1, index of a tile) -> its hashes one after the other, as many as there are (a partial tile has fewer)."""
BlockReader = Callable[[int], list[bytes]]
"""Index of a block -> the leaf hashes of events [256 * index, 256 * (index + 1)), fewer at the end of the log."""


def index_path(index: int) -> str:
    """1234067 -> x001/x234/067 (tlog-tiles, "Merkle Tree")."""
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03d}")
    return "/".join(reversed(parts))


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile below the log's prefix; `width` below 256 names a partial one."""
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{index_path(index)}{partial}"


def layout(size: int, level: int) -> tuple[int, int]:
    """Number of full tiles of `level` in a tree of `size` leaves, and the width of the partial one (0: none)."""
    full, partial = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
    return full, partial


def behind_front(nodes: NodeSource, size: int, frontier: Sequence[bytes]) -> NodeSource:
    """`nodes` of a tree whose first `size` leaves are gone: what lies before the cut comes from their frontier, what
    lies across it from its halves. Enough for every proof of what is left; tiles above the blocks are still there."""
    known: dict[tuple[int, int], bytes] = {}
    at, hashes = 0, iter(frontier)
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            known[level, at >> level] = next(hashes)
            at += 1 << level

    def node(level: int, index: int) -> bytes:
        if level >= TILE_HEIGHT or index << level >= size:
            return nodes(level, index)
        found = known.get((level, index))
        if found is None and level == 0:
            raise IncompleteError(f"event {index} was pruned; the first one left is {size}")
        return found or node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    return node


def node_source(tiles: TileReader, blocks: BlockReader) -> NodeSource:
    """Perfect subtrees from stored tiles, those below 256 leaves from the blocks that hold them.

    Each tile and block is asked for once. The source raises `LedgerError` for a node that is not there yet.
    """
    seen: dict[tuple[int, int], bytes | list[bytes]] = {}

    def row(level: int, index: int) -> list[bytes]:
        """The hashes of tile level `level` in tile `index`."""
        if (level, index) not in seen:
            data = tiles(level, index) if level else blocks(index)
            seen[level, index] = (
                [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
                if isinstance(data, bytes)
                else data
            )
        found = seen[level, index]
        assert isinstance(found, list)
        return found

    def node(level: int, index: int) -> bytes:
        tile_level, above = divmod(level, TILE_HEIGHT)
        first = index << above
        tile, offset = divmod(first, TILE_WIDTH)
        hashes = row(tile_level, tile)[offset : offset + (1 << above)]
        if len(hashes) != 1 << above:
            raise LedgerError(f"tile {tile_path(tile_level, tile)}: too short for the tree asked for")
        while len(hashes) > 1:
            hashes = parents(hashes)
        return hashes[0]

    return node
