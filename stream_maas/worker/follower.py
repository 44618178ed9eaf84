"""A follower: a process that reads topics in order, keeps a state that follows them, and writes what it concludes.

The monitor and the sealer are followers of the audit topic. What they share: a Faust app on the chunked transport
that reads committed records only, hands each chunk of one partition to a `Handler`, and lets the handler say where
partitions begin, because its state knows which offsets it stands for. What a handler writes goes out together
with the offsets that it covers:

- on a broker with transactions in one transaction, fenced by the consumer group (KIP-447): whoever no longer owns
  the partitions cannot commit, so state, conclusions and offsets never disagree, zombies included;
- on one without, rows are acknowledged by the broker first and then the offsets are committed. A crash in between
  repeats the rows; handlers give them deterministic ids, so that the repetition can be recognised.

There is one way back from every failure: drop what is open, take a new producer, ask the handler again where to
begin. Handler methods are never called concurrently.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream_maas import kafka
from stream_maas.errors import BrokerError
from stream_maas.privacy import Redactor
from stream_maas.settings import Settings
from stream_maas.topics import Role
from stream_maas.worker import logs
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.follower_metrics import FollowerMetrics
from stream_maas.worker.health import Health
from stream_maas.worker.kip447 import FencedInstanceError, FencedProducer, GroupMetadata
from stream_maas.worker.producers import MAX_FAILURES, backoff_s, close_producer
from stream_maas.worker.shell import EXIT_PROBLEM, Ready, Shell, chunk_app, run_to_exit
from stream_maas.worker.web import ProbeServer

log = structlog.get_logger()

TICK_S = 0.25


@dataclass(frozen=True, slots=True)
class Row:
    """One record that a handler writes."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    """None is a tombstone."""
    headers: tuple[tuple[str, bytes], ...] = ()


class Handler(Protocol):
    """What a follower does with what it reads. Times are epoch microseconds."""

    async def start(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These partitions are ours from now on, no others: load the state, and say at which offset each begins.

        What is left out begins at the group's committed offset, or at the oldest record. Called after every
        assignment and after every failure; everything that was not committed before is gone.
        """
        ...

    async def handle(self, chunk: Chunk) -> None:
        """Take in a chunk. Chunks of a partition come in order and without gaps since `start`."""
        ...

    async def tick(self, now_us: int) -> None:
        """Called about every `TICK_S`, also when nothing is read."""
        ...

    async def release(self) -> None:
        """The partitions are about to go away, or the process stops: commit what is worth it, while we still may."""
        ...


class Follower:
    """One follower process. `run` returns the exit code."""

    def __init__(
        self,
        settings: Settings,
        *,
        role: Role,
        topics: Sequence[str],
        single_owner: bool = False,
        on_ready: Callable[[Ready], None],
        metrics: FollowerMetrics | None = None,
        group_id: str | None = None,
    ) -> None:
        """`topics`: full names. The consumer group is `PREFIX-ROLE` where `group_id` names no other. `single_owner`:
        one process of the group reads everything and the others stand by."""
        self._settings = settings
        self._role = role
        self._topics = list(topics)
        self._single_owner = single_owner
        self._on_ready = on_ready
        self.group_id = group_id or f"{settings.topics.prefix}-{role}"
        self.metrics = metrics or FollowerMetrics(role)
        self.health = Health(
            stall_s=settings.worker.stall_ms / 1000, waiting_for={"broker", "topics", "assignment", "state"}
        )
        self._shell = Shell(settings, self.health)
        self._handler: Handler | None = None
        self._capabilities = kafka.Capabilities.none("not asked yet")
        self._producer: Any = None
        self._group = GroupMetadata(-1, "", None)
        self._lock = asyncio.Lock()
        self._placed = False
        """The handler has said where to begin and nothing has gone wrong since."""
        self._failures = 0
        self._ticker: asyncio.Task[None] | None = None

    @property
    def exactly_once(self) -> bool:
        """Whether rows and offsets go out in one fenced transaction."""
        return self._settings.worker.delivery != "at-least-once" and self._capabilities.exactly_once

    @property
    def hung(self) -> bool:
        return self._shell.hung

    async def run(self, handler: Handler) -> int:
        """Start, follow until SIGTERM, SIGINT or a fatal error, stop cleanly. Raises `ServiceError` before that."""
        self._handler = handler
        self._shell.hear_signals()
        worker = self._settings.worker
        web = None
        if worker.web_port >= 0:
            web = ProbeServer(worker.web_host, worker.web_port, self.health, self.metrics, self._refresh)
            await web.start()
        try:
            await self._set_up_logs()
            transactional_id = None if worker.delivery == "at-least-once" else self._transactional_id
            self._capabilities = await self._shell.reach_broker(
                self._role, transactional_id=transactional_id, group_id=self.group_id
            )
            if self._shell.stopping.is_set():
                return self._shell.exit_code
            self._check_delivery()
            await self._follow(web)
        except Exception:
            self._shell.exit_code = EXIT_PROBLEM
            raise
        finally:
            await self._shut_down(web)
        return self._shell.exit_code

    def _check_delivery(self) -> None:
        if self._settings.worker.delivery == "exactly-once" and not self._capabilities.exactly_once:
            raise BrokerError(f"worker.delivery is exactly-once, but this broker cannot: {self._capabilities.reason}")

    async def _set_up_logs(self) -> None:
        redactor = await asyncio.get_running_loop().run_in_executor(None, Redactor, self._settings.privacy)
        logs.set_up(self._settings, redactor)

    async def _follow(self, web: ProbeServer | None) -> None:
        app = chunk_app(
            self._settings,
            group_id=self.group_id,
            served=self._topics,
            stable_offsets=self.exactly_once,
            single_owner=self._single_owner,
            start_offsets=self._start,
            on_fenced=lambda error: self._shell.fail(f"another process uses our name: {type(error).__name__}"),
        )
        app.agent(app.topic(*self._topics), name=f"follow-{self._role}")(self._read)

        async def revoked(_app: Any, partitions: Any, **_: Any) -> None:
            await self._release()

        async def assigned(_app: Any, partitions: Any, **_: Any) -> None:
            self.health.assigned({TopicPartition(tp.topic, tp.partition) for tp in partitions}, time.monotonic())
            log.info("partitions assigned", partitions=len(partitions))

        app.on_partitions_revoked.connect(revoked, weak=False)
        app.on_partitions_assigned.connect(assigned, weak=False)
        await self._shell.start(app)
        self._ticker = asyncio.create_task(self._tick_for_ever(), name="ticks")
        self._ticker.add_done_callback(self._ticker_ended)
        if await self._shell.until_ready():
            facts = {
                "status": "ready",
                "role": self._role,
                "instance": self._settings.worker.instance,
                "delivery": "exactly-once" if self.exactly_once else "at-least-once",
                "partitions": len(self.health.progress),
                "web_port": web.port if web is not None else None,
            }
            self._on_ready(facts)
            log.info("ready", instance=facts["instance"], delivery=facts["delivery"])
        await self._shell.stopping.wait()

    # Reading ------------------------------------------------------------------------------------------------------

    async def _start(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The transport asks where to begin. Goes on asking the handler until the broker lets it answer."""
        assert self._handler is not None
        attempt = 0
        while True:
            async with self._lock:
                # Everything since belongs to this generation: a commit under a later one would not be ours to make.
                self._group = self._shell.consumer().group_metadata()
                try:
                    starts = await self._handler.start(partitions)
                except (KafkaError, BrokerError, OSError, TimeoutError) as error:
                    reason = type(error).__name__
                else:
                    self._placed = True
                    self.health.done("state")
                    return starts
            if self._shell.stopping.is_set():
                return {}
            wait_s = backoff_s(attempt)
            attempt += 1
            log.warning("the state cannot be read, trying again", reason=reason, retry_in_s=wait_s)
            await asyncio.sleep(wait_s)

    async def _read(self, stream: Any) -> None:
        """The Faust agent body: one event per chunk. It never raises, Faust would acknowledge and lose the chunk."""
        async for event in stream.noack().events():
            chunk: Chunk = event.value
            async with self._lock:
                consumer = self._shell.consumer()
                if not self._placed or not consumer.is_current(chunk) or self._shell.stopping.is_set():
                    consumer.finished(chunk)
                    continue
                assert self._handler is not None
                consumer.taken((chunk,))
                if await self._guarded(self._handler.handle(chunk)):
                    self.metrics.records.inc(len(chunk.records))
                consumer.finished(chunk)

    async def _tick_for_ever(self) -> None:
        assert self._handler is not None
        while True:
            await asyncio.sleep(TICK_S)
            async with self._lock:
                if self._placed and not self._shell.stopping.is_set():
                    await self._guarded(self._handler.tick(time.time_ns() // 1000))

    async def _release(self) -> None:
        """Under the old generation, which is still valid now."""
        async with self._lock:
            if self._handler is not None and self._placed and not self.health.fatal:
                await self._guarded(self._handler.release())
            self._placed = False

    async def _guarded(self, call: Any) -> bool:
        """Await a call of the handler; False when it failed and everything starts over, or the process ends."""
        try:
            await call
        except (KafkaError, BrokerError, OSError, TimeoutError) as error:
            await self._start_over(error)
            return False
        except Exception as error:
            log.exception("a defect")
            self._shell.fail(f"following failed: {type(error).__name__}")
            return False
        return True

    def _ticker_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._shell.fail(f"ticks failed: {type(error).__name__}")

    def caught_up(self) -> dict[TopicPartition, int]:
        """Partitions of which nothing is left to read -> when the broker said so last, epoch milliseconds."""
        consumer = self._shell.consumer()
        told = {tp: consumer.caught_up(tp) for tp in self.health.progress}
        return {tp: at_ms for tp, at_ms in told.items() if at_ms is not None}

    def lags(self) -> dict[TopicPartition, int]:
        """Records of each partition that are not taken in yet."""
        consumer = self._shell.consumer()
        return {tp: consumer.unhandled(tp) for tp in self.health.progress}

    # Writing ------------------------------------------------------------------------------------------------------

    async def commit(self, rows: Sequence[Row], offsets: Mapping[TopicPartition, int]) -> None:
        """Write rows and move the group's offsets (next offset to read). Called by handlers, from their methods.

        Raises aiokafka's `KafkaError` or `TimeoutError`; handlers let it pass, and everything starts over.
        """
        started_s = time.monotonic()
        async with asyncio.timeout(self._settings.worker.transaction_timeout_ms / 1000):
            if self._producer is None:
                self._producer = await self._new_producer()
            if self.exactly_once:
                await self._commit_transaction(rows, offsets)
            else:
                await asyncio.gather(*await self._send(rows))
                if offsets:
                    await self._shell.consumer().commit_offsets(offsets)
        self._failures = 0
        self.metrics.commits.observe(time.monotonic() - started_s)
        for tp, offset in offsets.items():
            self.health.committed(tp, offset, 0, time.monotonic())

    async def _commit_transaction(self, rows: Sequence[Row], offsets: Mapping[TopicPartition, int]) -> None:
        await self._producer.begin_transaction()
        deliveries = await self._send(rows)
        if offsets:
            await self._producer.send_offsets(offsets, self.group_id, self._group)
        await asyncio.gather(*deliveries)
        await self._producer.commit_transaction()

    async def _send(self, rows: Sequence[Row]) -> list[Any]:
        return [
            await self._producer.send(
                row.topic, row.value, key=row.key, partition=row.partition, headers=list(row.headers)
            )
            for row in rows
        ]

    @property
    def _transactional_id(self) -> str:
        return f"{self.group_id}-{self._settings.worker.instance}"

    async def _new_producer(self) -> Any:
        worker = self._settings.worker
        common: dict[str, Any] = {
            **kafka.connection(self._settings.kafka),
            "client_id": self._transactional_id,
            "acks": "all",
            "compression_type": None if worker.compression == "none" else worker.compression,
            "max_request_size": 8 << 20,
        }
        if self.exactly_once:
            producer = FencedProducer(
                **common,
                transactional_id=self._transactional_id,
                transaction_timeout_ms=worker.transaction_timeout_ms,
            )
        else:
            producer = AIOKafkaProducer(**common, enable_idempotence=self._capabilities.idempotence)
        await producer.start()
        return producer

    async def _start_over(self, error: Exception) -> None:
        self._placed = False
        self._failures += 1
        self.metrics.recoveries.labels(type(error).__name__).inc()
        log.warning("starting over from the committed state", reason=type(error).__name__, failures=self._failures)
        await self._close_producer()
        if isinstance(error, FencedInstanceError) or self._failures > MAX_FAILURES:
            self._shell.fail(f"writing failed for good: {type(error).__name__}")
            return
        await asyncio.sleep(backoff_s(self._failures - 1))
        self._shell.consumer().start_over()

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)

    # End ----------------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Bring gauges up to date; called when somebody looks."""
        if not self._shell.started or "assignment" in self.health.waiting_for:
            return
        lags = self.lags()
        self.health.observed(lags, time.monotonic())
        self.metrics.lag_records.clear()  # of partitions that another process has now nothing is known here
        for tp, lag in lags.items():
            self.metrics.lag_records.labels(tp.topic, tp.partition).set(lag)

    async def _shut_down(self, web: ProbeServer | None) -> None:
        async def finish(_deadline_s: float) -> None:
            if self._ticker is not None:
                self._ticker.cancel()
            if self._shell.started:
                self._shell.consumer().stop_flow()
                await self._release()
            await self._close_producer()

        await self._shell.shut_down(finish)
        if web is not None:
            with contextlib.suppress(Exception):
                await web.stop()
        log.info("stopped", exit_code=self._shell.exit_code)


def run_follower(follower: Callable[[], Follower], handler: Callable[[Follower], Handler], settings: Settings) -> int:
    """Run one follower to its end; 0, or 75 when it stopped un-acknowledged. Raises `ServiceError` before it follows.

    Both are made inside the event loop.
    """
    logs.set_up(settings)

    async def main() -> tuple[int, bool]:
        made = follower()
        return await made.run(handler(made)), made.hung

    return run_to_exit(main)
