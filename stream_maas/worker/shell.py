"""The life of a process on the chunked transport: wait for the cluster, run Faust, notice its end, stop.

The worker and the followers of the audit topic (monitor, sealer) differ in what they do with a chunk. How they
hear SIGTERM, wait for topics, join the group, learn that the group has let them go, and which exit code that gives
is the same, and is here once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition

from stream_maas import kafka, topics
from stream_maas.settings import Settings
from stream_maas.worker.health import Health
from stream_maas.worker.transport import POLL_GAP_S, UNBOUNDED_BUFFER, ChunkApp, ChunkConsumer, TransportOptions

log = structlog.get_logger()

EXIT_OK, EXIT_PROBLEM = 0, 1
EXIT_TEMPORARY = 75
"""EX_TEMPFAIL: stopped un-acknowledged; nothing is lost and a restart is the right answer."""

Ready = Mapping[str, Any]
StartOffsets = Callable[[set[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]


class Shell:
    """The life of one process: from the first signal handler to its exit code."""

    def __init__(self, settings: Settings, health: Health) -> None:
        self._settings = settings
        self._health = health
        self._app: ChunkApp | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()
        self.exit_code = EXIT_OK
        self.hung = False
        """The stop grace ran out: threads may be left that only the end of the process stops."""

    def hear_signals(self) -> None:
        """SIGTERM and SIGINT ask for a clean stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)

    def fail(self, reason: str) -> None:
        """Stop un-acknowledged, with exit code 75."""
        log.error("stopping un-acknowledged; nothing is lost, restart this process", reason=reason)
        self._health.fatal = reason
        self.exit_code = EXIT_TEMPORARY
        self.stopping.set()

    async def reach_broker(
        self, role: topics.Role, *, transactional_id: str | None, group_id: str
    ) -> kafka.Capabilities:
        """Wait for the cluster and for the topics of `role`, then ask what it can do. SIGTERM ends the waiting."""
        waiting = asyncio.create_task(self._wait_for_topics(role))
        stopping = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return kafka.Capabilities.none("stopped before the broker answered")
            waiting.result()
        finally:
            for task in (waiting, stopping):
                task.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)
        return await kafka.probe(self._settings.kafka, transactional_id=transactional_id, group_id=group_id)

    async def _wait_for_topics(self, role: topics.Role) -> None:
        settings = self._settings
        await kafka.wait_for_broker(settings.kafka, on_wait=lambda line: log.warning(line))
        self._health.done("broker")
        said: list[str] = []
        while True:
            problems = await kafka.check_topics(settings.kafka, settings.topics, used_by=role)
            if not problems:
                break
            if problems != said:
                for problem in problems:
                    log.warning("topics not ready, waiting", problem=problem)
                said = problems
            await asyncio.sleep(2.0)
        self._health.done("topics")

    async def start(self, app: ChunkApp) -> None:
        """Start the Faust app and watch it; returns early when the process is asked to stop meanwhile."""
        self._app = app
        app.finalize()
        self._watcher = asyncio.create_task(self._watch(app), name="watch the Faust app")
        # Faust waits for its subscription for ever when the group lets nobody in; SIGTERM must still be heard.
        starting = asyncio.create_task(app.start(), name="start the Faust app")
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if starting.done():
            starting.result()
        else:
            starting.cancel()

    async def _watch(self, app: ChunkApp) -> None:
        """Faust stops itself when its consumer fails for good, and aiokafka's group task just ends: nobody else
        would notice either."""
        while not app.crashed:
            if (error := self.consumer().group_failure()) is not None:
                self.fail(f"the group membership failed: {type(error).__name__}")
                return
            await asyncio.sleep(0.5)
        self.fail(f"the consumer failed: {type(app.crash_reason).__name__}")

    async def until_ready(self) -> bool:
        """Wait for readiness; False when the process is asked to stop before."""
        # Readiness is a state that several parties change; polling it is simpler than an event for each of them.
        while not self._health.ready()[0] and not self.stopping.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return not self.stopping.is_set()

    def consumer(self) -> ChunkConsumer:
        """The consumer of the started app."""
        assert self._app is not None
        consumer: ChunkConsumer = self._app.consumer
        return consumer

    @property
    def started(self) -> bool:
        """Whether there is a Faust app."""
        return self._app is not None

    async def shut_down(self, finish: Callable[[float], Awaitable[None]]) -> None:
        """`finish(deadline)` within the stop grace (monotonic seconds), then leave the group.

        Whatever misses the grace is repeated later.
        """
        grace_s = self._settings.worker.stop_grace_ms / 1000
        deadline_s = time.monotonic() + grace_s
        if self._watcher is not None:
            self._watcher.cancel()
        try:
            async with asyncio.timeout(grace_s):
                await finish(deadline_s)
                if self._app is not None:
                    await self._app.stop()
        except TimeoutError:
            self.hung = True
            log.warning("stop grace is over; the rest will be repeated after the restart", grace_s=grace_s)

    async def drain(self, until_s: float) -> None:
        """Fetch no more and wait until every chunk is finished, or until `until_s` (monotonic seconds)."""
        consumer = self.consumer()
        consumer.stop_flow()
        while consumer.unfinished_count and time.monotonic() < until_s:  # noqa: ASYNC110 - once, while stopping
            await asyncio.sleep(0.01)


def chunk_app(
    settings: Settings,
    *,
    group_id: str,
    served: Sequence[str],
    stable_offsets: bool,
    single_owner: bool = False,
    poll_gap_s: float = POLL_GAP_S,
    start_offsets: StartOffsets | None = None,
    on_fenced: Callable[[Exception], None] = lambda error: None,
) -> ChunkApp:
    """A Faust app without agents. Every setting is passed: Faust's own environment variables cannot win.

    `served`: full names of the topics it will subscribe to. `single_owner`: one member of the group gets all
    partitions, the others stand by. `poll_gap_s`: see `TransportOptions`. `start_offsets`: see `ChunkApp`.
    """
    worker = settings.worker
    return ChunkApp(
        group_id,
        on_fenced=on_fenced,
        start_offsets=start_offsets,
        transport_options=TransportOptions(
            connection=kafka.connection(settings.kafka),
            group_id=group_id,
            group_instance_id=group_instance_id(worker.instance, served),
            stable_offsets=stable_offsets,
            single_owner=single_owner,
            poll_gap_s=poll_gap_s,
            chunk_max_records=worker.chunk_max_records,
            chunk_max_bytes=worker.chunk_max_bytes,
            in_flight_chunks=worker.in_flight_chunks,
            fetch_max_wait_ms=worker.fetch_max_wait_ms,
            fetch_max_bytes=worker.fetch_max_bytes,
            session_timeout_ms=worker.session_timeout_ms,
            heartbeat_interval_ms=worker.heartbeat_interval_ms,
            rebalance_timeout_ms=worker.rebalance_timeout_ms,
            client_rack=settings.kafka.client_rack,
        ),
        # Unprefixed environment variables beat arguments in Faust (PRODUCER_ACKS=0 would silently win).
        env_prefix="STREAM_MAAS_FAUST_UNUSED_",
        broker=[f"kafka://{server}" for server in settings.kafka.bootstrap.split(",")],
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=UNBOUNDED_BUFFER,
        broker_commit_interval=3600.0,
        broker_session_timeout=worker.session_timeout_ms / 1000,
        broker_heartbeat_interval=worker.heartbeat_interval_ms / 1000,
        broker_rebalance_timeout=worker.rebalance_timeout_ms / 1000,
        broker_request_timeout=max(settings.kafka.request_timeout_ms, worker.session_timeout_ms + 5_000) / 1000,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        worker_redirect_stdouts=False,
        agent_supervisor="mode.CrashingSupervisor",
    )


def group_instance_id(instance: str, served: Sequence[str]) -> str:
    """Static membership's name: the process's, and a mark of the topics it serves.

    A static member that comes back within its session gets its old assignment without a rebalance, whatever it
    subscribes to now: after a lane was added nobody would serve it. With other topics it has to be another member.
    """
    mark = zlib.crc32(" ".join(sorted(served)).encode())
    return f"{instance}.{mark:08x}"


def run_to_exit(main: Callable[[], Coroutine[Any, Any, tuple[int, bool]]]) -> int:
    """Run `main`, which gives (exit code, hung), to its end. A hung process is ended without joining its threads."""

    async def guarded() -> int:
        code, hung = await main()
        if hung:
            # Joining the consumer's thread could take for ever while the broker is away. Nothing is lost: what was
            # not committed is repeated.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        return code

    return asyncio.run(guarded())
