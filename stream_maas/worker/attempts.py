"""How often this process has taken up each record: what was handed out in an era that ended goes through once more.

Only what is not committed is kept. A new process begins at 1: what its predecessor tried is not in the log, and
nobody else can know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition


class Attempts:
    """Attempts by partition; offsets below a mark were taken up once more than those above it."""

    def __init__(self) -> None:
        self._marks: dict[TopicPartition, Counter[int]] = {}

    def begun(self, tp: TopicPartition, offset: int) -> None:
        """An era hands out its first record of a partition: everything before it is committed."""
        if marks := self._marks.get(tp):
            for mark in [mark for mark in marks if mark <= offset]:
                del marks[mark]

    def dropped(self, tp: TopicPartition, next_offset: int) -> None:
        """An era ended that had handed out the records before `next_offset`, and not all are committed."""
        self._marks.setdefault(tp, Counter())[next_offset] += 1

    def parts(self, tp: TopicPartition, rows: Sequence[Any]) -> list[tuple[Sequence[Any], int]]:
        """Consecutive records in runs of the same attempt, each with its number, 1 the first."""
        marks = self._marks.get(tp)
        if not marks or rows[0].offset >= max(marks):
            return [(rows, 1)]
        runs = []
        start = 0
        for mark in sorted(marks):
            end = next((at for at in range(start, len(rows)) if rows[at].offset >= mark), len(rows))
            if end > start:
                runs.append((rows[start:end], self._of(marks, rows[start].offset)))
            start = end
        return [*runs, (rows[start:], 1)] if start < len(rows) else runs

    @staticmethod
    def _of(marks: Counter[int], offset: int) -> int:
        return 1 + sum(count for mark, count in marks.items() if offset < mark)
