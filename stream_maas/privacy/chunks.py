"""How an over-long text is searched: in overlapping stretches, so that no step of the search sees all of it at once.

A stretch owns the finds that begin in it and end well before its own end; the overlap is twice the longest value, so
every value lies wholly inside of the stretch that owns it. Rounds that a stretch needs (detect.py) cost only itself.
"""

from __future__ import annotations

from typing import Final

from stream_maas.privacy.detect import Detector
from stream_maas.privacy.spans import Known, Span, resolve

CHUNK_CHARS: Final = 65_536
LONGEST_VALUE_CHARS: Final = 8_192
"""A PEM key of 16,384 bits has 12,800 characters, but its first and last line are found by themselves."""
_STEP: Final = CHUNK_CHARS - 2 * LONGEST_VALUE_CHARS


def find_in_chunks(detector: Detector, text: str, hint: str | None, known: Known) -> list[Span]:
    """`detector.find` for a text of any length. What a stretch finds at its cut edges is not counted on: the
    neighbour sees the same place in full."""
    if len(text) <= CHUNK_CHARS:
        return detector.find(text, hint=hint, known=known)
    found: list[Span] = []
    for start in range(0, len(text) - 2 * LONGEST_VALUE_CHARS, _STEP):
        end = min(start + CHUNK_CHARS, len(text))
        first = start + LONGEST_VALUE_CHARS if start else 0
        last = end - LONGEST_VALUE_CHARS if end < len(text) else end
        found += [
            span._replace(start=span.start + start, end=span.end + start)
            for span in detector.find(text[start:end], hint=hint, known=known)
            if span.end + start > first and span.start + start < last
        ]
    return resolve(dict.fromkeys(found))
