"""Text -> term numbers: one definition of a word, shared by training and serving.

The steps, which training states to scikit-learn's `TfidfVectorizer` in its own words (tests compare the two):
1. placeholders that redaction leaves, such as `[EMAIL]`, become a space: a redacted value says nothing;
2. lower case (`str.lower`);
3. words are runs of letters, digits and underscore (Unicode `\\w+`);
4. terms are single words and pairs of neighbours; a term counts once per text, however often it occurs.

Looking words up is Python's work (dictionaries), pairing them is NumPy's, for all texts of a batch at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_maas.errors import BundleError

WORD_PATTERN = r"\w+"
_WORD = re.compile(WORD_PATTERN)
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*\]")
# For ASCII texts, steps 2 and 3 in one pass over the bytes: a quarter of the time of the regular expression.
_ASCII_WORDS = bytes(ord(chr(code).lower()) if _WORD.fullmatch(chr(code)) else ord(" ") for code in range(128)).ljust(
    256, b" "
)
_UNKNOWN = 0
"""Word number of every word that occurs in no term."""
_TERM_BITS = 32
_TERM_MASK = (1 << _TERM_BITS) - 1


def normalise(text: str) -> str:
    """Steps 1 and 2."""
    if "[" in text:
        text = _PLACEHOLDER.sub(" ", text)
    return text.lower()


_SLOT_BITS = 18
"""1 MiB of table: with the packaged model's pairs in it, 19 of 20 other pairs meet an empty slot."""
_EMPTY, _SHARED = -1, -2
"""A slot of no pair, and of several."""
_ODD = np.int64(0x1E3779B97F4A7C15)


class WordBag:
    """A fixed list of terms and the search for them. Term numbers are positions in `terms`."""

    def __init__(self, terms: Sequence[str]) -> None:
        """Raises `ValueError` naming the first line (from 1) that is no term or stands there twice."""
        self.terms = tuple(terms)
        seen: set[str] = set()
        for line, term in enumerate(self.terms, start=1):
            words = _WORD.findall(normalise(term))
            if not 1 <= len(words) <= 2 or " ".join(words) != term:
                raise ValueError(f"line {line}: expected one or two lower case words with one space between")
            if term in seen:
                raise ValueError(f"line {line}: the term stands there twice")
            seen.add(term)
        self._numbers = {word: number for number, word in enumerate(_words_of(self.terms), start=1)}
        self._ascii_numbers = {word.encode(): number for word, number in self._numbers.items() if word.isascii()}
        self._span = len(self._numbers) + 1
        self._index_terms()

    def _index_terms(self) -> None:
        """`_singles`: word number -> term or -1. `_pairs`: sorted first * span + second; `_pair_terms` beside it;
        `_slot_pairs`: where in `_pairs` a hash of the pair leads."""
        self._singles = np.full(self._span, -1, dtype=np.int64)
        pairs: list[tuple[int, int]] = []
        for term, text in enumerate(self.terms):
            first, _, second = text.partition(" ")
            if second:
                pairs.append((self._numbers[first] * self._span + self._numbers[second], term))
            else:
                self._singles[self._numbers[first]] = term
        # The last entry matches nothing and keeps searchsorted's answer a valid index.
        pairs.append((np.iinfo(np.int64).max, -1))
        self._pairs, self._pair_terms = np.array(sorted(pairs), dtype=np.int64).T.copy()
        slots = _slots(self._pairs[:-1])
        self._slot_pairs = np.full(1 << _SLOT_BITS, _EMPTY, dtype=np.int32)
        self._slot_pairs[slots] = np.arange(len(slots), dtype=np.int32)
        self._slot_pairs[np.flatnonzero(np.bincount(slots, minlength=1) > 1)] = _SHARED

    def words(self, text: str) -> list[int]:
        """Word numbers in text order, 0 for words that occur in no term. One item per word."""
        if "[" in text:
            text = _PLACEHOLDER.sub(" ", text)
        if text.isascii():
            return list(map(self._ascii_numbers.get, text.encode().translate(_ASCII_WORDS).split(), repeat(_UNKNOWN)))
        return list(map(self._numbers.get, _WORD.findall(text.lower()), repeat(_UNKNOWN)))

    def bags(self, texts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Word numbers of b texts -> (terms int32 [n], offsets int64 [b + 1]).

        Text i has the different terms `terms[offsets[i]:offsets[i + 1]]`, ascending. What a text gets does not
        depend on its neighbours.
        """
        count = len(texts)
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=count)
        words = np.fromiter(chain.from_iterable(texts), dtype=np.int64, count=int(lengths.sum()))
        rows = np.repeat(np.arange(count, dtype=np.int64), lengths)
        singles = self._singles[words]
        known = np.flatnonzero(singles >= 0)
        single_codes = (rows[known] << _TERM_BITS) | singles[known]
        codes = np.concatenate([single_codes, self._pair_codes(words, rows)])
        codes.sort()
        fresh = np.ones(len(codes), dtype=np.bool_)
        np.not_equal(codes[1:], codes[:-1], out=fresh[1:])
        codes = codes[fresh]
        offsets = np.searchsorted(codes, np.arange(count + 1, dtype=np.int64) << _TERM_BITS)
        return (codes & _TERM_MASK).astype(np.int32), offsets.astype(np.int64, copy=False)

    def _pair_codes(self, words: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row and term of each pair of neighbours that is a term, packed as row * 2^32 + term."""
        left, right = words[:-1], words[1:]
        starts = np.flatnonzero((left != _UNKNOWN) & (right != _UNKNOWN) & (rows[:-1] == rows[1:]))
        pairs = left[starts] * self._span + right[starts]
        # Where most pairs are a term as where most are none, one look into a table is cheaper than a binary search.
        places = self._slot_pairs[_slots(pairs)]
        likely = np.flatnonzero(places != _EMPTY)
        starts, pairs, places = starts[likely], pairs[likely], places[likely]
        shared = np.flatnonzero(places == _SHARED)
        places[shared] = np.searchsorted(self._pairs, pairs[shared])
        found = self._pairs[places] == pairs
        codes: NDArray[np.int64] = (rows[starts[found]] << _TERM_BITS) | self._pair_terms[places[found]]
        return codes


def _slots(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Table positions by multiplicative hashing (Knuth, TAOCP 6.4). int64 overflow wraps, which is what it wants."""
    slots: NDArray[np.int64] = (pairs * _ODD) >> (63 - _SLOT_BITS) & ((1 << _SLOT_BITS) - 1)
    return slots


def _words_of(terms: Iterable[str]) -> Iterable[str]:
    """Each word that occurs in a term, once, in order of appearance."""
    return dict.fromkeys(chain.from_iterable(term.split(" ") for term in terms))


def read_vocabulary(path: Path) -> WordBag:
    """The terms of a vocabulary file, one per line, UTF-8. Raises `BundleError`."""
    try:
        return WordBag(path.read_text(encoding="utf-8").splitlines())
    except (UnicodeDecodeError, ValueError) as error:
        reason = str(error) if not isinstance(error, UnicodeDecodeError) else "not UTF-8"
        raise BundleError(f"{path}: {reason}") from error
