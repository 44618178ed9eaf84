"""How RFC 6962 hashes a Merkle tree: one prefix for leaves, another for nodes, and nothing else.

The leaf is the stored value of an audit record, byte for byte. The same leaf hash links the events of a writer
session and stands in the receipt of a result, so that one hash per event serves all three.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves (RFC 6962, 2.1)."""


def leaf_hash(value: bytes) -> bytes:
    """SHA-256(0x00 || value), 32 bytes (RFC 6962, 2.1)."""
    return sha256(b"\x00" + value).digest()


def leaf_hashes(values: Iterable[bytes]) -> list[bytes]:
    """`leaf_hash` of each, without a call per value."""
    digest = sha256
    return [digest(b"\x00" + value).digest() for value in values]


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), 32 bytes (RFC 6962, 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def parents(hashes: list[bytes]) -> list[bytes]:
    """The level above an even number of neighbours."""
    digest, pairs = sha256, iter(hashes)
    return [digest(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
