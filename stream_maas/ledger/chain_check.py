"""When the events of a writer session contradict each other, and which of them its writer has signed.

A chain is what one session wrote to one partition: counters 0, 1, 2, ... with the leaf hash of the event before. Start,
heartbeat and end carry an Ed25519 signature over their own place in the chain, which covers everything before them. An
event that no signature covers is either the newest of a session or was written by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from stream_maas.errors import LedgerError
from stream_maas.ledger.findings import Check, SessionSummary
from stream_maas.ledger.keys import VerifierKey, decode_base64
from stream_maas.records import Link
from stream_maas.wire import ServiceKind, signed_text
from stream_maas.wire.audit_link import SESSION_END, SESSION_HEARTBEAT, SESSION_START, AuditLink

_SIGNED: dict[str, ServiceKind] = {
    SESSION_START: "session.start",
    SESSION_HEARTBEAT: "session.heartbeat",
    SESSION_END: "session.end",
}

Report = Callable[[Check, int, str], None]
"""(check, leaf index, detail)."""


@dataclass(slots=True)
class _Chain:
    """One session in one partition."""

    writer: str
    started: str
    supersedes: str | None
    key: VerifierKey | None
    next: int = 0
    head: str | None = None
    """Leaf hash (hex) of the last event; None before the first one."""
    attested: int = 0
    """Events covered by a signature."""
    signed: bool = False
    ended: bool = False
    index: int = 0
    """Leaf index of the last event."""


class ChainCheck:
    """All chains of one partition, event by event."""

    def __init__(
        self, topic: str, partition: int, trusted: Collection[VerifierKey], report: Report, *, joins: bool
    ) -> None:
        """`trusted`: keys of writers; empty means that each session's own key is believed. `joins`: the log is read
        from its middle, so a chain may begin with any counter."""
        self._topic, self._partition, self._report, self._joins = topic, partition, report, joins
        self._trusted = {key.vkey: key for key in trusted}
        self._chains: dict[str, _Chain] = {}
        self._deferred: dict[tuple[str, int], tuple[int, int]] = {}
        """(session, counter of the first event) -> (how many waited in a spool, index of the event that says so)."""
        self.gaps = 0
        self.duplicates = 0

    def add(self, index: int, leaf: bytes, link: AuditLink) -> None:
        """The event at leaf `index`, in log order. Contradictions go to `report`."""
        writer = link.data.writer
        session = None if writer is None else writer.session
        if session is None:
            self._report("heartbeat", index, "an event of no writer session")
            return
        if (told := link.data.deferred) is not None:
            self._deferred[told.session, told.first] = (told.events, index)
        chain = self._chains.get(session.id)
        if chain is None:
            chain = self._chains[session.id] = self._begin(index, link, session.counter, session.prev)
        if session.counter == chain.next and session.prev == chain.head and not chain.ended:
            chain.next += 1
            chain.head, chain.index = leaf.hex(), index
        elif session.counter < chain.next and leaf.hex() == chain.head:
            self.duplicates += 1
            self._report("chain", index, "the same event a second time")
            return
        else:
            self._broken(index, chain, session.counter, leaf)
        if link.type in _SIGNED:
            self._signed(index, chain, link, accepted=chain.head == leaf.hex())

    def _begin(self, index: int, link: AuditLink, counter: int, prev: str | None) -> _Chain:
        writer, after = link.data.writer, link.data.after
        assert writer is not None
        is_start = link.type == SESSION_START
        chain = _Chain(
            writer=f"{writer.app}/{writer.instance}",
            started=link.time if is_start else "",
            supersedes=after.session if after is not None else None,
            key=self._key(index, link) if is_start else None,
            index=index,
        )
        if not is_start and self._joins:
            chain.next, chain.head, chain.attested = counter, prev, counter
        elif not is_start or counter != 0:
            self._report("heartbeat", index, "a session without its start")
            chain.next, chain.head = counter, prev
        return chain

    def _key(self, index: int, link: AuditLink) -> VerifierKey | None:
        try:
            key = VerifierKey.parse(link.data.key or "")
        except LedgerError:
            self._report("heartbeat", index, "a session start without a key")
            return None
        if self._trusted and key.vkey not in self._trusted:
            self._report("heartbeat", index, "a session with a key that is not trusted")
        return key

    def _broken(self, index: int, chain: _Chain, counter: int, leaf: bytes) -> None:
        if chain.ended:
            self._report("chain", index, "an event after the end of its session")
        elif counter > chain.next:
            self.gaps += counter - chain.next
            self._report("chain", index, f"{counter - chain.next} events of its session are missing before it")
        elif counter < chain.next:
            self._report("chain", index, f"event {counter} of its session comes after event {chain.next - 1}")
            return
        else:
            # Whichever of the two was changed: the earlier one is where to look first.
            self._report("chain", chain.index, f"event {index} of the same session does not follow from it")
        chain.next, chain.head, chain.index = counter + 1, leaf.hex(), index

    def _signed(self, index: int, chain: _Chain, link: AuditLink, *, accepted: bool) -> None:
        data, session = link.data, link.data.writer.session if link.data.writer else None
        assert session is not None
        signature = decode_base64(data.signature or "") or b""
        text = signed_text(
            _SIGNED[link.type], self._topic, self._partition, Link(session.id, session.counter, session.prev)
        )
        # The start of a chain may lie before the place where reading began; then any trusted key may be its writer's.
        keys = [chain.key] if chain.key is not None else list(self._trusted.values())
        if any(key.verify(signature, text) for key in keys):
            chain.signed = True
            chain.attested = max(chain.attested, session.counter + 1)
            if not accepted:
                self._report("heartbeat", index, "its writer signed this place, but another event stands there")
        elif keys or not self._joins:
            self._report("heartbeat", index, "a signature of its writer that does not fit its place in the chain")
        chain.ended = chain.ended or link.type == SESSION_END

    def finish(self) -> None:
        """Report what only the end of the log shows: sessions in which nothing was signed, deferred events that are
        announced and not there."""
        for chain in self._chains.values():
            if not chain.signed and not self._joins:
                self._report("heartbeat", chain.index, "a session in which its writer signed nothing")

        for (name, first), (events, index) in self._deferred.items():
            missing = first + events - max(first, self.events_of(name))
            if missing > 0 and not self._joins:
                self._report("chain", index, f"{missing} of the deferred events that it announces are missing")

    def events_of(self, session: str) -> int:
        """Counter after the last event of a session; 0 for one that is not known."""
        chain = self._chains.get(session)
        return 0 if chain is None else chain.next

    @property
    def deferred_count(self) -> int:
        """Events that waited in a spool and are here now."""
        return sum(
            max(0, min(self.events_of(name), first + events) - first)
            for (name, first), (events, _) in self._deferred.items()
        )

    @property
    def chains_count(self) -> int:
        """Sessions seen in this partition."""
        return len(self._chains)

    @property
    def unattested_count(self) -> int:
        """Events after the last signature of their session."""
        return sum(chain.next - chain.attested for chain in self._chains.values())

    def summaries(self) -> list[SessionSummary]:
        """How each session stands now."""
        return [
            SessionSummary(name, chain.writer, chain.started, chain.next, chain.ended, chain.supersedes)
            for name, chain in self._chains.items()
        ]
