"""When one look at a text is enough: with its finds masked, a second one could bring up nothing.

A find of the second look that the first did not make has to do with a mask: it touches one, reaches over one, is
announced by one, or lies in what a find has left of a longer candidate. Each condition below rules one of these out;
whatever is not plain gets its second look, if it found something: no value reaches over the brackets of a mask, so what
found nothing before finds nothing behind one. Whatever it lets pass, `test_looks.py` searches once more.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from stream_maas import native
from stream_maas.privacy.cues import JOINING_WORDS, JOINS, JOINTS
from stream_maas.privacy.rows import Located, Recognizer, Shaped
from stream_maas.privacy.runs import FEWEST_DIGITS, GAP_CHARACTERS, MOST_GAP_CHARS, RUN
from stream_maas.privacy.spans import Span

_KERNEL: Final = native.load("looks")
_MARKS: Final = ".,;:!?"
_ITEM_CHARS: Final = 12
_LAST_WORD_CHARS: Final = 40
_STANDS_APART: Final = re.compile(rf"[{_MARKS}]?(?: |$)")
"""Behind a find: blanks belong to no find, so what stands beyond them does not touch the mask either."""
_ANNOUNCES_NOTHING: Final = re.compile(rf"(?>{JOINS})(?:[^0-9@]{{{_ITEM_CHARS}}}|[^0-9@]*$)")
"""Behind a find, which announces the next item of a list: there is none. Every item that needs to be announced has a
digit or an at sign among its first eight characters."""
_DIGIT_OR_AT: Final = re.compile("[0-9@]")
"""In the last word of a find: nothing that announces a name, whether it is masked or not."""


def is_plain(row: Recognizer) -> bool:
    """Whether a find of this row depends on itself and on the words before it alone, and can reach over no mask."""
    if isinstance(row, Shaped):
        return not (row.cues or row.inside or row.rest or row.made_of == "secrets")
    return not isinstance(row, Located) or not row.announced


def is_open_ended(row: Recognizer) -> bool:
    """Whether a find of this row goes on for as long as characters allow, and fails if that is too long."""
    return isinstance(row, Shaped) and bool(row.rest)


class Left(Enum):
    """What a second look could bring up."""

    NOTHING = 0
    NAMES = 1
    """Of people: what is asked about every text."""
    ANYTHING = 2


def left_in_python(text: str, candidates: Sequence[Span], spans: Sequence[Span], rest: str) -> Left:
    """`left` without the kernel."""
    if "]" in text or (len(candidates) > len(spans) and not _all_lie_in(candidates, spans)):
        return Left.ANYTHING
    are_names_left = False
    for start, end, _, _, _ in spans:
        if (
            (start and text[start - 1] != " ")
            or not _STANDS_APART.match(text, end)
            or not _ANNOUNCES_NOTHING.match(text, end)
        ):
            return Left.ANYTHING
        are_names_left = (
            are_names_left
            or not _DIGIT_OR_AT.search(text, max(start, end - _LAST_WORD_CHARS, text.rfind(" ", start, end)), end)
            or (text[start].isupper() and _follows_capital(text, start))
        )
    if RUN.search(rest) is not None:
        return Left.ANYTHING
    return Left.NAMES if are_names_left else Left.NOTHING


def _all_lie_in(candidates: Sequence[Span], spans: Sequence[Span]) -> bool:
    starts = [span.start for span in spans]
    return all(
        (at := bisect_right(starts, candidate.start) - 1) >= 0 and candidate.end <= spans[at].end
        for candidate in candidates
    )


def _follows_capital(text: str, start: int) -> bool:
    """Whether the word before `start` may be a name that was read together with the find."""
    word = text[max(0, start - _LAST_WORD_CHARS) : start].split()[-1:]
    return bool(word) and not word[0][0].islower()


left: Final[Callable[[str, Sequence[Span], Sequence[Span], str], Left]] = (
    _KERNEL.Looks(
        (GAP_CHARACTERS, MOST_GAP_CHARS, FEWEST_DIGITS),
        _MARKS,
        JOINTS,
        JOINING_WORDS,
        (_ITEM_CHARS, _LAST_WORD_CHARS),
        _all_lie_in,
        (Left.NOTHING, Left.NAMES, Left.ANYTHING),
    ).left
    if _KERNEL
    else left_in_python
)
"""What can be found in a text with its finds masked: (text, candidates, spans, rest). All of `candidates` come from
plain rows or are names, `spans` are those of them that stand, `rest` is the text with these masked."""
