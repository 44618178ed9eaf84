"""Keeps which members of an audit event tie it to others: its ids, its writer session, its signature.

For verifiers, which read millions of events of any version and must not stumble over one that somebody else wrote:
what is missing or has another type is None, nothing is refused, nothing else is looked at.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from stream_maas.wire.headers import AUDIT_PREFIX, DECISION_PREFIX

SESSION_START = f"{AUDIT_PREFIX}session.start.v1"
SESSION_HEARTBEAT = f"{AUDIT_PREFIX}session.heartbeat.v1"
SESSION_END = f"{AUDIT_PREFIX}session.end.v1"
PRUNED = f"{AUDIT_PREFIX}pruned.v1"
HOLD_PLACED = f"{AUDIT_PREFIX}hold.placed.v1"
HOLD_RELEASED = f"{AUDIT_PREFIX}hold.released.v1"


class SessionLink(Struct):
    """Where an event stands in the chain of its writer session and partition."""

    id: str
    counter: int
    prev: str | None = None
    """Leaf hash (hex) of the session's previous event in this partition; None for the first."""


class Superseded(Struct):
    """Which session a new one takes the place of."""

    session: str


class PrunedRange(Struct):
    """What `audit prune` removed from the front of a partition."""

    partition: int
    size: int
    """Events removed: index of the first one that is left."""
    next_offset: int
    root: str
    frontier: list[str]


class DeferredRange(Struct):
    """Which events of a session waited in a spool."""

    session: str
    first: int
    events: int


class WriterLink(Struct):
    """The part of `data.writer` that a verifier needs."""

    session: SessionLink | None = None
    app: str = ""
    instance: str = ""


class RequestLink(Struct):
    """The request that a decision is about."""

    id: str
    topic: str
    offset: int


class LinkData(Struct):
    """`data`, as far as it ties events together."""

    writer: WriterLink | None = None
    request: RequestLink | None = None
    signature: str | None = None
    key: str | None = None
    after: Superseded | None = None
    pruned: PrunedRange | None = None
    deferred: DeferredRange | None = None


class AuditLink(Struct):
    """One audit event as a verifier sees it."""

    id: str
    type: str
    time: str
    data: LinkData

    @property
    def is_decision(self) -> bool:
        """Whether it is the event of a request."""
        return self.type.startswith(DECISION_PREFIX)


_DECODER = msgspec.json.Decoder(AuditLink)


def read_link(value: bytes | None) -> AuditLink | None:
    """The links of an audit event; None for anything that is not one."""
    try:
        return _DECODER.decode(value or b"")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
