"""How numbers are found: runs of digits, read as windows of whole groups, dispatched by grouping to the table's rows.

A run is digits with little between them. A window is some neighbouring groups of a run; its grouping, "3-2-4", is
looked up for all rows at once by one pattern over the run's shape. Layouts are few and short, so the windows tried are
a small multiple of the groups, whatever the digits. How a run can be read depends on its layout alone, and most runs
are laid out like one before: readings are kept, digits are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Final, NamedTuple

from stream_maas import native
from stream_maas.privacy.cues import FOLLOWS, CueIndex, Key, joins
from stream_maas.privacy.layouts import beginnings, trie_pattern
from stream_maas.privacy.number_rules import Rule, RuleBook, Rules
from stream_maas.privacy.number_tables import tables
from stream_maas.privacy.rows import Number
from stream_maas.privacy.runs import (
    MOST_DIGITS,
    RUN,
    Layout,
    glued_extension,
    groups_in,
    is_glued_to_code,
    is_inside_uuid,
    is_touched,
    run_at,
    without_gaps,
)
from stream_maas.privacy.spans import Known, Span

_KERNEL: Final = native.load("numbers")
KNOWN_RECOGNIZER: Final = "known_number"
_KNOWN_SCORE: Final = 100
_FEW_KNOWN: Final = 16
"""Up to so many known numbers it is cheaper to ask for each first than to look up every window."""
_NEAR_CHARS: Final = 64
_RECENT: Final = 8
"""Windows come in the order of their beginnings, so only the last finds can overlap the next."""
_NO_KEYS: Final[frozenset[Key]] = frozenset()
Find = Callable[[str, str | None, Known], list[Span]]
_LONGEST_KEPT: Final = 48
"""Characters of a run whose reading is worth keeping: longer ones are tables and noise, no two alike."""
_MOST_KEPT: Final = 4_096


class _Grouping(NamedTuple):
    """Groups `first` to `last` of a run, [start, end) counted from its beginning, and what they may be."""

    first: int
    last: int
    start: int
    end: int
    is_last: bool
    """The run ends with it."""
    rules: Rules
    top_announced: int
    """Highest score among the rules that need a word."""


class _Reading(NamedTuple):
    """All groupings that rows list for runs of one layout."""

    layout: Layout
    groupings: Iterable[_Grouping]


class _Words:
    """What announces something to a run: read once, and only if some row asks."""

    __slots__ = ("_after", "_before", "_cues", "_end", "_hint", "_may_follow", "_start", "_text", "ends")

    def __init__(self, cues: CueIndex, text: str, run: tuple[int, int], ends: dict[str, int], hint: str | None) -> None:
        self._cues = cues
        self._text = text
        self._start, end = run
        self._end = end
        self._hint = hint
        self._before: frozenset[Key] | None = None
        self._after: frozenset[Key] | None = None
        self._may_follow = text.startswith(FOLLOWS, end)
        """A cue may stand behind the run."""
        self.ends = ends
        """Entity type -> end of its last find, which announces the next item of a list."""

    def may_announce(self) -> bool:
        """Whether anything but the words before the run can announce a window of it."""
        return bool(self.ends or self._hint or self._may_follow)

    def announced(self, grouping: _Grouping, *, is_free: bool) -> list[Rule]:
        """Those of the rules that need a word and have it, or the field's name instead. Words are asked only if the
        grouping `is_free` of finds: if the find does not stand after all, the next round reads the rest."""
        possible = self._with_word(grouping) if is_free else []
        if not self._hint:
            return possible
        return [rule for rule in grouping.rules.announced if rule in possible or rule.row.entity_type == self._hint]

    def _with_word(self, grouping: _Grouping) -> list[Rule]:
        """No word can stand inside of a run, so only its first group may have one before it and its last group one
        behind."""
        keys = _NO_KEYS
        text = self._text
        if grouping.first == 0:
            if self._before is None:
                self._before = self._cues.before(text, self._start)
            keys = self._before
        if self._may_follow and grouping.is_last:
            if self._after is None:
                self._after = self._cues.after(text, self._end)
            keys |= self._after
        following: list[str] = []
        if self.ends:
            start = self._start + grouping.start
            start -= text[start] != "(" == text[start - 1]
            following = [kind for kind, end in self.ends.items() if joins(text, end, start)]
        if not keys and not following:
            return []
        return [
            rule
            for rule in grouping.rules.announced
            if rule.cue in keys or (following and rule.row.entity_type in following)
        ]


class NumberFinder:
    """Finds candidates of all `Number` rows in folded text."""

    def __init__(self, rows: Sequence[Number], cues: CueIndex, kernel: ModuleType | None = _KERNEL) -> None:
        """`kernel`: the compiled twin, None for Python alone."""
        self._cues = cues
        self._book = RuleBook(rows, cues)
        self._by_shape = self._book.by_shape
        self.find: Find = self.find_in_python
        """Candidates, overlapping or not: (text, entity type whose rows need no announcing word, known numbers)."""
        if kernel is not None:
            make = partial(tuple.__new__, Span)
            seldom = joins, glued_extension, is_inside_uuid, _known_at
            self.find = kernel.Scanner(tables(self._book), cues, *seldom, make).find
            return
        self._readings: dict[bytes, _Reading] = {}
        self._prefixes = {word: beginnings(word, self._by_shape) for word in self._by_shape}
        self._search = _searcher(self._by_shape)
        self._search_unannounced = _searcher(shape for shape, rules in self._by_shape.items() if rules.unannounced)

    def find_in_python(self, text: str, hint: str | None, known: Known) -> list[Span]:
        """`find` without the kernel."""
        found: list[Span] = []
        ends: dict[str, int] = {}
        for match in RUN.finditer(text):
            start, end, picture = run_at(text, *match.span())
            words = _Words(self._cues, text, (start, end), ends, hint)
            taken: list[_Grouping] = []
            layout, groupings = self._reading(picture, words)
            for grouping in groupings:
                rules = grouping.rules
                window = start + grouping.start, start + grouping.end
                row = _accepting(text, *window, grouping.first == grouping.last, rules.unannounced)
                if grouping.top_announced > (row.score if row else 0) and (not grouping.first or words.may_announce()):
                    announced = words.announced(grouping, is_free=_is_free(grouping, taken))
                    better = _accepting(text, *window, grouping.first == grouping.last, announced)
                    if better and (row is None or better.score > row.score):
                        row = better
                if row is not None:
                    taken.append(grouping)
                    ends[row.entity_type] = window[1]
                    found.append(Span(*window, row.entity_type, row.name, row.score))
            if known:
                found += _known_windows(text, start, layout, known)
        return found

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

    def _reading(self, picture: bytes, words: _Words) -> _Reading:
        """How a run of this picture is read. One that is not kept leaves out what `words` cannot announce."""
        reading = self._readings.get(picture)
        if reading is None:
            layout = Layout(picture)
            if len(picture) > _LONGEST_KEPT:
                return _Reading(layout, self._read(layout, words))
            reading = _Reading(layout, tuple(self._read(layout, None)))
            if len(self._readings) >= _MOST_KEPT:
                self._readings.clear()
            self._readings[picture] = reading
        return reading

    def _read(self, layout: Layout, words: _Words | None) -> Iterator[_Grouping]:
        for first, shape, rules in self._listed(layout, words):
            last = first + groups_in(shape) - 1
            is_fraction = layout.is_fraction(first, last)
            stands_free = layout.stands_free(first, last, shape)
            if rules is self._by_shape.get(shape):
                rules = self._book.listed(shape, is_fraction=is_fraction, stands_free=stands_free)
            else:
                rules = rules.only(shape, is_fraction=is_fraction, stands_free=stands_free)
            if rules.unannounced or rules.announced:
                end = layout.end_of(last)
                yield _Grouping(
                    first,
                    last,
                    layout.start_of(first, shape),
                    end,
                    end == len(layout.picture),
                    rules,
                    rules.announced[0].row.score if rules.announced else 0,
                )

    def _listed(self, layout: Layout, words: _Words | None) -> Iterator[tuple[int, bytes, Rules]]:
        """Every grouping that some row lists: its first group, its shape and its rules. `words`: those that need a word
        are left out where there cannot be one."""
        shape = layout.shape
        by_shape = self._by_shape
        if len(shape) == 1:
            if rules := by_shape.get(shape):
                yield 0, shape, rules
            return
        match = self._search(shape)
        first = counted = 0
        while match:
            at = match.start()
            first += groups_in(shape[counted:at])
            counted = at
            for word in self._prefixes[match.group()]:
                rules = by_shape[word]
                if rules.unannounced or not first or words is None or words.may_announce():
                    yield first, word, rules
            search = self._search if words is None or words.may_announce() else self._search_unannounced
            match = search(shape, at + 1)
        if layout.digit_count <= MOST_DIGITS and len(shape) < 2 * MOST_DIGITS:
            rules = self._book.even_grouping if layout.is_even() else self._book.any_grouping
            yield 0, shape if b")" in shape else shape.lstrip(b"("), rules


def _searcher(shapes: Iterable[bytes]) -> Callable[..., re.Match[bytes] | None]:
    """Where the next of `shapes` stands in the shape of a run."""
    trie = trie_pattern(sorted(shape.decode("ascii") for shape in shapes))
    return re.compile((trie or "(?!)").encode("ascii")).search


def _is_free(grouping: _Grouping, taken: Sequence[_Grouping]) -> bool:
    """Whether no find overlaps the grouping."""
    return not any(grouping.first <= other.last and other.first <= grouping.last for other in taken[-_RECENT:])


def _accepting(text: str, start: int, end: int, is_single: bool, rules: Sequence[Rule]) -> Number | None:
    """The row of the first of `rules` that holds for the digits in [start, end) and what touches them."""
    if not rules:
        return None
    digits = text[start:end]
    is_plain = digits.isdigit()
    if not is_plain:
        digits = without_gaps(digits)
        is_plain = digits.isdigit()
    is_alone: bool | None = None
    for rule in rules:
        if not (is_plain and rule.takes_any_digits) and not rule.has_form(digits):
            continue
        row = rule.row
        if row.strong:
            if is_glued_to_code(text, start, end):
                continue
        else:
            if is_alone is None:
                is_alone = not is_touched(text, start, end, is_single=is_single)
            if not is_alone:
                continue
        if rule.has_script and not rule.has_script(text, max(0, start - _NEAR_CHARS), end + _NEAR_CHARS):
            continue
        if row.verify and not row.verify(digits):
            continue
        return None if is_inside_uuid(text, start, end) else row
    return None


def _known_at(text: str, start: int, end: int, known: Known) -> Iterator[Span]:
    """`_known_windows` of the run that RUN matches at [start, end)."""
    start, _, picture = run_at(text, start, end)
    return _known_windows(text, start, Layout(picture), known)


def _known_windows(text: str, start: int, layout: Layout, known: Known) -> Iterator[Span]:
    """Windows of the run at `start` whose digits were found elsewhere in the record."""
    starts, widths = layout.groups
    groups = [text[start + first : start + first + width] for first, width in zip(starts, widths, strict=True)]
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
                window = start + starts[first], start + layout.end_of(last)
                yield Span(*window, entity_type, KNOWN_RECOGNIZER, _KNOWN_SCORE)
