"""What one recognizer says: the kinds of row that the table is made of.

Rules of this file:
1. A row is data: no code of its own, only the names of functions that verify or, where a language has to be read
   (names, addresses), that find.
2. Patterns are read by RE2 and by `re`: no look-around, no \\d \\w \\s \\b (they differ), no flags.
   Boundaries are ASCII, so that text in scripts without spaces can touch a number. No pattern matches a line break,
   so that many short texts can be looked at in one go, as lines. Only `form`, `rest`, and `tail` behind a `head`, are
   read by `re` alone.
3. `score` orders overlapping finds (spans.py), 0 to 100: verified by a checksum > structure > announced by a word.
4. Text is read folded (fold.py): all digits, spaces and hyphens are ASCII here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct

Trim = Callable[[str], tuple[int, int] | None]
"""Candidate -> (start, end) of the part to accept, None to refuse."""
Locate = Callable[[str], Iterable[tuple[int, int]]]
"""Folded text -> (start, end) of each candidate, overlapping or not."""

MadeOf = Literal["marks", "letters", "secrets", "digits", "words", "places"]
"""What leads the gate to a row: signs that are rare, letters among digits, words and prefixes of secrets, groups of
digits, words that announce a number, or words for streets. A `Shaped` row made of digits begins with one."""
FEWEST_DIGITS: Final[dict[MadeOf, int]] = {
    "marks": 0, "letters": 0, "secrets": 0, "digits": 4, "words": 1, "places": 1,
}  # fmt: skip
"""How many digits a text has at least in which rows made of this find something."""
LONG_WORD: Final = "[0-9A-Za-z+/<]{18}"
"""The `gate` of whatever is one word of 18 characters or more: natural text has few, and one counter does for all."""
LONG_CAPITALS: Final = "[0-9A-Z<]{18}"
"""The same without small letters."""
_SEPARATORS: Final = (" ", "-", ".", "_")
"""What `~` in a layout stands for."""


def whole(candidate: str) -> tuple[int, int]:
    """A `Trim` that accepts the candidate as it is."""
    return 0, len(candidate)


class Row(Struct, frozen=True, kw_only=True):
    """What all kinds of row say."""

    name: str
    entity_type: str
    pack: str
    """Jurisdiction, or "core"."""
    score: int
    made_of: MadeOf = "marks"
    found_by: str = ""
    """For people: what it looks like."""
    checked_by: str = ""
    """For people: how it is verified; empty: by its form alone."""


class Anchored(Row, frozen=True, kw_only=True):
    """Found at a literal: `anchor` and `tail` match as one, and the span reaches left over `head` characters.

    Finding the literal is a memory scan and the run to the left is walked once, so this stays linear where a
    pattern that starts with a run would be tried at each of its characters.
    """

    anchor: str
    tail: str
    head: str = ""
    """Inside of a character class; at least one such character is required. Empty: the span starts at the anchor.
    With a head, the gate asks for one such character and the anchor only, and `tail` is read by `re` alone."""
    trim: Trim = whole


class Shaped(Row, frozen=True, kw_only=True):
    """Found by a pattern; no ASCII letter or digit may touch the accepted part."""

    pattern: str
    gate: str = ""
    """What the gate asks for instead of a boundary and the pattern: something simpler, or without the boundary where
    `trim` does not accept the beginning."""
    inside: bool = False
    """`trim` moves the beginning, so that letters or digits may touch the candidate there."""
    rest: str = ""
    """What follows the pattern and belongs to the find; may cross lines."""
    trim: Trim = whole
    cues: tuple[str, ...] = ()
    weak: bool = False


class Located(Row, frozen=True, kw_only=True):
    """Found by a function that reads the text; `gate` matches wherever it may find something, or more often. Empty: the
    function is cheap enough to be asked about every text."""

    gate: str
    locate: Locate
    made_of: MadeOf = "words"
    announced: bool = True
    """The find depends on what stands around it, so its value is worth looking for elsewhere."""
    weak: bool = False


class Number(Row, frozen=True, kw_only=True):
    """Found among groups of digits.

    `layouts`: each is the lengths of the groups with what stands between them, "3-2-4" or "(3)3-4"; spaces around
    brackets and hyphens do not matter. `~` is the same one of space, hyphen, dot, underscore throughout. "*": all
    digits of the run, in two or more groups; "=": the same, but evenly grouped with one separator.
    """

    layouts: tuple[str, ...]
    form: str = "[0-9]+"
    """Pattern that the digits, without what stands between them, match in full."""
    verify: Callable[[str], bool] | None = None
    strong: bool = False
    """The verification leaves so little to chance that neighbouring digits, a glued word or a missing text around
    it (a bare integer) do not matter."""
    cues: tuple[str, ...] = ()
    """Words of which one must stand shortly before the number, unless the field's name says as much."""
    script: str = ""
    """Inside of a character class: a character of it near the number does instead of a cue."""
    not_layouts: tuple[str, ...] = ()
    """Groupings that mean something else."""
    calling_code: str = ""
    """Of telephones in national form: the country's code, which makes E.164 of them."""
    weak: bool = False
    """Only looked for if the row's pack is turned on."""


class Code(Row, frozen=True, kw_only=True):
    """Found among words of ASCII letters and digits, by their picture: `A` is a letter, `9` a digit, all else itself.

    `~` as in `Number`; nothing at all may stand for it too. No letter or digit touches the find.
    """

    pictures: tuple[str, ...]
    form: str = "[0-9A-Za-z]+"
    """Pattern that letters and digits, in upper case and without what stands between them, match in full."""
    verify: Callable[[str], bool] | None = None
    """Takes what `form` takes."""
    any_case: bool = False
    """Lower-case letters do as well; otherwise they are upper case."""
    cues: tuple[str, ...] = ()
    not_after: str = ""
    """Inside of a character class: what may not stand right before."""
    weak: bool = False


Recognizer = Anchored | Shaped | Located | Number | Code


def expand(layout: str, separators: Iterable[str] = _SEPARATORS) -> tuple[str, ...]:
    """A layout with `~` as the layouts that it stands for."""
    return tuple(layout.replace("~", separator) for separator in separators) if "~" in layout else (layout,)
