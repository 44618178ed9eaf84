"""What a sealer may sign: the tree over what it has read, never a smaller one, never one that contradicts another.

A sealer is a pure function of the log: restarted, doubled or left behind, it reaches the same root at the same size.
Nothing here waits or talks to Kafka; `LogSealer` takes records and gives checkpoints, `LogStore` keeps its files.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from stream_maas.errors import BrokenStateError, LedgerError
from stream_maas.ledger import index as ids
from stream_maas.ledger.compact import TILE_HEIGHT, CompactRange
from stream_maas.ledger.hashing import HASH_BYTES, leaf_hashes
from stream_maas.ledger.hint import Hint, from_texts, to_texts
from stream_maas.ledger.keys import SigningKey
from stream_maas.ledger.notes import Checkpoint, Note, parse_checkpoint, parse_note, sign_note
from stream_maas.ledger.proofs import consistency_proof
from stream_maas.ledger.store import LogStore
from stream_maas.ledger.tiles import BLOCK_EVENTS, TILE_WIDTH, layout, node_source
from stream_maas.wire.audit_link import (
    HOLD_PLACED,
    HOLD_RELEASED,
    PRUNED,
    SESSION_END,
    SESSION_HEARTBEAT,
    SESSION_START,
    AuditLink,
    read_link,
)

HOLDS = "org.stream-maas.audit.hold"
"""Name under which the index lists the events that place and release legal holds, besides their ids."""
_SIGNED = (SESSION_START, SESSION_HEARTBEAT, SESSION_END)


class StoredRecord(Protocol):
    """What a sealer needs of a record; `aiokafka.ConsumerRecord` already is one."""

    offset: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A signed event of a writer session, to be copied to a place outside the broker."""

    index: int
    leaf: bytes
    session: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed checkpoint and what goes with it."""

    checkpoint: Checkpoint
    note: Note
    hint: Hint


class LogSealer:
    """The tree of one partition. Call `take` for records in offset order, then `seal`."""

    def __init__(self, origin: str, store: LogStore) -> None:
        """Goes on where `store` says, from the first event where it has no state.

        Raises `BrokenStateError` for a state that is damaged, `LedgerError` for one of another log.
        """
        self.origin, self._store = origin, store
        self._tree = CompactRange()
        self.next_offset = 0
        self._stored = Checkpoint(origin, 0, self._tree.root())
        self._recent: list[bytes] = []
        """Leaf hashes from the start of the block that holds the last stored size."""
        self._recent_first = 0
        self._rows: dict[int, list[bytes]] = {}
        """Tile level -> hashes of the tile that is growing."""
        self._tiles: dict[tuple[int, int], bytes] = {}
        """(level, index) -> full tiles that are not stored yet."""
        self._blocks: list[int] = []
        self._blocks_stored = 0
        self._entries: list[bytes] = []
        self._index_bytes = 0
        self._pruned: tuple[int, int, tuple[bytes, ...]] | None = None
        self._heartbeats: dict[str, Heartbeat] = {}
        self._signed: Checkpoint | None = None
        """What was signed here and is not in the state: the log must lead to it again."""
        state = store.read_state()
        if state is not None:
            self._load(state)
        self._recall(lost=state is None)

    def _recall(self, *, lost: bool) -> None:
        """The note beside the state may be ahead of it: after a crash, and where the state was `lost`."""
        try:
            note = self._store.read_checkpoint()
            noted = parse_checkpoint(parse_note(note).text) if note is not None else None
        except LedgerError as error:
            if lost:
                raise LedgerError(
                    f"{self._store.folder}/checkpoint: damaged, and so is the state, so nobody knows what was signed; "
                    "next: restore the folder, or remove it when `stream-maas audit verify` finds nothing"
                ) from error
            return
        if noted is not None and noted.size > self.size:
            self._signed = noted

    @property
    def size(self) -> int:
        """Leaves taken so far."""
        return self._tree.size

    @property
    def stored(self) -> Checkpoint:
        """The newest tree head in this log's folder; size 0 when there is none. Nothing smaller is ever signed."""
        return self._stored

    # Taking -----------------------------------------------------------------------------------------------------------

    def take(self, records: Sequence[StoredRecord]) -> None:
        """The next records. Raises `LedgerError` for one that lies before what was taken."""
        if not records:
            return
        if records[0].offset < self.next_offset:
            raise LedgerError(f"{self.origin}: offset {records[0].offset} was sealed already")
        leaves = leaf_hashes(record.value or b"" for record in records)
        first = self.size
        for index, record in enumerate(records, first):
            if index % BLOCK_EVENTS == 0:
                self._blocks.append(record.offset)
            link = read_link(record.value)
            if link is not None:
                self._list_ids(index, link)
                if link.type in _SIGNED or link.type == PRUNED:
                    self._remember(index, leaves[index - first], link)
            if index % ids.SEGMENT_EVENTS == ids.SEGMENT_EVENTS - 1:
                self._store_index(index // ids.SEGMENT_EVENTS, complete=True)
        for level, hashes in self._tree.extend(leaves).items():
            self._add_to_tiles(level, hashes)
        self._recent += leaves
        self.next_offset = records[-1].offset + 1

    def _list_ids(self, index: int, link: AuditLink) -> None:
        self._entries.append(ids.entry(link.id, index))
        if link.data.request is not None and link.data.request.id != link.id:
            self._entries.append(ids.entry(link.data.request.id, index))
        if link.type in (HOLD_PLACED, HOLD_RELEASED):
            self._entries.append(ids.entry(HOLDS, index))

    def _remember(self, index: int, leaf: bytes, link: AuditLink) -> None:
        pruned, writer = link.data.pruned, link.data.writer
        if link.type == PRUNED and pruned is not None:
            try:
                frontier = tuple(bytes.fromhex(node) for node in pruned.frontier)
                CompactRange(pruned.size, frontier)
            except (ValueError, LedgerError):
                return  # whoever wrote it, it cannot be used; the verifier says so
            self._pruned = (pruned.size, pruned.next_offset, frontier)
        elif writer is not None and writer.session is not None:
            self._heartbeats[writer.session.id] = Heartbeat(index, leaf, writer.session.id)

    def _add_to_tiles(self, level: int, hashes: list[bytes]) -> None:
        row = self._rows.setdefault(level, [])
        row += hashes
        full = (self.size >> 8 * level) // TILE_WIDTH
        while len(row) >= TILE_WIDTH:
            tile = full - len(row) // TILE_WIDTH
            self._tiles[level, tile] = b"".join(row[:TILE_WIDTH])
            del row[:TILE_WIDTH]

    # Sealing ----------------------------------------------------------------------------------------------------------

    def root_at(self, size: int) -> bytes | None:
        """Root of an earlier size, as far back as the block of the last stored one; None before that."""
        if size == self.size:
            return self._tree.root()
        if size == self._stored.size:
            return self._stored.root
        if not self._recent_first <= size < self.size:
            return None
        nodes = node_source(self._read_tile, self._read_block)
        tree = CompactRange(self._recent_first, _frontier(self._recent_first, nodes))
        tree.extend(self._recent[: size - self._recent_first])
        return tree.root()

    def check(self, published: Checkpoint) -> bool:
        """Whether a tree over what was taken may be signed beside `published`, which this log's key signed before.

        False: the published one is larger, so the log has to be read on first. Raises `LedgerError` when they
        contradict each other: then somebody changed the log, and nothing may be signed.
        """
        if published.size > self.size:
            return False
        root = self.root_at(published.size)
        if root is not None and root != published.root:
            raise LedgerError(
                f"{self.origin}: the log has another root at size {published.size} than the checkpoint that was "
                "signed; nothing is sealed; next: `stream-maas audit verify` says what was changed"
            )
        return True

    def missing(self, published: Checkpoint | None) -> int:
        """Size of the largest tree that was signed, here or by `published`, where the log was not read so far; else
        0."""
        signed = max((known.size for known in (self._signed, published) if known is not None), default=0)
        return signed if signed > self.size else 0

    def newest_block(self) -> int | None:
        """Kafka offset of the first event of the block with the last stored event; None where nothing is stored."""
        return self._store.first_offset((self._stored.size - 1) // BLOCK_EVENTS) if self._stored.size else None

    def holds(self, leaves: Sequence[bytes]) -> bool:
        """Whether these leaf hashes are the end of the newest block, just after loading. Fewer than are in the block,
        because its front was pruned, are compared as far as they can be."""
        within = self._stored.size % BLOCK_EVENTS
        if within:
            return len(leaves) <= within and list(leaves) == self._recent[within - len(leaves) :]
        if len(leaves) < BLOCK_EVENTS:
            return True
        block = CompactRange()
        block.extend(list(leaves))
        nodes = node_source(self._read_tile, self._read_block)
        return block.root() == nodes(TILE_HEIGHT, self._stored.size // BLOCK_EVENTS - 1)

    def seal(self, key: SigningKey, published: Checkpoint | None) -> Sealed | None:
        """Sign the present tree, store everything, and return what is to be published; None when nothing is new.

        On disk when this returns, so that a sealer that crashes here signs nothing smaller later. `published`: the
        newest checkpoint of this log that the key signed, wherever it was published. Raises as `check` does.
        """
        if self.size == 0 or not self._may_sign(published) or (published and published.size == self.size):
            return None
        base = published or self._stored
        checkpoint = Checkpoint(self.origin, self.size, self._tree.root())
        note = sign_note(checkpoint.text(), key)
        proof = self._proof(base.size)
        self.save(note)
        hint = Hint(self.next_offset, tuple(self._tree.frontier()), base.size if proof else 0, proof, self._pruned)
        return Sealed(checkpoint, note, hint)

    def keep(self, published: Checkpoint | None) -> None:
        """Store everything taken so far, unsigned. Raises as `check` does: afterwards earlier roots are forgotten."""
        self._may_sign(published)
        self.save()

    def _may_sign(self, published: Checkpoint | None) -> bool:
        reached = [self.check(known) for known in (self._signed, published) if known is not None]
        if self._signed is not None and self._signed.size <= self.size:
            self._signed = None
        return all(reached)

    def save(self, note: Note | None = None) -> None:
        """Store everything taken so far, with the checkpoint that was signed over it, if one was."""
        self._store_tree()
        self._stored = Checkpoint(self.origin, self.size, self._tree.root())
        first = self.size // BLOCK_EVENTS * BLOCK_EVENTS
        del self._recent[: first - self._recent_first]
        self._recent_first = first
        encoded = note.encode() if note is not None else None
        self._store.write_state(self._state(), encoded, segment=self.size // ids.SEGMENT_EVENTS)

    def heartbeats(self) -> list[Heartbeat]:
        """The newest signed event of each writer session since the last call."""
        taken, self._heartbeats = list(self._heartbeats.values()), {}
        return taken

    def _proof(self, base: int) -> tuple[bytes, ...]:
        if not self._recent_first <= base < self.size or base == 0:
            return ()
        return tuple(consistency_proof(base, self.size, node_source(self._read_tile, self._read_block)))

    # Files ------------------------------------------------------------------------------------------------------------

    def _store_tree(self) -> None:
        for (level, tile), hashes in self._tiles.items():
            self._store.write_tile(level, tile, hashes)
        self._tiles.clear()
        for level, row in self._rows.items():
            full, partial = layout(self.size, level)
            if partial:
                self._store.write_tile(level, full, b"".join(row))
        if self._blocks:
            self._store.write_blocks(self._blocks_stored, self._blocks)
            self._blocks_stored += len(self._blocks)
            self._blocks.clear()
        self._store_index(self.size // ids.SEGMENT_EVENTS, complete=False)

    def _store_index(self, segment: int, *, complete: bool) -> None:
        entries = b"".join(self._entries)
        self._store.write_index(segment, self._index_bytes, entries, complete=complete)
        self._index_bytes = 0 if complete else self._index_bytes + len(entries)
        self._entries.clear()

    def _read_tile(self, level: int, tile: int) -> bytes:
        full, partial = layout(self.size, level)
        if partial and tile == full:
            return b"".join(self._rows[level])
        return self._tiles.get((level, tile)) or self._store.read_tile(level, tile)

    def _read_block(self, block: int) -> list[bytes]:
        start = block * BLOCK_EVENTS - self._recent_first
        if start < 0:
            raise LedgerError(f"{self.origin}: the leaves of block {block} are not at hand")
        return self._recent[start : start + BLOCK_EVENTS]

    def _state(self) -> bytes:
        pruned = self._pruned and [self._pruned[0], self._pruned[1], to_texts(self._pruned[2])]
        return orjson.dumps(
            {
                "origin": self.origin, "size": self.size, "next_offset": self.next_offset,
                "root": base64.b64encode(self._stored.root).decode(), "frontier": to_texts(self._tree.frontier()),
                "leaves": to_texts(self._recent), "index_bytes": self._index_bytes, "pruned": pruned,
            },
            option=orjson.OPT_SORT_KEYS,
        )  # fmt: skip

    def _load(self, data: bytes) -> None:
        try:
            state = orjson.loads(data)
            size, frontier, leaves = state["size"], from_texts(state["frontier"]), list(from_texts(state["leaves"]))
            tree, root = CompactRange(size, frontier), base64.b64decode(state["root"])
            pruned = state["pruned"]
            fits = tree.root() == root and len(leaves) == size % BLOCK_EVENTS
            origin = state["origin"]
        except (ValueError, KeyError, TypeError, LedgerError) as error:
            reason = f"its state cannot be read ({type(error).__name__})"
            raise BrokenStateError(f"{self._store.folder}: {reason}") from error
        if origin != self.origin:
            raise LedgerError(
                f"{self._store.folder}: its state is of the log {origin} and not of {self.origin}; next: give the "
                "sealer the folder of its own logs"
            )
        if not fits:
            raise BrokenStateError(f"{self._store.folder}: its state does not fit together")
        self._tree, self._stored, self.next_offset = tree, Checkpoint(self.origin, size, root), state["next_offset"]
        self._recent, self._recent_first = leaves, size - len(leaves)
        self._index_bytes, self._blocks_stored = state["index_bytes"], -(-size // BLOCK_EVENTS)
        self._pruned = (pruned[0], pruned[1], from_texts(pruned[2])) if pruned else None
        level = 1
        while size >> 8 * level:
            full, partial = layout(size, level)
            try:
                tile = self._store.read_tile(level, full)[: partial * HASH_BYTES] if partial else b""
            except LedgerError as error:
                raise BrokenStateError(str(error)) from error
            self._rows[level] = [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]
            level += 1


def pruned_in_state(state: bytes | None) -> tuple[int, int, tuple[bytes, ...]] | None:
    """Size, next offset and frontier of what was pruned, as the state of a log has it; None where nothing was."""
    try:
        pruned = orjson.loads(state or b"")["pruned"]
        return (int(pruned[0]), int(pruned[1]), from_texts(pruned[2])) if pruned else None
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _frontier(size: int, nodes: Any) -> list[bytes]:
    """The frontier of a tree of `size` leaves, from a node source."""
    found, start = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            found.append(nodes(level, start >> level))
            start += 1 << level
    return found
