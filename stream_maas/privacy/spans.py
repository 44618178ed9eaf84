"""What a find is, and which of several that overlap stands."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

Known = dict[str, str]
"""Digits -> entity type, of the numbers found in one record."""


class Span(NamedTuple):
    """One find: [start, end) in Unicode code points."""

    start: int
    end: int
    entity_type: str
    recognizer: str
    score: int


def _precedence(span: Span) -> tuple[int, int, int, str]:
    return (-span.score, span.start - span.end, span.start, span.recognizer)


def resolve(candidates: Iterable[Span]) -> list[Span]:
    """Disjoint spans in text order: higher score, then longer, then further left, then by recognizer name.

    O(n log n): 10,000 addresses in one text must not cost 10,000 x 10,000 comparisons.
    """
    ordered = sorted(candidates)
    if len(ordered) == 1:
        return ordered
    reached = 0
    for start, end, _, _, _ in ordered:
        if start < reached:
            break
        reached = end
    else:
        return ordered
    standing: list[Span] = []
    for span in sorted(ordered, key=_precedence):
        at = bisect_left(standing, span)
        if (at == 0 or standing[at - 1].end <= span.start) and (at == len(standing) or span.end <= standing[at].start):
            standing.insert(at, span)
    return standing
