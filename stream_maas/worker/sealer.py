"""The sealer process: which log it goes on with, when it signs, and what leaves together with a checkpoint.

A follower of the audit topic. `ledger/sealing.py` decides what may be signed; this file reads and publishes. Whatever
goes wrong with one log (a changed history, records that were deleted) stops that log alone: it is said loudly, shown
in the metrics, and never signed over.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from aiokafka import TopicPartition
from prometheus_client import Gauge

from stream_maas import settings as settings_module
from stream_maas import topics
from stream_maas.errors import BrokenStateError, LedgerError
from stream_maas.kafka.reading import start_reader, stop_reader
from stream_maas.ledger.anchors import Anchor, Anchored, AnchoredCheckpoint, AnchoredHeartbeat, open_anchor
from stream_maas.ledger.hint import HINT_HEADER
from stream_maas.ledger.keyring import load_or_make, load_signing_key
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.notes import Checkpoint, parse_checkpoint, parse_note
from stream_maas.ledger.sealing import LogSealer
from stream_maas.ledger.store import LogStore
from stream_maas.settings import Settings
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.follower import Follower, Row, run_follower
from stream_maas.worker.follower_metrics import FollowerMetrics
from stream_maas.worker.sealed_log import contradictions
from stream_maas.worker.shell import Ready

log = structlog.get_logger()

_SAVE_EVENTS = 1 << 17
"""While catching up nothing may be signed yet; what was read is kept on disk this often, to bound memory."""
_SHORT_MS = 10_000
"""Another sealer may have signed what this one is about to read."""


class SealerMetrics(FollowerMetrics):
    """What every follower has, and how far sealing is."""

    def __init__(self) -> None:
        super().__init__("sealer")
        self.sealed_events = Gauge(
            "stream_maas_sealer_sealed_events", "Events under the newest checkpoint", ["partition"],
            registry=self.registry,
        )  # fmt: skip
        self.unsealed_seconds = Gauge(
            "stream_maas_sealer_unsealed_seconds",
            "Age of the oldest event that was under no checkpoint when the last one was signed", ["partition"],
            registry=self.registry,
        )  # fmt: skip
        self.refused = Gauge(
            "stream_maas_sealer_refused", "1 while a log contradicts what was signed and is not sealed", ["partition"],
            registry=self.registry,
        )  # fmt: skip


class Sealer:
    """The handler: all logs whose partitions this process has."""

    def __init__(self, follower: Follower, settings: Settings, key: SigningKey, anchor: Anchor) -> None:
        self._follower, self._settings, self._key, self._anchor = follower, settings, key, anchor
        self._metrics = follower.metrics
        self._logs: dict[TopicPartition, LogSealer] = {}
        self._refused: dict[TopicPartition, str] = {}
        self._oldest_ms: dict[TopicPartition, int] = {}
        """Timestamp of the first event that no checkpoint covers."""
        self._short_us: dict[TopicPartition, int] = {}
        """When a log was first seen to be shorter than what was signed of it."""
        self._published: dict[str, Checkpoint] = {}
        """Origin -> newest checkpoint of our key on the topic, whoever published it."""
        self._checkpoints = PublishedCheckpoints(settings, key, self._published)
        self._due_us = 0
        """When the logs are sealed next."""
        self._anchored_us = 0
        self._to_anchor: dict[str, Anchored] = {}

    async def start(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Load each log's state, and hold it against what was published and what the topic still has."""
        config, prefix = self._settings.ledger, self._settings.topics.prefix
        folder = ledger_folder(self._settings)
        self._logs, self._refused, self._oldest_ms, self._short_us = {}, {}, {}, {}
        self._follower.health.blocked = ""
        fresh = False
        for tp in sorted(partitions):
            origin = config.origin_of(prefix, tp.partition)
            try:
                self._logs[tp] = await asyncio.to_thread(open_log, folder, origin)
            except LedgerError as error:
                self._refuse(tp, error)
                continue
            fresh = fresh or self._logs[tp].size == 0
        await self._checkpoints.restart(everything=fresh)
        for tp, found in (await contradictions(self._settings.kafka, self._logs)).items():
            self._refuse(tp, found)
        return {tp: sealer.next_offset for tp, sealer in self._logs.items()}

    async def handle(self, chunk: Chunk) -> None:
        sealer = self._logs.get(chunk.tp)
        if sealer is None or chunk.tp in self._refused:
            return
        self._oldest_ms.setdefault(chunk.tp, chunk.records[0].timestamp)
        try:
            sealer.take(chunk.records)
            if sealer.size - sealer.stored.size >= _SAVE_EVENTS:
                await asyncio.to_thread(sealer.keep, self._published.get(sealer.origin))
        except LedgerError as error:
            self._refuse(chunk.tp, error)

    async def tick(self, now_us: int) -> None:
        if now_us >= self._due_us:
            # From when it was due and not from now: ticks are coarse, and waiting for one must not add up.
            interval_us = self._settings.ledger.seal_interval_ms * 1000
            self._due_us = self._due_us + interval_us if now_us - self._due_us < interval_us else now_us + interval_us
            await self._checkpoints.poll()
            await self._seal(now_us)
        if now_us - self._anchored_us >= self._settings.ledger.anchor_interval_ms * 1000:
            self._anchored_us = now_us
            await self._write_anchor()

    async def release(self) -> None:
        await self._checkpoints.poll()
        await self._seal(time.time_ns() // 1000)
        await self._write_anchor()

    async def _seal(self, now_us: int) -> None:
        """Sign what grew, and publish the checkpoints in one go with the offsets that they cover."""
        rows, offsets = [], {}
        self._check_ends(now_us)
        logs = [(tp, sealer) for tp, sealer in self._logs.items() if tp not in self._refused]
        # Each waits for the disk; one after the other they would be late by as many waits as there are partitions.
        done = await asyncio.gather(
            *(asyncio.to_thread(sealer.seal, self._key, self._published.get(sealer.origin)) for _, sealer in logs),
            return_exceptions=True,
        )
        for (tp, sealer), sealed in zip(logs, done, strict=True):
            if isinstance(sealed, LedgerError):
                self._refuse(tp, sealed)
                continue
            if isinstance(sealed, BaseException):
                raise sealed
            if sealed is None:
                continue
            note = sealed.note.encode()
            headers = ((HINT_HEADER, sealed.hint.encode()),)
            topic = topics.audit_checkpoints(self._settings.topics.prefix)
            rows.append(Row(topic, 0, sealer.origin.encode(), note.encode(), headers))
            offsets[tp] = sealer.next_offset
            self._to_anchor[sealer.origin] = AnchoredCheckpoint(sealer.origin, note)
        if rows:
            await self._follower.commit(rows, offsets)
            self._sealed(offsets, now_us)

    def _sealed(self, offsets: Mapping[TopicPartition, int], now_us: int) -> None:
        for tp in offsets:
            sealer = self._logs[tp]
            self._published[sealer.origin] = sealer.stored
            oldest_ms = self._oldest_ms.pop(tp, None)
            if isinstance(self._metrics, SealerMetrics):
                self._metrics.sealed_events.labels(tp.partition).set(sealer.stored.size)
                if oldest_ms is not None:
                    self._metrics.unsealed_seconds.labels(tp.partition).set(max(0.0, now_us / 1e6 - oldest_ms / 1e3))

    def _check_ends(self, now_us: int) -> None:
        """A log that ends before what was signed of it will never lead there."""
        ends_ms = self._follower.caught_up()
        for tp, sealer in self._logs.items():
            missing = sealer.missing(self._published.get(sealer.origin))
            if not missing or tp in self._refused:
                self._short_us.pop(tp, None)
            elif ends_ms.get(tp, 0) > self._short_us.setdefault(tp, now_us) // 1000 + _SHORT_MS:
                self._refuse(tp, LedgerError(
                    f"{sealer.origin}: the log ends with event {sealer.size}, but a tree of {missing} was signed: it "
                    "was made anew, or its end was cut off; next: `stream-maas audit verify` says what is missing"
                ))  # fmt: skip

    def _refuse(self, tp: TopicPartition, error: LedgerError) -> None:
        if tp not in self._refused:
            log.error("this log is not sealed any more", partition=tp.partition, reason=str(error))
        self._refused[tp] = str(error)
        self._follower.health.blocked = "; ".join(f"not sealed: {reason}" for reason in self._refused.values())
        if isinstance(self._metrics, SealerMetrics):
            self._metrics.refused.labels(tp.partition).set(1)

    async def _write_anchor(self) -> None:
        """Heartbeats go out whether a checkpoint covers them or not: that is what they are good for."""
        entries = list(self._to_anchor.values())
        for sealer in self._logs.values():
            entries += [
                AnchoredHeartbeat(sealer.origin, beat.index, beat.leaf, beat.session) for beat in sealer.heartbeats()
            ]
        if not entries:
            return
        try:
            await asyncio.to_thread(self._anchor.append, entries)
        except OSError as error:
            log.warning("the anchor cannot be written, trying again", reason=type(error).__name__)
            return
        self._to_anchor.clear()


def open_log(folder: Path, origin: str) -> LogSealer:
    """The log's tree as its files have it; from its first event where they are damaged. Raises `LedgerError`."""
    store = LogStore(folder, origin)
    try:
        return LogSealer(origin, store)
    except BrokenStateError as error:
        log.warning("the files of this log are damaged, it is read again from its first event", reason=str(error))
        store.set_aside()
        return LogSealer(origin, store)


class PublishedCheckpoints:
    """The newest checkpoint of each log that our key signed, as the checkpoints topic has it."""

    def __init__(self, settings: Settings, key: SigningKey, newest: dict[str, Checkpoint]) -> None:
        self._kafka = settings.kafka
        self._tp = TopicPartition(topics.audit_checkpoints(settings.topics.prefix), 0)
        self._key, self._newest = key, newest
        self._consumer = None

    async def restart(self, *, everything: bool) -> None:
        """Read from the beginning, or the newest part where the logs have states of their own."""
        await self.close()
        self._newest.clear()
        consumer = self._consumer = await start_reader(self._kafka, when_lost="earliest", fetch_max_wait_ms=20)
        consumer.assign([self._tp])
        end = (await consumer.end_offsets([self._tp]))[self._tp]
        first = (await consumer.beginning_offsets([self._tp]))[self._tp]
        consumer.seek(self._tp, first if everything else max(first, end - 20_000))
        while await consumer.position(self._tp) < end:
            before = await consumer.position(self._tp)
            await self.poll(timeout_ms=200)
            if await consumer.position(self._tp) == before and consumer.last_stable_offset(self._tp) is not None:
                break  # an open transaction holds the rest back; what it brings is polled later

    async def poll(self, *, timeout_ms: int = 0) -> None:
        """Take in what was published since."""
        if self._consumer is None:
            return
        for records in (await self._consumer.getmany(self._tp, timeout_ms=timeout_ms)).values():
            for record in records:
                self._take(record.value or b"")

    def _take(self, value: bytes) -> None:
        try:
            note = parse_note(value)
            if not note.signers([self._key.public]):
                return
            checkpoint = parse_checkpoint(note.text)
        except LedgerError:
            return  # somebody else's, or junk: the verifier reports it, it binds nobody
        known = self._newest.get(checkpoint.origin)
        if known is None or checkpoint.size >= known.size:
            self._newest[checkpoint.origin] = checkpoint

    async def close(self) -> None:
        """Leave nothing open."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_reader(consumer)


def ledger_folder(settings: Settings) -> Path:
    """Where the sealer keeps its files."""
    return Path(settings.ledger.folder) if settings.ledger.folder else settings_module.state_folder() / "ledger"


def anchor_place(settings: Settings) -> str:
    """The file or folder of the anchor."""
    return settings.ledger.anchor or str(ledger_folder(settings) / "anchor.jsonl")


def sealer_key(settings: Settings) -> SigningKey:
    """The configured key, or one of this machine's own. Raises `LedgerError`."""
    if settings.ledger.key_file:
        return load_signing_key(Path(settings.ledger.key_file))
    name = settings.ledger.origin_of(settings.topics.prefix, 0).rpartition("/")[0]
    return load_or_make(ledger_folder(settings) / "sealer.key", name, NOTE, lambda: secrets.token_bytes(32))


def run_sealer(settings: Settings, *, on_ready: Callable[[Ready], None], group_id: str | None = None) -> int:
    """Run one sealer to its end; 0, or 75 when it stopped un-acknowledged. Raises `ServiceError` before it follows."""
    key, anchor = sealer_key(settings), open_anchor(anchor_place(settings))
    prefix = settings.topics.prefix
    return run_follower(
        lambda: Follower(
            settings, role="sealer", topics=[topics.audit(prefix)], metrics=SealerMetrics(), group_id=group_id,
            on_ready=lambda facts: on_ready({**facts, "vkey": key.vkey, "folder": str(ledger_folder(settings))}),
        ),
        lambda follower: Sealer(follower, settings, key, anchor),
        settings,
    )  # fmt: skip
