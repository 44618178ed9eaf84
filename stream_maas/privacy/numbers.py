"""How numbers are found: runs of digits, read as windows of whole groups, dispatched by grouping to the table's rows.

A run is digits with little between them. A window is some neighbouring groups of a run; its grouping, "3-2-4", is
looked up in one dictionary for all rows, which also knows where no layout goes on. Layouts are few and short, so
the windows tried are a small multiple of the groups, whatever the digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from stream_maas.privacy.cues import Cues, compile_cues, is_announced, joins
from stream_maas.privacy.recognizers import Number, expand
from stream_maas.privacy.spans import Known, Span

FEWEST_DIGITS: Final = 7
"""No number with fewer digits is looked for without a field name (a local telephone number has seven)."""
_MOST_DIGITS: Final = 19
"""The longest number of the table: a card."""
RUN_PATTERN: Final = rf"[0-9](?:[ ./()_\-]{{0,3}}[0-9]){{{FEWEST_DIGITS - 1}}}"
"""The beginning of every run; the gate's class for all numbers."""
KNOWN_RECOGNIZER: Final = "known_number"
_KNOWN_SCORE: Final = 100

_RUN: Final = re.compile(RUN_PATTERN[:-1] + ",}")
_GROUP: Final = re.compile("[0-9]+")
_UUID: Final = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_UUID_CHARS: Final = 36
_BEFORE_X: Final = (17, 3)
"""Width of a last group that the check character X of a Chinese resident number completes: 18, or 6-8-4."""
_LONGEST_WHOLE_RUN_CHARS: Final = 60
"""19 digits with separators; longer runs are tables of numbers."""
_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_DIGITS: Final = frozenset("0123456789")
_ALPHANUMERIC: Final = _LETTERS | _DIGITS


class _Rule(NamedTuple):
    """A row, compiled."""

    row: Number
    has_form: Callable[[str], object]
    cues: Cues | None
    not_layouts: frozenset[str]


class _Context(NamedTuple):
    """What the rows may rely on beside the digits. `ends`: entity type -> end of its last find, which announces the
    next item of a list."""

    hint: str | None
    known: Known
    ends: dict[str, int]


class _Run(NamedTuple):
    """`groups[i]` is [start, end) of group i; `gaps[i]` what stands before it; `between[i]` the same as layouts write
    it, without spaces around other characters. Both are "" for the first group."""

    text: str
    groups: list[tuple[int, int]]
    gaps: list[str]
    between: list[str]

    def digits(self, first: int, last: int) -> str:
        return "".join([self.text[start:end] for start, end in self.groups[first : last + 1]])

    def width(self, index: int) -> int:
        start, end = self.groups[index]
        return end - start


def _read_run(text: str, match: re.Match[str]) -> _Run:
    groups = [group.span() for group in _GROUP.finditer(text, match.start(), match.end())]
    start, end = groups[-1]
    if text[end : end + 1] in ("X", "x") and end - start in _BEFORE_X and text[end + 1 : end + 2] not in _ALPHANUMERIC:
        groups[-1] = (start, end + 1)
    gaps = ["", *(text[left[1] : right[0]] for left, right in pairwise(groups))]
    return _Run(text, groups, gaps, [gap.strip(" ") or " " if gap else "" for gap in gaps])


class NumberFinder:
    """Finds candidates of all `Number` rows in folded text."""

    def __init__(self, rows: Sequence[Number]) -> None:
        self._rules_by_layout: dict[str, list[_Rule]] = {}
        self._any_grouping: list[_Rule] = []
        self._even_grouping: list[_Rule] = []
        for row in rows:
            rule = _Rule(
                row,
                re.compile(row.form).fullmatch,
                compile_cues(row.cues, row.entity_type) if row.cues else None,
                frozenset(plain for layout in row.not_layouts for plain in expand(layout)),
            )
            for layout in row.layouts:
                if layout == "*":
                    self._any_grouping.append(rule)
                elif layout == "=":
                    self._even_grouping.append(rule)
                else:
                    for plain in expand(layout):
                        self._add(plain, rule)

    def _add(self, layout: str, rule: _Rule) -> None:
        """File `rule` under `layout`, and nothing under each of its beginnings, so that a walk knows to go on."""
        for end in range(1, len(layout)):
            if layout[end - 1].isdigit() and not layout[end].isdigit():
                self._rules_by_layout.setdefault(layout[:end], [])
        rules = self._rules_by_layout.setdefault(layout, [])
        if rule not in rules:
            rules.append(rule)

    def find(self, text: str, hint: str | None, known: Known) -> Iterator[Span]:
        """Candidates, overlapping or not. `hint`: entity type whose rows need no announcing word."""
        context = _Context(hint, known, {})
        for match in _RUN.finditer(text):
            for span in self._find_in_run(_read_run(text, match), context):
                if not _is_inside_uuid(text, span):
                    context.ends[span.entity_type] = span.end
                    yield span

    def strong_integer(self, digits: str) -> str | None:
        """The entity type that bare `digits` verify as, by checksum; None if no strong row accepts them."""
        for row, has_form, _, _ in self._rules_by_layout.get(str(len(digits)), ()):
            if row.strong and has_form(digits) and row.verify and row.verify(digits):
                return row.entity_type
        return None

    def _find_in_run(self, run: _Run, context: _Context) -> Iterator[Span]:
        for first, (start, end) in enumerate(run.groups):
            width = str(end - start)
            if width in self._rules_by_layout:
                yield from self._windows(run, first, start, width, context)
            if start and run.text[start - 1] == "(":
                yield from self._windows(run, first, start - 1, "(" + width, context)
        if len(run.groups) > 1:
            yield from self._whole_run(run, context)
        if context.known:
            yield from _known_windows(run, context.known)

    def _windows(self, run: _Run, first: int, start: int, layout: str, context: _Context) -> Iterator[Span]:
        """Every window from group `first` on whose grouping some row lists. `start` is where its span begins."""
        last = first
        while (rules := self._rules_by_layout.get(layout)) is not None:
            window = _Window(run, first, last, start, run.groups[last][1])
            for rule in rules:
                if _accepts(rule, window, context):
                    yield window.span(rule.row)
            last += 1
            if last == len(run.groups):
                return
            layout += run.between[last] + str(run.width(last))

    def _whole_run(self, run: _Run, context: _Context) -> Iterator[Span]:
        start, end = run.groups[0][0], run.groups[-1][1]
        if end - start > _LONGEST_WHOLE_RUN_CHARS:
            return
        rules = self._any_grouping + self._even_grouping if _is_even(run) else self._any_grouping
        if start and run.text[start - 1] == "(" and ")" in "".join(run.between):
            start -= 1
        window = _Window(run, 0, len(run.groups) - 1, start, end)
        for rule in rules:
            if _accepts(rule, window, context):
                yield window.span(rule.row)


class _Window(NamedTuple):
    """Groups `first` to `last` of a run; the span to cut is [start, end) of its text."""

    run: _Run
    first: int
    last: int
    start: int
    end: int

    def span(self, row: Number) -> Span:
        return Span(self.start, self.end, row.entity_type, row.name, row.score)

    def layout(self) -> str:
        run = self.run
        return "".join(run.between[i] * (i > self.first) + str(run.width(i)) for i in range(self.first, self.last + 1))


def _accepts(rule: _Rule, window: _Window, context: _Context) -> bool:
    """Whether the window's digits are what the row says, and stand where such a number can stand."""
    digits = window.run.digits(window.first, window.last)
    row = rule.row
    if not rule.has_form(digits) or (row.verify and not row.verify(digits)):
        return False
    if row.strong:
        return not _is_fraction(window) and not _is_glued_to_code(window)
    if not _stands_alone(window) or (rule.not_layouts and window.layout() in rule.not_layouts):
        return False
    if rule.cues is None or context.hint == row.entity_type:
        return True
    text, start = window.run.text, window.start
    previous_end = context.ends.get(row.entity_type)
    if previous_end is not None and joins(text, previous_end, start):
        return True
    return is_announced(text, start, rule.cues)


def _is_even(run: _Run) -> bool:
    """One separator throughout, and groups of one length (the last may be shorter)."""
    width = run.width(0)
    return len(set(run.between[1:])) == 1 and all(run.width(i) == width for i in range(1, len(run.groups) - 1))


def _is_fraction(window: _Window) -> bool:
    """One group behind a decimal point: the digits of 3.4111111111111111 are not a card."""
    return window.first == window.last and window.first > 0 and window.run.gaps[window.first] == "."


def _is_glued_to_code(window: _Window) -> bool:
    """Letters on both sides, or on one side as part of a longer mix of letters and digits, as in a hash."""
    text, before, after = window.run.text, window.start, window.end
    while before > 0 and text[before - 1] in _LETTERS:
        before -= 1
    while after < len(text) and text[after] in _LETTERS:
        after += 1
    if before < window.start and after > window.end:
        return True
    glued_before = before < window.start and before > 0 and text[before - 1] in _DIGITS
    glued_after = after > window.end and after < len(text) and text[after] in _DIGITS
    return glued_before or glued_after


def _stands_alone(window: _Window) -> bool:
    """No letter touches the number (but behind a grouped one, as in "x12"), and no neighbouring group continues it."""
    run, first, last = window.run, window.first, window.last
    text, start, end = run.text, window.start, window.end
    if start and text[start - 1] in _LETTERS:
        return False
    if first == last and text[end : end + 1] in _ALPHANUMERIC:
        return False
    opens_bracket = text[start] == "("
    if first > 0 and not opens_bracket and _continues(run, first, inner=first + 1 if last > first else 0, other=-1):
        return False
    return last + 1 == len(run.groups) or not _continues(run, last + 1, inner=last if last > first else 0, other=1)


def _continues(run: _Run, gap: int, inner: int, other: int) -> bool:
    """Whether the groups left and right of gap number `gap` look like parts of one longer number.

    `inner`: number of the window's own gap next to it, 0 if the window is a single group. `other`: -1 if the
    neighbour lies left of the gap, 1 if right.
    """
    between = run.gaps[gap]
    if not inner:
        return between in ("-", ".")
    if between != run.gaps[inner]:
        return False
    return between != " " or run.width(gap - 1) == run.width(gap)


def _is_inside_uuid(text: str, span: Span) -> bool:
    nearby = text[max(0, span.start - _UUID_CHARS) : span.end + _UUID_CHARS]
    offset = max(0, span.start - _UUID_CHARS)
    return any(
        uuid.start() + offset <= span.start and span.end <= uuid.end() + offset for uuid in _UUID.finditer(nearby)
    )


def _known_windows(run: _Run, known: Known) -> Iterator[Span]:
    """Windows whose digits were given away elsewhere in the record."""
    for first, (start, _) in enumerate(run.groups):
        digits = ""
        for last in range(first, len(run.groups)):
            digits += run.digits(last, last)
            if len(digits) > _MOST_DIGITS:
                break
            entity_type = known.get(digits.lstrip("0"))
            if entity_type:
                yield Span(start, run.groups[last][1], entity_type, KNOWN_RECOGNIZER, _KNOWN_SCORE)
