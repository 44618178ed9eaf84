"""The monitor as a process: feeds the pure monitor from Kafka and the clock, and commits what it concludes.

One process of the group is active and reads everything; the others stand by. Everything that one commit writes
belongs together: alert events, journal entries, the snapshot and the offsets that it stands for. On a broker with
transactions that is one fenced transaction, so each event is in the log once, whoever dies when. On one without, the
journal is written first and followed after a crash, so the same events come out again, with the same ids; those that
stand in the log already are not written twice.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec
import structlog
from aiokafka import TopicPartition

from stream_maas import topics
from stream_maas.errors import UndecodableError
from stream_maas.kafka.reading import reader
from stream_maas.monitor import snapshot
from stream_maas.monitor.alerts import AlertEvent
from stream_maas.monitor.commands import decode_command
from stream_maas.monitor.journal import Added, Began, Entry, Feeder, Ticked, TookEffect, decode_entry, encode_entry
from stream_maas.monitor.lag import Tick
from stream_maas.monitor.monitor import Monitor, Outputs
from stream_maas.monitor.outcomes import read_outcomes
from stream_maas.monitor.publication import HEARTBEAT_KEY, alert_data, encode_alert, encode_heartbeat
from stream_maas.monitor.rules import Ruleset
from stream_maas.records import KafkaRecord
from stream_maas.settings import KafkaConfig, Settings
from stream_maas.worker import logs
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.follower import Follower, Row
from stream_maas.worker.monitor_metrics import MonitorMetrics
from stream_maas.worker.notify import Notifier
from stream_maas.worker.request_ends import RequestEnds
from stream_maas.worker.shell import Ready, run_to_exit

log = structlog.get_logger()

CHUNK_RECORDS = 2048
FETCH_BYTES = 4 << 20
AWAY_US = 30_000_000
"""Younger heartbeats than this are no absence: a hand-over takes a session's length."""


class Reader(Protocol):
    """`replay.read`: a topic from its beginning to its end, without a group."""

    def __call__(self, config: KafkaConfig, topic: str, /, *, until_end: bool) -> AsyncIterator[KafkaRecord]: ...


class MonitorAgent:
    """The handler of the monitor's follower."""

    def __init__(
        self, follower: Follower, settings: Settings, rules: Ruleset, metrics: MonitorMetrics, read: Reader
    ) -> None:
        prefix = settings.topics.prefix
        self._follower = follower
        self._settings = settings
        self._rules = rules
        self._metrics = metrics
        self._read = read
        self._prefix = prefix
        self._audit = topics.audit(prefix)
        self._commands = TopicPartition(topics.alert_commands(prefix), 0)
        self._notifier = Notifier(
            settings.monitor, on_failure=lambda target: metrics.notification_failures.labels(target).inc()
        )
        self._ends = RequestEnds(settings)
        self._feeder: Feeder | None = None
        self._writer: snapshot.SnapshotWriter | None = None
        self._forget()

    def _forget(self) -> None:
        """Nothing is open, and nobody is active."""
        self._feeder = None
        self._events: list[AlertEvent] = []
        self._entries: list[Entry] = []
        self._sequence = 0
        self._commands_offset = 0
        self._commands_read = 0
        self._known: set[str] = set()
        self._arrived_us: dict[int, int] = {}
        self._ticked_step = 0
        self._committed_us = 0
        self._away_us = 0

    @property
    def _monitor(self) -> Monitor:
        assert self._feeder is not None
        return self._feeder.monitor

    # Beginning ----------------------------------------------------------------------------------------------------

    async def start(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Load the newest state, or begin anew where there is none that can be used."""
        self._forget()
        audited = sorted(tp.partition for tp in partitions if tp.topic == self._audit)
        self._metrics.active.set(bool(audited))
        if not audited:
            log.info("standing by")
            return {}
        now_us = time.time_ns() // 1000
        loaded = await self._load()
        if loaded is None:
            await self._begin(audited, now_us)
        else:
            await self._go_on(loaded, audited, now_us)
        await self._ends.start()
        fold = self._monitor.fold
        log.info("active", instant_us=fold.now_us, alerts=len(self._monitor.lifecycle.alerts))
        starts = {TopicPartition(self._audit, number): fold.partitions[number].next_offset for number in audited}
        return starts | {self._commands: self._commands_offset}

    async def _load(self) -> snapshot.Loaded | None:
        records = [
            (record.key or b"", record.value)
            async for record in self._read(self._settings.kafka, topics.monitor_state(self._prefix), until_end=True)
            if record.partition == 0 and record.key != HEARTBEAT_KEY
        ]
        try:
            loaded = snapshot.load(records)
        except UndecodableError as error:
            log.warning("the stored state cannot be used, beginning anew", reason=str(error))
            return None
        if loaded is None or loaded.monitor.rules.time_scale == self._rules.time_scale:
            return loaded
        # Windows of another scale have nothing in common with the stored ones.
        lifecycle, now_us = loaded.monitor.lifecycle, loaded.monitor.fold.now_us
        lifecycle.keep_rules({})
        events = lifecycle.tell(now_us, now_us)
        log.warning("the time scale has changed, beginning anew", resolved=len(events))
        await self._follower.commit([self._alert_row(event) for event in events], {})
        return None

    def _alert_row(self, event: AlertEvent) -> Row:
        value = encode_alert(event, prefix=self._prefix)
        return Row(topics.alerts(self._prefix), 0, event.data["series_id"].encode(), value)

    async def _begin(self, audited: Sequence[int], now_us: int) -> None:
        """Begin as far back as windows reach, so that every one of them is whole from the first evaluation on."""
        at_us = now_us - self._rules.longest_window_us
        offsets, alerts_offset, oldest_us = await self._offsets_at(audited, at_us)
        # Nothing is evaluated before there was anything: a young deployment has no three days to go through.
        at_us = max(at_us, min(now_us, oldest_us) - self._rules.timing.grace_us)
        self._feeder = Feeder(Monitor(self._rules, self._audit, offsets, at_us))
        self._writer = snapshot.SnapshotWriter(self._monitor)
        self._sequence = 0
        self._journal(Began(0, at_us, self._audit, offsets, dict(self._rules.document), alerts_offset))

    async def _offsets_at(self, audited: Sequence[int], at_us: int) -> tuple[dict[int, int], int, int]:
        """Where each audit partition was at a time, where the alerts topic ends now, and when the first record after
        that time was written (far in the future where there is none)."""
        partitions = [TopicPartition(self._audit, number) for number in audited]
        alerts = TopicPartition(topics.alerts(self._prefix), 0)
        async with reader(self._settings.kafka, when_lost="earliest", fetch_max_wait_ms=100) as consumer:
            consumer.assign([*partitions, alerts])
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(0, at_us // 1000)))
            ends = await consumer.end_offsets([*partitions, alerts])
        offsets = {tp.partition: ends[tp] if found.get(tp) is None else found[tp].offset for tp in partitions}
        times_ms = [one.timestamp for one in found.values() if one is not None]
        return offsets, ends[alerts], min(times_ms, default=1 << 50) * 1000

    async def _go_on(self, loaded: snapshot.Loaded, audited: Sequence[int], now_us: int) -> None:
        self._feeder = Feeder(loaded.monitor)
        self._writer = snapshot.SnapshotWriter(loaded.monitor, loaded.written)
        self._sequence = loaded.position.journal_sequence
        self._commands_offset = self._commands_read = loaded.position.commands_offset
        away_us = now_us - loaded.position.at_us
        self._away_us = away_us if away_us > AWAY_US * self._rules.time_scale else 0
        if not self._follower.exactly_once:
            await self._follow_unfinished()
        fold = loaded.monitor.fold
        for number in audited:
            if number not in fold.partitions:
                entry = Added(self._sequence, number, 0, fold.watermark_us + fold.timing.disorder_us)
                self._feeder.follow(entry)
                self._journal(entry)
        if loaded.monitor.rules.digest != self._rules.digest:
            loaded.monitor.command(self._rules)

    async def _follow_unfinished(self) -> None:
        """Without transactions: journal entries and alert events may have been written by a commit that ended there."""
        assert self._feeder is not None
        async for record in self._read(self._settings.kafka, topics.monitor_journal(self._prefix), until_end=True):
            entry = decode_entry(record.value or b"")
            if entry.sequence == self._sequence and not isinstance(entry, Began):
                self._feeder.follow(entry)
                self._sequence += 1
                if isinstance(entry, TookEffect) and entry.command is not None:
                    self._commands_offset += 1
        self._commands_read = self._commands_offset
        async for record in self._read(self._settings.kafka, topics.alerts(self._prefix), until_end=True):
            if (data := alert_data(record.value or b"")) is not None:
                self._known.add(data["event_id"])

    # Following ----------------------------------------------------------------------------------------------------

    async def handle(self, chunk: Chunk) -> None:
        """Audit events are folded; commands wait for the next instant."""
        assert self._feeder is not None
        if chunk.tp.topic == self._audit:
            self._feeder.take(chunk.tp.partition, read_outcomes(chunk.records))
            self._arrived_us[chunk.tp.partition] = time.time_ns() // 1000
        else:
            self._hear(chunk)
        await self._advance()

    def _hear(self, chunk: Chunk) -> None:
        for record in chunk.records:
            if record.offset < self._commands_read:
                continue
            self._commands_read = record.offset + 1
            try:
                self._monitor.command(decode_command(record.value or b""))
            except UndecodableError:
                log.warning("a record in the command topic is no command", offset=record.offset)

    async def _advance(self) -> None:
        outputs = self._monitor.advance()
        self._take_in(outputs)
        if self._events:
            await self._commit(time.time_ns() // 1000)

    def _take_in(self, outputs: Outputs) -> None:
        for applied in outputs.applied:
            self._journal(TookEffect.of(self._sequence, applied))
        if outputs.instants:
            # Whatever was heard has taken effect at the first of them.
            self._commands_offset = self._commands_read
            self._metrics.evaluations.inc(outputs.instants)
        self._events += [event for event in outputs.events if event.id not in self._known]

    def _journal(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._sequence += 1

    async def tick(self, now_us: int) -> None:
        """Once in every step: who is idle, how far requests have come. Every few steps: a snapshot and a heartbeat."""
        if self._feeder is None:
            return
        step_us = self._rules.timing.step_us
        if now_us // step_us != self._ticked_step:
            self._ticked_step = now_us // step_us
            self._tick(now_us)
            await self._advance()
        if now_us - self._committed_us >= self._rules.timing.snapshot_us:
            await self._commit(now_us)
        self._notifier.remind(self._monitor.lifecycle.alerts.values(), self._hushed, time.monotonic())

    def _tick(self, now_us: int) -> None:
        fold = self._monitor.fold
        idle = {}
        for tp, read_ms in self._follower.caught_up().items():
            if tp.topic == self._audit and tp.partition in fold.partitions:
                silent_us = read_ms * 1000 - self._arrived_us.get(tp.partition, 0)
                if silent_us >= self._rules.timing.idle_us:
                    idle[tp.partition] = (fold.partitions[tp.partition].next_offset, min(now_us, read_ms * 1000))
        tick = Tick(now_us, idle, self._ends.take(), self._away_us, fold.instant)
        self._away_us = 0
        if idle or tick.ends or tick.away_us:
            self._journal(Ticked.of(self._sequence, tick))
            self._monitor.tick(tick)

    def _hushed(self, alert: Any) -> bool:
        return alert.inhibited or self._monitor.lifecycle.silenced(alert, self._monitor.fold.now_us)

    async def release(self) -> None:
        """Leave a fresh snapshot to whoever goes on."""
        if self._feeder is not None:
            await self._commit(time.time_ns() // 1000)
        await self._ends.stop()

    async def stop(self) -> None:
        """Send what is still to be told."""
        await self._notifier.stop()

    # Committing ---------------------------------------------------------------------------------------------------

    async def _commit(self, now_us: int) -> None:
        """Everything since the last commit, together."""
        assert self._writer is not None
        fold = self._monitor.fold
        journal = [
            Row(topics.monitor_journal(self._prefix), 0, type(entry).__name__.encode(), encode_entry(entry))
            for entry in self._entries
        ]
        alerts = [self._alert_row(event) for event in self._events]
        position = snapshot.Position(self._commands_offset, self._sequence, now_us)
        state = [
            Row(topics.monitor_state(self._prefix), 0, key, value) for key, value in self._writer.records(position)
        ]
        heartbeat = Row(topics.monitor_state(self._prefix), 0, HEARTBEAT_KEY, self._heartbeat(now_us))
        offsets = {TopicPartition(self._audit, n): one.next_offset for n, one in fold.partitions.items()}
        offsets[self._commands] = self._commands_offset
        if not self._follower.exactly_once:
            await self._follower.commit(journal, {})
            await self._follower.commit(alerts, {})
            journal, alerts = [], []
        await self._follower.commit([*journal, *alerts, *state, heartbeat], offsets)
        events, self._events, self._entries = self._events, [], []
        self._committed_us = now_us
        self._notifier.tell(events)
        self._measure(events, now_us, sum(len(row.value or b"") for row in state))

    def _measure(self, events: Sequence[AlertEvent], now_us: int, state_bytes: int) -> None:
        metrics, monitor = self._metrics, self._monitor
        for event in events:
            metrics.alert_events.labels(event.step, event.data["severity"]).inc()
        for state in ("pending", "firing"):
            for severity in ("page", "ticket"):
                metrics.alerts.labels(state, severity).set(self._count(state, severity))
        metrics.heartbeat.set(now_us / 1e6)
        metrics.watermark.set(monitor.fold.now_us / 1e6)
        metrics.series.set(len(monitor.fold.store.index))
        metrics.repeats.set(sum(one.repeats for one in monitor.fold.partitions.values()))
        metrics.snapshots.set(state_bytes)

    def _count(self, state: str, severity: str) -> int:
        return sum(
            alert.firing == (state == "firing") and alert.rule.severity == severity
            for alert in self._monitor.lifecycle.alerts.values()
        )

    def _heartbeat(self, now_us: int) -> bytes:
        monitor, fold = self._monitor, self._monitor.fold
        caught_up = self._follower.caught_up()
        lags = self._follower.lags()
        partitions = []
        for number, clock in fold.partitions.items():
            tp = TopicPartition(self._audit, number)
            behind_us = 0 if tp in caught_up else max(0, now_us - clock.clock_us)
            partitions.append(
                {
                    "topic": self._audit,
                    "partition": number,
                    "position": clock.next_offset,
                    "end_offset": clock.next_offset + lags.get(tp, 0),
                    "watermark_us": clock.clock_us - fold.timing.disorder_us,
                    "lag_seconds": round(behind_us / 1e6, 3),
                }
            )
        requests = [
            {"topic": topic, "partition": n, "unanswered": lag.unanswered, "lag_seconds": lag.seconds(fold.now_us)}
            for (topic, n), lag in sorted(fold.lags.items())
        ]
        return encode_heartbeat(
            at_us=now_us,
            watermark_us=fold.now_us,
            instance=self._settings.worker.instance,
            partitions=partitions,
            requests=requests,
            slos=monitor.slos(),
            silences=[msgspec.to_builtins(one) for one in monitor.lifecycle.silences.values()],
            alerts={
                state: sum(self._count(state, one) for one in ("page", "ticket")) for state in ("pending", "firing")
            },
        )


def run_monitor(settings: Settings, rules: Ruleset, *, read: Reader, on_ready: Callable[[Ready], None]) -> int:
    """Run one monitor until SIGTERM or SIGINT; the exit code is 0, or 75 when it stopped un-acknowledged.

    Raises `ServiceError` (settings, broker, topics) before it follows.
    """
    logs.set_up(settings)
    # A pass costs as much as dozens of events: larger chunks than a worker takes.
    worker = settings.worker
    chunk = max(worker.chunk_max_records, CHUNK_RECORDS)
    settings = replace(settings, worker=replace(worker, chunk_max_records=chunk, fetch_max_bytes=FETCH_BYTES))

    async def main() -> tuple[int, bool]:
        metrics = MonitorMetrics()
        prefix = settings.topics.prefix
        follower = Follower(
            settings,
            role="monitor",
            topics=[topics.audit(prefix), topics.alert_commands(prefix)],
            single_owner=True,
            on_ready=on_ready,
            metrics=metrics,
        )
        agent = MonitorAgent(follower, settings, rules, metrics, read)
        code = await follower.run(agent)
        await agent.stop()
        return code, follower.hung

    return run_to_exit(main)
