"""Chunked Faust transport: one Faust event per fetched chunk of one partition instead of one per record.

Faust's per-record plumbing costs 75-90 us of CPU per record; with one event per chunk it costs about 2. What is
replaced: the fetch loop (`Consumer._drain_messages`), the creation of the aiokafka consumer, and Faust's own
commits (the publisher commits). What stays Faust's: group membership, assignment, flow control, agents, life cycle.

Rules (tests/kafka attacks each of them on a real broker):
1. A chunk carries the `era` and the group `generation` in which it was fetched. An era ends when partitions are
   revoked or when the partitions are rewound; a chunk of an ended era is never published.
2. Records that were fetched but not handed to an agent are never forgotten: the partitions are rewound.
3. `rewind` takes positions from the group's committed offsets, never from memory, so it is right whatever the
   outcome of a transaction was and whoever owned the partition in between.
4. Nothing blocks the fetch loop: a partition with `in_flight_chunks` full chunks' worth of unfinished work is just
   not asked for more, so a slow lane does not stop another.
5. The fetch loop is the only one that places partitions, and it goes on trying while the broker is away. Faust would
   do it once, in a task whose end nobody sees.
6. Records that keep coming are fetched at a distance (`poll_gap_s`), or when what was fetched before is committed
   (`poll_now`): a pass that is served meanwhile would delay that commit, and wait for the next one itself. A backlog
   is fetched without a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiokafka
import faust
import structlog
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage

from stream_maas.kafka import fetched
from stream_maas.worker import kip447
from stream_maas.worker.attempts import Attempts
from stream_maas.worker.chunks import Chunk, split
from stream_maas.worker.producers import backoff_s, is_cancelled

log = structlog.get_logger()

POLL_S = 0.2
"""Longest wait of one poll. It bounds how late a partition that was full is asked again; it adds no latency,
because a poll returns as soon as records are there."""

POLL_GAP_S = 0.006
"""From a poll that brought records to the next one. A poll and its pass cost as much as forty records, so where records
keep coming, fewer and fuller ones leave the processor to what makes their answers readable. The first record after a
pause waits for nothing."""

STEP_GAP_S = 0.03
"""The same, where polls keep step with transactions (`poll_now`) and this is for those that take long."""

BACKLOG_ROWS = 1024
"""A poll that brings as many finds a backlog: what comes next is fetched while this is served."""

TAKEN_S = 0.02
"""Longest wait for an agent to take what was fetched before."""

PLACING_S = 30.0
"""An attempt that takes longer is given up and made again: aiokafka has waits without an end."""

UNBOUNDED_BUFFER = 1 << 20
"""Faust's queues never push back: rule 4 bounds what is in them."""


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """What the aiokafka consumer inside Faust is made of."""

    connection: Mapping[str, Any]
    """Keyword arguments that reach the cluster (bootstrap_servers, security_protocol, ...)."""
    group_id: str
    group_instance_id: str
    stable_offsets: bool
    """Read committed offsets with require_stable (exactly-once)."""
    chunk_max_records: int
    chunk_max_bytes: int
    in_flight_chunks: int
    fetch_max_wait_ms: int
    fetch_max_bytes: int
    session_timeout_ms: int
    heartbeat_interval_ms: int
    rebalance_timeout_ms: int
    client_rack: str = ""
    poll_gap_s: float = POLL_GAP_S
    """Longest wait between two polls where records keep coming."""
    single_owner: bool = False
    """One member of the group gets every partition; the others stand by."""


class SingleOwnerAssignor(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """Gives every partition to the member that comes first in the order of static names, nothing to the others."""

    name = "single-owner"

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> Any:
        owner = min(members)
        nothing = ConsumerProtocolMemberAssignment(cls.version, [], b"")
        return dict.fromkeys(members, nothing) | super().assign(cluster, {owner: members[owner]})


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer: fetches, heartbeats, seeks."""

    era = 0

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        options: TransportOptions = self.app.transport_options
        fetched.install()
        self._assignor = SingleOwnerAssignor if options.single_owner else RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            **options.connection,
            client_id=f"{options.group_id}-{options.group_instance_id}",
            group_id=options.group_id,
            group_instance_id=options.group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=options.fetch_max_wait_ms,
            max_partition_fetch_bytes=options.fetch_max_bytes,
            session_timeout_ms=options.session_timeout_ms,
            heartbeat_interval_ms=options.heartbeat_interval_ms,
            rebalance_timeout_ms=options.rebalance_timeout_ms,
            # A full partition is not polled for as long as it is full; the group must not take that for death.
            max_poll_interval_ms=24 * 3600 * 1000,
            metadata_max_age_ms=60_000,
            **({"client_rack": options.client_rack} if options.client_rack else {}),
        )

    async def on_start(self) -> None:
        await super().on_start()
        if self.app.transport_options.stable_offsets:
            kip447.require_stable_offsets(self._ensure_consumer())
            kip447.fence_heartbeats(self._ensure_consumer(), self._fenced)

    def _fenced(self, error: kip447.FencedInstanceError) -> None:
        self.app.loop.call_soon_threadsafe(self.app.on_fenced, error)

    def group_metadata(self) -> kip447.GroupMetadata:
        return kip447.GroupMetadata.of(self._ensure_consumer())

    def group_failure(self) -> BaseException | None:
        """What ended aiokafka's group task, or None while it runs."""
        coordinator = self._consumer._coordinator if self._consumer is not None else None
        task = getattr(coordinator, "_coordination_task", None)
        return task.exception() if task is not None and task.done() and not task.cancelled() else None

    async def fetch(self, partitions: set[Any], timeout_s: float) -> tuple[dict[Any, list[Any]], int, int]:
        """Records by partition, with the era and generation they belong to."""
        fetched: tuple[dict[Any, list[Any]], int, int] = await self.call_thread(self._fetch, partitions, timeout_s)
        return fetched

    async def _fetch(self, partitions: set[Any], timeout_s: float) -> tuple[dict[Any, list[Any]], int, int]:
        consumer = self._ensure_consumer()
        consumer.resume(*consumer.paused())
        records = await self._fetch_records(consumer, partitions, timeout=timeout_s, max_records=None)
        # From here on nothing awaits: `_rewind` runs on this thread's loop too, and aiokafka's fetcher, which would
        # fetch again at once. It would bring the first records that follow, and as long as nobody takes those it asks
        # for no others: the next poll would find what was there just after this one.
        if 0 < sum(map(len, records.values())) < BACKLOG_ROWS:
            consumer.pause(*consumer.assignment())
        return records, self.era, consumer._coordinator.generation

    async def rewind(self, era: int, starts: Mapping[TopicPartition, int]) -> None:
        """Seek every assigned partition to its place in `starts`, else to its committed offset; open a new era."""
        await self.call_thread(self._rewind, era, starts)

    async def _rewind(self, era: int, starts: Mapping[TopicPartition, int]) -> None:
        consumer = self._ensure_consumer()
        generation = consumer._coordinator.generation
        partitions = list(consumer.assignment())
        try:
            async with asyncio.timeout(PLACING_S):
                committed = await consumer._coordinator.fetch_committed_offsets(partitions)
                missing = [tp for tp in partitions if tp not in committed]
                beginnings = await consumer.beginning_offsets(missing) if missing else {}
        except TimeoutError as error:
            if kip447.held_open(consumer):
                raise kip447.UnstableOffsetError from error
            raise
        # From here to the end nothing awaits: no fetch can return between the seeks and the new era.
        if consumer._coordinator.generation == generation:
            assigned = consumer.assignment()
            for tp in partitions:
                if tp in assigned:
                    default = committed[tp].offset if tp in committed else beginnings[tp]
                    consumer.seek(tp, starts.get(tp, default))
        self.era = era

    async def check_membership(self) -> None:
        """Raises `FencedInstanceError` when another live worker has taken our name in the group (exactly-once)."""
        if self.app.transport_options.stable_offsets:
            await self.call_thread(kip447.check_instance, self._ensure_consumer())

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Plain offset commit (at-least-once). Raises aiokafka's CommitFailedError when the group moved on."""
        rows = {tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        await self.call_thread(self._ensure_consumer().commit, rows)

    def unread(self, tp: TopicPartition) -> int:
        """Records between the position and the last stable offset, as the last fetch saw it; 0 before the first one.

        Positions move past control records (transaction markers), committed offsets do not.
        """
        consumer = self._ensure_consumer()
        if tp not in consumer.assignment():
            return 0
        state = consumer._subscription.subscription.assignment.state_value(tp)
        end, position = consumer.last_stable_offset(tp), state._position  # one read each: another thread writes them
        return 0 if end is None or position is None else max(0, int(end) - int(position))

    def caught_up(self, tp: TopicPartition) -> int | None:
        """Epoch milliseconds of the last fetch if it left nothing behind the position, the high watermark included."""
        consumer = self._ensure_consumer()
        if tp not in consumer.assignment():
            return None
        state = consumer._subscription.subscription.assignment.state_value(tp)
        end, position, fetched_ms = state.highwater, state._position, state.timestamp
        return fetched_ms if end is not None and position is not None and position >= end else None

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Faust's stall warnings watch acks that this transport does not use; worker/health.py watches commits."""


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust consumer whose events are chunks. Runs on the app's loop."""

    era = 0
    _thread: ChunkConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unfinished: dict[TopicPartition, list[Chunk]] = {}
        self._handed_out: dict[TopicPartition, tuple[int, int]] = {}
        """First offset handed out in this era, and the one after the last."""
        self._attempts = Attempts()
        self._room = asyncio.Event()
        self._poll_now = asyncio.Event()
        self._next_poll_s = 0.0
        """Monotonic."""
        self._undelivered = False
        self._unplaced = False
        """Positions are to be asked for again before the next fetch (rule 5)."""

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _commit(self, offsets: Any) -> bool:
        """The publisher commits; Faust only keeps its books."""
        return True

    @property
    def unfinished_count(self) -> int:
        """Chunks of this era that were handed out and are not finished."""
        return sum(map(len, self._unfinished.values()))

    def is_current(self, chunk: Chunk) -> bool:
        """Whether the chunk may still be published (rule 1)."""
        return chunk.era == self.era and chunk.generation == self._thread.group_metadata().generation_id

    def group_metadata(self) -> kip447.GroupMetadata:
        return self._thread.group_metadata()

    def group_failure(self) -> BaseException | None:
        return self._thread.group_failure()

    def untaken_count(self, topic: str) -> int:
        """Chunks of this era that were handed out to a topic's agent and that it has not begun to serve."""
        return sum(not chunk.taken for tp, chunks in self._unfinished.items() if tp.topic == topic for chunk in chunks)

    def taken(self, chunks: Iterable[Chunk]) -> None:
        """An agent begins to serve the chunks; more may be fetched."""
        for chunk in chunks:
            chunk.taken = True
        self._room.set()

    def finished(self, chunk: Chunk) -> None:
        """The chunk is published or dropped; its partition may be asked for more."""
        chunks = self._unfinished.get(chunk.tp, [])
        if chunk in chunks:
            chunks.remove(chunk)
            self._room.set()

    async def rewind(self) -> None:
        """Forget everything in flight and start again from the committed offsets."""
        self._end_era()
        era, starts = self.era, {}
        if self.app.start_offsets is not None:
            starts = await self.app.start_offsets({TopicPartition(*tp) for tp in self.assignment()})
            if era != self.era:
                return  # partitions were revoked meanwhile; the next assignment asks again
        await self._thread.rewind(era, starts)

    def start_over(self) -> None:
        """Drop what is in flight; before the next fetch the partitions are placed again as after an assignment."""
        self._end_era()
        self._unplaced = True

    async def check_membership(self) -> None:
        await self._thread.check_membership()

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._thread.commit_offsets(offsets)

    def behind(self, tp: TopicPartition, committed_offset: int | None) -> int:
        """Records that are not answered and committed yet: not read, or handed out in this era and still on the way."""
        first, following = self._handed_out.get(tp, (0, 0))
        return self._thread.unread(tp) + max(0, following - max(first, committed_offset or 0))

    def unhandled(self, tp: TopicPartition) -> int:
        """Records that are not handled yet: not read, or handed out and still on the way."""
        return self._thread.unread(tp) + sum(len(chunk.records) for chunk in self._unfinished.get(tp, ()))

    def caught_up(self, tp: TopicPartition) -> int | None:
        """When the broker last said that nothing of this partition is left to read, epoch milliseconds.

        None while something is: unread, handed out and unfinished, or held back by an open transaction. A broker
        that no longer answers says nothing, so the time stands still.
        """
        return None if self._unfinished.get(tp) else self._thread.caught_up(tp)

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        self._unplaced = True

    async def perform_seek(self) -> None:
        """Faust's way to the committed offsets. If the broker goes away under it, Faust waits for ever (rule 5)."""
        self._unplaced = True

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """The app's handler (it finishes the open transaction) runs first, while the generation is still valid."""
        await super().on_partitions_revoked(revoked)
        self._end_era()
        self._thread.era = self.era

    def _end_era(self) -> None:
        self.era += 1
        for tp, (_, following) in self._handed_out.items():
            self._attempts.dropped(tp, following)
        self._unfinished.clear()
        self._handed_out.clear()
        self._room.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        """The fetch loop; Faust's Fetcher service runs it and restarts it after a rebalance."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                if self._undelivered or self._unplaced:
                    self._undelivered = self._unplaced = False
                    await self._place()
                    continue  # the flow may have been stopped meanwhile
                await self._poll()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _place(self) -> None:
        """`rewind` until it succeeds (rule 5), or until there is no assignment to place any more."""
        for attempt in itertools.count():
            if not self.flow_active:
                break
            try:
                await self.rewind()
            except self.consumer_stopped_errors:
                raise
            except (KafkaError, TimeoutError, asyncio.CancelledError) as error:
                if is_cancelled():
                    raise
                # A cancellation that nobody asked for comes out of aiokafka when it loses its connection.
                wait_s = backoff_s(attempt)
                log.warning("placing partitions failed", reason=type(error).__name__, retry_in_s=wait_s)
            else:
                return
            await asyncio.sleep(wait_s)
        self._unplaced = True

    def poll_now(self) -> None:
        """Fetch again, however short ago the last poll was: what is fetched now joins the next transaction."""
        self._poll_now.set()

    async def _poll(self) -> None:
        if (left_s := self._next_poll_s - time.monotonic()) > 0:
            await self._wait_for(self._poll_now, left_s)
        if any(not chunk.taken for chunks in self._unfinished.values() for chunk in chunks):
            # Whoever is served next takes all that is there by then, and each poll costs as much as a dozen records:
            # fetch again when it has been taken. Bounded, because one lane's agent must not stop another's records.
            self._room.clear()
            await self._wait_for(self._room, TAKEN_S)
        active = self._get_active_partitions()
        open_partitions = {tp for tp in active if self._has_room(tp)}
        if not open_partitions:
            self._room.clear()
            await self._wait_for(self._room, POLL_S)
            return
        # While some partitions are full the poll is short, so that they are asked again as soon as they have room.
        timeout_s = POLL_S if len(open_partitions) == len(active) else POLL_S / 10
        self._undelivered = True
        records, era, generation = await self._thread.fetch(open_partitions, timeout_s)
        if records:
            has_backlog = sum(map(len, records.values())) >= BACKLOG_ROWS
            self._next_poll_s = time.monotonic() + (0.0 if has_backlog else self.app.transport_options.poll_gap_s)
            self._poll_now.clear()
        self._undelivered = not await self._deliver(records, era, generation)

    def _has_room(self, tp: TopicPartition) -> bool:
        unfinished = self._unfinished.get(tp, ())
        options: TransportOptions = self.app.transport_options
        return sum(chunk.fill_ratio for chunk in unfinished) < options.in_flight_chunks

    async def _wait_for(self, event: asyncio.Event, at_most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await event.wait()

    async def _deliver(self, records: Mapping[Any, list[Any]], era: int, generation: int) -> bool:
        """Hand out chunks; False when some records were not, because their era or the flow ended meanwhile.

        The callback never waits: the flow is active, Faust's own producer is unused, and its queue is unbounded.
        """
        callbacks = self.app.topics._tp_to_callback
        for tp, rows in records.items():
            for chunk in self._chunks(TopicPartition(tp.topic, tp.partition), rows, era, generation):
                if not self.flow_active or era != self.era or generation != self.app.consumer_generation_id:
                    return False
                faust_tp, last = ensure_TP(tp), chunk.records[-1]
                message = ConsumerMessage(
                    tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, 0,
                    (), None, chunk, None, 0, 0, faust_tp, generation_id=generation,
                )  # fmt: skip
                self._unfinished.setdefault(chunk.tp, []).append(chunk)
                first, _ = self._handed_out.get(chunk.tp, (chunk.records[0].offset, 0))
                self._handed_out[chunk.tp] = (first, chunk.next_offset)
                await callbacks[faust_tp](message)
        return True

    def _chunks(self, tp: TopicPartition, rows: list[Any], era: int, generation: int) -> list[Chunk]:
        if tp not in self._handed_out:
            self._attempts.begun(tp, rows[0].offset)
        return [
            Chunk(tp, part, era, generation, fill_ratio, attempt)
            for run, attempt in self._attempts.parts(tp, rows)
            for part, fill_ratio in split(run, self.app.transport_options)
        ]


class SecuredProducer(driver.Producer):  # type: ignore[misc]
    """Faust starts a producer of its own. It sends nothing here, but it has to reach the cluster as we do."""

    def _settings_auth(self) -> Mapping[str, Any]:
        return dict(self.app.transport_options.connection)


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    Consumer = ChunkConsumer
    Producer = SecuredProducer


class ChunkApp(faust.App):  # type: ignore[misc]
    """A Faust app on the chunked transport."""

    def __init__(
        self,
        *args: Any,
        transport_options: TransportOptions,
        on_fenced: Callable[[Exception], None],
        start_offsets: Callable[[set[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.transport_options = transport_options
        self.start_offsets = start_offsets
        """Asked on the app's loop where partitions begin, after every assignment and before every rewind; whatever it
        leaves out begins at the group's committed offset."""
        self.on_fenced = on_fenced
        """Called on the app's loop when another live worker has taken our name in the group."""
        super().__init__(*args, **kwargs)

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_producer, self)
