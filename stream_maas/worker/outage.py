"""The audit topic takes no events: which lanes are answered all the same, and what becomes of their events. (AU-5)

A lane either fails closed (nothing of it is answered) or its events are kept in the spool. Rules:

1. An outage is only called one when the audit topic alone refuses: whatever ends a producer, a group or a broker is
   somebody else's failure.
2. A result goes out only after its event is on the disk, and carries a header that says so. The event has its place in
   the session's chain and its receipt already: nothing of it changes when it is moved to the topic.
3. An outage is over when every event that waited is in the topic. Then `audit.deferred` says since when, how many and
   which; until then nothing is written past the spool, so chains stay in order.
4. A full or broken spool fails closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import errors as kafka_errors

from stream_maas import wire
from stream_maas.errors import SpoolError
from stream_maas.records import Answered, Outgoing, Unlinked
from stream_maas.wire.audit_link import read_link
from stream_maas.worker.chains import SessionChains, now_us
from stream_maas.worker.producers import read_error
from stream_maas.worker.spool import Frame, Spool, SpooledRow

log = structlog.get_logger()

REFUSALS = (
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.UnknownTopicOrPartitionError,
    kafka_errors.InvalidTopicError,
    kafka_errors.NotEnoughReplicasError,
    kafka_errors.NotEnoughReplicasAfterAppendError,
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.PolicyViolationError,
)
"""What a topic answers that can be read and not written. What a client repeats by itself ends in a timeout."""

_EVENT_BYTES = 400
"""More than a linked event has over its two halves, and its place in a frame."""
_SPARE_BYTES = 1 << 16
"""For what a session says by itself: its start, facts, signatures."""
_LAST_WORDS_S = 1.0
_FULL = "the spool is full"


class AuditRefusedError(Exception):
    """The audit topic takes no events, and everything else works."""


@dataclass(slots=True)
class Deferred:
    """What waited of one session and partition."""

    first: int
    """Counter of the first event."""
    events: int = 0
    first_us: int = 0
    last_us: int = 0


@dataclass(slots=True)
class Outage:
    """Whether there is an outage, and the spool."""

    spool: Spool | None
    topics: frozenset[str]
    """Request topics of the lanes that are answered from the spool."""
    limit_s: float
    """How long audit events may take longer than everything else."""
    has_audit_topic: Callable[[], Awaitable[bool]]
    """Asks the broker. Raises while it cannot be asked."""
    on_change: Callable[[Outage], None] = lambda outage: None
    since_us: int = 0
    """0 when there is none."""
    reason: str = ""
    failures: int = 0
    """Refusals in a row."""
    trying: bool = False
    """Nothing waits in the spool, so the way to find out is to write as if all were well."""
    closed: str = ""
    """Why the spool takes no more answers, while it takes none."""
    deferred_count: int = 0
    """Events moved from the spool to the topic since the start."""
    moved: dict[tuple[int, str], Deferred] = field(default_factory=dict)
    """(partition, session) -> what was moved in this outage."""

    @property
    def active(self) -> bool:
        return self.since_us != 0

    @property
    def spooling(self) -> bool:
        """Whether audit events go to the spool now."""
        return self.active and self.spool is not None and not self.trying

    @property
    def answering(self) -> bool:
        """Whether lanes are answered all the same."""
        return self.spooling and not self.closed

    @property
    def has_room(self) -> bool:
        """Whether a session can still sign and end its chains."""
        return self.spool is not None and self.spool.room_bytes > _SPARE_BYTES

    def sentence(self) -> str:
        """For people; "" when all is well."""
        if not self.active:
            return ""
        if self.spool is None:
            return f"the audit topic cannot be written ({self.reason}): nothing is answered"
        waiting = f"{self.spool.events} audit events wait in the spool"
        if self.closed:
            return f"the audit topic cannot be written ({self.reason}), {self.closed}: no more is answered; {waiting}"
        return f"the audit topic cannot be written ({self.reason}): {waiting}"

    # Noticing it --------------------------------------------------------------------------------------------------

    async def acknowledged(self, others: Sequence[Awaitable[Any]], audits: Sequence[Awaitable[Any]]) -> None:
        """Wait for rows and offsets. Raises the failure of `others` if there is one, `AuditRefusedError` if only the
        audit events failed or are late."""
        rest, events = asyncio.gather(*others), asyncio.gather(*audits)
        rest.add_done_callback(read_error)
        events.add_done_callback(read_error)
        await asyncio.wait([rest, events], return_when=asyncio.FIRST_COMPLETED)
        if not events.done():
            await rest
            while not (await asyncio.wait([events], timeout=self.limit_s))[0]:
                if await self._is_there():
                    raise AuditRefusedError("TimeoutError")
        if events.cancelled() or events.exception() is not None:
            # Whatever ends the producer fails everything, one after the other.
            await asyncio.wait([rest], timeout=_LAST_WORDS_S)
            if rest.done():
                rest.result()
            if not events.cancelled() and isinstance(error := events.exception(), REFUSALS):
                raise AuditRefusedError(type(error).__name__) from error
        events.result()
        await rest

    async def _is_there(self) -> bool:
        """Whether the broker answers. If it does not, late audit events say nothing about their topic."""
        try:
            await self.has_audit_topic()
        except Exception:  # noqa: BLE001 - whatever it is, it is not the topic
            return False
        return True

    async def not_opened(self, error: Exception, audit: str) -> Exception:
        """What it means that no transaction could be opened."""
        if isinstance(error, kafka_errors.TopicAuthorizationFailedError):
            named = error.args[0] if error.args else ()
            return AuditRefusedError(type(error).__name__) if set(named) == {audit} else error
        try:
            return error if await self.has_audit_topic() else AuditRefusedError("UnknownTopicOrPartitionError")
        except Exception:  # noqa: BLE001 - then it is not the topic
            return error

    def begin(self, reason: str) -> None:
        """The topic refused."""
        self.failures += 1
        self.trying = False
        if not self.active:
            self.since_us, self.reason = now_us(), reason
            log.error("the audit topic cannot be written", reason=reason, spooling=self.spool is not None)
        self.on_change(self)

    def resume(self) -> None:
        """At the start: an earlier process left events in the spool."""
        if self.spool is not None and not self.spool.is_empty:
            self.since_us, self.reason = self.spool.since_us, self.spool.reason
            for frame in self.spool.frames():
                if frame.number <= self.spool.moved:
                    self.told(frame)
            log.warning("audit events of an earlier run wait in the spool", events=self.spool.events)
            self.on_change(self)

    def end(self) -> None:
        """The topic has everything."""
        if self.active:
            events = sum(each.events for each in self.moved.values())
            self.deferred_count += events
            log.warning("the audit topic can be written again", deferred=events, since_us=self.since_us)
            self.since_us, self.reason, self.failures, self.trying, self.closed = 0, "", 0, False, ""
            self.moved.clear()
            self.on_change(self)

    # Keeping events -----------------------------------------------------------------------------------------------

    def holds(self, topic: str, answered: Answered, taken_bytes: int) -> bool:
        """Whether this chunk must wait for the end of the outage; `taken_bytes`: of chunks that go before it."""
        if self.spool is None or not self.spooling:
            return False
        if topic not in self.topics:
            return True
        if size_of(answered.audits) + taken_bytes + _SPARE_BYTES <= self.spool.room_bytes:
            return False
        self._close(_FULL)
        return True

    async def keep(self, rows: Mapping[int, Sequence[Outgoing]], disk: asyncio.Lock) -> int:
        """Put audit events on the disk, by partition; the number of their frame. Raises `SpoolError`."""
        assert self.spool is not None
        kept = [SpooledRow(partition, row.key or b"", row.value) for partition, batch in rows.items() for row in batch]
        try:
            async with disk:
                number = await asyncio.to_thread(self.spool.append, kept, at_us=now_us(), reason=self.reason)
        except SpoolError:
            self._close("the spool cannot be written")
            raise
        # A session's signatures still fit where answers do not any more.
        self.closed = self.closed if self.closed == _FULL else ""
        self.on_change(self)
        return number

    def _close(self, why: str) -> None:
        if not self.closed:
            log.error("no more is answered until the audit topic can be written", reason=why)
        self.closed = why
        self.on_change(self)

    def told(self, frame: Frame) -> None:
        """The events of this frame are in the topic now."""
        for row in frame.rows:
            link = read_link(row.value)
            session = link.data.writer.session if link is not None and link.data.writer is not None else None
            if session is None:
                raise SpoolError("spool: it holds what is no audit event")
            entry = self.moved.get((row.partition, session.id))
            if entry is None:
                entry = self.moved[row.partition, session.id] = Deferred(session.counter, first_us=frame.at_us)
            entry.events, entry.last_us = session.counter + 1 - entry.first, frame.at_us

    def announcements(self, chains: SessionChains) -> dict[int, list[Outgoing]]:
        """`audit.deferred` events, by partition: one for each session whose events waited."""
        announced: dict[int, list[Outgoing]] = {}
        for (partition, session), entry in sorted(self.moved.items()):
            body = {
                "session": session, "first": entry.first, "events": entry.events,
                "first_us": entry.first_us, "last_us": entry.last_us,
                "since_us": self.since_us, "reason": self.reason,
            }  # fmt: skip
            announced.setdefault(partition, []).extend(chains.act(partition, "deferred", body))
        return announced


def mark(rows: Sequence[Outgoing], audits: Sequence[Unlinked], session: str, end: int) -> None:
    """Give every result whose event is among `rows` the header that its event waits. `end`: counter after the last."""
    waiting = iter(audits)
    audit = next(waiting, None)
    for counter, row in enumerate(rows, end - len(rows)):
        if audit is not None and row.key is audit.key:
            if audit.answer is not None:
                audit.answer.headers.append(wire.deferral_header(session, counter))
            audit = next(waiting, None)


def size_of(audits: Sequence[Unlinked]) -> int:
    """At least what these events take in the spool."""
    return sum(len(audit.head) + len(audit.tail) + len(audit.key or b"") + _EVENT_BYTES for audit in audits)
