"""How the patterns of the gate are read: the common subset of RE2 and `re`, as positions and what follows each.

Rules of this file:
1. The subset is that of rows.py: literals, escaped signs, classes, groups, alternatives, repetitions,
   `^` at the beginning and `$` at the end of the text. Anything else raises ValueError: whoever asks does without.
2. The beginning and the end of a text are read as characters of their own (`BEGIN`, `END`), so that nothing but
   characters has to be followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

BEGIN: Final = 0x110000
"""Stands for the beginning of a text: the first number that is no code point."""
END: Final = 0x110001
_LAST_CODE: Final = 0x10FFFF
_SPECIAL: Final = frozenset("\\[](){}|?*+.^$")
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r"}
_DIGITS: Final = "0123456789"

Ranges = tuple[tuple[int, int], ...]
"""A set of characters: first and last code points of disjoint ranges, in order."""


class Positions(NamedTuple):
    """A pattern as an automaton (Glushkov 1961): where it begins, what follows each position, and where it ends."""

    positions: Sequence[Ranges]
    first: frozenset[int]
    follow: Sequence[frozenset[int]]
    last: frozenset[int]
    is_empty: bool
    """The pattern matches nothing at all, anywhere."""


class _Part(NamedTuple):
    """A piece of a pattern over positions that were added already."""

    first: frozenset[int]
    last: frozenset[int]
    is_empty: bool


_NOTHING: Final = _Part(frozenset(), frozenset(), True)


def read(pattern: str) -> Positions:
    """The positions of `pattern`. Raises ValueError for what is not in the subset."""
    reader = _Reader(pattern)
    whole = reader.alternatives()
    if reader.at < len(pattern):
        raise ValueError("a group is closed that was not opened")
    return Positions(
        reader.positions, whole.first, [frozenset(after) for after in reader.follow], whole.last, whole.is_empty
    )


class _Reader:
    """Reads one pattern from left to right (recursive descent)."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.positions: list[Ranges] = []
        self.follow: list[set[int]] = []

    def alternatives(self) -> _Part:
        part = self._sequence()
        while self._takes("|"):
            other = self._sequence()
            part = _Part(part.first | other.first, part.last | other.last, part.is_empty or other.is_empty)
        return part

    def _sequence(self) -> _Part:
        whole = _NOTHING
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            whole = self._joined(whole, self._repeated())
        return whole

    def _repeated(self) -> _Part:
        begin = self.at
        part = self._atom()
        fewest, most = self._counts()
        end = self.at
        if (fewest, most) == (1, 1):
            return part
        whole = part if fewest else part._replace(is_empty=True)
        for count in range(1, fewest if most is None else most):
            # Each repetition is a character of its own: the piece is read once more.
            self.at = begin
            again = self._atom()
            whole = self._joined(whole, again if count < fewest else again._replace(is_empty=True))
            part = again
        self.at = end
        if most is None:
            for position in part.last:
                self.follow[position] |= part.first
        return whole

    def _joined(self, left: _Part, right: _Part) -> _Part:
        for position in left.last:
            self.follow[position] |= right.first
        return _Part(
            left.first | right.first if left.is_empty else left.first,
            left.last | right.last if right.is_empty else right.last,
            left.is_empty and right.is_empty,
        )

    def _counts(self) -> tuple[int, int | None]:
        """How often the piece that was just read is repeated; the greed of it does not matter."""
        counts: tuple[int, int | None] = (1, 1)
        if self._takes("?"):
            counts = (0, 1)
        elif self._takes("*"):
            counts = (0, None)
        elif self._takes("+"):
            counts = (1, None)
        elif self._takes("{"):
            fewest = self._number()
            most: int | None = fewest
            if self._takes(","):
                most = None if self.pattern[self.at : self.at + 1] == "}" else self._number()
            self._expect("}")
            if most == 0 or (most is not None and most < fewest):
                raise ValueError("a repetition is empty")
            counts = (fewest, most)
        else:
            return counts
        self._takes("?")
        return counts

    def _number(self) -> int:
        begin = self.at
        while self.at < len(self.pattern) and self.pattern[self.at] in _DIGITS:
            self.at += 1
        return int(self.pattern[begin : self.at])

    def _atom(self) -> _Part:
        character = self._next()
        if character == "(":
            if self.pattern[self.at : self.at + 2] == "?:":
                self.at += 2
            elif self.pattern[self.at : self.at + 1] == "?":
                raise ValueError("a group of a kind that is not in the subset")
            part = self.alternatives()
            self._expect(")")
            return part
        if character == "[":
            return self._position(self._class())
        if character == "^":
            return self._position(((BEGIN, BEGIN),))
        if character == "$":
            return self._position(((END, END),))
        if character == "\\":
            character = self._escaped()
        elif character in _SPECIAL:
            raise ValueError("a sign that is not in the subset")
        return self._position(((ord(character), ord(character)),))

    def _class(self) -> Ranges:
        is_negated = self._takes("^")
        ranges: list[tuple[int, int]] = []
        is_first = True
        while is_first or self.pattern[self.at : self.at + 1] != "]":
            low = self._member()
            high = low
            if self.pattern[self.at : self.at + 1] == "-" and self.pattern[self.at + 1 : self.at + 2] != "]":
                self.at += 1
                high = self._member()
            if high < low:
                raise ValueError("a range is empty")
            ranges.append((low, high))
            is_first = False
        self.at += 1
        return tuple(_merged(ranges)) if not is_negated else tuple(_complement(_merged(ranges)))

    def _member(self) -> int:
        character = self._next()
        return ord(self._escaped() if character == "\\" else character)

    def _escaped(self) -> str:
        character = self._next()
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isalnum():
            raise ValueError("an escape that is not in the subset")
        return character

    def _position(self, characters: Ranges) -> _Part:
        here = frozenset((len(self.positions),))
        self.positions.append(characters)
        self.follow.append(set())
        return _Part(here, here, False)

    def _next(self) -> str:
        if self.at >= len(self.pattern):
            raise ValueError("the pattern ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def _takes(self, character: str) -> bool:
        if self.pattern[self.at : self.at + 1] != character:
            return False
        self.at += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._takes(character):
            raise ValueError("the pattern ends too early")


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _complement(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """All other code points; the beginning and the end of a text are none."""
    begin = 0
    for low, high in ranges:
        if begin < low:
            yield begin, low - 1
        begin = high + 1
    if begin <= _LAST_CODE:
        yield begin, _LAST_CODE
