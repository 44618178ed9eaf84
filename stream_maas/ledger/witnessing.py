"""What a witness may cosign: a tree that grew from the one it remembers, shown by a proof or by the log itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson

from stream_maas.errors import LedgerError
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import EMPTY_ROOT
from stream_maas.ledger.notes import Checkpoint
from stream_maas.ledger.proofs import verify_consistency

Outcome = Literal["consistent", "unproven", "old"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a witness remembers of one log: the largest tree that it found consistent."""

    origin: str
    size: int = 0
    root: bytes = EMPTY_ROOT
    frontier: tuple[bytes, ...] = ()
    """Of the tree of `size` leaves; checked against `root` when it was taken in."""
    next_offset: int = 0
    """Where the log goes on behind them, as the sealer said."""

    def grown(self, checkpoint: Checkpoint, frontier: tuple[bytes, ...], next_offset: int) -> Memory:
        """The memory after `checkpoint` was found consistent. A frontier that does not fit is not remembered."""
        try:
            fits = CompactRange(checkpoint.size, frontier).root() == checkpoint.root
        except LedgerError:
            fits = False
        kept, offset = (frontier, next_offset) if fits else ((), 0)
        return Memory(self.origin, checkpoint.size, checkpoint.root, kept, offset)

    def tree(self) -> CompactRange:
        """The tree to go on from with the events at `next_offset`; the empty one where no frontier is remembered."""
        return CompactRange(self.size, self.frontier) if self.frontier else CompactRange()


def judge(memory: Memory, checkpoint: Checkpoint, proof_from: int, proof: tuple[bytes, ...]) -> Outcome:
    """Whether `checkpoint` may be cosigned (C2SP tlog-witness).

    "unproven": the proof does not start at what is remembered, so the log itself has to be read (`judge_by_log`).
    "old": smaller than what is remembered; nothing to sign, nothing shown. Raises `LedgerError` for a split view: the
    log showed another tree than it had before. Then nothing of it may be cosigned ever again without a human.
    """
    if checkpoint.origin != memory.origin:
        raise LedgerError(f"{memory.origin}: a checkpoint of another log")
    if checkpoint.size < memory.size:
        return "old"
    if checkpoint.size == memory.size:
        if checkpoint.root != memory.root:
            raise LedgerError(_split(memory, checkpoint))
        return "consistent"
    if memory.size == 0:
        return "consistent"
    if proof_from != memory.size:
        return "unproven"
    if not verify_consistency(memory.size, checkpoint.size, memory.root, checkpoint.root, proof):
        raise LedgerError(_split(memory, checkpoint))
    return "consistent"


def judge_by_log(memory: Memory, checkpoint: Checkpoint, leaves: list[bytes]) -> None:
    """Like `judge`, by the log itself: the leaf hashes from `memory.tree()` on up to the checkpoint's size.

    Raises `LedgerError` when they do not lead from the one to the other."""
    tree = memory.tree()
    if tree.size < memory.size:
        tree.extend(leaves[: memory.size])
        if tree.root() != memory.root:
            raise LedgerError(_split(memory, checkpoint))
        leaves = leaves[memory.size :]
    if len(leaves) < checkpoint.size - tree.size:
        raise LedgerError(f"{memory.origin}: the log is shorter than the checkpoint of size {checkpoint.size}")
    tree.extend(leaves[: checkpoint.size - tree.size])
    if tree.root() != checkpoint.root:
        raise LedgerError(_split(memory, checkpoint))


def _split(memory: Memory, checkpoint: Checkpoint) -> str:
    return (
        f"{memory.origin}: the checkpoint of size {checkpoint.size} is not a continuation of the one of size "
        f"{memory.size} that this witness remembers: the log shows different histories"
    )


def encode_memory(memory: Memory) -> bytes:
    """JSON, for the witness's own file."""
    return orjson.dumps(
        {"origin": memory.origin, "size": memory.size, "root": memory.root.hex(), "next_offset": memory.next_offset,
         "frontier": [node.hex() for node in memory.frontier]}
    )  # fmt: skip


def decode_memory(data: bytes) -> Memory:
    """Raises `LedgerError`: a witness that has lost its memory must not start anew by itself."""
    try:
        row = orjson.loads(data)
        frontier = tuple(bytes.fromhex(node) for node in row["frontier"])
        memory = Memory(row["origin"], int(row["size"]), bytes.fromhex(row["root"]), frontier, int(row["next_offset"]))
        memory.tree()
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"the memory of this witness cannot be read ({type(error).__name__})") from error
    return memory
