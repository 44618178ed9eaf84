"""Which values, and which parts of a text, are text in base64 (RFC 4648), and how they are written again."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from stream_maas.privacy.rows import LONG_WORD
from stream_maas.privacy.spans import Known, Span

FEWEST_CHARS: Final = 16
"""Twelve bytes: nothing shorter is worth encoding, and most words are shorter."""
_VALUE: Final = rf"(?=[a-z0-9+/_-]*[A-Z])(?=[A-Z0-9+/_-]*[a-z])[A-Za-z0-9+/_-]{{{FEWEST_CHARS - 2},}}={{0,2}}"
"""Encoded text has letters of both cases, which names made of words and hyphens have not."""
_ENCODED: Final = re.compile(_VALUE)
MAY_BE_ENCODED: Final = re.compile(f"^[ \\t]*{_VALUE}[ \\t\\r]*$", re.MULTILINE)
"""Finds a line that may be encoded, in many values joined by line breaks."""
_FEWEST_CHARS_IN_TEXT: Final = 20
"""Fifteen bytes: the shortest that is looked at where it stands among other words."""
GATE_PATTERN: Final = LONG_WORD
RECOGNIZER: Final = "base64"
_RUN: Final = re.compile(rf"[A-Za-z0-9+/_\-]{{{_FEWEST_CHARS_IN_TEXT},}}={{0,2}}")
_PART: Final = re.compile(rf"[A-Za-z0-9+]{{{_FEWEST_CHARS_IN_TEXT},}}={{0,2}}")
"""What stands between the slashes, hyphens and underscores of an address or a key."""
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1f]")
_BLANKS: Final = " \t\r\n"


class Encoded(NamedTuple):
    """What a value says, and how it was written."""

    text: str
    is_url_safe: bool
    is_padded: bool

    def again(self, text: str) -> str:
        """`text` in the same encoding, on one line."""
        raw = text.encode("utf-8", "replace")
        written = (base64.urlsafe_b64encode if self.is_url_safe else base64.b64encode)(raw).decode("ascii")
        return written if self.is_padded else written.rstrip("=")


def decode(value: str) -> Encoded | None:
    """The text in `value`, which may be wrapped into lines (RFC 2045) and have blanks around it; None if it is not
    base64 of UTF-8 text. Linear, and the text is shorter than the value."""
    value = value.strip(_BLANKS)
    if " " in value:
        return None
    if "\n" in value:
        value = value.replace("\r", "").replace("\n", "")
    if not _ENCODED.fullmatch(value):
        return None
    bare = value.rstrip("=")
    is_url_safe = "-" in bare or "_" in bare
    if is_url_safe and ("+" in bare or "/" in bare):
        return None
    padded = bare + "=" * (-len(bare) % 4)
    try:
        raw = (base64.urlsafe_b64decode if is_url_safe else base64.b64decode)(padded)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    if _CONTROLS.search(text) or not text.strip():
        return None
    return Encoded(text, is_url_safe, value != bare or not len(bare) % 4)


def finder(find: Callable[[str, Known], list[Span]]) -> Callable[[str, str | None, Known], Iterator[Span]]:
    """A finder of encoded text among other words in which `find` finds something; all of it is the find, of the type
    that is surest inside. What is encoded again and again gets shorter by a quarter each time, which bounds the work.
    """

    def find_encoded(text: str, hint: str | None, known: Known) -> Iterator[Span]:
        for start, end in _encoded_stretches(text):
            inner = decode(text[start:end])
            if inner is not None and (spans := find(inner.text, known)):
                surest = max(spans, key=lambda span: span.score)
                yield Span(start, end, surest.entity_type, RECOGNIZER, surest.score)

    return find_encoded


def _encoded_stretches(text: str) -> Iterator[tuple[int, int]]:
    for run in _RUN.finditer(text):
        if decode(run.group()) is not None:
            yield run.span()
        else:
            yield from (part.span() for part in _PART.finditer(text, *run.span()) if part.group() != run.group())
