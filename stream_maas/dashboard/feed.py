"""From topics to the page: who reads what, from where on, and what happens when a broker goes away.

Readers belong to no consumer group and read committed records only. Each runs until it is cancelled, and starts over
after a failure; what they learn goes into pure folds (picture, incidents, lag) and, once a second, into the hub.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_maas import topics
from stream_maas.dashboard.explorer import Recent
from stream_maas.dashboard.hub import Hub
from stream_maas.dashboard.incidents import Incidents
from stream_maas.dashboard.lag import PartitionLag
from stream_maas.dashboard.overseer import Overseer
from stream_maas.dashboard.picture import ALL, Picture
from stream_maas.errors import ServiceError
from stream_maas.kafka.offsets import committed_offsets
from stream_maas.kafka.reading import partitions_of, reader
from stream_maas.settings import Settings
from stream_maas.wire import glance_audit

BEAT_S = 1.0
_POLL_MS = 500
_FETCH_MAX_WAIT_MS = 100
_FETCH_BYTES = 4 << 20
_SHARE = 2_000
"""Records folded before the event loop is given to others."""
_LAG_S = 2.0
_RETRY_S = 2.0
_HEARTBEATS_BACK_MS = 10 * 60_000
_log = structlog.get_logger()


class Feed:
    """Everything the page knows, kept up to date. `run` is its life."""

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._settings, self._hub = settings, hub
        prefix = settings.topics.prefix
        self.audit_topic, self.alerts_topic = topics.audit(prefix), topics.alerts(prefix)
        self.state_topic, self.commands_topic = topics.monitor_state(prefix), topics.alert_commands(prefix)
        self.request_topics = [topics.requests(prefix, lane) for lane in (None, *settings.topics.lanes)]
        self.picture = Picture(settings.dashboard.history_ms // 1000)
        self.recent = Recent()
        self.incidents = Incidents()
        self.overseer = Overseer()
        self.lags: dict[tuple[str, int], PartitionLag] = {}
        self.events = 0
        """Decisions folded since the start."""
        self.unread: dict[str, int] = {}
        """Reader -> records between its position and the end of its topic."""
        self.troubles: dict[str, str] = {}
        """Reader -> why it cannot read at the moment."""

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            parts = {
                "audit": self._audit,
                "alerts": self._alerts,
                "heartbeats": self._heartbeats,
                "commands": self._commands,
                "lag": self._lag,
            }
            for name, part in parts.items():
                group.create_task(self._again_and_again(name, part))
            group.create_task(self._beats())

    def beat(self, now_s: float) -> dict[str, Any]:
        """What every second is said: how current the page is, and what it sums up."""
        return {
            "now_s": round(now_s, 3),
            "events": self.events,
            "monitor": self.overseer.document(now_s),
            "unread": self.unread,
            "troubles": self.troubles,
            "views": {view: self.picture.summary(view, now_s) for view in self.picture.views},
            "lag": [
                {"topic": topic, "partition": partition, "records": lag.records, "seconds": lag.seconds(now_s)}
                for (topic, partition), lag in sorted(self.lags.items())
            ],
        }

    def snapshot(self, now_s: float) -> dict[str, Any]:
        """All that a fresh page needs; later messages of the hub go on from here."""
        return {
            "last_id": self._hub.last_id,
            "prefix": self._settings.topics.prefix,
            "history_s": self.picture.history_s,
            "beat": self.beat(now_s),
            "columns": self.picture.columns(ALL),
            "incidents": self.incidents.all(),
        }

    async def _again_and_again(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await part()
            except (ServiceError, KafkaError, OSError) as error:
                reason = str(error) if isinstance(error, ServiceError) else type(error).__name__
                if self.troubles.get(name) != reason:
                    _log.warning("reading fails", reader=name, reason=reason)
                self.troubles[name] = reason
            await asyncio.sleep(_RETRY_S)

    async def _beats(self) -> None:
        while True:
            started = time.monotonic()
            now_s = time.time()
            self.picture.forget(now_s)
            await self._hub.publish("beat", self.beat(now_s) | {"rows": self.picture.take_changes()})
            await asyncio.sleep(max(0.0, BEAT_S - (time.monotonic() - started)))

    # Readers --------------------------------------------------------------------------------------------------------

    async def _audit(self) -> None:
        self.picture, self.recent = Picture(self.picture.history_s), Recent()
        dashboard = self._settings.dashboard
        async for records in self._chunks("audit", [self.audit_topic], dashboard.history_ms, dashboard.history_records):
            for start in range(0, len(records), _SHARE):
                self._fold_decisions(records[start : start + _SHARE])
                await asyncio.sleep(0)

    def _fold_decisions(self, records: Sequence[Any]) -> None:
        events = []
        for record in records:
            event = glance_audit(record.value)
            if event is not None:
                events.append((record.timestamp, event))
                self.recent.add(record.partition, record.offset, record.timestamp, event)
        self.picture.add(events)
        self.events += len(events)

    async def _alerts(self) -> None:
        async for records in self._chunks("alerts", [self.alerts_topic], None, None):
            for record in records:
                incident = self.incidents.add(record.value)
                if incident is not None:
                    await self._hub.publish("incident", incident)

    async def _heartbeats(self) -> None:
        async for records in self._chunks("heartbeats", [self.state_topic], _HEARTBEATS_BACK_MS, None):
            for record in records:
                if record.key == b"heartbeat":
                    self.overseer.add_heartbeat(record.value, record.timestamp)

    async def _commands(self) -> None:
        async for records in self._chunks("commands", [self.commands_topic], None, None):
            for record in records:
                self.overseer.add_command(record.value)

    async def _lag(self) -> None:
        kafka, group = self._settings.kafka, self._settings.worker.app_id
        async with reader(kafka, when_lost="earliest", fetch_max_wait_ms=50) as consumer:
            found = await partitions_of(kafka, *self.request_topics)
            partitions = [tp for several in found.values() for tp in several]
            while True:
                ends = await consumer.end_offsets(partitions)
                committed = await committed_offsets(kafka, group, partitions)
                for tp in partitions:
                    lag = self.lags.setdefault((tp.topic, tp.partition), PartitionLag())
                    lag.looked(ends[tp], committed.get(tp), time.time())
                self.troubles.pop("lag", None)
                await asyncio.sleep(_LAG_S)

    async def _chunks(
        self, name: str, names: Sequence[str], back_ms: int | None, back_records: int | None
    ) -> AsyncIterator[Sequence[Any]]:
        """Records of topics, a fetched chunk of one partition at a time, for ever; from the start, or from `back_ms`
        ago but at most `back_records` records before the end."""
        found = await partitions_of(self._settings.kafka, *names)
        partitions = [tp for several in found.values() for tp in several]
        options = {"fetch_max_wait_ms": _FETCH_MAX_WAIT_MS, "partition_fetch_bytes": _FETCH_BYTES}
        async with reader(self._settings.kafka, when_lost="earliest", **options) as consumer:
            consumer.assign(partitions)
            await _seek_back(consumer, partitions, back_ms, back_records)
            while True:
                fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                for records in fetched.values():
                    yield records
                self.unread[name] = await _unread(consumer, partitions)
                self.troubles.pop(name, None)


async def _seek_back(
    consumer: Any, partitions: Sequence[TopicPartition], back_ms: int | None, back_records: int | None
) -> None:
    if back_ms is None:
        await consumer.seek_to_beginning(*partitions)
        return
    since_ms = int(time.time() * 1000) - back_ms
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    first, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    for tp in partitions:
        offset = found[tp].offset if found.get(tp) is not None else ends[tp]
        if back_records is not None:
            offset = max(offset, ends[tp] - back_records // len(partitions))
        consumer.seek(tp, max(offset, first[tp]))


async def _unread(consumer: Any, partitions: Sequence[TopicPartition]) -> int:
    """Records between where the reader is and what the last fetch knew of the end."""
    unread = 0
    for tp in partitions:
        end = consumer.highwater(tp)
        if end is not None:
            unread += max(end - await consumer.position(tp), 0)
    return unread
