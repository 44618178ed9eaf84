"""How numbers are found: runs of digits, read as windows of whole groups, dispatched by grouping to the table's rows.

A run is digits with little between them. A window is some neighbouring groups of a run; its grouping, "3-2-4", is
looked up for all rows at once by one pattern over the run's shape. Layouts are few and short, so the windows tried are
a small multiple of the groups, whatever the digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from stream_maas.privacy.cues import CueIndex, Key, joins
from stream_maas.privacy.layouts import beginnings, trie_pattern
from stream_maas.privacy.rows import Number, expand
from stream_maas.privacy.runs import (
    MOST_DIGITS,
    RUN,
    Run,
    Window,
    groups_in,
    is_inside_uuid,
    shape_of,
)
from stream_maas.privacy.spans import Known, Span

KNOWN_RECOGNIZER: Final = "known_number"
_KNOWN_SCORE: Final = 100
_FEW_KNOWN: Final = 16
"""Up to so many known numbers it is cheaper to ask for each first than to look up every window."""
_MOST_GROUPS_IN_WHOLE_RUN: Final = 19
_NEAR_CHARS: Final = 64
_NO_KEYS: Final[frozenset[Key]] = frozenset()


class _Rule(NamedTuple):
    """A row, compiled."""

    row: Number
    has_form: Callable[[str], object]
    cue: Key | None
    not_shapes: frozenset[bytes]
    has_script: Callable[[str, int, int], object] | None


class _Context(NamedTuple):
    """What the rows may rely on beside the digits. `ends`: entity type -> end of its last find, which announces the
    next item of a list."""

    hint: str | None
    known: Known
    ends: dict[str, int]


class _Rules(NamedTuple):
    """The rules for one grouping."""

    all: list[_Rule]
    unannounced: list[_Rule]
    """Those that need no cue."""


class NumberFinder:
    """Finds candidates of all `Number` rows in folded text."""

    def __init__(self, rows: Sequence[Number], cues: CueIndex) -> None:
        self._cues = cues
        self._by_shape: dict[bytes, _Rules] = {}
        self._any_grouping = _Rules([], [])
        self._even_grouping = _Rules([], [])
        for row in rows:
            rule = _Rule(
                row,
                re.compile(row.form).fullmatch,
                cues.add(row.cues, row.entity_type) if row.cues else None,
                frozenset(shape_of(plain) for layout in row.not_layouts for plain in expand(layout)),
                re.compile(f"[{row.script}]").search if row.script else None,
            )
            for layout in row.layouts:
                if layout == "*":
                    _add(self._any_grouping, rule)
                    _add(self._even_grouping, rule)
                elif layout == "=":
                    _add(self._even_grouping, rule)
                else:
                    for plain in expand(layout):
                        _add(self._by_shape.setdefault(shape_of(plain), _Rules([], [])), rule)
        self._prefixes = {word: beginnings(word, self._by_shape) for word in self._by_shape}
        words = sorted(word.decode("ascii") for word in self._by_shape)
        self._search = re.compile((trie_pattern(words) or "(?!)").encode("ascii")).search

    def find(self, text: str, hint: str | None, known: Known) -> Iterator[Span]:
        """Candidates, overlapping or not. `hint`: entity type whose rows need no announcing word."""
        context = _Context(hint, known, {})
        for match in RUN.finditer(text):
            run = Run(text, *match.span())
            taken: list[Window] = []
            for first, shape, rules in self._groupings(run, context):
                last = first + groups_in(shape) - 1
                digits = run.digits(first, last)
                fitting = [rule for rule in rules if rule.has_form(digits)]
                if not fitting:
                    continue
                window = Window(run, first, last, shape)
                # What overlaps a find without a cue is not worth a search for one: if the find does not stand
                # after all, the next round reads the rest.
                covered = any(map(window.overlaps, taken))
                rule = self._accepting(window, digits, fitting, context, covered)
                if rule is not None:
                    taken.append(window)
                    context.ends[rule.row.entity_type] = window.end
                    yield Span(window.start, window.end, rule.row.entity_type, rule.row.name, rule.row.score)
            if known:
                yield from _known_windows(run, known)

    def strong_integer(self, digits: str) -> str | None:
        """The entity type that bare `digits` verify as, by checksum; None if no strong row accepts them."""
        if len(digits) > MOST_DIGITS:
            return None
        rules = self._by_shape.get(bytes([len(digits)]))
        for rule in rules.unannounced if rules else ():
            row = rule.row
            if row.strong and rule.has_form(digits) and row.verify and row.verify(digits):
                return row.entity_type
        return None

    def _groupings(self, run: Run, context: _Context) -> Iterator[tuple[int, bytes, list[_Rule]]]:
        """Every grouping that some row lists: its first group, its shape and the rows that may accept it.

        No word can stand inside of a run, so behind its first group only rows without cues may, unless the field's
        name or an item before in a list does instead of one.
        """
        shape = run.shape
        if len(shape) == 1:
            rules = self._by_shape.get(shape)
            if rules:
                yield 0, shape, rules.all
            return
        match = self._search(shape)
        while match:
            at = match.start()
            first = groups_in(shape[:at])
            for word in self._prefixes[match.group()]:
                rules = self._by_shape[word]
                possible = rules.all if first == 0 or context.hint or context.ends else rules.unannounced
                if possible:
                    yield first, word, possible
            match = self._search(shape, at + 1)
        if len(shape) < 2 * MOST_DIGITS:
            rules = self._even_grouping if run.is_even() else self._any_grouping
            yield 0, shape if b")" in shape else shape.lstrip(b"("), rules.all

    def _accepting(
        self, window: Window, digits: str, rules: list[_Rule], context: _Context, covered: bool
    ) -> _Rule | None:
        """The first of `rules`, all of the right form, that holds for `digits` and the place where they stand."""
        announced: frozenset[Key] | None = None
        for rule in rules:
            row = rule.row
            if row.strong:
                if window.is_fraction() or window.is_glued_to_code():
                    continue
            elif not window.stands_alone() or window.shape in rule.not_shapes:
                continue
            if rule.cue is not None and context.hint != row.entity_type and not _follows(window, row, context):
                if covered:
                    continue
                if announced is None:
                    announced = self._announced(window)
                if rule.cue not in announced and not _is_in_script(window, rule):
                    continue
            if row.verify and not row.verify(digits):
                continue
            if is_inside_uuid(window.run.text, window.start, window.end):
                return None
            return rule
        return None

    def _announced(self, window: Window) -> frozenset[Key]:
        text = window.run.text
        before = self._cues.before(text, window.start) if window.first == 0 else _NO_KEYS
        return before | self._cues.after(text, window.end)


def _add(rules: _Rules, rule: _Rule) -> None:
    if rule not in rules.all:
        rules.all.append(rule)
        if rule.cue is None:
            rules.unannounced.append(rule)


def _follows(window: Window, row: Number, context: _Context) -> bool:
    """Whether the window continues a list of finds of the row's type."""
    previous_end = context.ends.get(row.entity_type)
    return previous_end is not None and joins(window.run.text, previous_end, window.start)


def _is_in_script(window: Window, rule: _Rule) -> bool:
    if rule.has_script is None:
        return False
    start, end = max(0, window.start - _NEAR_CHARS), window.end + _NEAR_CHARS
    return rule.has_script(window.run.text, start, end) is not None


def _known_windows(run: Run, known: Known) -> Iterator[Span]:
    """Windows whose digits were found elsewhere in the record."""
    groups = [run.text[start:end] for start, end in run.bounds]
    if len(known) <= _FEW_KNOWN:
        all_digits = "".join(groups)
        if not any(number in all_digits for number in known):
            return
    for first in range(len(groups)):
        digits = ""
        for last in range(first, len(groups)):
            digits += groups[last]
            if len(digits) > MOST_DIGITS:
                break
            entity_type = known.get(digits) or known.get(digits.lstrip("0"))
            if entity_type:
                yield Span(run.bounds[first][0], run.bounds[last][1], entity_type, KNOWN_RECOGNIZER, _KNOWN_SCORE)
