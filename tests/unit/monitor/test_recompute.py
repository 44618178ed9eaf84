"""A monitor that lives, with ticks whenever they come, and its journal: folded again it gives the same events."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_maas.errors import ServiceError
from stream_maas.monitor import snapshot
from stream_maas.monitor.commands import Silence
from stream_maas.monitor.journal import Began, Entry, Feeder, Ticked, TookEffect, decode_entry, encode_entry
from stream_maas.monitor.lag import Tick
from stream_maas.monitor.monitor import Monitor
from stream_maas.monitor.outcomes import read_outcomes
from stream_maas.monitor.recompute import Recomputation, compare
from tests.unit.monitor.histories import AUDIT, REQUESTS, START_US, Answer, Stored, event_bytes, reborn
from tests.unit.monitor.test_fold_properties import RULES

SECOND_US = 1_000_000
PARTITIONS = 2


class Live:
    """A monitor process in small: reads what has come, ticks when it likes, dies when it must, keeps its journal."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log: dict[int, list[Stored]] = {n: [] for n in range(PARTITIONS)}
        self.read = dict.fromkeys(range(PARTITIONS), 0)
        self.monitor = Monitor(RULES, AUDIT, dict.fromkeys(range(PARTITIONS), 0), START_US)
        self.entries: list[Entry] = [
            Began(0, START_US, AUDIT, dict.fromkeys(range(PARTITIONS), 0), dict(RULES.document))
        ]
        self.published: list[tuple[int, dict[str, object]]] = []
        self.now_us = START_US
        self.ill = False

    def live(self, moments: int) -> None:
        for _ in range(moments):
            self.now_us += self.chance.randrange(50_000, 900_000)
            self.ill = self.ill ^ (self.chance.random() < 0.05)
            self._serve()
            for partition in range(PARTITIONS):
                if self.chance.random() < 0.7:
                    self._fetch(partition)
            if self.chance.random() < 0.5:
                self._tick()
            if self.chance.random() < 0.05:
                self.monitor.command(Silence("s1", {"rule": "code"}, START_US, self.now_us + 9 * SECOND_US))
            if self.chance.random() < 0.05:
                self.monitor = reborn(self.monitor)
            self._advance()

    def _serve(self) -> None:
        for _ in range(self.chance.choice((0, 0, 3, 20))):
            partition = self.chance.randrange(PARTITIONS)
            offset = len(self.log[partition])
            code = self.chance.choice(("", "model_error", "invalid_input")) if self.ill else ""
            answer = Answer(self.now_us - self.chance.randrange(2 * SECOND_US), code)
            self.log[partition].append(Stored(offset, event_bytes(partition, offset, answer)))

    def _fetch(self, partition: int) -> None:
        records = self.log[partition][self.read[partition] :]
        if records:
            self.monitor.take(partition, read_outcomes(records))
            self.read[partition] += len(records)

    def _tick(self) -> None:
        idle = {n: (self.read[n], self.now_us) for n in range(PARTITIONS) if self.read[n] == len(self.log[n])}
        ends = {(REQUESTS, n): len(self.log[n]) for n in range(PARTITIONS)}
        tick = Tick(self.now_us, idle, ends, 0, self.monitor.fold.instant)
        self.entries.append(Ticked.of(len(self.entries), tick))
        self.monitor.tick(tick)

    def _advance(self) -> None:
        outputs = self.monitor.advance()
        self.entries += [TookEffect.of(len(self.entries) + n, one) for n, one in enumerate(outputs.applied)]
        self.published += [(0, dict(event.data)) for event in outputs.events]

    def extent(self) -> snapshot.Extent:
        records = snapshot.SnapshotWriter(self.monitor).records(snapshot.Position(0, len(self.entries), self.now_us))
        extent = snapshot.extent(records)
        assert extent is not None
        return extent


def recompute(live: Live, entries: Sequence[Entry], seed: int) -> Recomputation:
    """Read the whole log again, partition by partition, in other chunks."""
    chance = random.Random(seed)
    again = Recomputation([decode_entry(encode_entry(entry)) for entry in entries], live.extent())
    partitions = list(range(PARTITIONS))
    chance.shuffle(partitions)
    for partition in partitions:
        records = list(live.log[partition])
        while records:
            count = chance.choice((1, 5, 1000))
            again.take(partition, records[:count])
            del records[:count]
    again.finish()
    return again


@settings(max_examples=5)
@given(st.integers(0, 1 << 30), st.integers(0, 1 << 30))
def test_recomputed_alerts_are_the_published_ones(seed: int, other: int) -> None:
    live = Live(seed)
    live.live(90)
    again = recompute(live, live.entries, other)
    compared = compare(again, live.published, from_us=None, to_us=None)
    assert compared.same, (compared.not_published[:2], compared.not_recomputed[:2], compared.different[:2])
    assert compared.published == len(live.published)


@cache
def busy() -> Live:
    """A life in which something fired."""
    for seed in range(50):
        live = Live(seed)
        live.live(150)
        if live.published:
            return live
    raise AssertionError("nothing ever fired")


def test_what_was_added_taken_away_changed_or_doubled_is_told() -> None:
    live = busy()
    again = recompute(live, live.entries, 1)
    first = dict(live.published[0][1])
    forged = first | {"event_id": "0" * 64 + ":0"}
    assert (
        compare(again, live.published[1:], from_us=None, to_us=None).not_published[0]["event_id"] == first["event_id"]
    )
    assert compare(again, [*live.published, (0, forged)], from_us=None, to_us=None).not_recomputed
    assert compare(again, [*live.published, (0, first)], from_us=None, to_us=None).repeated
    changed = compare(again, [(0, first | {"value": -1.0}), *live.published[1:]], from_us=None, to_us=None)
    assert changed.different[0]["members"] == ["value"]
    assert not changed.same


def test_a_journal_with_a_hole_is_refused() -> None:
    live = busy()
    with pytest.raises(ServiceError, match="entries are missing"):
        Recomputation([entry for entry in live.entries if entry.sequence != 3], live.extent())
    with pytest.raises(ServiceError, match="where the monitor began"):
        Recomputation(live.entries[1:], live.extent())


def test_an_audit_topic_that_was_cut_is_noticed() -> None:
    live = busy()
    again = Recomputation(live.entries, live.extent())
    again.take(0, live.log[0])
    with pytest.raises(ServiceError, match="holds less"):
        again.finish()


def test_an_unfinished_commit_is_followed_by_its_journal() -> None:
    """Without transactions: ticks were written, the state was not. The next process comes to the same events."""
    live = Live(11)
    live.live(60)
    before = reborn(live.monitor)
    known, entries = len(live.published), len(live.entries)
    live.live(60)
    feeder = Feeder(before)
    for entry in live.entries[entries:]:
        feeder.follow(entry)
    for partition in range(PARTITIONS):
        begin = before.fold.partitions[partition].next_offset
        if records := live.log[partition][begin : live.read[partition]]:
            feeder.take(partition, read_outcomes(records))
    told = [dict(event.data) for event in before.advance(until=live.monitor.fold.instant).events]
    assert told == [data for _, data in live.published[known:]]
