"""What proves that a log was not changed: RFC 6962 trees, C2SP checkpoints, writer chains, proof bundles. Pure."""

from __future__ import annotations

from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import leaf_hash, leaf_hashes
from stream_maas.ledger.keys import SigningKey, VerifierKey
from stream_maas.ledger.notes import Checkpoint, Note, parse_checkpoint, parse_note

__all__ = [
    "Checkpoint",
    "CompactRange",
    "Note",
    "SigningKey",
    "VerifierKey",
    "leaf_hash",
    "leaf_hashes",
    "parse_checkpoint",
    "parse_note",
]
