"""What redaction writes into a text, and how that is recognised again: the grammar of replacements.

Whatever an operator writes must never be taken for personal data at a second look. Replacements with a shape of
their own (`[EMAIL]`, `[EMAIL_2]`, `EMAIL_k1_...`, `203.0.113.0/24`) are *tokens*: recognizers are shown a text in
which each of them stands as `[TYPE]`, so what they find there depends on the text around it and not on the policy.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from stream_maas.privacy.spans import Span

PLACEHOLDER: Final = re.compile(r"\[[A-Z_]+\]")
"""What `placeholder` writes."""
PSEUDONYM_LETTERS: Final = "bcdfghjklmnpqrst"
"""The sixteen letters that pseudonyms are written in: no digits that could look like a number, no vowels that could
make a word."""
PSEUDONYM_CHARS: Final = 24
"""96 bits."""
EPOCH_PATTERN: Final = "[a-z][a-z0-9]{0,7}"
"""How a key epoch is called inside of a pseudonym."""
_SHAPED: Final = (
    r"\[(?P<numbered>[A-Z][A-Z_]*)_[0-9]{1,6}\]"
    rf"|(?<![A-Za-z0-9_])(?P<pseudonym>[A-Z][A-Z_]*)_{EPOCH_PATTERN}_[{PSEUDONYM_LETTERS}]{{{PSEUDONYM_CHARS}}}"
    r"(?![A-Za-z0-9_])"
    r"|(?<![0-9.])(?:[0-9]{1,3}\.){3}0/24(?![0-9])|(?<![0-9A-Fa-f:.])(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,2})?::/48(?![0-9])"
)
"""All tokens but plain placeholders. The last two are what generalising an address leaves."""
_SHAPED_TOKEN: Final = re.compile(_SHAPED)
_MAY_END_TOKEN: Final = re.compile(rf"_(?:[0-9]{{1,6}}\]|[{PSEUDONYM_LETTERS}]{{{PSEUDONYM_CHARS}}})")
"""What every such token of a type holds. Begins with a literal, which is searched for at the speed of memory."""
TOKEN: Final = re.compile(rf"{PLACEHOLDER.pattern}|{re.sub('[?]P<[a-z]+>', '?:', _SHAPED)}")
"""Any token."""
_NETWORK: Final = "IP"


class Edit(NamedTuple):
    """[start, end) of a text stands as `length` characters in another one."""

    start: int
    end: int
    length: int


def placeholder(entity_type: str) -> str:
    """What stands in the published text. It holds nothing that a recognizer reads, so it is never found again."""
    return f"[{entity_type}]"


def cut(text: str, spans: Sequence[Span]) -> str:
    """`text` with each span, disjoint and in order, replaced by its placeholder."""
    return substitute(text, [(start, end, placeholder(entity_type)) for start, end, entity_type, _, _ in spans])


def substitute(text: str, replacements: Sequence[tuple[int, int, str]]) -> str:
    """`text` with each [start, end), disjoint and in order, replaced by what stands beside it."""
    if len(replacements) == 1:
        start, end, written = replacements[0]
        return f"{text[:start]}{written}{text[end:]}"
    pieces: list[str] = []
    position = 0
    for start, end, written in replacements:
        pieces.append(text[position:start])
        pieces.append(written)
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def view(text: str) -> tuple[str, Sequence[Edit]]:
    """`text` as recognizers are shown it, with every token as its plain placeholder, and where that changed it."""
    if not (("_" in text and _MAY_END_TOKEN.search(text)) or ("/" in text and _may_hold_network(text))):
        return text, ()
    replacements = [
        (match.start(), match.end(), placeholder(match["numbered"] or match["pseudonym"] or _NETWORK))
        for match in _SHAPED_TOKEN.finditer(text)
    ]
    if not replacements:
        return text, ()
    return substitute(text, replacements), [Edit(start, end, len(written)) for start, end, written in replacements]


def _may_hold_network(text: str) -> bool:
    return "/24" in text or "/48" in text


def before(spans: Sequence[Span], edits: Sequence[Edit]) -> list[Span]:
    """`spans`, found in a text made by `edits`, in offsets of the text before. A span that reaches into an edited
    stretch takes all of it."""
    starts: list[int] = []
    shift = 0
    for edit in edits:
        starts.append(edit.start + shift)
        shift += edit.length - (edit.end - edit.start)
    return [
        span._replace(start=_origin(span.start, edits, starts), end=_origin(span.end, edits, starts, is_end=True))
        for span in spans
    ]


def _origin(position: int, edits: Sequence[Edit], starts: Sequence[int], *, is_end: bool = False) -> int:
    """`starts`: where each edit begins in the edited text."""
    at = bisect_right(starts, position - is_end) - 1
    if at < 0:
        return position
    edit, into = edits[at], position - starts[at]
    if into < edit.length or (is_end and into == edit.length):
        return edit.end if is_end else edit.start
    return edit.end + into - edit.length
