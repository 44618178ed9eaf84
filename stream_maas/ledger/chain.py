"""How one audit event points at the one before it: the chain of a writer session in one audit partition. Pure.

A session writes one chain per partition. `counter` is 0 for the first event of a chain, which is the session's start,
and grows by one; `prev` is the leaf hash of the event before, RFC 6962 section 2.1: SHA-256(0x00 || stored value).
The same hash is the leaf of the sealer's tree and the receipt of the result, so that one hash per event serves all.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from stream_maas.records import Link, Outgoing, Unlinked
from stream_maas.wire import receipt_header

_LEAF = sha256(b"\0")


class Head(Struct, frozen=True):
    """The end of a chain: what the next event has to say."""

    counter: int
    """Of the next event: how many events the chain has."""
    leaf: str
    """Leaf hash (hex) of the last event."""

    def next(self, session: str) -> Link:
        """The place of the next event."""
        return Link(session, self.counter, self.leaf)


def leaf_hex(value: bytes) -> str:
    """Leaf hash of an audit record's value, hex (RFC 6962 section 2.1)."""
    return sha256(b"\0" + value).hexdigest()


def link(audits: Sequence[Unlinked], session: str, head: Head) -> tuple[list[Outgoing], Head]:
    """`audits` as the next events of the chain, in this order, and its new head.

    The result that belongs to an event gets its receipt here: a header is added to it, so a chunk is linked once.
    """
    # By joining, and hashed behind the prefix where it stands: each further copy of an event is one of two kilobytes.
    to_id = b',"id":"%b","prev":"' % session.encode()
    counter, leaf = head.counter, head.leaf.encode()
    linked = []
    for audit in audits:
        value = b"".join((audit.head, b',"session":{"counter":%d' % counter, to_id, leaf, b'"}', audit.tail))
        digest = _LEAF.copy()
        digest.update(value)
        leaf = digest.hexdigest().encode()
        counter += 1
        if audit.answer is not None:
            audit.answer.headers.append(receipt_header(leaf))
        linked.append(Outgoing(audit.key, value, audit.headers))
    return linked, Head(counter, leaf.decode())
