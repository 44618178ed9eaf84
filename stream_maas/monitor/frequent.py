"""Which tenants get a series of their own: those that call most, found in bounded memory and in one way only.

Counts are kept by the summary of Misra and Gries (1982): at most `capacity` names; when there are more, the count of
the first that has no room is taken off all of them. A count is therefore never too high, and too low by at most
`error`, which is below the sum of all counts / `capacity`. Agarwal et al. (Mergeable Summaries, PODS 2012) show that
Space-Saving is the same summary told differently; this form takes the exact counts of a whole instant at once, so the
result depends on what was counted at which instant and not on the order in which it came.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

CAPACITY_FACTOR = 8
"""Names remembered for each series: how far below the last one that is shown a tenant is still told from noise."""
EXCHANGE_STEPS = 30
"""Steps between exchanges (300 s at full scale)."""
DECAY_STEPS = 360
"""Steps in which a past call loses half of its weight (an hour at full scale)."""
LEAD = (5, 4)
"""Whoever is to take the place of another has called at least this much more often: rows change owners for a reason,
for a series that begins anew knows nothing of its past."""


class FrequentTenants:
    """How often tenants have called, with less weight for calls of long ago."""

    __slots__ = ("capacity", "counts", "error")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.counts: dict[str, int] = {}
        self.error = 0
        """How much a count may be too low; also that of a tenant that is not in it."""

    def add(self, calls: Mapping[str, int]) -> None:
        """All calls of one instant."""
        for name, count in calls.items():
            self.counts[name] = self.counts.get(name, 0) + count
        if len(self.counts) > self.capacity:
            self._take_off(sorted(self.counts.values(), reverse=True)[self.capacity])

    def _take_off(self, count: int) -> None:
        self.error += count
        self.counts = {name: own - count for name, own in self.counts.items() if own > count}

    def decay(self) -> None:
        """Half of every count is forgotten."""
        self.error //= 2
        self.counts = {name: own // 2 for name, own in self.counts.items() if own > 1}

    def exchange(self, shown: Collection[str], kept: Collection[str], room: int) -> list[tuple[str | None, str]]:
        """(who goes, who comes in its place), until those with a series are the most frequent ones.

        `kept` stay whatever they do; the first `room` newcomers take nobody's place.
        """
        comes = sorted((name for name in self.counts if name not in shown), key=lambda name: (-self.counts[name], name))
        goes: Iterable[str] = sorted(
            (name for name in shown if name not in kept), key=lambda name: (self.counts.get(name, 0), name)
        )
        changes: list[tuple[str | None, str]] = [(None, name) for name in comes[:room]]
        more, than = LEAD
        for newcomer, name in zip(comes[room:], goes, strict=False):
            if self.counts[newcomer] * than <= self.counts.get(name, 0) * more:
                break
            changes.append((name, newcomer))
        return changes
