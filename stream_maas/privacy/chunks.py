"""How an over-long text is searched: in overlapping stretches, so that no step of the search sees all of it at once.

A stretch owns the finds that begin in it and end well before its own end; the overlap is twice the longest value, so
every value lies wholly inside of the stretch that owns it. Rounds that a stretch needs (detect.py) cost only itself.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from stream_maas.privacy.detect import Detector
from stream_maas.privacy.spans import Known, Span, resolve

CHUNK_CHARS: Final = 1_048_576
"""So long that the overlaps add little, a sixty-fourth, and that the usual limit of a text needs no second stretch."""
LONGEST_VALUE_CHARS: Final = 8_192
"""A PEM key of 16,384 bits has 12,800 characters, but its first and last line are found by themselves."""


def find_in_chunks(
    detector: Detector, text: str, hint: str | None, known: Known, chunk_chars: int = CHUNK_CHARS
) -> list[Span]:
    """`detector.find` for a text of any length. What a stretch finds at its cut edges is not counted on: the
    neighbour sees the same place in full."""
    if len(text) <= chunk_chars:
        return detector.find(text, hint=hint, known=known)
    found: list[Span] = []
    for start in range(0, len(text) - 2 * LONGEST_VALUE_CHARS, chunk_chars - 2 * LONGEST_VALUE_CHARS):
        end = min(start + chunk_chars, len(text))
        first = start + LONGEST_VALUE_CHARS if start else 0
        last = end - LONGEST_VALUE_CHARS if end < len(text) else end
        spans = [
            Span(begin + start, stop + start, entity_type, recognizer, score)
            for begin, stop, entity_type, recognizer, score in detector.find(text[start:end], hint=hint, known=known)
            if stop + start > first and begin + start < last
        ]
        # Only where stretches overlap can both have found the same.
        shared = bisect_left(found, start, key=_start_of)
        while shared and found[shared - 1].end > start:
            shared -= 1
        own = bisect_left(spans, start + 2 * LONGEST_VALUE_CHARS, key=_start_of) if start else 0
        found[shared:] = resolve(dict.fromkeys([*found[shared:], *spans[:own]]))
        found += spans[own:]
    return found


def _start_of(span: Span) -> int:
    return span.start
