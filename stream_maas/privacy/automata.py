"""Automata that accept at least the texts in which one of several patterns matches, made while texts are read.

Rules of this file:
1. Too much is accepted, never too little: a pattern is followed for some characters, and from there on counts as
   matched. An automaton of whole patterns has states for every way in which they can be half matched together.
2. What was accepted stays accepted, so that only the last state has to be looked at.
3. States are made when a text leads to them first: natural text leads to few. Where there are too many of them, all
   further ones are the accepting one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import count
from typing import Final

from stream_maas.privacy.patterns import BEGIN, END, Positions, Ranges, read

ACCEPTING: Final = 0
FIRST: Final = 1
"""The first two states of every automaton: everything is accepted, and nothing was read."""
PLANE: Final = 0x10000
"""The number of characters that are told apart: those of the Basic Multilingual Plane."""
BEGIN_INDEX: Final = PLANE
END_INDEX: Final = PLANE + 1
BEYOND_INDEX: Final = PLANE + 2
"""How the beginning and the end of a text, and all other characters, are numbered."""
INDICES: Final = PLANE + 3

_DEPTH: Final = 10
"""How many characters of a pattern are followed; what most of a text consists of is not counted. Hardly a text that
begins like a pattern for as long does not go on like it."""
_COUNTS: Final = 16
"""A position and how far it was followed are one number: the one in sixteens, the other what remains."""
_MOST_STATES: Final = 1_500
"""Natural text leads to some hundred. Each costs Python up to a tenth of a millisecond, which hostile text shall not
spend without end."""
_MOST_CLASSES: Final = 256
_SURROGATES: Final = range(0xD800, 0xE000)
_WRITTEN_FOR_SURROGATES: Final = ord("?")
"""What the engines are shown for a lone surrogate, which has no UTF-8 form."""

_NOTHING: Final[frozenset[int]] = frozenset()
_State = frozenset[int]
"""Positions that were matched last, each with how far its pattern was followed."""
_Reached = dict[int, set[int] | None]
"""Class of a character -> what it matches; None where a pattern ends, or is followed no further."""


class Automaton:
    """Reads texts for several patterns at once. States and classes of characters are numbers."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises ValueError for a pattern that is not in the common subset, matches nothing at all, or tells characters
        beyond U+FFFF apart, and for too many kinds of character."""
        self._first: list[int] = []
        self._follow: list[tuple[int, ...]] = []
        self._last: set[int] = set()
        self._costs: list[int] = []
        characters: list[Ranges] = []
        for pattern in map(read, patterns):
            if pattern.is_empty:
                raise ValueError("a pattern matches everywhere")
            self._add(pattern, len(characters))
            characters += pattern.positions
        self.alphabet, members = _alphabet(set(characters))
        """The class of each character, and of `BEGIN_INDEX` and so on."""
        self.width: Final = max(self.alphabet) + 1
        """The number of classes."""
        self._classes = [members[ranges] for ranges in characters]
        self._beginnings = self._reached((position, 0) for position in self._first)
        self._states: dict[int, _State] = {FIRST: frozenset()}
        self._numbers: dict[_State, int] = {frozenset(): FIRST}
        self._next_number = count(FIRST + 1)
        self._first_row = [FIRST] * self.width
        for character, begun in self._beginnings.items():
            self._first_row[character] = self._number(begun, _NOTHING)

    def row(self, state: int) -> Sequence[int]:
        """Where `state` goes on, by class. Always the same, whichever thread asks."""
        return self._row(self._states[state]) if state != ACCEPTING else [ACCEPTING] * self.width

    def accepts(self, text: str) -> bool:
        """Whether one of the patterns may match in `text`: what the kernel says, slowly."""
        codes = map(ord, text)
        indices = [BEGIN_INDEX, *(code if code < PLANE else BEYOND_INDEX for code in codes), END_INDEX]
        state = FIRST
        for index in indices:
            state = self.row(state)[self.alphabet[index]]
        return state == ACCEPTING

    def _add(self, pattern: Positions, base: int) -> None:
        self._first += (base + position for position in pattern.first)
        self._last.update(base + position for position in pattern.last)
        self._follow += (tuple(base + position for position in after) for after in pattern.follow)
        self._costs += map(_cost, pattern.positions)

    def _row(self, state: _State) -> list[int]:
        """Subset construction (Rabin, Scott 1959). A match may begin at any character, so that every state goes where
        the first one goes, and further."""
        reached = self._reached((after, one % _COUNTS) for one in state for after in self._follow[one // _COUNTS])
        row = list(self._first_row)
        for character, matched in reached.items():
            row[character] = self._number(self._beginnings.get(character, _NOTHING), matched)
        return row

    def _number(self, one: AbstractSet[int] | None, other: AbstractSet[int] | None) -> int:
        if one is None or other is None:
            return ACCEPTING
        state = frozenset(one | other)
        number = self._numbers.get(state)
        if number is None:
            if len(self._states) >= _MOST_STATES:
                return ACCEPTING
            # Of threads that meet a state at once, the number of one counts for all; by then it is known.
            number = next(self._next_number)
            self._states[number] = state
            number = self._numbers.setdefault(state, number)
        return number

    def _reached(self, following: Iterable[tuple[int, int]]) -> _Reached:
        """What can be matched of `following`: positions, and how far their patterns were followed before them."""
        reached: _Reached = {}
        for position, before in following:
            followed = before + self._costs[position]
            is_accepted = position in self._last or followed >= _DEPTH
            for character in self._classes[position]:
                if is_accepted:
                    reached[character] = None
                elif (matched := reached.setdefault(character, set())) is not None:
                    matched.add(position * _COUNTS + followed)
        return reached


def _cost(characters: Ranges) -> int:
    """0 for a set that holds all small letters, or all capitals and digits: to have read one tells next to nothing."""
    return 0 if _hold(characters, "a", "z") or (_hold(characters, "A", "Z") and _hold(characters, "0", "9")) else 1


def _hold(characters: Ranges, first: str, last: str) -> bool:
    return any(low <= ord(first) and ord(last) <= high for low, high in characters)


def _alphabet(sets: Iterable[Ranges]) -> tuple[bytes, dict[Ranges, tuple[int, ...]]]:
    """The class of each character, where characters that no set tells apart are one class; the classes of each set."""
    bounds = {0, PLANE, BEGIN, END, END + 1}
    cuts = sorted(bounds | {cut for ranges in sets for low, high in ranges for cut in (low, high + 1)})
    if any(PLANE < cut < BEGIN for cut in cuts):
        raise ValueError("characters beyond U+FFFF are told apart")
    places = {cut: index for index, cut in enumerate(cuts)}
    containing: list[list[Ranges]] = [[] for _ in cuts]
    for ranges in sorted(sets):
        for low, high in ranges:
            for index in range(places[low], places[high + 1]):
                containing[index].append(ranges)
    keys = list(map(tuple, containing[:-1]))
    numbers: dict[tuple[Ranges, ...], int] = {}
    for key in keys:
        numbers.setdefault(key, len(numbers))
    if len(numbers) > _MOST_CLASSES:
        raise ValueError("too many kinds of character")
    classes = bytearray(INDICES)
    special = {PLANE: BEYOND_INDEX, BEGIN: BEGIN_INDEX, END: END_INDEX}
    for index, begin in enumerate(cuts[:-1]):
        first = special.get(begin, begin)
        size = 1 if begin in special else cuts[index + 1] - begin
        classes[first : first + size] = bytes([numbers[keys[index]]]) * size
    classes[_SURROGATES.start : _SURROGATES.stop] = bytes([classes[_WRITTEN_FOR_SURROGATES]]) * len(_SURROGATES)
    members: dict[Ranges, list[int]] = {ranges: [] for ranges in sets}
    for key, number in numbers.items():
        for ranges in key:
            members[ranges].append(number)
    return bytes(classes), {ranges: tuple(found) for ranges, found in members.items()}
