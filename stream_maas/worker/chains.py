"""Where the audit chains of this worker stand: as far as written, and as far as committed.

Rules (notes of KIP-447 apply: everything in memory that follows the log belongs to the open transaction):
1. Events are linked when they join an interval, in the order in which they are published.
2. A commit makes the heads what they are now. An abort takes them back to the last commit, so that no committed
   event ever points at an aborted one.
3. Where the outcome is not known, or rows can be read without a commit (at-least-once), a failure begins a new
   session, whose first events name the old one: its chains have no fork, whatever became of the last events.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from stream_maas.ledger.session import Chain, Session
from stream_maas.records import Outgoing, Unlinked
from stream_maas.wire import ServiceKind


def new_session_id() -> str:
    """128 random bits, hex."""
    return secrets.token_hex(16)


def now_us() -> int:
    """Epoch microseconds."""
    return time.time_ns() // 1000


class SessionChains:
    """The chains of one writer session, by audit partition."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._written: dict[int, Chain] = {}
        self._committed: dict[int, Chain] = {}

    @property
    def heartbeat_s(self) -> float:
        """How long a chain that grew may go without a signature."""
        return self._session.heartbeat_us / 1_000_000

    def link(self, partition: int, audits: Sequence[Unlinked]) -> list[Outgoing]:
        """What to write into the audit partition for these events: a start before, a heartbeat behind, where due."""
        rows, chain = self._session.extend(self._written.get(partition), partition, audits, now_us())
        self._written[partition] = chain
        return rows

    def act(self, partition: int, kind: ServiceKind, body: Mapping[str, Any]) -> list[Outgoing]:
        """One event about the service, behind a start where the chain has none."""
        now = now_us()
        rows, chain = self._session.extend(self._written.get(partition), partition, (), now)
        row, self._written[partition] = self._session.act(chain, partition, kind, body, now)
        return [*rows, row]

    def place(self, partition: int) -> tuple[str, int]:
        """The session, and the counter of its next event in this partition."""
        chain = self._written.get(partition)
        return self._session.id, 0 if chain is None else chain.head.counter

    def know(self, kind: ServiceKind, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Facts of this kind from now on. Every chain tells those that are new to it before its next decision."""
        others = tuple(fact for fact in self._session.facts if fact[0] != kind)
        facts = (*others, *((kind, body) for body in bodies))
        if facts != self._session.facts:
            self._session = self._session.knowing(facts)

    def heartbeats(self) -> dict[int, list[Outgoing]]:
        """Heartbeats that are due by time, by partition; nothing for chains that did not grow."""
        now = now_us()
        due = {}
        for partition, chain in self._written.items():
            if chain.has_news and now - chain.vouched_us >= self._session.heartbeat_us:
                due[partition], self._written[partition] = self._session.vouch(chain, partition, now)
        return due

    def ends(self) -> dict[int, list[Outgoing]]:
        """The last event of every chain. Nothing may be linked afterwards."""
        now = now_us()
        ends = {number: [self._session.end(chain, number, now)] for number, chain in self._written.items()}
        self._written = {}
        return ends

    def commit(self) -> None:
        """Everything that was written is committed."""
        self._committed = dict(self._written)

    def roll_back(self, *, certain: bool) -> None:
        """Nothing since the last commit was committed (`certain`), or nobody knows: then a new session begins."""
        if certain:
            self._written = dict(self._committed)
        else:
            self._session = self._session.successor(new_session_id(), "outcome_unknown")
            self._written = {}
            self._committed = {}
