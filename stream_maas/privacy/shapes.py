"""How addresses and codes with a shape of their own are found: at a literal, or by a pattern."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from types import ModuleType
from typing import Final

from stream_maas import native
from stream_maas.privacy.cues import CueIndex
from stream_maas.privacy.rows import Anchored, Located, Shaped
from stream_maas.privacy.spans import Known, Span

Finder = Callable[[str, str | None, Known], Iterable[Span]]
"""(folded text, entity type that the field name announces, known numbers) -> candidates, overlapping or not."""

_KERNEL: Final = native.load("shapes")
_LAST_CHARACTER: Final = 0xFFFF
"""No pattern of the table begins with a character beyond."""
_HEAD_CHUNK_CHARS: Final = 64
"""Longest local part of RFC 5321; longer ones are walked chunk by chunk."""
_FIRST_CLASS: Final = re.compile(r"(?:\(\?<!\[[^\]\\^]+\]\))?(\[[^\]\\^]+\])(?![?*]|\{0|\{,)")
_LETTER: Final = re.compile(r"[^\W\d_]")
_ASCII_ALPHANUMERIC: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def gate_pattern(row: Anchored | Shaped | Located) -> str:
    """What the gate must know: a pattern that matches wherever the row's finder can find something, or more often."""
    if isinstance(row, Located):
        return row.gate
    if isinstance(row, Shaped):
        return row.gate or f"(?:^|[^0-9A-Za-z])(?:{row.pattern})"
    anchor = re.escape(row.anchor)
    return f"[{row.head}]{anchor}" if row.head else anchor + row.tail


def is_always_asked(row: Anchored | Shaped | Located) -> bool:
    """Whether the row's finder is asked about every text: nothing short tells that there is something."""
    return isinstance(row, Located) and not row.gate


def finder(row: Anchored | Shaped | Located, cues: CueIndex, kernel: ModuleType | None = _KERNEL) -> Finder:
    """The function that looks for candidates of `row`. `kernel`: the compiled twin, None for Python alone."""
    if isinstance(row, Anchored):
        return _anchored_finder(row)
    if kernel is not None:
        return _compiled_finder(row, cues, kernel)
    return _located_finder(row) if isinstance(row, Located) else _shaped_finder(row, cues)


def _compiled_finder(row: Shaped | Located, cues: CueIndex, kernel: ModuleType) -> Finder:
    make = partial(tuple.__new__, Span)
    told = row.entity_type, row.name, row.score
    compiled: Finder
    if isinstance(row, Located):
        compiled = kernel.Located(row.locate, *told, make).find
    else:
        beginning = None if row.inside else _beginning(row)
        compiled = kernel.Shaped(
            None if beginning is None else "".join(re.findall(beginning, _plane())),
            re.compile(row.pattern if row.inside else f"(?<![0-9A-Za-z])(?:{row.pattern})").search,
            re.compile(row.pattern).match,
            re.compile(row.rest).match if row.rest else None,
            cues.add(row.cues, row.entity_type) if row.cues else None,
            cues,
            row.trim,
            told,
            make,
        ).find
    return compiled


@cache
def _plane() -> str:
    """Every character that a class of the table can name."""
    return "".join(map(chr, range(_LAST_CHARACTER + 1)))


def _located_finder(row: Located) -> Finder:
    locate, entity_type, name, score = row.locate, row.entity_type, row.name, row.score

    def find(text: str, hint: str | None, known: Known) -> list[Span]:
        return [Span(start, end, entity_type, name, score) for start, end in locate(text)]

    return find


def _anchored_finder(row: Anchored) -> Finder:
    match_tail = re.compile(re.escape(row.anchor) + row.tail).match
    match_head = re.compile(f"[{row.head}]+").match if row.head else None
    anchor, trim = row.anchor, row.trim

    def find(text: str, hint: str | None, known: Known) -> Iterator[Span]:
        at = text.find(anchor)
        while at >= 0:
            match = match_tail(text, at)
            start = at
            if match and match_head:
                start = _walk_back(text, at, match_head)
            if match and (start < at or not match_head) and (accepted := trim(text[start : match.end()])):
                yield Span(start + accepted[0], start + accepted[1], row.entity_type, row.name, row.score)
            at = text.find(anchor, at + len(anchor))

    return find


def _walk_back(text: str, at: int, match_head: Callable[[str], re.Match[str] | None]) -> int:
    """Where the run of head characters that ends before `at` begins. Each run is walked once, in C."""
    while at > 0:
        backwards = text[max(0, at - _HEAD_CHUNK_CHARS) : at][::-1]
        match = match_head(backwards)
        taken = match.end() if match else 0
        at -= taken
        if taken < len(backwards):
            break
    return at


def _shaped_finder(row: Shaped, cues: CueIndex) -> Finder:
    search = re.compile(row.pattern).search if row.inside else _search_for_words(row)
    match_glued = re.compile(row.pattern).match
    match_rest = re.compile(row.rest).match if row.rest else None
    key = cues.add(row.cues, row.entity_type) if row.cues else None
    trim = row.trim

    def find(text: str, hint: str | None, known: Known) -> Iterator[Span]:
        if key is not None and hint != row.entity_type and not _LETTER.search(text):
            return  # nothing can announce anything
        match = search(text)
        last_end = 0
        while match:
            start, end = match.span()
            if match_rest and (rest := match_rest(text, end)):
                end = rest.end()
            accepted = trim(text[start:end])
            if accepted and _stands_alone(text, start + accepted[0], start + accepted[1], last_end):
                end = start + accepted[1]
                start += accepted[0]
                if key is None or hint == row.entity_type or key in cues.before(text, start) | cues.after(text, end):
                    yield Span(start, end, row.entity_type, row.name, row.score)
                last_end = end
                match = match_glued(text, end) or search(text, end)
            else:
                match = search(text, start + 1)

    return find


def _search_for_words(row: Shaped) -> Callable[..., re.Match[str] | None]:
    """`search` for what matches the row's pattern where no ASCII letter or digit stands before it.

    What a pattern can begin with is searched for at the speed of memory, if the look behind comes second.
    """
    beginning = _beginning(row)
    if beginning is None:
        return re.compile(f"(?<![0-9A-Za-z])(?:{row.pattern})").search
    find_beginnings = re.compile(f"{beginning}(?<![0-9A-Za-z].)").finditer
    match_at = re.compile(row.pattern).match

    def search(text: str, position: int = 0) -> re.Match[str] | None:
        for begin in find_beginnings(text, position):
            if match := match_at(text, begin.start()):
                return match
        return None

    return search


def _beginning(row: Shaped) -> str | None:
    """What a match can begin with, if that is worth searching for: small letters are everywhere."""
    if row.made_of == "digits":
        return "[0-9]"
    match = _FIRST_CLASS.match(row.pattern)
    if match is None or ord(max(match.group(1))) > _LAST_CHARACTER:
        return None
    return None if re.search(match.group(1), string.ascii_lowercase) else match.group(1)


def _stands_alone(text: str, start: int, end: int, last_end: int) -> bool:
    """No ASCII letter or digit touches [start, end), but for those of a find that ends at `last_end`: where one follows
    the other without a gap, all are found in one go and not one in each round."""
    return not (
        (start and start != last_end and text[start - 1] in _ASCII_ALPHANUMERIC)
        or (end < len(text) and text[end] in _ASCII_ALPHANUMERIC)
    )
