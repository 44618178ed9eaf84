"""How far behind each request partition is, in records and in seconds, without reading a single request. Pure.

Requests hold personal data, so the page has no right to read them. It asks for end offsets only, and remembers when
each of them was first seen: the oldest unanswered record, at the committed offset, cannot be older than the last look
that did not have it, and is at most one look younger.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MAX_LOOKS = 4_000
"""Per partition: two hours of looks. Older lag is told as "at least"."""


@dataclass(slots=True)
class PartitionLag:
    """One request partition."""

    looks: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=MAX_LOOKS))
    """(end offset, when it was first seen), both increasing."""
    committed: int | None = None
    """Next offset that the workers' group will read; None before its first commit."""

    def looked(self, end: int, committed: int | None, now_s: float) -> None:
        """Take in one look."""
        self.committed = committed
        if self.looks and end < self.looks[-1][0]:
            self.looks.clear()  # the topic was made anew
        if not self.looks or end > self.looks[-1][0]:
            self.looks.append((end, now_s))
        # One look at or before the committed offset is enough to know that everything later is younger.
        while len(self.looks) > 1 and committed is not None and self.looks[0][0] <= committed:
            self.looks.popleft()

    @property
    def records(self) -> int | None:
        """Records that wait; None where nothing was ever committed and nothing is known."""
        if not self.looks:
            return None
        return max(self.looks[-1][0] - (self.committed or 0), 0)

    def seconds(self, now_s: float) -> float | None:
        """Age of the oldest record that waits, 0 where none does."""
        if not self.records:
            return None if self.records is None else 0.0
        return now_s - next(seen for end, seen in self.looks if end > (self.committed or 0))
