"""Text -> term numbers: one definition of a word, shared by training and serving.

The steps, which training states to scikit-learn's `TfidfVectorizer` in its own words (tests compare the two):
1. placeholders that redaction leaves, such as `[EMAIL]`, become a space: a redacted value says nothing;
2. lower case (`str.lower`);
3. words are runs of letters, digits and underscore (Unicode `\\w+`);
4. terms are single words and pairs of neighbours; a term counts once per text, however often it occurs.

What a text gets depends on nothing but the text, so it is found text by text, by `native/bags.pyx` where that was
compiled.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_maas import native
from stream_maas.errors import BundleError

WORD_PATTERN = r"\w+"
_WORD = re.compile(WORD_PATTERN)
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*\]")
# For ASCII texts, steps 2 and 3 in one pass: a quarter of the time of the regular expression.
_ASCII_WORDS = "".join(chr(code).lower() if _WORD.fullmatch(chr(code)) else " " for code in range(128))
_TERM = np.dtype(np.int32)
_NO_TERM = -1
_KERNEL = native.load("bags")


class Bag(NamedTuple):
    """What is left of a text."""

    words: int
    """How many words it has."""
    terms: bytes
    """Its different terms, ascending: int32 in the machine's byte order."""


def normalise(text: str) -> str:
    """Steps 1 and 2."""
    if "[" in text:
        text = _PLACEHOLDER.sub(" ", text)
    return text.lower()


class WordBag:
    """A fixed list of terms and the search for them. Term numbers are positions in `terms`."""

    def __init__(self, terms: Sequence[str], kernel: ModuleType | None = _KERNEL) -> None:
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
        words = list(dict.fromkeys(chain.from_iterable(term.split(" ") for term in self.terms)))
        self._singles = {term: number for number, term in enumerate(self.terms) if " " not in term}
        self._seconds: dict[str, dict[str, int]] = {}
        for number, term in enumerate(self.terms):
            first, _, second = term.partition(" ")
            if second:
                self._seconds.setdefault(first, {})[second] = number
        self._kernel = None
        if kernel is not None:
            numbers = {word: number for number, word in enumerate(words, start=1)}
            pairs = [
                (numbers[first], numbers[second], number)
                for first, seconds in self._seconds.items()
                for second, number in seconds.items()
            ]
            self._kernel = kernel.Terms(words, [self._singles.get(word, _NO_TERM) for word in words], pairs)

    def bag(self, text: str) -> Bag:
        """The terms of a text."""
        if "[" in text:
            text = _PLACEHOLDER.sub(" ", text)
        if self._kernel is None:
            return self._bag_in_python(text)
        return Bag._make(self._kernel.find(text if text.isascii() else text.lower()))

    def _bag_in_python(self, text: str) -> Bag:
        words = text.translate(_ASCII_WORDS).split() if text.isascii() else _WORD.findall(text.lower())
        found = set(map(self._singles.get, words, repeat(_NO_TERM)))
        pairs = zip(map(self._seconds.get, words), words[1:], strict=False)
        found.update([seconds[word] for seconds, word in pairs if seconds is not None and word in seconds])
        found.discard(_NO_TERM)
        return Bag(len(words), array(_TERM.char, sorted(found)).tobytes())

    def bags(self, texts: Sequence[bytes]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The terms of b texts, one behind the other: (terms int32 [n], offsets int64 [b + 1]).

        Text i has the terms `terms[offsets[i]:offsets[i + 1]]`.
        """
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) // _TERM.itemsize, out=offsets[1:])
        return np.frombuffer(b"".join(texts), _TERM), offsets


def read_vocabulary(path: Path) -> WordBag:
    """The terms of a vocabulary file, one per line, UTF-8. Raises `BundleError`."""
    try:
        return WordBag(path.read_text(encoding="utf-8").splitlines())
    except (UnicodeDecodeError, ValueError) as error:
        reason = str(error) if not isinstance(error, UnicodeDecodeError) else "not UTF-8"
        raise BundleError(f"{path}: {reason}") from error
