"""When a word announces a value: which words, how near they must stand, and what may lie between.

All rows share one index, so that the words before a number are read once, however many rows ask about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from stream_maas.privacy.fold import fold
from stream_maas.privacy.layouts import trie_pattern
from stream_maas.privacy.transform import placeholder

_WINDOW_CHARS: Final = 64
_GAP_CHARS: Final = 40
"""Most characters between the announcing word and the value."""
_PHRASE_WORDS: Final = 6
_HAN: Final = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_WORD: Final = re.compile(rf"[^\W\d_{_HAN}]+#?|[{_HAN}]+")
"""Text in scripts without spaces makes one word, in which a cue is looked for."""
_REACH: Final = re.compile(r"[^0-9@\[\]]*")
"""Read backwards: nothing that is, was or may become a find lies between a word and the number it announces."""
_BREAK: Final = re.compile(r"[,;!?]|[.]\s")
_IN_BRACKETS: Final = re.compile(r" ?\(([^()0-9\[\]]{2,20})\)")
_JOINS: Final = re.compile(r"[\s,;/&|+]*(?:(?:and|or|und|oder|y|e|o|ou|et|или|и|和|或|、)\s*)?")
_NO_KEYS: Final[frozenset[int]] = frozenset()

Key = int
"""Stands for one list of cues."""


class CueIndex:
    """The words that announce something, of all rows."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, ...], Key] = {}
        self._phrases: dict[str, frozenset[Key]] = {}
        self._last_words: frozenset[str] = frozenset()
        self._unspaced: dict[str, frozenset[Key]] = {}
        self._search_unspaced = re.compile("(?!)")
        self._placeholders: dict[str, frozenset[Key]] = {}

    def add(self, cues: Iterable[str], entity_type: str) -> Key:
        """The key that `before` gives where one of `cues` stands."""
        words = tuple(cues)
        key = self._keys.setdefault(words, len(self._keys))
        for cue in words:
            folded = fold(cue.lower()).text
            if re.fullmatch(f"[{_HAN}]+", folded):
                self._unspaced[folded] = self._unspaced.get(folded, _NO_KEYS) | {key}
            phrase = " ".join(map(_singular, _WORD.findall(folded)))
            self._phrases[phrase] = self._phrases.get(phrase, _NO_KEYS) | {key}
        mask = placeholder(entity_type).lower()
        self._placeholders[mask] = self._placeholders.get(mask, _NO_KEYS) | {key}
        return key

    def close(self) -> None:
        """To be called once, when all rows are added."""
        self._last_words = frozenset(phrase.rpartition(" ")[2] for phrase in self._phrases)
        if self._unspaced:
            self._search_unspaced = re.compile(f"(?=({trie_pattern(self._unspaced)}))")

    def before(self, text: str, start: int) -> frozenset[Key]:
        """Keys of the cues that stand shortly before offset `start` of `text`.

        Another number or address in between breaks the tie, and so does the end of a sentence or list item that holds
        further words. A find of the same type announces the next one: "phone [PHONE] or 467 3396".
        """
        if start < 2:
            return _NO_KEYS
        window = text[max(0, start - _WINDOW_CHARS) : start].lower()
        reached = _REACH.match(window[::-1])
        reach_start = len(window) - (reached.end() if reached else 0)
        found = _NO_KEYS
        if reach_start and window[reach_start - 1] == "]" and _JOINS.fullmatch(window, reach_start):
            found = self._placeholders.get(window[window.rfind("[", 0, reach_start) : reach_start], _NO_KEYS)
        words = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(window, reach_start)]
        last_words = self._last_words
        singular = [_singular(word) for word, _, _ in words]
        for index in range(len(words) - 1, -1, -1):
            word, _, gap_start = words[index]
            if len(window) - gap_start > _GAP_CHARS:
                break
            if singular[index] not in last_words and word.isascii():
                continue
            if index + 1 < len(words) and _BREAK.search(window, gap_start, words[-1][1]):
                break
            found |= self._ending_with(singular, index)
            if not word.isascii():
                for match in self._search_unspaced.finditer(word):
                    found |= self._unspaced[match.group(1)]
        return found

    def after(self, text: str, end: int) -> frozenset[Key]:
        """Keys of the cues that stand in brackets right after offset `end`: "123456782 (BSN)"."""
        match = _IN_BRACKETS.match(text, end) if text[end : end + 2] in (" (",) or text[end : end + 1] == "(" else None
        if not match:
            return _NO_KEYS
        words = [_singular(word) for word in _WORD.findall(match.group(1).lower())]
        return self._phrases.get(" ".join(words), _NO_KEYS)

    def _ending_with(self, words: list[str], index: int) -> frozenset[Key]:
        """Keys of the phrases that end with word number `index`."""
        found = _NO_KEYS
        phrase = ""
        for first in range(index, max(-1, index - _PHRASE_WORDS), -1):
            phrase = f"{words[first]} {phrase}" if phrase else words[first]
            keys = self._phrases.get(phrase)
            if keys:
                found |= keys
        return found


def joins(text: str, end: int, start: int) -> bool:
    """Whether a find that ends at `end` and a number that starts at `start` are items of one list."""
    return 0 <= start - end <= _GAP_CHARS and _JOINS.fullmatch(text, end, start) is not None


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
