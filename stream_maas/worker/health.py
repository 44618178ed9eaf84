"""Health: live means that commits keep up with lag, ready means that a record could be answered now."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiokafka import TopicPartition


@dataclass(slots=True)
class Progress:
    """One assigned partition."""

    committed_offset: int | None = None
    """Next offset to read, as this worker committed it; None before its first commit."""
    last_timestamp_ms: int = 0
    """Timestamp of the last committed record."""
    lag: int = 0
    """Records not answered and committed yet, when last looked at."""


@dataclass(slots=True)
class Health:
    """What the probes answer from. `now_s` is a monotonic clock reading in seconds."""

    stall_s: float
    waiting_for: set[str] = field(default_factory=lambda: {"broker", "models", "redactor", "topics", "assignment"})
    """Names of what readiness still waits for."""
    warning: str = ""
    """What whoever runs this should know although it serves: a slower engine of redaction."""
    fatal: str = ""
    blocked: str = ""
    """Why audit events cannot be written, while they cannot."""
    answering: bool = False
    """Whether some lanes are answered all the same."""
    not_loaded: dict[str, str] = field(default_factory=dict)
    """Bundle folder -> why its model does not serve. The others do, so the worker is ready all the same."""
    progress: dict[TopicPartition, Progress] = field(default_factory=dict)
    last_progress_s: float = 0.0
    behind_since_s: float | None = None
    """When lag was first seen after there was none: an idle hour before a record is no stall."""

    def done(self, name: str) -> None:
        self.waiting_for.discard(name)

    def assigned(self, partitions: set[TopicPartition], now_s: float) -> None:
        """A new assignment: forget partitions that went away, start the stall clock anew."""
        self.progress = {tp: self.progress.get(tp, Progress()) for tp in partitions}
        self.last_progress_s = now_s
        self.done("assignment")

    def committed(self, tp: TopicPartition, offset: int, timestamp_ms: int, now_s: float) -> None:
        entry = self.progress.setdefault(tp, Progress())
        entry.committed_offset, entry.last_timestamp_ms = offset, timestamp_ms
        self.last_progress_s = now_s

    def observed(self, lags: dict[TopicPartition, int], now_s: float) -> None:
        """Lag of the assigned partitions as just seen."""
        for tp, lag in lags.items():
            if tp in self.progress:
                self.progress[tp].lag = lag
        behind = any(entry.lag for entry in self.progress.values())
        self.behind_since_s = (self.behind_since_s or now_s) if behind else None

    def ready(self) -> tuple[bool, str]:
        """(ready, reason when not, or what is less than it should be: missing bundles, a slow engine)."""
        if self.fatal:
            return False, self.fatal
        if self.waiting_for:
            return False, "waiting for " + ", ".join(sorted(self.waiting_for))
        if self.blocked:
            return self.answering, self.blocked
        but = [f"not loaded: {reason}" for reason in self.not_loaded.values()] + [self.warning] * bool(self.warning)
        return True, "ready, but " + "; ".join(but) if but else "ready"

    def live(self, now_s: float) -> tuple[bool, str]:
        """(live, reason when not). Not live: fatal, or there is lag and nothing was committed for `stall_s`. A worker
        that the audit topic refuses is alive: it tries, and a restart would not help."""
        if self.fatal:
            return False, self.fatal
        lag = sum(entry.lag for entry in self.progress.values())
        stalled_s = now_s - max(self.last_progress_s, self.behind_since_s or now_s)
        if lag and stalled_s > self.stall_s and not self.blocked:
            return False, f"no commit for {stalled_s:.0f} s with {lag} records waiting"
        return True, "live"
