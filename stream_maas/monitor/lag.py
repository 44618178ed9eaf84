"""How long requests have been waiting, told from samples of end offsets and from answers: no request is ever read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_maas.monitor.partial import RequestPartition

MAX_SAMPLES = 128


@dataclass(frozen=True, slots=True)
class Tick:
    """What the world looked like from outside the log, as an input: written to the journal before it matters."""

    at_us: int
    idle: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Audit partition -> (next offset to read, time up to which it is known that nothing came, epoch us)."""
    ends: Mapping[RequestPartition, int] = field(default_factory=dict)
    """End offsets of the request topics."""
    away_us: int = 0
    """How long no monitor was there before this tick."""
    seen_at: int = 0
    """The instant that was shown when it was taken in: it can only be shown after that."""


@dataclass(slots=True)
class Lag:
    """One request partition as of the last instant."""

    answered: int | None = None
    """The next request offset that no audit event has told of; None until something is known."""
    unanswered_since: list[tuple[int, int]] = field(default_factory=list)
    """(time in us, end offset): samples whose end is still ahead of `answered`, oldest first."""
    last_answer: int = 0
    """Instant."""
    end: int = 0
    """As last sampled."""

    @property
    def unanswered(self) -> int:
        """Requests without an answer when last sampled."""
        return max(0, self.unanswered_since[-1][1] - (self.answered or 0)) if self.unanswered_since else 0

    def seconds(self, now_us: int) -> float:
        """How long the oldest unanswered request has been waiting, at least: since the sample that first showed it."""
        return max(0, now_us - self.unanswered_since[0][0]) / 1e6 if self.unanswered_since else 0.0

    def answer(self, next_offset: int, instant: int) -> None:
        """Requests before `next_offset` have their audit events."""
        self.answered = answered = max(self.answered or 0, next_offset)
        self.last_answer = instant
        self.unanswered_since = [sample for sample in self.unanswered_since if sample[1] > answered]

    def sample(self, end: int, at_us: int) -> None:
        """The partition's end offset at a time."""
        if self.answered is None or end < self.end:
            # Nothing is known of what was before the first look, or the topic was made anew: begin here.
            self.answered = end
            self.unanswered_since.clear()
        elif end > self.answered:
            self.unanswered_since.append((at_us, end))
            if len(self.unanswered_since) > MAX_SAMPLES:
                # Every second one but the oldest: the past gets coarser, its beginning stays.
                del self.unanswered_since[1::2]
        self.end = end
