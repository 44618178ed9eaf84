"""How digits stand in a text: runs, how their groups are laid out, and what touches some of the groups."""

from __future__ import annotations

import re
from itertools import accumulate, compress
from typing import Final

FEWEST_DIGITS: Final = 7
"""No number with fewer digits is looked for without a field name (a local telephone number has seven)."""
MOST_DIGITS: Final = 20
"""The longest number of the table."""
GAP_CHARACTERS: Final = " ./()_-"
MOST_GAP_CHARS: Final = 3
_GAP_PATTERN: Final = f"[{re.escape(GAP_CHARACTERS)}]{{0,{MOST_GAP_CHARS}}}"
RUN_PATTERN: Final = f"[0-9](?:{_GAP_PATTERN}[0-9]){{{FEWEST_DIGITS - 1}}}"
"""The beginning of every run; the gate's class for all numbers."""
RUN: Final = re.compile(f"[0-9](?:{_GAP_PATTERN}[0-9]){{{FEWEST_DIGITS - 1},}}")
_PIECE: Final = re.compile("([^0-9]*)([0-9]+)")
_BRACKET: Final = ord("(")

_GAPS_TO_SPACES: Final = bytes(code if 48 <= code < 58 else ord(" ") for code in range(256))
_DIGITS_TO_NINES: Final = bytes(ord("9") if 48 <= code < 58 else code for code in range(256))
_GAPS: Final = GAP_CHARACTERS.encode()
_BARE_GAPS: Final = (
    (b"  ", b" "), (b" - ", b"-"), (b" -", b"-"), (b"- ", b"-"), (b" (", b"("), (b") ", b")"), (b")-", b")"),
)  # fmt: skip
"""Layouts are written without spaces around hyphens and brackets."""
_TOO_WIDE: Final = MOST_DIGITS + 1
"""Stands for every width that no layout has."""
_CLAMPED: Final = bytes(min(width, _TOO_WIDE) for width in range(256))
EVEN_GAPS: Final = frozenset((b" ", b".", b"/", b"_", b"-"))
"""By which a run may be evenly grouped."""
_EVEN: Final = re.compile(rb"\(?([\x01-\x14])([%b])(?:\1\2)*[\x01-\x14]" % re.escape(b"".join(sorted(EVEN_GAPS))))
glued_extension: Final = re.compile("[xX][0-9]{2,6}(?![0-9A-Za-z])").match
_UUID: Final = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_UUID_CHARS: Final = 36
_UUID_HYPHENS: Final = 4
_BEFORE_X: Final = (17, 3)
DECIMAL_POINT: Final = b"."
BLANK: Final = b" "
TIES: Final = (b"-", b".")
"""Between a bare number and its neighbour these make both parts of something else."""
CURRENCIES: Final = frozenset("$€£¥₹₩₽")
LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
DIGITS: Final = frozenset("0123456789")
ALPHANUMERIC: Final = LETTERS | DIGITS


def without_gaps(window: str) -> str:
    """The digits, and a check character, of a part of a run."""
    return window.encode("ascii").translate(None, _GAPS).decode("ascii")


def groups_in(shape: bytes) -> int:
    """How many groups a shape, or the beginning of one, has."""
    return len(shape.translate(None, _GAPS))


def bare_gaps(shape: bytes) -> bytes:
    """`shape`, or a gap by itself, without spaces around hyphens and brackets."""
    for spaced, bare in _BARE_GAPS:
        shape = shape.replace(spaced, bare)
    return shape


def shape_of(layout: str) -> bytes:
    """A layout without `~`: one byte for each group, how many digits, with what stands between."""
    return b"".join(gap.encode() + bytes([int(width)]) for gap, width in _PIECE.findall(layout))


class Layout:
    """How the digits of a run are grouped, whatever they are; offsets count from the run's beginning.

    `picture`: the run with 9 for every digit. `shape`: see `shape_of`; too wide a group is MOST_DIGITS + 1.
    """

    __slots__ = ("_groups", "_widths", "digit_count", "picture", "shape")

    def __init__(self, picture: bytes) -> None:
        self.picture = picture
        self._widths = widths = list(map(len, picture.translate(_GAPS_TO_SPACES).split(b" ")))
        self.digit_count = len(picture) + 1 - len(widths)
        pieces = bytearray(2 * len(widths) - 1)
        try:
            pieces[::2] = bytes(widths).translate(_CLAMPED)
        except ValueError:  # a width above 255
            pieces[::2] = bytes([min(width, _TOO_WIDE) for width in widths])
        pieces[1::2] = picture.translate(None, b"9")
        shape = bytes(pieces)
        if 0 in shape:
            shape = shape.replace(b"\0", b"")
            if b" " in shape or b")-" in shape:
                shape = bare_gaps(shape)
        self.shape = shape
        self._groups: tuple[list[int], list[int]] | None = None

    @property
    def groups(self) -> tuple[list[int], list[int]]:
        """Where each group begins, and how many digits it has. Most runs hold no find and need neither."""
        if self._groups is None:
            widths = self._widths
            starts = compress(accumulate([width + 1 for width in widths], initial=0), widths)
            self._groups = list(starts), list(filter(None, widths))
        return self._groups

    def start_of(self, first: int, shape: bytes) -> int:
        """Where a window from group `first` on begins, whose `shape` begins with a bracket if the window does."""
        start = self.groups[0][first]
        return start if shape[0] != _BRACKET else self.picture.rindex(b"(", 0, start)

    def end_of(self, group: int) -> int:
        starts, widths = self.groups
        return starts[group] + widths[group]

    def gap_before(self, group: int) -> bytes:
        """What stands between this group and the one before, b"" for the first and behind the last."""
        starts, widths = self.groups
        return self.picture[starts[group - 1] + widths[group - 1] : starts[group]] if 0 < group < len(starts) else b""

    def is_fraction(self, first: int, last: int) -> bool:
        """One group behind a decimal point: the digits of 3.4111111111111111 are not a card."""
        return first == last and self.gap_before(first) == DECIMAL_POINT

    def stands_free(self, first: int, last: int, shape: bytes) -> bool:
        """Whether groups `first` to `last` end where they do because something else begins: no neighbour goes on."""
        if first == last:
            return self.gap_before(first) not in TIES and self.gap_before(last + 1) not in TIES
        if first > 0 and shape[0] != _BRACKET and self._continues(first, first + 1):
            return False
        return last + 1 == len(self.groups[0]) or not self._continues(last + 1, last)

    def is_even(self) -> bool:
        """One separator throughout, and groups of one width (the last may be narrower)."""
        return _EVEN.fullmatch(self.shape) is not None

    def _continues(self, outer: int, inner: int) -> bool:
        """Whether the gap before group `outer`, at one end of a window, looks like its own gap before `inner`."""
        gap = self.gap_before(outer)
        if gap != self.gap_before(inner):
            return False
        widths = self.groups[1]
        return gap != BLANK or widths[outer - 1] == widths[outer]


def run_at(text: str, start: int, end: int) -> tuple[int, int, bytes]:
    """The run that RUN matched at [start, end), with its opening bracket and the check character X, and its picture."""
    picture = text[start:end].encode("ascii").translate(_DIGITS_TO_NINES)
    if text[end : end + 1] in ("X", "x") and _is_x_due(text, start, end):
        picture += b"9"
        end += 1
    if start and text[start - 1] == "(":
        start -= 1
        picture = b"(" + picture
    return start, end, picture


def _is_x_due(text: str, start: int, end: int) -> bool:
    """Whether the check character X of a Chinese resident number completes the last group: 18, or 6-8-4."""
    if text[end + 1 : end + 2] in ALPHANUMERIC:
        return False
    return end - start - len(text[start:end].rstrip("0123456789")) in _BEFORE_X


def is_glued_to_code(text: str, start: int, end: int) -> bool:
    """Letters on both sides of [start, end), or on one side as part of a longer mix of letters and digits, as in a
    hash."""
    before, after = start, end
    while before > 0 and text[before - 1] in LETTERS:
        before -= 1
    while after < len(text) and text[after] in LETTERS:
        after += 1
    if before < start and after > end:
        return True
    glued_before = before < start and before > 0 and text[before - 1] in DIGITS
    glued_after = after > end and after < len(text) and text[after] in DIGITS
    return glued_before or glued_after


def is_touched(text: str, start: int, end: int, *, is_single: bool) -> bool:
    """Whether a letter or a currency sign touches the number; behind a grouped one it may, as in "x12"."""
    if start and (text[start - 1] in LETTERS or text[start - 1] in CURRENCIES):
        return True
    return is_single and text[end : end + 1] in ALPHANUMERIC and not glued_extension(text, end)


def is_inside_uuid(text: str, start: int, end: int) -> bool:
    """Whether [start, end) lies in a UUID: its digits say nothing about anybody."""
    offset = max(0, start - _UUID_CHARS)
    nearby = text[offset : end + _UUID_CHARS]
    return nearby.count("-") >= _UUID_HYPHENS and any(
        uuid.start() + offset <= start and end <= uuid.end() + offset for uuid in _UUID.finditer(nearby)
    )
