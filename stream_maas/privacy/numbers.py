"""How numbers are found: runs of digits, read as windows of whole groups, dispatched by grouping to the table's rows.

A run is digits with little between them. A window is some neighbouring groups of a run; its grouping, "3-2-4", is
looked up in one dictionary for all rows, which also knows where no layout goes on. Layouts are few and short, so
the windows tried are a small multiple of the groups, whatever the digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, product
from typing import Final, NamedTuple

from stream_maas.privacy.cues import Cues, compile_cues, is_announced, joins
from stream_maas.privacy.recognizers import Number, expand
from stream_maas.privacy.spans import Known, Span

FEWEST_DIGITS: Final = 7
"""No number with fewer digits is looked for without a field name (a local telephone number has seven)."""
_MOST_DIGITS: Final = 19
"""The longest number of the table: a card."""
_GAP_CHARACTERS: Final = " ./()_-"
_GAP_CHARS: Final = 3
_GAP_PATTERN: Final = f"[{re.escape(_GAP_CHARACTERS)}]{{0,{_GAP_CHARS}}}"
RUN_PATTERN: Final = f"[0-9](?:{_GAP_PATTERN}[0-9]){{{FEWEST_DIGITS - 1}}}"
"""The beginning of every run; the gate's class for all numbers."""
KNOWN_RECOGNIZER: Final = "known_number"
_KNOWN_SCORE: Final = 100
_FEW_KNOWN: Final = 16
"""Up to so many known numbers it is cheaper to ask for each first than to look up every window."""

_RUN: Final = re.compile(f"[0-9](?:{_GAP_PATTERN}[0-9]){{{FEWEST_DIGITS - 1},}}")
_PIECE: Final = re.compile("([^0-9]*)([0-9]+)")
_WIDTHS: Final = tuple(map(str, range(_MOST_DIGITS + 1)))
_TOO_WIDE: Final = str(_MOST_DIGITS + 1)
"""Stands for every width that no layout has."""
_BETWEEN: Final = {
    gap: gap.strip(" ") or (" " if gap else "")
    for length in range(_GAP_CHARS + 1)
    for gap in map("".join, product(_GAP_CHARACTERS, repeat=length))
}
"""What stands between two groups -> how layouts write it: without spaces around other characters."""
_UUID: Final = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_UUID_CHARS: Final = 36
_UUID_HYPHENS: Final = 4
_BEFORE_X: Final = (17, 3)
"""Width of a last group that the check character X of a Chinese resident number completes: 18, or 6-8-4."""
_MOST_GROUPS_IN_WHOLE_RUN: Final = _MOST_DIGITS
_TIES: Final = ("-", ".")
"""Between a bare number and its neighbour these make both parts of something else."""
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


class _Node:
    """What a walk along a run's groups may find: rules for the grouping so far, and the steps that go on."""

    __slots__ = ("after", "rules")

    def __init__(self) -> None:
        self.rules: list[_Rule] = []
        self.after: dict[str, _Node] = {}


class _Run:
    """The groups of one run: `digits[i]`; `gaps[i]`, what stands before it ("" for the first); `widths[i]`, how many
    digits as layouts write it; `steps[i]`, gap and width as layouts write them."""

    __slots__ = ("_offsets", "digits", "end", "gaps", "start", "steps", "text", "widths")

    def __init__(self, text: str, start: int, end: int) -> None:
        pieces: list[tuple[str, str]] = _PIECE.findall(text, start, end)
        gap, digits = pieces[-1]
        if (
            len(digits) in _BEFORE_X
            and text[end : end + 1] in ("X", "x")
            and text[end + 1 : end + 2] not in _ALPHANUMERIC
        ):
            pieces[-1] = (gap, digits + text[end])
        self.text = text
        self.start = start
        self.end = end
        self.gaps = [gap for gap, _ in pieces]
        self.digits = [digits for _, digits in pieces]
        self.widths = [_WIDTHS[n] if n <= _MOST_DIGITS else _TOO_WIDE for n in map(len, self.digits)]
        self.steps = [_BETWEEN[gap] + width for gap, width in zip(self.gaps, self.widths, strict=True)]
        self._offsets: list[int] | None = None

    def start_of(self, group: int) -> int:
        return self._boundaries()[2 * group + 1]

    def end_of(self, group: int) -> int:
        return self._boundaries()[2 * group + 2]

    def _boundaries(self) -> list[int]:
        """Start of the run, then start and end of each group. Most runs hold no find and never need them."""
        if self._offsets is None:
            lengths = map(len, chain.from_iterable(zip(self.gaps, self.digits, strict=True)))
            self._offsets = list(accumulate(lengths, initial=self.start))
        return self._offsets


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
        return self.run.widths[self.first] + "".join(self.run.steps[self.first + 1 : self.last + 1])


class NumberFinder:
    """Finds candidates of all `Number` rows in folded text."""

    def __init__(self, rows: Sequence[Number]) -> None:
        self._layouts = _Node()
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
        node = self._layouts
        for gap, width in _PIECE.findall(layout):
            node = node.after.setdefault(gap + width, _Node())
        if rule not in node.rules:
            node.rules.append(rule)

    def find(self, text: str, hint: str | None, known: Known) -> Iterator[Span]:
        """Candidates, overlapping or not. `hint`: entity type whose rows need no announcing word."""
        context = _Context(hint, known, {})
        for match in _RUN.finditer(text):
            run = _Run(text, *match.span())
            taken: list[_Window] = []
            for window, rules in self._windows(run):
                for rule in rules:
                    # What overlaps a find without a cue is not worth a search for one: if the find does not stand
                    # after all, the next round reads the rest.
                    if rule.cues and any(window.first <= other.last and other.first <= window.last for other in taken):
                        continue
                    if _accepts(rule, window, context):
                        taken.append(window)
                        context.ends[rule.row.entity_type] = window.end
                        yield window.span(rule.row)
                        break
            if known:
                yield from _known_windows(run, known)

    def strong_integer(self, digits: str) -> str | None:
        """The entity type that bare `digits` verify as, by checksum; None if no strong row accepts them."""
        node = self._layouts.after.get(str(len(digits)))
        for row, has_form, _, _ in node.rules if node else ():
            if row.strong and has_form(digits) and row.verify and row.verify(digits):
                return row.entity_type
        return None

    def _windows(self, run: _Run) -> Iterator[tuple[_Window, list[_Rule]]]:
        """Every window on whose grouping some row lists, with those rows."""
        steps, start_with = run.steps, self._layouts.after
        count = len(steps)
        for first, width in enumerate(run.widths):
            node = start_with.get(width)
            last = first
            while node is not None:
                if node.rules:
                    yield _Window(run, first, last, run.start_of(first), run.end_of(last)), node.rules
                last += 1
                if last == count:
                    break
                node = node.after.get(steps[last])
        if "(" in run.text[max(0, run.start - 1) : run.end]:
            yield from self._bracketed_windows(run)
        if 1 < count <= _MOST_GROUPS_IN_WHOLE_RUN:
            rules = self._any_grouping + self._even_grouping if _is_even(run) else self._any_grouping
            bracket = run.start > 0 and run.text[run.start - 1] == "(" and any(")" in gap for gap in run.gaps)
            yield _Window(run, 0, count - 1, run.start - bracket, run.end_of(count - 1)), rules

    def _bracketed_windows(self, run: _Run) -> Iterator[tuple[_Window, list[_Rule]]]:
        """The same for windows that begin with an opening bracket."""
        for first, width in enumerate(run.widths):
            if not (run.gaps[first].endswith("(") if first else run.text[run.start - 1 : run.start] == "("):
                continue
            node = self._layouts.after.get("(" + width)
            last = first + 1
            while node is not None and last < len(run.steps):
                node = node.after.get(run.steps[last])
                if node is not None and node.rules:
                    yield _Window(run, first, last, run.start_of(first) - 1, run.end_of(last)), node.rules
                last += 1


def _accepts(rule: _Rule, window: _Window, context: _Context) -> bool:
    """Whether the window's digits are what the row says, and stand where such a number can stand."""
    run, row = window.run, rule.row
    digits = "".join(run.digits[window.first : window.last + 1])
    if not rule.has_form(digits) or (row.verify and not row.verify(digits)):
        return False
    if row.strong:
        if _is_fraction(window) or _is_glued_to_code(window):
            return False
    elif not _stands_alone(window) or (rule.not_layouts and window.layout() in rule.not_layouts):
        return False
    if _is_inside_uuid(run.text, window.start, window.end):
        return False
    if rule.cues is None or context.hint == row.entity_type:
        return True
    previous_end = context.ends.get(row.entity_type)
    if previous_end is not None and joins(run.text, previous_end, window.start):
        return True
    return is_announced(run.text, window.start, rule.cues)


def _is_even(run: _Run) -> bool:
    """One separator throughout, and groups of one width (the last may be narrower)."""
    return (
        len(set(run.steps[1:-1])) <= 1
        and run.widths[0] == run.widths[-2]
        and len({*map(_BETWEEN.get, run.gaps[1:])}) == 1
    )


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
    if first == last:
        if text[end : end + 1] in _ALPHANUMERIC:
            return False
        return run.gaps[first] not in _TIES and (last + 1 == len(run.gaps) or run.gaps[last + 1] not in _TIES)
    if first > 0 and text[start] != "(" and _continues(run, first, first + 1):
        return False
    return last + 1 == len(run.gaps) or not _continues(run, last + 1, last)


def _continues(run: _Run, outer: int, inner: int) -> bool:
    """Whether gap number `outer`, at one end of a window, looks like the window's own gap `inner` next to it."""
    gap = run.gaps[outer]
    if gap != run.gaps[inner]:
        return False
    return gap != " " or run.widths[outer - 1] == run.widths[outer]


def _is_inside_uuid(text: str, start: int, end: int) -> bool:
    offset = max(0, start - _UUID_CHARS)
    nearby = text[offset : end + _UUID_CHARS]
    return nearby.count("-") >= _UUID_HYPHENS and any(
        uuid.start() + offset <= start and end <= uuid.end() + offset for uuid in _UUID.finditer(nearby)
    )


def _known_windows(run: _Run, known: Known) -> Iterator[Span]:
    """Windows whose digits were found elsewhere in the record."""
    if len(known) <= _FEW_KNOWN:
        all_digits = "".join(run.digits)
        if not any(number in all_digits for number in known):
            return
    for first in range(len(run.digits)):
        digits = ""
        for last in range(first, len(run.digits)):
            digits += run.digits[last]
            if len(digits) > _MOST_DIGITS:
                break
            entity_type = known.get(digits) or known.get(digits.lstrip("0"))
            if entity_type:
                yield Span(run.start_of(first), run.end_of(last), entity_type, KNOWN_RECOGNIZER, _KNOWN_SCORE)
