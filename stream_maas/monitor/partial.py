"""What one instant will show of one step: counts that add, to the same bits whoever took them in and in whatever order.

`counted` makes a partial of one chunk; `Partial.merge` adds it to what other chunks, other partitions or other
workers have brought for the same instant and step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream_maas.monitor.histogram import BIN_COUNT, bins_of
from stream_maas.monitor.outcomes import ANSWERED, REDACTION_ERROR, Outcome, Outcomes
from stream_maas.monitor.series import BAD, CLIENT, FIRST_SLOW, REDACTION

Counts = npt.NDArray[np.int64]
RequestPartition = tuple[str, int]
Place = tuple[int, int]
"""Partition of the audit topic, and offset."""

MAX_EVIDENCE = 5


@dataclass(slots=True)
class Cell:
    """Counts of one outcome in one step."""

    events: int
    slow: Counts
    """Above each latency limit; shape (limits,)."""


@dataclass(slots=True)
class Partial:
    """Counts of one step, from a part of its events."""

    cells: dict[Outcome, Cell] = field(default_factory=dict)
    distributions: dict[tuple[str, str, str], Counts] = field(default_factory=dict)
    """(lane, model, version) -> bin counts of latency and queue delay, shape (2, BIN_COUNT)."""
    evidence: dict[tuple[Outcome, int], list[Place]] = field(default_factory=dict)
    """(outcome, counter) -> the first places that it counts."""
    answered: dict[RequestPartition, list[int]] = field(default_factory=dict)
    """[next request offset, requests without an event]."""
    late: int = 0
    unreadable: int = 0
    unwritten: int = 0
    """Events that are missing in the chains of their writers."""
    holes: list[Place] = field(default_factory=list)
    """The first places before which something is missing."""

    def merge(self, other: Partial) -> None:
        """Add another part of the same step. The other one is given away: it must not be used any more."""
        for kind, cell in other.cells.items():
            if (mine := self.cells.get(kind)) is None:
                self.cells[kind] = cell
            else:
                mine.events += cell.events
                mine.slow += cell.slow
        for name, counts in other.distributions.items():
            if name in self.distributions:
                self.distributions[name] += counts
            else:
                self.distributions[name] = counts
        for key, places in other.evidence.items():
            self.evidence[key] = first_places(self.evidence.get(key, ()), places)
        for source, (next_offset, missing) in other.answered.items():
            entry = self.answered.setdefault(source, [0, 0])
            entry[0] = max(entry[0], next_offset)
            entry[1] += missing
        self.late += other.late
        self.unreadable += other.unreadable
        self.unwritten += other.unwritten
        self.holes = first_places(self.holes, other.holes)


def first_places(one: Sequence[Place], other: Sequence[Place]) -> list[Place]:
    """The first of both, in order: with the same ones left over whatever is merged first."""
    return sorted([*one, *other])[:MAX_EVIDENCE]


def counted(partition: int, outcomes: Outcomes, rows: npt.NDArray[np.intp], limits_us: Sequence[int]) -> Partial:
    """Rows (indexes) of one step."""
    partial = Partial()
    if not len(rows):
        return partial
    kinds, total_us = outcomes.kind[rows], outcomes.total_us[rows]
    size = len(outcomes.kinds)
    answered = np.array([kind.code == ANSWERED for kind in outcomes.kinds])[kinds]
    events = np.bincount(kinds, minlength=size)
    slow_rows = [answered & (total_us > limit) for limit in limits_us]
    counts = [np.bincount(kinds[over], minlength=size) for over in slow_rows]
    slow = np.array(counts, dtype=np.int64).reshape(-1, size)
    for number in np.flatnonzero(events).tolist():
        kind = outcomes.kinds[number]
        partial.cells[kind] = Cell(int(events[number]), slow[:, number].copy())
        if kind.code != ANSWERED:
            places = _places(partition, outcomes.offset[rows[kinds == number]])
            partial.evidence[kind, CLIENT if kind.is_client_fault else BAD] = places
            if kind.code == REDACTION_ERROR:
                partial.evidence[kind, REDACTION] = places
    for limit, over in enumerate(slow_rows):
        for number in np.unique(kinds[over]).tolist():
            offsets = outcomes.offset[rows[over & (kinds == number)]]
            partial.evidence[outcomes.kinds[number], FIRST_SLOW + limit] = _places(partition, offsets)
    _distribute(partial, outcomes, rows, answered)
    return partial


def _places(partition: int, offsets: Counts) -> list[Place]:
    """The first ones; offsets ascend."""
    return [(partition, offset) for offset in offsets[:MAX_EVIDENCE].tolist()]


def _distribute(
    partial: Partial, outcomes: Outcomes, rows: npt.NDArray[np.intp], answered: npt.NDArray[np.bool_]
) -> None:
    groups: dict[tuple[str, str, str], int] = {}
    group_of = np.array([groups.setdefault(kind[:3], len(groups)) for kind in outcomes.kinds])
    group = group_of[outcomes.kind[rows]]
    size = len(groups) * BIN_COUNT
    queue = np.bincount(group * BIN_COUNT + bins_of(outcomes.queue_us[rows]), minlength=size)
    taken = group[answered] * BIN_COUNT + bins_of(outcomes.total_us[rows][answered])
    latency = np.bincount(taken, minlength=size)
    both = np.stack([latency, queue]).reshape(2, -1, BIN_COUNT)
    for name, number in groups.items():
        if both[:, number].any():
            partial.distributions[name] = both[:, number].copy()
