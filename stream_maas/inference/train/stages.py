"""How far a training has come: named stages, each with the share of the work that it usually is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""(what is going on, done, total), from the first call with done 0 to the last with done == total."""


class Stages:
    """Turns "this stage, so far done" into one number that only grows. `shares`: stage -> its share, whole numbers."""

    def __init__(self, progress: Progress, shares: Mapping[str, int]) -> None:
        self._progress = progress
        self._shares = dict(shares)
        self._total = sum(self._shares.values())
        self._before = 0
        self._stage = ""

    def start(self, stage: str) -> None:
        """The stage before is over, `stage` begins. Stages come in the order of `shares`."""
        self._before += self._shares.get(self._stage, 0)
        self._stage = stage
        self._progress(stage, self._before, self._total)

    def advance(self, done: int, total: int) -> None:
        """`done` of `total` within the present stage."""
        self._progress(self._stage, self._before + self._shares[self._stage] * done // total, self._total)

    def finish(self) -> None:
        """Everything is done."""
        self._progress("done", self._total, self._total)
