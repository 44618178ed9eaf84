"""What a writer session puts around its events: a start, signed heartbeats, an end. Pure.

A session belongs to one process (or to one act of an auditor) and has an Ed25519 key. It is handed every clock
reading, its id and its key; chains are values that come in and go out, so that whoever holds them (the open
transaction) takes them back by forgetting them. Rules:

1. The first event of a chain is `session.start`. It names the key; the session's facts (models, configuration) follow,
   and every later fact is told before the next decision.
2. A heartbeat signs (topic, partition, session, counter, prev), that is the whole chain before it. It is written
   when the chain grew and the last vouching is `heartbeat_us` or `heartbeat_events` ago: an idle chain costs nothing.
3. `session.end` is signed as well; nothing follows it. A chain without one ended with its process.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from stream_maas.ledger.chain import Head, leaf_hex, link
from stream_maas.records import Link, Outgoing, Unlinked, Writer
from stream_maas.wire import ServiceEvent, ServiceKind, audit_headers, encode_service_event, signed_text

Facts: TypeAlias = tuple[tuple[ServiceKind, Mapping[str, Any]], ...]


class Signer(Protocol):
    """An Ed25519 key (`ledger.keys.SigningKey`)."""

    @property
    def vkey(self) -> str:
        """C2SP verifier key: name, key id and public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes, RFC 8032."""
        ...


class Chain(Struct, frozen=True):
    """One chain of a session: its end, and how much of it is vouched for."""

    head: Head
    vouched_counter: int
    """Events up to here are covered by a signature."""
    vouched_us: int
    told: Facts = ()
    """Facts that the chain has."""

    @property
    def has_news(self) -> bool:
        """Whether it grew since the last signature."""
        return self.head.counter > self.vouched_counter


@dataclass(frozen=True, slots=True)
class Session:
    """A writer session. Immutable: its chains are kept by whoever publishes."""

    id: str
    """32 hex digits, random."""
    writer: Writer
    topic: str
    """Name of the audit topic: part of what is signed."""
    signer: Signer
    heartbeat_us: int = 1_000_000
    heartbeat_events: int = 10_000
    facts: Facts = ()
    """What every chain says: loaded models, observed configuration."""
    after: tuple[str, str] | None = None

    def successor(self, session_id: str, reason: str) -> Session:
        """The session that goes on where the fate of this one's last events is not known."""
        return replace(self, id=session_id, after=(self.id, reason))

    def knowing(self, facts: Facts) -> Session:
        """The same session with these facts; its chains tell those that are new to them."""
        return replace(self, facts=facts)

    def start(self, partition: int, now_us: int) -> tuple[list[Outgoing], Chain]:
        """The first events of a new chain."""
        row, head = self._signed("session.start", partition, None, now_us)
        rows, chain = self._tell(Chain(head, 1, now_us), partition, now_us)
        return [row, *rows], chain

    def extend(
        self, chain: Chain | None, partition: int, audits: Sequence[Unlinked], now_us: int
    ) -> tuple[list[Outgoing], Chain]:
        """`audits` as the next events of the chain, which is begun where there is none, and a heartbeat if one is due.

        The results that belong to the events get their receipts (`ledger.chain.link`).
        """
        rows: list[Outgoing] = []
        if chain is None:
            rows, chain = self.start(partition, now_us)
        elif chain.told is not self.facts:
            rows, chain = self._tell(chain, partition, now_us)
        linked, head = link(audits, self.id, chain.head)
        rows += linked
        chain = Chain(head, chain.vouched_counter, chain.vouched_us, chain.told)
        if (
            now_us - chain.vouched_us >= self.heartbeat_us
            or head.counter - chain.vouched_counter >= self.heartbeat_events
        ):
            beats, chain = self.vouch(chain, partition, now_us)
            rows += beats
        return rows, chain

    def act(
        self, chain: Chain, partition: int, kind: ServiceKind, body: Mapping[str, Any], now_us: int
    ) -> tuple[Outgoing, Chain]:
        """One event about the service, such as `exported`."""
        row, head = self._event(kind, partition, chain.head, now_us, body=body)
        return row, Chain(head, chain.vouched_counter, chain.vouched_us, chain.told)

    def vouch(self, chain: Chain, partition: int, now_us: int) -> tuple[list[Outgoing], Chain]:
        """A heartbeat, if the chain grew since the last one."""
        if not chain.has_news:
            return [], chain
        row, head = self._signed("session.heartbeat", partition, chain.head, now_us)
        return [row], Chain(head, head.counter, now_us, chain.told)

    def end(self, chain: Chain, partition: int, now_us: int) -> Outgoing:
        """The last event of a chain."""
        return self._signed("session.end", partition, chain.head, now_us)[0]

    def _tell(self, chain: Chain, partition: int, now_us: int) -> tuple[list[Outgoing], Chain]:
        rows, head = [], chain.head
        for kind, body in self.facts:
            if (kind, body) not in chain.told:
                row, head = self._event(kind, partition, head, now_us, body=body)
                rows.append(row)
        return rows, Chain(head, chain.vouched_counter, chain.vouched_us, self.facts)

    def _signed(self, kind: ServiceKind, partition: int, head: Head | None, now_us: int) -> tuple[Outgoing, Head]:
        place = head.next(self.id) if head is not None else Link(self.id, 0)
        signature = self.signer.sign(signed_text(kind, self.topic, partition, place))
        first = head is None
        return self._event(
            kind,
            partition,
            head,
            now_us,
            signature=base64.b64encode(signature).decode(),
            key=self.signer.vkey if first else None,
            after=self.after if first else None,
        )

    def _event(
        self, kind: ServiceKind, partition: int, head: Head | None, now_us: int, **members: Any
    ) -> tuple[Outgoing, Head]:
        place = head.next(self.id) if head is not None else Link(self.id, 0)
        event = ServiceEvent(kind, partition, now_us, self.writer, place, **members)
        value = encode_service_event(event)
        return Outgoing(self.id.encode(), value, audit_headers()), Head(place.counter + 1, leaf_hex(value))
