"""How disguised characters are read: what stands for an ASCII character, and what cannot be seen at all.

Rules of this file:
1. A fold replaces one character by one character, so that offsets stay equal: any decimal digit by its ASCII digit,
   compatibility forms (fullwidth, mathematical, circled, superscript ...) by their ASCII character, spaces by a
   space, dashes by a hyphen.
2. Invisible characters (format, zero-width, soft hyphen, variation selectors, combining marks, controls) are left
   out; only then is a list of origins built that leads back to the original offsets.
3. The fold is read, never published: what is cut is cut from the original text, invisible characters included.
   Folding says nothing about intent: ordinary Arabic, Hindi or Chinese text folds too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, compress
from typing import Final, NamedTuple

from stream_maas import native

_SCRIPTS: Final = (range(0x80, 0x3400), range(0xA000, 0xAC00), range(0xD7B0, 0xE000), range(0xF900, 0x20000))
"""Everything assigned but the Han and Hangul blocks and private use: nothing in those folds."""
_TAGS: Final = range(0xE0000, 0xE0200)
"""Tag characters and supplementary variation selectors: invisible, assigned or not."""
_BLANKS: Final = "\u115f\u1160\u2065\u2800\u3164\uffa0"
"""Letters and symbols that are drawn as nothing."""
_LOOKALIKES: Final = {
    "\u2212": "-", "\u02d7": "-", "\u2043": "-", "\u2044": "/", "\u2215": "/", "\u3002": ".", "\u2024": ".",
    "\u00b7": ".", "\u2027": ".", "\u30fb": ".", "\uff61": ".", "\uff65": ".",
}  # fmt: skip
"""Minus signs, slashes and dots that have no ASCII compatibility form but are typed for one."""
CONTROLS: Final = bytes(code for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n\r")


_IS_VISIBLE: Final = bytes(code not in CONTROLS for code in range(256))


class Folded(NamedTuple):
    """A text as recognizers read it. `origins[i]` is the original offset of character i, and one more entry holds
    the original length; None where offsets are equal."""

    text: str
    origins: Sequence[int] | None


def _pairs() -> Iterator[tuple[str, str]]:
    """Every character that folds, with what it folds to ("" where invisible)."""
    for code in chain(*_SCRIPTS, _TAGS):
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Nd":
            yield character, str(unicodedata.decimal(character))
        elif category in ("Mn", "Me", "Cf", "Cc") or code in _TAGS:
            # U+0085, NEXT LINE, is the one control of this range that is not ignorable.
            yield character, "\n" if code == 0x85 else ""
        elif category == "Zs":
            yield character, " "
        elif category == "Pd":
            yield character, "-"
        elif category == "Cs":
            # A lone surrogate has no UTF-8 form, which both engines must be able to ask for.
            yield character, "\ufffd"
        elif unicodedata.decomposition(character):
            compatible = unicodedata.normalize("NFKC", character)
            if len(compatible) == 1 and compatible.isascii():
                yield character, compatible
    yield from ((blank, "") for blank in _BLANKS)
    yield from _LOOKALIKES.items()
    yield from ((chr(code), "") for code in CONTROLS)


_FOLD: Final = dict(_pairs())


_KERNEL: Final = native.load("folding")


def _character_class(characters: Iterable[str], astral: str) -> re.Pattern[str]:
    """A pattern for one of `characters`, written in ranges.

    Beyond U+FFFF the regular expression engine tests range by range, so there the class is the wider `astral`.
    """
    ranges: list[tuple[int, int]] = []
    for code in sorted(code for code in map(ord, characters) if code < 0x10000):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return re.compile("[" + "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in ranges) + astral + "]")


_MAY_FOLD: Final = _character_class(_FOLD, astral="\U00010000-\U000e0fff")


def _fold_match(match: re.Match[str]) -> str:
    character = match.group()
    return _FOLD.get(character, character)


def fold_in_python(text: str) -> Folded:
    """`fold` without the kernel."""
    if text.isascii():
        raw = text.encode("ascii")
        visible = raw.translate(None, CONTROLS)
        if len(visible) == len(raw):
            return Folded(text, None)
        origins = list(compress(range(len(raw)), raw.translate(_IS_VISIBLE)))
        origins.append(len(raw))
        return Folded(visible.decode("ascii"), origins)
    folded = _MAY_FOLD.sub(_fold_match, text)
    if len(folded) == len(text):
        return Folded(folded, None)
    origins = [offset for offset, character in enumerate(text) if _FOLD.get(character) != ""]
    origins.append(len(text))
    return Folded(folded, origins)


fold: Final[Callable[[str], Folded]] = (
    _KERNEL.Folding(_FOLD, partial(tuple.__new__, Folded), fold_in_python).fold if _KERNEL else fold_in_python
)
"""A text as recognizers read it. Linear in its length; a text that folds to itself is returned as it is."""
