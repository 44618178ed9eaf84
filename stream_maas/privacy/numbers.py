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
_RECENT: Final = 8
"""Windows come in the order of their beginnings, so only the last finds can overlap the next."""
_NO_KEYS: Final[frozenset[Key]] = frozenset()


class _Rule(NamedTuple):
    """A row, compiled."""

    row: Number
    has_form: Callable[[str], object]
    cue: Key | None
    not_shapes: frozenset[bytes]
    has_script: Callable[[str, int, int], object] | None


class _Rules(NamedTuple):
    """The rules for one grouping, in the order of their scores."""

    unannounced: list[_Rule]
    """Those that need no cue, or that a script near the number may do for."""
    announced: list[_Rule]
    all: list[_Rule]


class _Words:
    """What announces something to a run: read once, and only if some row asks."""

    __slots__ = ("_after", "_before", "_cues", "_run", "ends", "may_follow")

    def __init__(self, cues: CueIndex, run: Run, ends: dict[str, int]) -> None:
        self._cues = cues
        self._run = run
        self.ends = ends
        """Entity type -> end of its last find, which announces the next item of a list."""
        self._before: frozenset[Key] | None = None
        self._after: frozenset[Key] | None = None
        self.may_follow = run.text[run.end : run.end + 1] == "(" or run.text[run.end : run.end + 2] == " ("
        """A cue in brackets may stand behind the run."""

    def rules(self, rules: _Rules, first: int, last: int) -> list[_Rule]:
        """Those of `rules` that need no cue, or have one, for groups `first` to `last`.

        No word can stand inside of a run, so only its first group may have one before it and its last group one behind.
        """
        keys = _NO_KEYS
        run = self._run
        if first == 0:
            if self._before is None:
                self._before = self._cues.before(run.text, run.start)
            keys = self._before
        if self.may_follow and last + 1 == len(run.bounds):
            if self._after is None:
                self._after = self._cues.after(run.text, run.end)
            keys |= self._after
        start = run.bounds[first][0]
        following = [
            kind for kind, end in self.ends.items() if joins(run.text, end, start - (run.text[start - 1] == "("))
        ]
        if not keys and not following:
            return rules.unannounced
        announced = [rule for rule in rules.announced if rule.cue in keys or rule.row.entity_type in following]
        return sorted(rules.unannounced + announced, key=_score) if announced else rules.unannounced


def _score(rule: _Rule) -> int:
    return -rule.row.score


class NumberFinder:
    """Finds candidates of all `Number` rows in folded text."""

    def __init__(self, rows: Sequence[Number], cues: CueIndex) -> None:
        self._cues = cues
        self._by_shape: dict[bytes, _Rules] = {}
        self._any_grouping = _Rules([], [], [])
        self._even_grouping = _Rules([], [], [])
        for row in rows:
            rule = _Rule(
                row,
                re.compile(row.form).fullmatch,
                cues.add(row.cues, row.entity_type) if row.cues else None,
                frozenset(shape_of(plain) for layout in row.not_layouts for plain in expand(layout)),
                re.compile(f"[{row.script}]").search if row.script else None,
            )
            if row.script:  # it does instead of a cue
                self._add(rule._replace(has_script=None))
                rule = rule._replace(cue=None)
            self._add(rule)
        self._prefixes = {word: beginnings(word, self._by_shape) for word in self._by_shape}
        words = sorted(word.decode("ascii") for word in self._by_shape)
        self._search = re.compile((trie_pattern(words) or "(?!)").encode("ascii")).search

    def _add(self, rule: _Rule) -> None:
        for layout in rule.row.layouts:
            if layout == "*":
                _add(self._any_grouping, rule)
                _add(self._even_grouping, rule)
            elif layout == "=":
                _add(self._even_grouping, rule)
            else:
                for plain in expand(layout):
                    _add(self._by_shape.setdefault(shape_of(plain), _Rules([], [], [])), rule)

    def find(self, text: str, hint: str | None, known: Known) -> Iterator[Span]:
        """Candidates, overlapping or not. `hint`: entity type whose rows need no announcing word."""
        ends: dict[str, int] = {}
        for match in RUN.finditer(text):
            run = Run(text, *match.span())
            words = _Words(self._cues, run, ends)
            taken: list[Window] = []
            for first, shape, rules in self._groupings(run):
                possible = rules.unannounced
                if rules.announced and (first == 0 or ends or hint or words.may_follow):
                    possible = self._possible(first, shape, rules, words, taken, hint)
                if not possible:
                    continue
                last = first + groups_in(shape) - 1
                digits = run.digits(first, last)
                fitting = [rule for rule in possible if rule.has_form(digits)]
                if not fitting:
                    continue
                window = Window(run, first, last, shape)
                row = _accepting(window, digits, fitting)
                if row is not None:
                    taken.append(window)
                    ends[row.entity_type] = window.end
                    yield Span(window.start, window.end, row.entity_type, row.name, row.score)
            if known:
                yield from _known_windows(run, known)

    def _possible(
        self, first: int, shape: bytes, rules: _Rules, words: _Words, taken: list[Window], hint: str | None
    ) -> list[_Rule]:
        """Those of `rules` that need no cue, or have one, or the field's name instead.

        What overlaps a find is not worth a search for a cue: if the find does not stand after all, the next round reads
        the rest.
        """
        last = first + groups_in(shape) - 1
        possible = rules.unannounced
        if not any(first <= other.last and other.first <= last for other in taken[-_RECENT:]):
            possible = words.rules(rules, first, last)
        if hint:
            hinted = [rule for rule in rules.announced if rule.row.entity_type == hint and rule not in possible]
            possible = sorted([*possible, *hinted], key=_score) if hinted else possible
        return possible

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

    def _groupings(self, run: Run) -> Iterator[tuple[int, bytes, _Rules]]:
        """Every grouping that some row lists: its first group, its shape and its rules."""
        shape = run.shape
        if len(shape) == 1:
            rules = self._by_shape.get(shape)
            if rules:
                yield 0, shape, rules
            return
        match = self._search(shape)
        first = counted = 0
        while match:
            at = match.start()
            first += groups_in(shape[counted:at])
            counted = at
            for word in self._prefixes[match.group()]:
                yield first, word, self._by_shape[word]
            match = self._search(shape, at + 1)
        if len(shape) < 2 * MOST_DIGITS:
            rules = self._even_grouping if run.is_even() else self._any_grouping
            yield 0, shape if b")" in shape else shape.lstrip(b"("), rules


def _accepting(window: Window, digits: str, rules: list[_Rule]) -> Number | None:
    """The row of the first of `rules`, all of the right form, that holds for `digits` and where they stand."""
    for rule in rules:
        row = rule.row
        if row.strong:
            if window.is_fraction() or window.is_glued_to_code():
                continue
        elif not window.stands_alone() or window.shape in rule.not_shapes:
            continue
        if rule.has_script and not _is_in_script(window, rule.has_script):
            continue
        if row.verify and not row.verify(digits):
            continue
        return None if is_inside_uuid(window.run.text, window.start, window.end) else row
    return None


def _add(rules: _Rules, rule: _Rule) -> None:
    if rule in rules.all:
        return
    rules.all.append(rule)
    if rule.cue is None:
        rules.unannounced.append(rule)
    else:
        rules.announced.append(rule)


def _is_in_script(window: Window, has_script: Callable[[str, int, int], object]) -> bool:
    start, end = max(0, window.start - _NEAR_CHARS), window.end + _NEAR_CHARS
    return has_script(window.run.text, start, end) is not None


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
