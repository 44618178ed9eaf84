"""What is done to personal data once it is found: the text that stands in its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from stream_maas.privacy.spans import Span

PLACEHOLDER: Final = re.compile(r"\[[A-Z_]+\]")
"""What `placeholder` writes."""


def placeholder(entity_type: str) -> str:
    """What stands in the published text. It holds nothing that a recognizer reads, so it is never found again."""
    return f"[{entity_type}]"


def cut(text: str, spans: Iterable[Span]) -> str:
    """`text` with each span, disjoint and in order, replaced by its placeholder."""
    pieces: list[str] = []
    position = 0
    for span in spans:
        pieces.append(text[position : span.start])
        pieces.append(placeholder(span.entity_type))
        position = span.end
    pieces.append(text[position:])
    return "".join(pieces)
