"""What a witness may cosign: a tree that grew from the one it remembers, shown by a proof or by the log itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    """Like `judge`, by the first `checkpoint.size` leaf hashes of the log itself. Raises `LedgerError`."""
    if len(leaves) < checkpoint.size:
        raise LedgerError(f"{memory.origin}: the log has {len(leaves)} events, the checkpoint {checkpoint.size}")
    tree = CompactRange()
    tree.extend(leaves[: memory.size])
    if tree.root() != memory.root:
        raise LedgerError(_split(memory, checkpoint))
    tree.extend(leaves[memory.size : checkpoint.size])
    if tree.root() != checkpoint.root:
        raise LedgerError(_split(memory, checkpoint))


def _split(memory: Memory, checkpoint: Checkpoint) -> str:
    return (
        f"{memory.origin}: the checkpoint of size {checkpoint.size} is not a continuation of the one of size "
        f"{memory.size} that this witness remembers: the log shows different histories"
    )
