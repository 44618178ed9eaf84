"""What goes with a checkpoint and is not signed: where the log goes on, and what makes a proof cheap."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

HINT_HEADER = "ledger-hint"
"""Header of a checkpoint record: `Hint.encode`."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What goes with a checkpoint unsigned, because a wrong one only leads to a wrong root."""

    next_offset: int
    """Kafka offset from which the event at index `size` is read."""
    frontier: tuple[bytes, ...]
    proof_from: int = 0
    proof: tuple[bytes, ...] = ()
    """Consistency proof from the tree of `proof_from` leaves; 0: none."""
    pruned: tuple[int, int, tuple[bytes, ...]] | None = None
    """Size, next offset and frontier of what an audited prune removed from the front."""

    def encode(self) -> bytes:
        """JSON for a record header."""
        document: dict[str, Any] = {"next_offset": self.next_offset, "frontier": to_texts(self.frontier)}
        if self.proof_from:
            document["proof"] = {"from": self.proof_from, "hashes": to_texts(self.proof)}
        if self.pruned:
            size, next_offset, frontier = self.pruned
            document["pruned"] = {"size": size, "next_offset": next_offset, "frontier": to_texts(frontier)}
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, data: bytes | None) -> Hint | None:
        """None for anything that is no hint."""
        try:
            document = orjson.loads(data or b"")
            proof, pruned = document.get("proof"), document.get("pruned")
            return cls(
                int(document["next_offset"]),
                from_texts(document["frontier"]),
                int(proof["from"]) if proof else 0,
                from_texts(proof["hashes"]) if proof else (),
                (int(pruned["size"]), int(pruned["next_offset"]), from_texts(pruned["frontier"])) if pruned else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def to_texts(nodes: Sequence[bytes]) -> list[str]:
    """Base64 of each hash."""
    return [base64.b64encode(node).decode() for node in nodes]


def from_texts(encoded: Any) -> tuple[bytes, ...]:
    """What `to_texts` encoded. Raises `ValueError` or `TypeError` for anything else."""
    return tuple(base64.b64decode(text) for text in encoded)
