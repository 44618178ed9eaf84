"""Publishing: results, audit events, dead letters and input offsets of many chunks move together.

Exactly-once (`TransactionalPublisher`) follows KIP-447; at-least-once (`PlainPublisher`) sends, waits for every
broker acknowledgement and then commits the offsets. Both share the rules below; tests/kafka/test_delivery.py has
an attack for each of 1-6.

1. `transactional.id` is application id + stable instance name: a restart ends its predecessor's transaction at once.
2. The generation is read when the interval begins. A chunk of another era or generation never enters.
3. An interval commits as soon as nothing waits to join it, or after `commit_interval_ms` at the latest. Work on the
   next chunks goes on meanwhile.
4. On revocation the open interval is finished before the group rejoins; its generation is still valid then.
5. After any failure everything goes back to what was committed: the interval's tallies are dropped, the producer is
   replaced (InitProducerId ends whatever was open) and the partitions are rewound to the group's committed offsets.
   There is one way back for all failures, because rarely walked paths are where records get lost.
6. Too many failures in a row, or a second live worker with our name: stop un-acknowledged, let the orchestrator act.
7. One commit at a time; `_lock` covers joining, finishing and recovery.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_maas.errors import BrokerError
from stream_maas.records import Answered, Outgoing
from stream_maas.worker.kip447 import FencedInstanceError, FencedProducer, GroupMetadata, StaleGenerationError
from stream_maas.worker.transport import Chunk

log = structlog.get_logger()

MAX_FAILURES = 8
"""Failed intervals in a row, without one commit between them. A broker that restarts or moves a coordinator causes
one or two; a worker that is fenced again and again has a twin and must give way. A broker that is away is waited
for without end and counts once."""

MAX_BACKOFF_S = 5.0
PRODUCER_STOP_S = 3.0
BATCH_BYTES = 1 << 20
"""Room of one produce batch; larger batches mean fewer requests, and Kafka's default record limit is about this."""


class Consumer(Protocol):
    """What the publisher needs of the chunked consumer."""

    @property
    def unfinished_count(self) -> int: ...
    def is_current(self, chunk: Chunk) -> bool: ...
    def group_metadata(self) -> GroupMetadata: ...
    def finished(self, chunk: Chunk) -> None: ...
    async def rewind(self) -> None: ...
    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None: ...


@dataclass(frozen=True, slots=True)
class OutputTopics:
    """Full names of the topics a worker writes."""

    results: str
    audit: str
    dead_letters: str


@dataclass(slots=True)
class Interval:
    """Chunks that commit together. All state that must go back on an abort lives here and nowhere else."""

    group: GroupMetadata
    began_s: float
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    deliveries: list[asyncio.Future[Any]] = field(default_factory=list)
    chunks: list[tuple[Chunk, Answered]] = field(default_factory=list)


OnCommit = Callable[[Sequence[tuple[Chunk, Answered]], Mapping[TopicPartition, int], float], None]
"""Called after a commit with its chunks, its offsets and its duration in seconds."""


class Publisher:
    """Common half: joins chunks to the open interval, decides when to finish it, recovers."""

    mode = ""

    def __init__(
        self,
        *,
        connection: Mapping[str, Any],
        topics: OutputTopics,
        consumer: Callable[[], Consumer],
        commit_interval_ms: int,
        chunk_max_records: int,
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
        self._consumer = consumer
        self._interval_s = commit_interval_ms / 1000
        self._chunk_max_records = chunk_max_records
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._on_fatal = on_fatal
        self._lock = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._waiting: list[tuple[Chunk, Answered]] = []
        self._open: Interval | None = None
        self._producer: Any = None
        self._failures = 0
        self._stopping = False
        self._committer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._producer = await self._new_producer()
        self._committer = asyncio.create_task(self._commit_loop(), name="committer")
        self._committer.add_done_callback(self._committer_ended)

    async def stop(self, *, commit: bool) -> None:
        """Finish what is open (unless the worker stops un-acknowledged), then close the producer."""
        if commit:
            await self.finish()
        self._stopping = True
        if self._committer is not None:
            self._committer.cancel()
        await self._close_producer()

    def publish(self, chunk: Chunk, answered: Answered) -> None:
        """Hand a chunk's output over; never waits. Chunks of a partition are published in the order of these calls.

        The chunk stays unfinished until it joins an interval, so what waits here is bounded by the transport.
        """
        self._waiting.append((chunk, answered))
        self._arrived.set()

    async def finish(self) -> None:
        """Publish what waits and commit the open interval, if there is one."""
        async with self._lock:
            if not await self._join():
                return
            interval, self._open = self._open, None
            if interval is None:
                return
            started_s = time.monotonic()
            try:
                await self._commit(interval)
            except Exception as error:  # noqa: BLE001 - rule 5
                await self._recover(error)
                return
            self._failures = 0
            self._on_commit(interval.chunks, interval.offsets, time.monotonic() - started_s)

    async def _join(self) -> bool:
        """Everything that waits joins the open interval, under the lock; False when that failed."""
        chunks = self._take_current()
        if not chunks:
            return True
        consumer = self._consumer()
        try:
            if self._open is None:
                group = consumer.group_metadata()
                await self._begin()
                self._open = Interval(group, time.monotonic())
            interval = self._open
            interval.deliveries += await self._send_all(chunks)
        except Exception as error:  # noqa: BLE001 - rule 5: one way back for all failures
            await self._recover(error)
            return False
        for chunk, answered in chunks:
            interval.offsets[chunk.tp] = chunk.next_offset
            interval.chunks.append((chunk, answered))
            consumer.finished(chunk)
        return True

    def _take_current(self) -> list[tuple[Chunk, Answered]]:
        """What waits, without the chunks that are no longer current (rule 2): those are dropped."""
        consumer = self._consumer()
        waiting, self._waiting = self._waiting, []
        current = []
        for chunk, answered in waiting:
            if self._stopping or not consumer.is_current(chunk):
                consumer.finished(chunk)
            else:
                current.append((chunk, answered))
        return current

    async def _send_all(self, chunks: Sequence[tuple[Chunk, Answered]]) -> list[asyncio.Future[Any]]:
        """Rows of one output partition go out together, however many chunks they fill."""
        rows: dict[tuple[str, int], list[Outgoing]] = {}
        for chunk, answered in chunks:
            for topic, outgoing in (
                (self._topics.audit, answered.audits),
                (self._topics.results, answered.results),
                (self._topics.dead_letters, answered.dead_letters),
            ):
                if outgoing:
                    rows.setdefault((topic, chunk.tp.partition), []).extend(outgoing)
        deliveries = []
        for (topic, partition), outgoing in rows.items():
            deliveries += await self._send(topic, partition, outgoing)
        for delivery in deliveries:
            delivery.add_done_callback(_read_error)
        return deliveries

    async def _send(self, topic: str, partition: int, rows: Sequence[Outgoing]) -> list[asyncio.Future[Any]]:
        """Whole batches; a row that does not fit closes the batch and opens the next one."""
        deliveries = []
        batch = None
        for row in rows:
            if batch is not None and batch.append(key=row.key, value=row.value, timestamp=None, headers=row.headers):
                continue
            if batch is not None:
                batch.close()
                deliveries.append(await self._producer.send_batch(batch, topic, partition=partition))
            batch = self._producer.create_batch()
            if not batch.append(key=row.key, value=row.value, timestamp=None, headers=row.headers):
                raise BrokerError(f"topic {topic}: a record is larger than the produce batch ({BATCH_BYTES} bytes)")
        if batch is not None:
            batch.close()
            deliveries.append(await self._producer.send_batch(batch, topic, partition=partition))
        return deliveries

    async def _commit_loop(self) -> None:
        """Rule 3. What arrives while a commit is under way joins the next interval in one go.

        An interval stays open for the part of `commit_interval_ms` that its chunks are full: nearly empty chunks mean
        that the worker keeps up and latency counts, full ones that it does not and large transactions count.
        """
        while True:
            await self._arrived.wait()
            while True:
                self._arrived.clear()
                async with self._lock:
                    await self._join()
                    interval = self._open
                if interval is None:
                    break
                left_s = interval.began_s + self._interval_s * self._fill(interval) - time.monotonic()
                if left_s <= 0 or self._consumer().unfinished_count == 0:
                    break
                try:
                    async with asyncio.timeout(left_s):
                        await self._arrived.wait()
                except TimeoutError:
                    break
            await self.finish()

    def _fill(self, interval: Interval) -> float:
        """Mean fill of the interval's chunks, 0 to 1."""
        rows = sum(len(chunk.records) for chunk, _ in interval.chunks)
        return min(1.0, rows / (len(interval.chunks) * self._chunk_max_records))

    def _committer_ended(self, task: asyncio.Task[None]) -> None:
        """It only ends by `stop`; anything else is a defect, and without it nothing would commit any more."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stopping = True
            self._on_fatal(error)

    async def _recover(self, error: Exception) -> None:
        """Rule 5, under the lock."""
        self._open = None
        self._waiting.clear()
        self._failures += 1
        stale = isinstance(error, StaleGenerationError)
        self._on_failure("stale_generation" if stale else type(error).__name__)
        (log.info if stale else log.warning)(
            "interval dropped, going back to the committed offsets",
            reason=type(error).__name__, failures=self._failures,
        )  # fmt: skip
        if isinstance(error, FencedInstanceError) or self._failures > MAX_FAILURES:
            self._stopping = True
            self._on_fatal(error)
            return
        await self._close_producer()
        for attempt in itertools.count():
            try:
                if self._producer is None:
                    self._producer = await self._new_producer()
                await self._consumer().rewind()
            except Exception as again:  # noqa: BLE001 - the broker is away: wait for it, un-acknowledged
                backoff_s = min(MAX_BACKOFF_S, 0.1 * 2**attempt)
                log.warning("recovery waits for the broker", reason=type(again).__name__, retry_in_s=backoff_s)
                await asyncio.sleep(backoff_s)
            else:
                return
            if self._stopping:
                return

    async def _close_producer(self) -> None:
        """Never waits for deliveries: what was not committed is repeated from the committed offsets."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        sender_task = producer._sender.sender_task
        # `producer.stop()` would flush first, and a flush to a broker that is away never ends.
        producer._closed = True
        if producer._txn_manager is not None and (waiter := producer._txn_manager.wait_for_transaction_end()):
            waiter.add_done_callback(_read_error)
        if sender_task is not None:
            sender_task.cancel()
        try:
            async with asyncio.timeout(PRODUCER_STOP_S):
                await producer.client.close()
                if sender_task is not None:
                    await asyncio.wait([sender_task])
        except Exception as error:  # noqa: BLE001 - it is being thrown away
            log.debug("old producer did not stop cleanly", reason=type(error).__name__)

    async def _new_producer(self) -> Any:
        raise NotImplementedError

    async def _begin(self) -> None:
        raise NotImplementedError

    async def _commit(self, interval: Interval) -> None:
        raise NotImplementedError


def _read_error(future: asyncio.Future[Any]) -> None:
    """A future that failed together with its interval is never awaited; asyncio would complain at exit."""
    if not future.cancelled():
        future.exception()


class TransactionalPublisher(Publisher):
    """Exactly-once: one transaction per interval, offsets included."""

    mode = "exactly-once"

    def __init__(self, *, group_id: str, transactional_id: str, transaction_timeout_ms: int, **common: Any) -> None:
        super().__init__(**common)
        self._group_id = group_id
        self._transactional_id = transactional_id
        self._transaction_timeout_ms = transaction_timeout_ms

    async def _new_producer(self) -> FencedProducer:
        producer = FencedProducer(
            **self._common,
            client_id=self._transactional_id,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._transaction_timeout_ms,
        )
        await producer.start()
        return producer

    async def _begin(self) -> None:
        await self._producer.begin_transaction()

    async def _commit(self, interval: Interval) -> None:
        # The offsets travel while the rows do: two round trips less per transaction.
        offsets = self._producer.send_offsets(interval.offsets, self._group_id, interval.group)
        await asyncio.gather(offsets, *interval.deliveries)
        await self._producer.commit_transaction()


class PlainPublisher(Publisher):
    """At-least-once: results and audit events are acknowledged by the broker before the offsets are committed."""

    mode = "at-least-once"

    def __init__(self, *, instance: str, idempotence: bool, **common: Any) -> None:
        super().__init__(**common)
        self._instance = instance
        self._idempotence = idempotence

    async def _new_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._common,
            client_id=self._instance,
            enable_idempotence=self._idempotence,
        )
        await producer.start()
        return producer

    async def _begin(self) -> None:
        """Nothing to open."""

    async def _commit(self, interval: Interval) -> None:
        await asyncio.gather(*interval.deliveries)
        await self._consumer().commit_offsets(interval.offsets)
