"""Made-up histories of an audit topic, and ways to put them through the monitor.

A history says for each partition what stands in it and where a tick found it idle. Everything that Kafka does not
promise, the order between partitions, the cutting into chunks, what is delivered again, is the schedule's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from stream_maas.monitor import snapshot
from stream_maas.monitor.alerts import AlertEvent
from stream_maas.monitor.commands import Command
from stream_maas.monitor.fold import Fold
from stream_maas.monitor.lag import Tick
from stream_maas.monitor.monitor import Monitor
from stream_maas.monitor.outcomes import Outcome, Outcomes, read_outcomes
from stream_maas.monitor.rules import Ruleset
from stream_maas.monitor.rules_file import default_text, parse_rules
from stream_maas.wire.audit import rfc3339
from stream_maas.wire.headers import DECISION_PREFIX

AUDIT = "maas.audit"
REQUESTS = "maas.requests"
START_US = 1_790_000_000_000_000
"""A whole number of steps, hours and days at every scale that is used here."""
SCALE = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """One audit event."""

    at_us: int
    code: str = ""
    total_us: int = 20_000
    model: str = "sentiment-lite"
    tenant: str = ""
    lane: str = "default"
    request_offset: int | None = None
    """None takes the audit record's own offset."""
    session: tuple[str, int] | None = None
    """Writer session, and number of the event in its chain."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Here a tick found the partition read to its end."""

    clock_us: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A Kafka record, as far as the monitor looks."""

    offset: int
    value: bytes


@dataclass
class History:
    """What a monitor is given."""

    partitions: Mapping[int, Sequence[Answer | Idle | bytes]]
    """`bytes`: a record with this value."""
    samples: Sequence[Tick] = ()
    commands: Sequence[tuple[int, Command]] = ()
    """(instant, command)"""
    at_us: int = START_US


def rules(text: str | None = None, time_scale: float = SCALE) -> Ruleset:
    """The packaged rules at a small scale, or those in `text`."""
    return parse_rules(text if text is not None else default_text(), time_scale=time_scale)


def event_bytes(partition: int, offset: int, answer: Answer) -> bytes:
    """An audit event with the members that the monitor reads."""
    data: dict[str, Any] = {
        "request": {
            "topic": REQUESTS,
            "partition": partition,
            "offset": offset if answer.request_offset is None else answer.request_offset,
            "timestamp_ms": answer.at_us // 1000,
            "lane": answer.lane,
        },
        "timings_us": {"queue": answer.total_us // 2, "total": answer.total_us},
        "degraded": False,
    }
    if answer.code:
        data["code"] = answer.code
    if answer.model:
        data["model"] = {"name": answer.model, "version": "1"}
    if answer.tenant:
        data["caller"] = {"tenant": answer.tenant}
    if answer.session is not None:
        data["writer"] = {"session": {"id": answer.session[0], "counter": answer.session[1]}}
    return orjson.dumps({"type": f"{DECISION_PREFIX}v1", "time": rfc3339(answer.at_us), "data": data})


@dataclass
class Run:
    """What came out."""

    monitor: Monitor
    events: list[AlertEvent] = field(default_factory=list)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [dict(event.data) for event in self.events]

    def steps(self, rule: str) -> list[str]:
        """The life of a rule's alerts, reminders aside."""
        return [event.step for event in self.events if event.data["rule"] == rule and event.step != "repeat"]

    def totals(self) -> dict[Any, Any]:
        return shown_by(self.monitor.fold)


def shown_by(fold: Fold) -> dict[Any, Any]:
    """Everything that is shown: totals and ring contents by series, distributions, lags, evidence, who calls most."""
    store = fold.store
    shown: dict[Any, Any] = {
        series: (store.totals[row].tolist(), [ring[:, row].tobytes() for ring in store.rings])
        for series, row in store.index.items()
    }
    for key, ring in store.histograms.items():
        shown[key] = (ring.totals.tobytes(), ring.slots.tobytes())
    tenants = (fold.tenants.counts, fold.tenants.error)
    return shown | {"lags": fold.lags, "evidence": fold.evidence, "tenants": tenants}


def play(history: History, ruleset: Ruleset, schedule: Iterable[tuple[int, int]] | None = None, **how: Any) -> Run:
    """Put a history through a new monitor.

    `schedule`: (partition, how many of its items) in the order of reading; None reads each partition in one go.
    `seed`: advance, deliver again and go through a snapshot at random moments.
    """
    monitor = Monitor(ruleset, AUDIT, dict.fromkeys(history.partitions, 0), history.at_us)
    run = Run(monitor)
    player = _Player(run, history, random.Random(how["seed"]) if "seed" in how else None)
    for tick in history.samples:
        monitor.fold.sample(tick)
    for instant, command in history.commands:
        monitor.schedule(instant, command)
    for partition, count in schedule or [(number, len(items)) for number, items in history.partitions.items()]:
        player.read(partition, count)
    for partition, items in history.partitions.items():
        player.read(partition, len(items))
    run.events += run.monitor.advance().events
    return run


class _Player:
    def __init__(self, run: Run, history: History, chance: random.Random | None) -> None:
        self._run = run
        self._history = history
        self._chance = chance
        self._place = dict.fromkeys(history.partitions, 0)
        self._offset = dict.fromkeys(history.partitions, 0)
        self._read: dict[int, list[Stored]] = {number: [] for number in history.partitions}
        self._agenda = list(history.commands)

    def read(self, partition: int, count: int) -> None:
        items = self._history.partitions[partition]
        first = self._place[partition]
        self._place[partition] = min(len(items), first + count)
        for group in _grouped(items[first : self._place[partition]]):
            if isinstance(group, Idle):
                self._run.monitor.fold.be_idle(partition, self._offset[partition], group.clock_us)
                continue
            records = []
            for item in group:
                offset = self._offset[partition]
                value = item if isinstance(item, bytes) else event_bytes(partition, offset, item)
                records.append(Stored(offset, value))
                self._offset[partition] += 1
            self._deliver(partition, records)
        self._shake()

    def _deliver(self, partition: int, records: list[Stored]) -> None:
        take = self._run.monitor.take
        read = self._read[partition]
        if self._chance is not None and read and self._chance.random() < 0.3:
            # Again from somewhere before: what a consumer does whose commit was lost.
            again = read[self._chance.randrange(len(read)) :]
            take(partition, read_outcomes(again))
            records = [*again, *records] if self._chance.random() < 0.5 else records
        take(partition, read_outcomes(records))
        read += [record for record in records if not read or record.offset > read[-1].offset]

    def _shake(self) -> None:
        """Advance, and now and then die and come back."""
        if self._chance is None:
            return
        if self._chance.random() < 0.6:
            self._run.events += self._run.monitor.advance().events
        if self._chance.random() < 0.15:
            self._run.monitor = reborn(self._run.monitor)
            for instant, command in self._agenda:
                if instant > self._run.monitor.fold.instant:
                    self._run.monitor.schedule(instant, command)


def reborn(monitor: Monitor) -> Monitor:
    """The same monitor, through its snapshot."""
    loaded = snapshot.load(snapshot.SnapshotWriter(monitor).records(snapshot.Position()))
    assert loaded is not None
    return loaded.monitor


def _grouped(items: Sequence[Answer | Idle | bytes]) -> Iterator[Idle | list[Answer | bytes]]:
    group: list[Answer | bytes] = []
    for item in items:
        if isinstance(item, Idle):
            if group:
                yield group
            group = []
            yield item
        else:
            group.append(item)
    if group:
        yield group


def columns(
    kinds: Sequence[Outcome], kind: Any, event_us: Any, total_us: Any, first_offset: int, **where: Any
) -> Outcomes:
    """Outcomes made directly, for histories that are too long to be written as JSON. All arrays of shape (n,)."""
    size = len(kind)
    none = np.zeros(0, dtype=np.int64)
    offsets = np.arange(first_offset, first_offset + size, dtype=np.int64)
    return Outcomes(
        kinds=list(kinds), kind=np.asarray(kind, dtype=np.int64), offset=offsets,
        event_us=np.asarray(event_us, dtype=np.int64), total_us=np.asarray(total_us, dtype=np.int64),
        queue_us=np.asarray(total_us, dtype=np.int64) // 2, requests=[(REQUESTS, where.get("partition", 0))],
        request=np.zeros(size, dtype=np.int64), request_offset=offsets,
        request_ms=np.asarray(event_us, dtype=np.int64) // 1000, next_offset=first_offset + size,
        unreadable=none, sessions=[], link=none, counter=none, link_offset=none,
    )  # fmt: skip
