"""How the rules for numbers are laid out for the compiled kernel: one trie of all shapes, in flat arrays.

A word of the trie is a shape: perhaps a bracket, then widths and gaps in turn. A node's row has a column for every
width from 0 to MOST_DIGITS + 1, and one for each gap that some layout has.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from stream_maas.privacy.cues import FOLLOWS
from stream_maas.privacy.number_rules import Rule, RuleBook, Rules
from stream_maas.privacy.runs import (
    BLANK,
    CURRENCIES,
    DECIMAL_POINT,
    EVEN_GAPS,
    FEWEST_DIGITS,
    GAP_CHARACTERS,
    MOST_DIGITS,
    MOST_GAP_CHARS,
    TIES,
    bare_gaps,
)

_WIDTHS: Final = MOST_DIGITS + 2
_IS_FRACTION, _IS_TIE, _IS_BLANK, _IS_EVEN, _CLOSES = 1, 2, 4, 8, 16
_BRACKET: Final = b"("
_PIECE: Final = re.compile(rb"([^\x00-\x15]*)([\x00-\x15])")
_STANDING: Final = tuple(product((False, True), repeat=2))
"""A fraction or not, free or not."""
_NOTHING: Final = Rules([], [])


class Tables(NamedTuple):
    """What `stream_maas.native.numbers.Scanner` is made of."""

    fewest_digits: int
    gap_characters: str
    """Each stands for its place in here, from 1 on."""
    gaps: list[tuple[int, int, int]]
    """For a gap read as an octal number: its column (0 where no layout has it), its characters without needless
    blanks, and flags."""
    symbols: int
    """Columns of a row."""
    bracket: int
    """Column of the bracket that a word begins with."""
    next: array[int]
    """Node by node, row by row: the node that a symbol leads to, -1 for none."""
    words: array[int]
    """By node: which word ends there, -1 for none."""
    ways: array[int]
    """By word, -1 first, then by why it is asked about (its own layout, or the whole of a run, evenly grouped or not),
    a fraction or not, free or not: which of `sets`."""
    sets: list[tuple[tuple[int, ...], tuple[int, ...]]]
    """Unannounced and announced rules."""
    rules: list[tuple[object, ...]]
    currencies: str
    follows: tuple[str, ...]


class _Sets:
    """Every set of rules once."""

    def __init__(self) -> None:
        self.rules: list[tuple[object, ...]] = []
        self.sets: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
        self._indices: dict[int, int] = {}

    def index(self, rules: Rules) -> int:
        both = tuple(map(self._rule, rules.unannounced)), tuple(map(self._rule, rules.announced))
        return self.sets.setdefault(both, len(self.sets))

    def _rule(self, rule: Rule) -> int:
        index = self._indices.setdefault(id(rule), len(self.rules))
        if index == len(self.rules):
            row = rule.row
            asked = rule.has_form, rule.takes_any_digits, row.strong, rule.has_script, row.verify, rule.cue
            self.rules.append((*asked, row.entity_type, row.name, row.score))
        return index


def tables(book: RuleBook) -> Tables:
    """The tables for these rules. Raises ValueError if a layout has more than MOST_DIGITS digits."""
    rules = (*book.any_grouping.announced, *book.any_grouping.unannounced, *book.even_grouping.unannounced)
    words = list(dict.fromkeys((*book.by_shape, *(shape for rule in rules for shape in rule.not_shapes))))
    columns = {gap: _WIDTHS + at for at, gap in enumerate(_gaps_of(words))}
    sets = _Sets()
    sets.index(_NOTHING)
    ways = array("i")
    for word in (b"", *words):
        listed = [
            book.listed(word, is_fraction=is_fraction, stands_free=stands_free) if word in book.by_shape else _NOTHING
            for is_fraction, stands_free in _STANDING
        ]
        whole = [
            grouping.only(word, is_fraction=is_fraction, stands_free=stands_free)
            for grouping in (book.any_grouping, book.even_grouping)
            for is_fraction, stands_free in _STANDING
        ]
        ways.extend(sets.index(rules) for rules in (*listed, *whole))
    symbols = _WIDTHS + len(columns)
    following, ends = _trie(words, columns, symbols)
    return Tables(
        FEWEST_DIGITS, GAP_CHARACTERS, list(_gaps(columns)), symbols, columns[_BRACKET], following, ends, ways,
        list(sets.sets), sets.rules, "".join(CURRENCIES), FOLLOWS,
    )  # fmt: skip


def _gaps_of(words: list[bytes]) -> list[bytes]:
    """Every gap that occurs, and those by which a run may be evenly grouped."""
    gaps = {gap for word in words for gap, _ in _PIECE.findall(word) if gap}
    return sorted(gaps | EVEN_GAPS | {_BRACKET})


def _gaps(columns: dict[bytes, int]) -> Iterator[tuple[int, int, int]]:
    for number in range(8**MOST_GAP_CHARS):
        raw = bytes(ord(GAP_CHARACTERS[int(figure) - 1]) for figure in f"{number:o}" if figure != "0")
        bare = bare_gaps(raw)
        flags = (
            _IS_FRACTION * (raw == DECIMAL_POINT)
            | _IS_TIE * (raw in TIES)
            | _IS_BLANK * (raw == BLANK)
            | _IS_EVEN * (bare in EVEN_GAPS)
            | _CLOSES * (b")" in raw)
        )
        yield columns.get(bare, 0), len(bare), flags


def _trie(words: list[bytes], columns: dict[bytes, int], symbols: int) -> tuple[array[int], array[int]]:
    """Node by node where each symbol leads, and which word ends there."""
    following = array("h", [-1] * symbols)
    ends = array("h", [-1])
    for number, word in enumerate(words):
        pieces = _PIECE.findall(word)
        if sum(width[0] for _, width in pieces) > MOST_DIGITS:
            raise ValueError(f"a layout of more than {MOST_DIGITS} digits")
        node = 0
        path = (symbol for gap, width in pieces for symbol in (columns.get(gap), width[0]))
        for symbol in filter(None, path):
            if following[node * symbols + symbol] < 0:
                following[node * symbols + symbol] = len(ends)
                following.extend([-1] * symbols)
                ends.append(-1)
            node = following[node * symbols + symbol]
        ends[node] = number
    return following, ends
