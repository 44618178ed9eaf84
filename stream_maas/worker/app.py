"""Composition root of the worker: what is made, in which order it starts, and in which order it stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition

from stream_maas import __version__, kafka, native, ner, pipeline, topics, wire
from stream_maas.errors import ServiceError
from stream_maas.inference import Catalog
from stream_maas.keystore import digest_key
from stream_maas.privacy import Redactor
from stream_maas.records import Answered
from stream_maas.settings import Settings, strangers
from stream_maas.worker import crash, logs
from stream_maas.worker.agents import LaneAgent
from stream_maas.worker.at_least_once import PlainPublisher
from stream_maas.worker.calls import ModelCalls
from stream_maas.worker.chains import SessionChains
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.exactly_once import TransactionalPublisher
from stream_maas.worker.health import Health
from stream_maas.worker.interval import OutputTopics
from stream_maas.worker.metrics import Metrics
from stream_maas.worker.outage import Outage
from stream_maas.worker.producers import reason_of
from stream_maas.worker.publisher import Publisher
from stream_maas.worker.sessions import (
    audit_settings,
    models_of,
    open_chains,
    open_key_store,
    open_outage,
    spool_mover,
    writer_of,
)
from stream_maas.worker.shell import EXIT_PROBLEM, Ready, Shell, chunk_app, run_to_exit
from stream_maas.worker.swap import Serving, meter, tell_changes
from stream_maas.worker.tracing import open_tracing
from stream_maas.worker.transport import POLL_GAP_S, STEP_GAP_S, ChunkApp
from stream_maas.worker.web import ProbeServer

log = structlog.get_logger()

OBSERVE_S = 60.0
"""Between two looks at the settings of the audit topic."""


class Worker:
    """One worker process. `run` returns the exit code."""

    def __init__(self, settings: Settings, *, on_ready: Callable[[Ready], None]) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._metrics = Metrics()
        self._health = Health(stall_s=settings.worker.stall_ms / 1000)
        self._shell = Shell(settings, self._health)
        self._lanes: dict[str, str] = {
            topics.requests(settings.topics.prefix, lane): lane or "default" for lane in ("", *settings.topics.lanes)
        }
        self._calls: list[ModelCalls] = []
        """One per lane: a lane that is full of slow calls takes no thread from another, even of the same model."""
        self._watching: asyncio.Task[None] | None = None
        self._observing: asyncio.Task[None] | None = None
        self._chains: SessionChains | None = None
        worker = settings.worker
        self._tracing = (
            open_tracing(
                worker.app_id,
                worker.instance,
                group_id=worker.app_id,
                on_failure=self._metrics.trace_failures.inc,
            )
            if worker.traces == "otlp"
            else None
        )

    async def run(self) -> int:
        """Start, serve until SIGTERM, SIGINT or a fatal error, stop cleanly. Raises `ServiceError` before serving."""
        loop = asyncio.get_running_loop()
        self._shell.hear_signals()
        web = self._probe_server()
        if web is not None:
            await web.start()
        publisher: Publisher | None = None
        try:
            service = await loop.run_in_executor(None, self._load)
            capabilities = await self._reach_broker()
            if self._shell.stopping.is_set():
                return self._shell.exit_code
            self._chains = open_chains(self._settings, service.catalog)
            publisher = self._new_publisher(capabilities, self._chains)
            self._metrics.info.labels(__version__, publisher.mode, service.redactor.policy).set(1)
            await publisher.start()
            await self._start_app(service, publisher)
            await self._serve(publisher, web)
        except Exception:
            self._shell.exit_code = EXIT_PROBLEM
            raise
        finally:
            await self._shut_down(publisher, web)
        return self._shell.exit_code

    @property
    def hung(self) -> bool:
        """The stop grace ran out: threads may be left that only the end of the process stops."""
        return self._shell.hung

    # Start --------------------------------------------------------------------------------------------------------

    def _load(self) -> pipeline.Service:
        """Models and redactor; blocking, so it runs in a thread while the probes already answer."""
        settings = self._settings
        redactor = Redactor(settings.privacy, model=ner.model_for(settings.privacy))
        redactor.self_test()
        for name in strangers():
            log.warning("this environment variable names no setting; look at its spelling", variable=name)
        logs.set_up(settings, redactor)
        self._health.warning = redactor.warning
        if redactor.warning:
            log.warning("slow engine of redaction", reason=redactor.warning)
        if slow := native.missing():
            log.warning("kernels are not compiled: Python does their work, slower", kernels=slow)
        self._health.done("redactor")
        catalog = Catalog.load(settings.inference, meter=meter)
        tell_changes(None, catalog)
        _calm_collector()
        self._health.done("models")
        return pipeline.Service(
            redactor=redactor,
            catalog=catalog,
            limits=settings.admission,
            audit=wire.AuditEncoder(writer_of(settings, catalog)),
            source=wire.service_source(settings.worker.app_id),
            digest_key=_digest_key(settings),
            boxes=open_key_store(settings),
        )

    async def _reach_broker(self) -> kafka.Capabilities:
        settings = self._settings
        # The right to use the transactional id is only asked for where it will be used.
        wanted = None if settings.worker.delivery == "at-least-once" else transactional_id(settings)
        return await self._shell.reach_broker("worker", transactional_id=wanted, group_id=settings.worker.app_id)

    def _new_publisher(self, capabilities: kafka.Capabilities, chains: SessionChains) -> Publisher:
        worker = self._settings.worker
        prefix = self._settings.topics.prefix
        common: dict[str, Any] = {
            "connection": kafka.connection(self._settings.kafka),
            "topics": OutputTopics(
                topics.results(prefix), topics.audit(prefix), topics.dead_letters(prefix), topics.audit_boxes(prefix)
            ),
            "chains": chains,
            "outage": open_outage(self._settings, self._on_outage),
            "make_mover": lambda spool, common: spool_mover(self._settings, spool, capabilities, common),
            "consumer": self._shell.consumer,
            "commit_interval_ms": worker.commit_interval_ms,
            "compression": worker.compression,
            "on_commit": self._on_commit,
            "on_failure": lambda reason: self._metrics.recoveries.labels(reason).inc(),
            "on_fatal": self._on_fatal,
        }
        if worker.delivery == "exactly-once" and not capabilities.exactly_once:
            raise ServiceError(
                f"worker.delivery is exactly-once, but this broker cannot: {capabilities.reason}; "
                "use --delivery at-least-once or a Kafka 2.5 or newer"
            )
        if worker.delivery == "at-least-once" or not capabilities.exactly_once:
            why = capabilities.reason if worker.delivery == "auto" else "chosen by worker.delivery"
            log.warning("delivery is at-least-once: after a crash answers may repeat with the same ids", reason=why)
            return PlainPublisher(instance=worker.instance, idempotence=capabilities.idempotence, **common)
        log.info("delivery is exactly-once")
        return TransactionalPublisher(
            group_id=worker.app_id,
            transactional_id=transactional_id(self._settings),
            transaction_timeout_ms=worker.transaction_timeout_ms,
            **common,
        )

    def _on_outage(self, outage: Outage) -> None:
        self._health.blocked = outage.sentence()
        self._health.answering = outage.answering
        self._metrics.outage(outage.active, outage.spool, outage.deferred_count)

    async def _start_app(self, service: pipeline.Service, publisher: Publisher) -> None:
        app = create_app(self._settings, stable_offsets=publisher.mode == "exactly-once", on_fenced=self._on_fatal)
        serving = Serving(service, self._settings.inference, self._metrics)
        self._on_swap(service.catalog)
        self._watching = asyncio.create_task(serving.keep_watch(self._on_swap), name="watch bundles")
        self._watching.add_done_callback(self._watch_ended)
        if self._chains is not None:
            self._observing = asyncio.create_task(self._watch_audit_topic(self._chains), name="observe the audit topic")
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, serving.ask)
        inference = self._settings.inference
        for topic, lane in self._lanes.items():
            calls = ModelCalls(threads=inference.executor_threads, waiting=inference.queue_calls)
            self._calls.append(calls)
            agent = LaneAgent(
                lane=lane,
                serving=serving,
                publisher=publisher,
                calls=calls,
                max_records=self._settings.worker.chunk_max_records,
                on_taken=lambda chunks: self._shell.consumer().taken(chunks),
                untaken_count=lambda topic: self._shell.consumer().untaken_count(topic),
                on_bug=self._on_bug,
                tracing=self._tracing,
            )
            app.agent(app.topic(topic), name=f"serve-{lane}")(agent.run)

        async def revoked(_app: Any, _partitions: Any, **_: Any) -> None:
            await publisher.finish()

        async def assigned(_app: Any, partitions: Any, **_: Any) -> None:
            served = {TopicPartition(tp.topic, tp.partition) for tp in partitions if tp.topic in self._lanes}
            self._health.assigned(served, time.monotonic())
            log.info("partitions assigned", partitions=len(served))

        app.on_partitions_revoked.connect(revoked, weak=False)
        app.on_partitions_assigned.connect(assigned, weak=False)
        await self._shell.start(app)

    # Serve --------------------------------------------------------------------------------------------------------

    async def _serve(self, publisher: Publisher, web: ProbeServer | None) -> None:
        """Say ready once, then wait for the end."""
        if await self._shell.until_ready():
            self._on_ready(
                {
                    "status": "ready",
                    "instance": self._settings.worker.instance,
                    "delivery": publisher.mode,
                    "partitions": len(self._health.progress),
                    "web_port": web.port if web is not None else None,
                }
            )
            log.info("ready", instance=self._settings.worker.instance, delivery=publisher.mode)
        await self._shell.stopping.wait()

    def _on_swap(self, catalog: Catalog) -> None:
        self._metrics.serves(catalog)
        self._health.not_loaded = dict(catalog.failures)
        for calls in self._calls:
            calls.keep(catalog.models)
        if self._chains is not None:
            self._chains.know("model.loaded", models_of(catalog))

    async def _watch_audit_topic(self, chains: SessionChains) -> None:
        """Access lists do not log themselves: what the audit topic is like is told in the trail, and every change."""
        while True:
            try:
                chains.know("config.observed", await audit_settings(self._settings))
            except Exception as error:  # noqa: BLE001 - the broker is away, or does not tell this user
                log.debug("settings of the audit topic not seen", reason=type(error).__name__)
            await asyncio.sleep(OBSERVE_S)

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("bundles are no longer watched for changes", reason=type(error).__name__)

    def _on_commit(
        self,
        chunks: Sequence[tuple[Chunk, Answered]],
        offsets: Mapping[TopicPartition, int],
        duration_s: float,
    ) -> None:
        now_s = time.monotonic()
        for chunk, answered in chunks:
            self._metrics.committed(self._lanes.get(chunk.tp.topic, "default"), answered)
            self._health.committed(chunk.tp, offsets[chunk.tp], chunk.records[-1].timestamp, now_s)
        self._metrics.commits.observe(duration_s)

    def _refresh(self) -> None:
        """Bring gauges and ends of partitions up to date; called when somebody looks."""
        if not self._shell.started or "assignment" in self._health.waiting_for:
            return
        consumer = self._shell.consumer()
        self._metrics.in_flight.set(consumer.unfinished_count)
        waiting: Counter[str] = Counter()
        for calls in self._calls:
            waiting.update(calls.waiting_count())
        for name, count in waiting.items():
            self._metrics.model_calls.labels(name).set(count)
        now_ms = time.time_ns() // 1_000_000
        lags = {tp: consumer.behind(tp, entry.committed_offset) for tp, entry in self._health.progress.items()}
        self._health.observed(lags, time.monotonic())
        shown = {}
        for tp, entry in self._health.progress.items():
            age_s = (now_ms - entry.last_timestamp_ms) / 1000 if entry.lag and entry.last_timestamp_ms else 0.0
            shown[tp.topic, tp.partition] = entry.lag, max(0.0, age_s)
        self._metrics.lags(shown)

    def _on_fatal(self, error: BaseException) -> None:
        self._shell.fail(f"publishing failed for good: {reason_of(error)}")

    def _on_bug(self, error: Exception) -> None:
        self._shell.fail(f"serving failed: {type(error).__name__}")

    # Stop ---------------------------------------------------------------------------------------------------------

    async def _shut_down(self, publisher: Publisher | None, web: ProbeServer | None) -> None:
        """Fetch no more, finish what is in flight, commit, leave. Whatever misses the grace is repeated later."""
        grace_s = self._settings.worker.stop_grace_ms / 1000

        async def finish(deadline_s: float) -> None:
            if publisher is not None and self._shell.started and not self._health.fatal:
                await self._shell.drain(deadline_s - grace_s / 2)
            if publisher is not None:
                await publisher.stop(commit=not self._health.fatal)

        await self._shell.shut_down(finish)
        for task in (self._watching, self._observing):
            if task is not None:
                task.cancel()
        for calls in self._calls:
            calls.shut_down()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        if web is not None:
            with contextlib.suppress(Exception):
                await web.stop()
        log.info("stopped", exit_code=self._shell.exit_code)

    def _probe_server(self) -> ProbeServer | None:
        worker = self._settings.worker
        if worker.web_port < 0:
            return None
        return ProbeServer(worker.web_host, worker.web_port, self._health, self._metrics, self._refresh)


def create_app(
    settings: Settings, *, stable_offsets: bool, on_fenced: Callable[[Exception], None] = lambda error: None
) -> ChunkApp:
    """The worker's Faust app, without agents."""
    served = [topics.requests(settings.topics.prefix, lane) for lane in ("", *settings.topics.lanes)]
    return chunk_app(
        settings,
        group_id=settings.worker.app_id,
        served=served,
        stable_offsets=stable_offsets,
        poll_gap_s=STEP_GAP_S if stable_offsets else POLL_GAP_S,
        on_fenced=on_fenced,
    )


def _calm_collector() -> None:
    """A chunk makes thousands of short-lived objects and no cycles: with Python's default thresholds the collector
    walks models and vocabularies over and over, up to 20 ms at a time. What is loaded is taken out of its sight."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def transactional_id(settings: Settings) -> str:
    """Stable across restarts, so that a restart ends its predecessor's transaction at once."""
    return f"{settings.worker.app_id}-{settings.worker.instance}"


def _digest_key(settings: Settings) -> bytes:
    """The configured key, or one that anybody can compute: good for demos, said loudly."""
    if not settings.worker.digest_key:
        log.warning("worker.digest_key is not set: digests of inputs and data subjects can be guessed by trial")
    return digest_key(settings)


def run_worker(settings: Settings, *, on_ready: Callable[[Ready], None]) -> int:
    """Run one worker until SIGTERM or SIGINT; the exit code is 0, or 75 when it stopped un-acknowledged.

    Raises `ServiceError` (settings, bundles, broker, topics) before serving begins.
    """
    logs.set_up(settings)
    crash.leave_nothing()

    async def main() -> tuple[int, bool]:
        worker = Worker(settings, on_ready=on_ready)
        return await worker.run(), worker.hung

    return run_to_exit(main)
