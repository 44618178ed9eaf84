"""When a writer's own count says that events are missing: holes in the counters of writer sessions, by partition.

Every audit event carries the id of its writer session and its number in that session's chain for the partition
(docs/audit-format.md): 0, 1, 2, ... without a gap. A number that is skipped is an event that was written and is not
there, even where request offsets look complete; a session that only stops is a crash and no gap. This counts and
believes every event; whether the events are genuine is the ledger's business.
"""

from __future__ import annotations

import numpy as np

from stream_maas.monitor.outcomes import Int64s, Outcomes

MAX_SESSIONS = 1024
"""Sessions remembered for each partition: a crashed one never says that it has ended."""


class WriterCounts:
    """The sessions that have written to one partition of the audit topic."""

    __slots__ = ("joins", "next")

    def __init__(self, *, joins: bool) -> None:
        """`joins`: reading began in the middle of the log, so a session may be met at any number."""
        self.joins = joins
        self.next: dict[str, int] = {}
        """Session -> number of its next event; the session that was heard last comes last."""

    def follow(self, outcomes: Outcomes) -> Int64s:
        """Take in consecutive events; how many of its session's are missing before each, shape of `outcomes.link`."""
        missing = np.zeros(len(outcomes.link), dtype=np.int64)
        if not len(missing):
            return missing
        last = np.zeros(len(outcomes.sessions), dtype=np.int64)
        last[outcomes.link] = np.arange(len(missing))
        for number in np.argsort(last, kind="stable").tolist():
            rows = np.flatnonzero(outcomes.link == number)
            if len(rows):
                missing[rows] = self._follow(outcomes.sessions[number], outcomes.counter[rows])
        while len(self.next) > MAX_SESSIONS:
            del self.next[next(iter(self.next))]
            self.joins = True
        return missing

    def _follow(self, session: str, counters: Int64s) -> Int64s:
        expected = self.next.pop(session, int(counters[0]) if self.joins else 0)
        # An event that comes a second time (a writer without transactions) is no hole and takes nothing back.
        after = np.maximum.accumulate(np.concatenate([[expected], counters + 1]))
        self.next[session] = int(after[-1])
        return np.maximum(counters - after[:-1], 0)
