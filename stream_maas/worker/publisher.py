"""Publishing: results, audit events, dead letters and input offsets of many chunks move together.

`exactly_once.py` and `at_least_once.py` say how; both share the rules below. tests/kafka/test_delivery.py has an
attack for each of 1-6.

1. `transactional.id` is application id + stable instance name: a restart ends its predecessor's transaction at once.
2. The generation is read when the first chunk joins. A chunk of another era or generation never enters.
3. An interval is completed as soon as nothing waits to join it, or after `commit_interval_ms` at the latest. Work on
   the next chunks goes on meanwhile.
4. On revocation everything open is finished before the group rejoins; its generation is still valid then.
5. After any failure everything goes back to what was committed: the interval's tallies are dropped, the producer is
   replaced (InitProducerId ends whatever was open) and the partitions are rewound to the group's committed offsets.
   There is one way back for all failures, because rarely walked paths are where records get lost.
6. While the audit topic alone refuses, lanes are answered from the spool or held back (outage.py), and no number of
   refusals is too many.
7. Too many failures in a row, or a second live worker with our name: stop un-acknowledged, let the orchestrator act.
8. `_lock` covers joining, completing and recovery.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition

from stream_maas.errors import SpoolError
from stream_maas.records import Answered, Outgoing
from stream_maas.topics import BATCH_BYTES
from stream_maas.worker.batches import Rows, send_batches
from stream_maas.worker.chains import SessionChains
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.interval import Consumer, Interval, OutputTopics
from stream_maas.worker.kip447 import FencedInstanceError, StaleGenerationError
from stream_maas.worker.outage import REFUSALS, AuditRefusedError, Outage, mark, size_of
from stream_maas.worker.producers import MAX_FAILURES, backoff_s, close_producer, reason_of
from stream_maas.worker.spool import Spool
from stream_maas.worker.spool_mover import SpoolMover
from stream_maas.worker.way_back import WayBack

log = structlog.get_logger()

MakeMover = Callable[[Spool, Mapping[str, Any]], SpoolMover]
"""From the spool and the common keyword arguments of a producer."""
OnCommit = Callable[[Sequence[tuple[Chunk, Answered]], Mapping[TopicPartition, int], float], None]
"""Called after a commit with its chunks, its offsets and its duration in seconds."""


class Publisher:
    """Common half: joins chunks to the open interval, decides when to finish it, recovers."""

    mode = ""
    _ahead_s = 0.0
    """How long an interval that was opened ahead of its first row waits for it; 0: opening one takes no time."""

    def __init__(
        self,
        *,
        connection: Mapping[str, Any],
        topics: OutputTopics,
        chains: SessionChains,
        outage: Outage,
        make_mover: MakeMover,
        consumer: Callable[[], Consumer],
        commit_interval_ms: int,
        compression: str,
        on_commit: OnCommit,
        on_failure: Callable[[str], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._common = {
            **connection,
            "acks": "all",
            "compression_type": None if compression == "none" else compression,
            "max_batch_size": BATCH_BYTES,
            "max_request_size": 8 * BATCH_BYTES,
        }
        self._topics = topics
        self._chains = chains
        self.outage = outage
        self._mover = make_mover(outage.spool, self._common) if outage.spool is not None else None
        self._held: list[tuple[Chunk, Answered]] = []
        """Answers that wait for the end of the outage (rule 6)."""
        self._consumer = consumer
        self._interval_s = commit_interval_ms / 1000
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._on_fatal = on_fatal
        self._lock = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._waiting: list[tuple[Chunk, Answered]] = []
        self._open: Interval | None = None
        self._expecting = False
        self._producer: Any = None
        self._failures = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._producer = await self._new_producer()
        if self._mover is not None:
            await self._mover.settle()
            self.outage.resume()
            self._spawn(WayBack(self.outage, self._mover, self._chains).run(self._alone, self._release), "way back")
        self._spawn(self._commit_loop(), "committer")
        self._spawn(self._heartbeat_loop(), "audit heartbeats")

    async def stop(self, *, commit: bool) -> None:
        """Finish what is open (unless the worker stops un-acknowledged), then close the producer."""
        if commit:
            await self.finish()
            await self._write_service_events(self._chains.ends)
            await self.finish()
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await self._close_producer()
        if self._mover is not None:
            await self._mover.close()
        if self.outage.spool is not None:
            self.outage.spool.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """A task that only ends by `stop`."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def announce(self, chunk: Chunk) -> None:
        """A chunk is about to be served: what can be got ready for its output now need not be waited for then."""

    def nothing_yet(self) -> None:
        """What was served waits for models: no commit is going to ask for the next records, so it is done here."""
        self._consumer().poll_now()

    def publish(self, chunk: Chunk, answered: Answered) -> None:
        """Hand a chunk's output over; never waits. Chunks of a partition are published in the order of these calls.

        The chunk stays unfinished until it joins an interval, so what waits here is bounded by the transport.
        """
        self._waiting.append((chunk, answered))
        self._arrived.set()

    async def finish(self) -> None:
        """Publish what waits and commit all that is open. Returns when it is committed, or dropped and rewound."""
        async with self._lock:
            self._expecting = False
            if await self._join():
                await self._complete()

    async def _commit_loop(self) -> None:
        """Rule 3. What arrives while an interval is completed joins the next one in one go."""
        while True:
            await self._arrival(self._left_s())
            async with self._lock:
                if await self._join() and self._is_due():
                    await self._complete()

    async def _heartbeat_loop(self) -> None:
        """Chains that no chunk vouches for, because no further one comes, are signed by the clock."""
        while True:
            # Half of it: under load heartbeats go with the chunks, and this finds nothing to do.
            await asyncio.sleep(self._chains.heartbeat_s / 2)
            await self._write_service_events(self._chains.heartbeats)

    async def _write_service_events(self, take: Callable[[], Mapping[int, Sequence[Outgoing]]]) -> None:
        """What `take` makes goes into the open interval; without one, into an interval of its own."""
        async with self._lock:
            if self._stopping or (self.outage.spooling and not self.outage.has_room):
                return
            rows = {(self._topics.audit, partition): list(events) for partition, events in take().items()}
            if not rows:
                return
            alone = self._open is None or not self._open.chunks
            try:
                await self._send_rows(await self._opened(), rows)
            except Exception as error:  # noqa: BLE001 - rule 5
                await self._recover(error)
                return
            if alone:
                await self._complete()

    async def _arrival(self, at_most_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._arrived.wait()
        self._arrived.clear()

    def _left_s(self) -> float | None:
        """Seconds until the open interval is due; None when none is open.

        It stays open for the part of `commit_interval_ms` that its chunks are full: nearly empty chunks mean that the
        worker keeps up and latency counts, full ones that it does not and large transactions count. One without chunks
        was opened ahead.
        """
        interval = self._open
        if interval is None:
            return 0.0 if self._expecting else None
        if not interval.chunks:
            return max(0.0, interval.began_s + max(self._interval_s, self._ahead_s) - time.monotonic())
        fills = [chunk.fill_ratio for chunk, _ in interval.chunks]
        share = min(1.0, sum(fills) / len(fills))
        return max(0.0, interval.began_s + self._interval_s * share - time.monotonic())

    def _is_due(self) -> bool:
        interval = self._open
        if interval is None:
            return False
        return not self._left_s() or (bool(interval.chunks) and self._consumer().unfinished_count == 0)

    async def _join(self) -> bool:
        """Everything that waits joins the open interval, under the lock; False when that failed."""
        if not (self._waiting or self._expecting) or self._stopping:
            return True
        self._expecting = False
        try:
            # Opening may take a while, and what arrived meanwhile joins as well.
            await self._fill(await self._opened())
        except Exception as error:  # noqa: BLE001 - rule 5: one way back for all failures
            await self._recover(error)
            return False
        return True

    async def _opened(self) -> Interval:
        """The open interval; a new one when there is none."""
        if self._open is None:
            await self._begin()
            self._open = Interval(time.monotonic())
        return self._open

    async def _fill(self, interval: Interval) -> None:
        chunks = self._take_current()
        if not chunks:
            return
        consumer = self._consumer()
        if interval.group is None:
            interval.group, interval.began_s = consumer.group_metadata(), time.monotonic()
        await self._send_all(interval, chunks)
        for chunk, answered in chunks:
            interval.offsets[chunk.tp] = chunk.next_offset
            interval.chunks.append((chunk, answered))
            consumer.finished(chunk)

    async def _complete(self) -> None:
        """Commit the open interval, under the lock."""
        interval, self._open = self._open, None
        if interval is None:
            return
        self._expecting = self._ahead_s > 0 and bool(interval.chunks)
        started_s = time.monotonic()
        try:
            await self._commit(interval)
        except Exception as error:  # noqa: BLE001 - rule 5
            await self._recover(error)
            return
        self._chains.commit()
        self._committed(interval, started_s)

    def _committed(self, interval: Interval, started_s: float) -> None:
        if interval.chunks:
            self._failures = 0
            self._on_commit(interval.chunks, interval.offsets, time.monotonic() - started_s)

    def _take_current(self) -> list[tuple[Chunk, Answered]]:
        """What waits, without the chunks that are no longer current (rule 2): those are dropped."""
        consumer = self._consumer()
        waiting, self._waiting = self._waiting, []
        current = []
        behind = {chunk.tp for chunk, _ in self._held}
        size_bytes = 0
        for chunk, answered in waiting:
            if self._stopping or not consumer.is_current(chunk):
                consumer.finished(chunk)
            elif chunk.tp in behind or self.outage.holds(chunk.tp.topic, answered, size_bytes):
                behind.add(chunk.tp)
                self._held.append((chunk, answered))
            else:
                size_bytes += size_of(answered.audits) if self.outage.spooling else 0
                current.append((chunk, answered))
        return current

    async def _send_all(self, interval: Interval, chunks: Sequence[tuple[Chunk, Answered]]) -> None:
        """Rows of one output partition go out together, however many chunks they fill."""
        rows: dict[tuple[str, int], list[Outgoing]] = {}
        for chunk, answered in chunks:
            # Linking adds the receipts to the results, so it comes before they are encoded.
            audits = self._chains.link(chunk.tp.partition, answered.audits)
            if self.outage.spooling:
                mark(audits, answered.audits, *self._chains.place(chunk.tp.partition))
            for topic, outgoing in (
                (self._topics.audit, audits),
                (self._topics.results, answered.results),
                (self._topics.dead_letters, answered.dead_letters),
                (self._topics.boxes, answered.boxes),
            ):
                if outgoing:
                    rows.setdefault((topic, chunk.tp.partition), []).extend(outgoing)
        await self._send_rows(interval, rows)

    async def _send_rows(self, interval: Interval, rows: Rows) -> None:
        """Audit events first: to the spool, where they are on the disk before anything else goes out, or to the
        topic."""
        audits = {place: outgoing for place, outgoing in rows.items() if place[0] == self._topics.audit}
        if self.outage.spooling and self._mover is not None:
            kept = {partition: outgoing for (_, partition), outgoing in audits.items()}
            interval.frame = await self.outage.keep(kept, self._mover.disk) if kept else interval.frame
        else:
            try:
                await send_batches(self._producer, audits, interval.audits)
            except REFUSALS as error:
                raise AuditRefusedError(type(error).__name__) from error
        await self._send_others(interval, {place: rows[place] for place in rows if place not in audits})

    async def _send_others(self, interval: Interval, rows: Rows) -> None:
        await send_batches(self._producer, rows, interval.deliveries)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """They only end by `stop`; anything else is a defect, and without them nothing would commit any more."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stopping = True
            self._on_fatal(error)

    async def _recover(self, error: Exception) -> None:
        """Rule 5, under the lock."""
        self._drop()
        self._chains.roll_back(certain=self._is_aborted())
        refused = isinstance(error, AuditRefusedError | SpoolError)
        if refused:
            self.outage.begin(str(error) if isinstance(error, AuditRefusedError) else self.outage.reason)
        else:
            self._failures += 1
        stale = isinstance(error, StaleGenerationError)
        self._on_failure("stale_generation" if stale else type(error).__name__)
        (log.info if stale else log.warning)(
            "interval dropped, going back to the committed offsets",
            reason=reason_of(error), failures=self._failures,
        )  # fmt: skip
        if isinstance(error, FencedInstanceError) or self._failures > MAX_FAILURES:
            self._give_way(error)
            return
        await self._close_producer()
        if refused and (isinstance(error, SpoolError) or not self.outage.spooling):
            await asyncio.sleep(backoff_s(self.outage.failures))
        elif self._failures > 1:
            # Whoever fenced us repeats its InitProducerId until it finds no transaction of ours open: let it.
            await asyncio.sleep(backoff_s(self._failures - 1))
        for attempt in itertools.count():
            try:
                # First of all: a new producer would fence the one that rightly has our name.
                await self._consumer().check_membership()
                if self._producer is None:
                    self._producer = await self._new_producer()
                if self._mover is not None:
                    await self._mover.settle_confirmed()
                await self._consumer().rewind()
            except FencedInstanceError as fenced:
                self._on_failure(type(fenced).__name__)
                self._give_way(fenced)
                return
            except Exception as again:  # noqa: BLE001 - the broker is away: wait for it, un-acknowledged
                wait_s = backoff_s(attempt)
                log.warning("recovery waits for the broker", reason=type(again).__name__, retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
            else:
                return
            if self._stopping:
                return

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[bool]:
        """Nothing is open and nothing is written in the block; False when there is nothing to be done any more."""
        async with self._lock:
            await self._complete()
            yield not self._stopping and self.outage.active

    def _release(self) -> None:
        self._waiting = [*self._held, *self._waiting]
        self._held = []
        self._arrived.set()

    def _give_way(self, error: Exception) -> None:
        log.warning("giving way, un-acknowledged", reason=reason_of(error))
        self._stopping = True
        self._on_fatal(error)

    def _drop(self) -> None:
        """Forget everything that is not committed."""
        self._open = None
        self._expecting = False
        self._waiting.clear()
        self._held.clear()

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)

    def _is_aborted(self) -> bool:
        """Whether nothing of what failed just now can be in the log for readers of committed records."""
        raise NotImplementedError

    async def _new_producer(self) -> Any:
        raise NotImplementedError

    async def _begin(self) -> None:
        raise NotImplementedError

    async def _commit(self, interval: Interval) -> None:
        raise NotImplementedError
