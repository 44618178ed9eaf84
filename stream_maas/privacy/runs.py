"""How digits stand in a text: runs, their groups, and whether some groups of a run stand by themselves."""

from __future__ import annotations

import re
from itertools import accumulate, compress
from typing import Final

FEWEST_DIGITS: Final = 7
"""No number with fewer digits is looked for without a field name (a local telephone number has seven)."""
MOST_DIGITS: Final = 20
"""The longest number of the table."""
_GAP_CHARACTERS: Final = " ./()_-"
_GAP_CHARS: Final = 3
_GAP_PATTERN: Final = f"[{re.escape(_GAP_CHARACTERS)}]{{0,{_GAP_CHARS}}}"
RUN_PATTERN: Final = f"[0-9](?:{_GAP_PATTERN}[0-9]){{{FEWEST_DIGITS - 1}}}"
"""The beginning of every run; the gate's class for all numbers."""
RUN: Final = re.compile(f"[0-9](?:{_GAP_PATTERN}[0-9]){{{FEWEST_DIGITS - 1},}}")
_PIECE: Final = re.compile("([^0-9]*)([0-9]+)")
_WITHOUT_GAPS: Final = dict.fromkeys(map(ord, _GAP_CHARACTERS))
_BRACKET: Final = ord("(")

_GAPS_TO_SPACES: Final = bytes(code if 48 <= code < 58 else ord(" ") for code in range(256))
_DIGIT_BYTES: Final = b"0123456789"
_GAPS: Final = _GAP_CHARACTERS.encode()
_BARE_GAPS: Final = (
    (b"  ", b" "), (b" - ", b"-"), (b" -", b"-"), (b"- ", b"-"), (b" (", b"("), (b") ", b")"), (b")-", b")"),
)  # fmt: skip
"""Layouts are written without spaces around hyphens and brackets."""
_TOO_WIDE: Final = MOST_DIGITS + 1
"""Stands for every width that no layout has."""
_CLAMPED: Final = bytes(min(width, _TOO_WIDE) for width in range(256))
_EVEN: Final = re.compile(rb"\(?([\x01-\x14])([ ./_-])(?:\1\2)*[\x01-\x14]")
_UUID: Final = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_UUID_CHARS: Final = 36
_UUID_HYPHENS: Final = 4
_BEFORE_X: Final = (17, 3)
_TIES: Final = ("-", ".")
"""Between a bare number and its neighbour these make both parts of something else."""
_CURRENCIES: Final = frozenset("$€£¥₹₩₽")
LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
DIGITS: Final = frozenset("0123456789")
ALPHANUMERIC: Final = LETTERS | DIGITS


def groups_in(shape: bytes) -> int:
    """How many groups a shape, or the beginning of one, has."""
    return len(shape.translate(None, _GAPS))


def shape_of(layout: str) -> bytes:
    """A layout without `~`: one byte for each group, how many digits, with what stands between."""
    return b"".join(gap.encode() + bytes([int(width)]) for gap, width in _PIECE.findall(layout))


class Run:
    """One run of digit groups, [start, end) of `text`. `shape`: see `shape_of`; too wide a group is MOST_DIGITS + 1."""

    __slots__ = ("_bounds", "_widths", "end", "shape", "start", "text")

    def __init__(self, text: str, start: int, end: int) -> None:
        raw = text[start:end].encode("ascii")
        if text[end : end + 1] in ("X", "x") and _is_x_due(text, start, end):
            raw += b"0"
            end += 1
        if start and text[start - 1] == "(":
            start -= 1
            raw = b"(" + raw
        self._widths = widths = list(map(len, raw.translate(_GAPS_TO_SPACES).split(b" ")))
        shape = bytearray(2 * len(widths) - 1)
        try:
            shape[::2] = bytes(widths).translate(_CLAMPED)
        except ValueError:  # a width above 255
            shape[::2] = bytes([min(width, _TOO_WIDE) for width in widths])
        shape[1::2] = raw.translate(None, _DIGIT_BYTES)
        if 0 in shape:
            shape = shape.replace(b"\0", b"")
            if b" " in shape or b")-" in shape:
                for spaced, bare in _BARE_GAPS:
                    shape = shape.replace(spaced, bare)
        self.text = text
        self.start = start
        self.end = end
        self.shape = bytes(shape)
        self._bounds: list[tuple[int, int]] | None = [(start, end)] if len(widths) == 1 else None

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Where each group starts and ends in the text. Most runs hold no find and need none."""
        if self._bounds is None:
            widths = self._widths
            starts = compress(accumulate([width + 1 for width in widths], initial=self.start), widths)
            self._bounds = [(start, start + width) for start, width in zip(starts, filter(None, widths), strict=True)]
        return self._bounds

    def digits(self, first: int, last: int) -> str:
        """The digits of groups `first` to `last`."""
        bounds = self.bounds
        text = self.text[bounds[first][0] : bounds[last][1]]
        return text if first == last else text.translate(_WITHOUT_GAPS)

    def gap_before(self, group: int) -> str:
        """What stands between this group and the one before, "" for the first."""
        return self.text[self.bounds[group - 1][1] : self.bounds[group][0]] if group else ""

    def gap_after(self, group: int) -> str:
        """What stands between this group and the next, "" for the last."""
        return self.gap_before(group + 1) if group + 1 < len(self.bounds) else ""

    def width(self, group: int) -> int:
        start, end = self.bounds[group]
        return end - start

    def is_even(self) -> bool:
        """One separator throughout, and groups of one width (the last may be narrower)."""
        return _EVEN.fullmatch(self.shape) is not None


def _is_x_due(text: str, start: int, end: int) -> bool:
    """Whether the check character X of a Chinese resident number completes the last group: 18, or 6-8-4."""
    if text[end + 1 : end + 2] in ALPHANUMERIC:
        return False
    return end - start - len(text[start:end].rstrip("0123456789")) in _BEFORE_X


class Window:
    """Groups `first` to `last` of a run, grouped as `shape` says; the span to cut is [start, end) of its text."""

    __slots__ = ("_alone", "end", "first", "last", "run", "shape", "start")

    def __init__(self, run: Run, first: int, last: int, shape: bytes) -> None:
        """`shape` begins with a bracket if the window does."""
        self.run = run
        self.first = first
        self.last = last
        self.shape = shape
        start, self.end = run.bounds[first][0], run.bounds[last][1]
        self.start = start if shape[0] != _BRACKET else run.text.rindex("(", 0, start)
        self._alone: bool | None = None

    def overlaps(self, other: Window) -> bool:
        return self.first <= other.last and other.first <= self.last

    def is_fraction(self) -> bool:
        """One group behind a decimal point: the digits of 3.4111111111111111 are not a card."""
        return self.first == self.last and self.run.gap_before(self.first) == "."

    def is_glued_to_code(self) -> bool:
        """Letters on both sides, or on one side as part of a longer mix of letters and digits, as in a hash."""
        text, before, after = self.run.text, self.start, self.end
        while before > 0 and text[before - 1] in LETTERS:
            before -= 1
        while after < len(text) and text[after] in LETTERS:
            after += 1
        if before < self.start and after > self.end:
            return True
        glued_before = before < self.start and before > 0 and text[before - 1] in DIGITS
        glued_after = after > self.end and after < len(text) and text[after] in DIGITS
        return glued_before or glued_after

    def stands_alone(self) -> bool:
        """No letter touches the number (but behind a grouped one, as in "x12"), and no neighbouring group goes on."""
        if self._alone is None:
            self._alone = self._stands_alone()
        return self._alone

    def _stands_alone(self) -> bool:
        run, first, last = self.run, self.first, self.last
        text, start, end = run.text, self.start, self.end
        if start and (text[start - 1] in LETTERS or text[start - 1] in _CURRENCIES):
            return False
        if first == last:
            if text[end : end + 1] in ALPHANUMERIC:
                return False
            return run.gap_before(first) not in _TIES and run.gap_after(last) not in _TIES
        if first > 0 and text[start] != "(" and self._continues(first, first + 1):
            return False
        return last + 1 == len(run.bounds) or not self._continues(last + 1, last)

    def _continues(self, outer: int, inner: int) -> bool:
        """Whether the gap before group `outer`, at one end of the window, looks like its own gap before `inner`."""
        gap = self.run.gap_before(outer)
        if gap != self.run.gap_before(inner):
            return False
        return gap != " " or self.run.width(outer - 1) == self.run.width(outer)


def is_inside_uuid(text: str, start: int, end: int) -> bool:
    """Whether [start, end) lies in a UUID: its digits say nothing about anybody."""
    offset = max(0, start - _UUID_CHARS)
    nearby = text[offset : end + _UUID_CHARS]
    return nearby.count("-") >= _UUID_HYPHENS and any(
        uuid.start() + offset <= start and end <= uuid.end() + offset for uuid in _UUID.finditer(nearby)
    )
