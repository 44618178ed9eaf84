"""How a monitor's state is written down, so that another process goes on as if it were the same one.

One record for each series (only those that have changed since their last one), and one header with everything else.
The header is written last and names the instant of each series' record: a crash between the two leaves a header that
still fits the records before it. Format: MessagePack, arrays as differences along time, zlib. Private to this version
of the monitor; a header of another version is refused, and the monitor begins anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from stream_maas.errors import UndecodableError
from stream_maas.monitor.alerts import Alert, Lifecycle
from stream_maas.monitor.commands import command_of
from stream_maas.monitor.fold import Fold, PartitionClock
from stream_maas.monitor.histogram import BIN_COUNT
from stream_maas.monitor.lag import Lag, Tick
from stream_maas.monitor.measure import Reading, Window
from stream_maas.monitor.monitor import Monitor
from stream_maas.monitor.outcomes import Outcome
from stream_maas.monitor.partial import Cell, Partial
from stream_maas.monitor.rules import Rule
from stream_maas.monitor.rules_file import ruleset_of
from stream_maas.monitor.series import HISTOGRAM_LEVEL, HISTOGRAMS, LEVELS, HistogramRing, Series, SeriesStore
from stream_maas.monitor.writers import WriterCounts

VERSION = 2
HEADER = b"header"
_SERIES = b"series:"
_KEPT = 2
"""Newest records of a series that are looked at: a header may belong to the last but one."""


@dataclass(frozen=True, slots=True)
class Position:
    """What a state stands for besides the audit offsets."""

    commands_offset: int = 0
    """Next record of the command topic."""
    journal_sequence: int = 0
    """Of the next journal entry."""
    at_us: int = 0
    """Wall clock when it was written."""


class SnapshotWriter:
    """Writes snapshots of one monitor; remembers what stands in the topic already."""

    def __init__(self, monitor: Monitor, written: Mapping[Series, int] | None = None) -> None:
        """`written`: the instants of the records that a loaded state was made of."""
        self._monitor = monitor
        self._written = dict(written or {})

    def records(self, position: Position) -> list[tuple[bytes, bytes | None]]:
        """Key and value (None: delete) of what is to be written, in this order."""
        fold = self._monitor.fold
        store = fold.store
        rows: list[tuple[bytes, bytes | None]] = []
        for series in sorted(store.index):
            if series in store.changed or series not in self._written:
                rows.append((_key(series), _pack(_series(store, series, fold.instant))))
                self._written[series] = fold.instant
        for series in sorted(self._written.keys() - store.index.keys()):
            rows.append((_key(series), None))
            del self._written[series]
        store.changed.clear()
        rows.append((HEADER, _pack(_header(self._monitor, self._written, position))))
        return rows


@dataclass(frozen=True, slots=True)
class Loaded:
    """A monitor read back."""

    monitor: Monitor
    position: Position
    written: dict[Series, int]


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a stored state goes."""

    offsets: Mapping[int, int]
    """Audit partition -> next offset."""
    instant: int
    journal_sequence: int


def extent(records: Iterable[tuple[bytes, bytes | None]]) -> Extent | None:
    """How far the newest state goes, without loading it. Raises `UndecodableError` for another version."""
    header: dict[str, Any] | None = None
    for key, value in records:
        if key == HEADER and value is not None:
            header = _unpack(value)
    if header is None:
        return None
    if header["version"] != VERSION:
        raise UndecodableError("monitor state: of another version")
    offsets = {number: offset for number, offset, _, _ in header["partitions"]}
    return Extent(offsets, header["instant"], header["journal_sequence"])


def load(records: Iterable[tuple[bytes, bytes | None]]) -> Loaded | None:
    """The newest state in the records of the state topic (oldest first), or None where there is none.

    Raises `UndecodableError` for a state of another version, or one of which parts are missing.
    """
    header: dict[str, Any] | None = None
    blobs: dict[bytes, list[bytes | None]] = {}
    for key, value in records:
        if key == HEADER and value is not None:
            header = _unpack(value)
        elif key.startswith(_SERIES):
            blobs[key] = [*blobs.get(key, []), value][-_KEPT:]
    if header is None:
        return None
    if header["version"] != VERSION:
        raise UndecodableError("monitor state: of another version")
    monitor = _monitor(header)
    written = {Series(per, _labels(labels)): instant for per, labels, instant in header["series"]}
    for series, instant in written.items():
        found = [_unpack(blob) for blob in blobs.get(_key(series), []) if blob is not None]
        fitting = [one for one in found if one["instant"] == instant]
        if not fitting:
            raise UndecodableError("monitor state: the record of a series is missing")
        _restore_series(monitor.fold.store, series, fitting[-1], monitor.fold.instant)
    monitor.fold.store.changed.clear()
    position = Position(header["commands_offset"], header["journal_sequence"], header["at_us"])
    return Loaded(monitor, position, written)


def _pack(document: Any) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(document), 1)


def _unpack(value: bytes) -> dict[str, Any]:
    try:
        document = msgspec.msgpack.decode(zlib.decompress(value))
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableError("monitor state: a record cannot be read") from None
    if not isinstance(document, dict):
        raise UndecodableError("monitor state: a record cannot be read")
    return document


def _key(series: Series) -> bytes:
    return _SERIES + msgspec.json.encode([series.per, series.labels])


def _labels(labels: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in labels)


def _series_from(raw: Any) -> Series:
    return Series(raw[0], _labels(raw[1]))


# Series ---------------------------------------------------------------------------------------------------------------


def _series(store: SeriesStore, series: Series, instant: int) -> dict[str, Any]:
    row = store.index[series]
    histograms = {name: ring for (one, name), ring in store.histograms.items() if one == series}
    return {
        "instant": instant,
        "totals": _bytes(store.totals[row]),
        "rings": [_bytes(_differences(ring[:, row])) for ring in store.rings],
        "histograms": {
            name: [_bytes(ring.totals), _bytes(_differences(ring.slots))] for name, ring in histograms.items()
        },
    }


def _restore_series(store: SeriesStore, series: Series, document: Mapping[str, Any], instant: int) -> None:
    row = store.make(series)
    column_count = store.totals.shape[1]
    store.totals[row] = _array(document["totals"], column_count)[0]
    for (size, slots), ring, raw in zip(LEVELS, store.rings, document["rings"], strict=True):
        ring[:, row] = np.cumsum(_array(raw, column_count), axis=0, dtype=np.uint32)
        # Nothing was counted since the record was written: the buckets that have ended since end with these totals.
        for bucket in _ended(document["instant"], instant, size, slots):
            ring[bucket % slots, row] = store.totals[row]
    for name in HISTOGRAMS.get(series.per, ()):
        store.histograms.pop((series, name), None)
    for name, (totals, slots_raw) in document["histograms"].items():
        histogram = store.histograms[series, name] = HistogramRing()
        histogram.totals = _array(totals, BIN_COUNT)[0].copy()
        histogram.slots = np.cumsum(_array(slots_raw, BIN_COUNT), axis=0, dtype=np.uint32)
        size, slots = HISTOGRAM_LEVEL
        for bucket in _ended(document["instant"], instant, size, slots):
            histogram.slots[bucket % slots] = histogram.totals


def _ended(since: int, instant: int, size: int, slots: int) -> range:
    last = instant // size
    return range(max(since // size, last - slots) + 1, last + 1)


def _differences(ring: np.ndarray) -> np.ndarray:
    return np.diff(ring, axis=0, prepend=np.zeros_like(ring[:1]))


def _bytes(array: np.ndarray) -> bytes:
    return array.astype("<u4").tobytes()


def _array(raw: bytes, columns: int) -> np.ndarray:
    return np.frombuffer(raw, dtype="<u4").astype(np.uint32).reshape(-1, columns)


# Everything else ------------------------------------------------------------------------------------------------------


def _header(monitor: Monitor, written: Mapping[Series, int], position: Position) -> dict[str, Any]:
    fold, lifecycle = monitor.fold, monitor.lifecycle
    return {
        "version": VERSION,
        "commands_offset": position.commands_offset,
        "journal_sequence": position.journal_sequence,
        "at_us": position.at_us,
        "rules": monitor.rules.document,
        "audit_topic": lifecycle.audit_topic,
        "series": [(series.per, series.labels, instant) for series, instant in sorted(written.items())],
        "instant": fold.instant,
        "origin": fold.origin,
        "partitions": [(n, one.next_offset, one.clock_us, one.repeats) for n, one in fold.partitions.items()],
        "writers": [(n, one.writers.joins, list(one.writers.next.items())) for n, one in fold.partitions.items()],
        "tenants": [fold.tenants.error, sorted(fold.tenants.counts.items())],
        "pending": [
            (shown_at, step_end, _partial(partial))
            for shown_at, partials in sorted(fold.pending.items())
            for step_end, partial in sorted(partials.items())
        ],
        "lags": [
            (*source, lag.answered, lag.unanswered_since, lag.last_answer, lag.end)
            for source, lag in sorted(fold.lags.items())
        ],
        "told": [(*source, *told) for source, told in sorted(fold.told.items())],
        "samples": [
            (shown_at, tick.at_us, [(*source, end) for source, end in tick.ends.items()], tick.away_us, tick.seen_at)
            for shown_at, tick in fold.samples
        ],
        "evidence": [(key[0], key[1], places) for key, places in sorted(fold.evidence.items())],
        "alerts": [_alert(alert) for _, alert in sorted(lifecycle.alerts.items(), key=lambda item: item[0])],
        "silences": [msgspec.to_builtins(one) for _, one in sorted(lifecycle.silences.items())],
    }


def _partial(partial: Partial) -> dict[str, Any]:
    return {
        "cells": [(kind, cell.events, cell.slow.tolist()) for kind, cell in sorted(partial.cells.items())],
        "distributions": [
            (name, np.flatnonzero(counts).tolist(), counts[counts != 0].tolist())
            for name, counts in sorted(partial.distributions.items(), key=lambda item: item[0])
        ],
        "evidence": [(key[0], key[1], places) for key, places in sorted(partial.evidence.items())],
        "answered": [(*source, *entry) for source, entry in sorted(partial.answered.items())],
        "late": partial.late,
        "unreadable": partial.unreadable,
        "unwritten": partial.unwritten,
        "holes": partial.holes,
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "rule": {name: getattr(alert.rule, name) for name in Rule.__slots__},
        "series": alert.series,
        "started_us": alert.started_us,
        "reading": [alert.reading.state, alert.reading.value, alert.reading.windows, alert.reading.counter],
        "state": [
            alert.firing, alert.fired_us, alert.sequence, alert.clear_since_us, alert.repeated_us, alert.escalated,
            alert.acknowledged, alert.inhibited,
        ],
        "evidence": alert.evidence,
    }  # fmt: skip


def _monitor(header: Mapping[str, Any]) -> Monitor:
    rules = ruleset_of(header["rules"])
    offsets = {number: next_offset for number, next_offset, _, _ in header["partitions"]}
    monitor = Monitor(rules, header["audit_topic"], offsets, 0)
    fold = Fold(rules, offsets, 0)
    fold.instant, fold.origin = header["instant"], header["origin"]
    writers = {number: _writers(joins, counts) for number, joins, counts in header["writers"]}
    fold.partitions = {
        n: PartitionClock(offset, clock, writers[n], repeats) for n, offset, clock, repeats in header["partitions"]
    }
    fold.tenants.error, calls = header["tenants"]
    fold.tenants.counts = dict(calls)
    for shown_at, step_end, raw in header["pending"]:
        fold.pending.setdefault(shown_at, {})[step_end] = _partial_from(raw)
    fold.lags = {
        (topic, partition): Lag(answered, [(at, until) for at, until in since], last, end)
        for topic, partition, answered, since, last, end in header["lags"]
    }
    fold.told = {(topic, partition): (offset, ms) for topic, partition, offset, ms in header["told"]}
    fold.samples = [
        (shown_at, Tick(at_us, {}, {(topic, n): end for topic, n, end in ends}, away_us, seen_at))
        for shown_at, at_us, ends, away_us, seen_at in header["samples"]
    ]
    fold.evidence = {
        (_series_from(series), counter): [(instant, p, o) for instant, p, o in places]
        for series, counter, places in header["evidence"]
    }
    lifecycle = Lifecycle(header["audit_topic"])
    for raw in header["alerts"]:
        alert = _alert_from(raw)
        lifecycle.alerts[alert.rule.id, alert.series] = alert
    for raw in header["silences"]:
        silence = command_of(raw)
        lifecycle.silences[silence.command_id] = silence  # type: ignore[assignment]
    monitor.restored(fold, lifecycle)
    return monitor


def _writers(joins: bool, counts: Any) -> WriterCounts:
    writers = WriterCounts(joins=joins)
    writers.next = dict(counts)
    return writers


def _partial_from(raw: Mapping[str, Any]) -> Partial:
    holes = [(partition, offset) for partition, offset in raw["holes"]]
    partial = Partial(late=raw["late"], unreadable=raw["unreadable"], unwritten=raw["unwritten"], holes=holes)
    for kind, events, slow in raw["cells"]:
        partial.cells[Outcome(*kind)] = Cell(events, np.array(slow, dtype=np.int64))
    for name, places, values in raw["distributions"]:
        counts = np.zeros(2 * BIN_COUNT, dtype=np.int64)
        counts[places] = values
        partial.distributions[tuple(name)] = counts.reshape(2, BIN_COUNT)
    for kind, counter, found in raw["evidence"]:
        partial.evidence[Outcome(*kind), counter] = [(partition, offset) for partition, offset in found]
    for topic, partition, answered, missing in raw["answered"]:
        partial.answered[topic, partition] = [answered, missing]
    return partial


def _alert_from(raw: Mapping[str, Any]) -> Alert:
    state, value, windows, counter = raw["reading"]
    series = _series_from(raw["series"])
    said: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in raw["rule"].items()}
    reading = Reading(series, state, value, tuple(Window(*window) for window in windows), counter)
    firing, fired_us, sequence, clear_since_us, repeated_us, escalated, acknowledged, inhibited = raw["state"]
    return Alert(
        Rule(**said), series, raw["started_us"], reading, firing, fired_us, sequence, clear_since_us, repeated_us,
        escalated, acknowledged, inhibited, tuple((partition, offset) for partition, offset in raw["evidence"]),
    )  # fmt: skip
