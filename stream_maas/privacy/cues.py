"""When a word announces a value: which words, how near they must stand, and what may lie between.

All rows share one index, so that the words before a number are read once, however many rows ask about them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import product
from types import ModuleType
from typing import Final

from stream_maas import native
from stream_maas.privacy.fold import fold
from stream_maas.privacy.layouts import flat_trie, trie_pattern
from stream_maas.privacy.transform import placeholder

_KERNEL: Final = native.load("cues")
_WINDOW_CHARS: Final = 64
_GAP_CHARS: Final = 40
"""Most characters between the announcing word and the value."""
_UNSPACED: Final = ((0x0E00, 0x0E7F), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3))
"""Thai, kana, Han, Hangul: scripts that are written without spaces between words, or glue endings to them."""
_HAN: Final = "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in _UNSPACED)
_WORD: Final = re.compile(rf"[^\W\d_{_HAN}]+#?|[{_HAN}]+")
"""Text in scripts without spaces makes one word, in which a cue is looked for."""
_LAST_WORD: Final = re.compile(r"[^\W\d_]+[\W\d_]*$")
_UNSPACED_ONLY: Final = re.compile(f"[{_HAN}]+")
_SPACE: Final = r"s?[\W_]{1,3}"
_STOPS: Final = re.compile(r"[0-9@\[\]]")
"""Nothing that is, was or may become a find lies between a word and the number it announces."""
_LETTERS: Final = re.compile(rf"[^\W\d_{_HAN}]+")
_NO_WORD: Final = " .,:;-_/()+"
_BREAK: Final = re.compile(r"[,;!?]|[.]\s")
FOLLOWS: Final = ("(", " (", " is ", " ist ", " est ", " es ", " é ", " è ", " jest ", "是")
"""How a text goes on behind a number where a word that announces it may follow."""
_IN_BRACKETS: Final = re.compile(r" ?\(([^()0-9\[\]]{2,20})\)")
_BEHIND: Final = re.compile(
    r" (?:is|ist|est|es|é|è|jest) (?:my|our|his|her|their|the|mein|meine|unsere|seine|ihre|die|mon|ma|notre|son|le|la|"
    r"mi|nuestro|su|el|meu|minha|nosso|o|a|il mio|la mia|mój|moje) ([^\W\d_]+)( [^\W\d_]+)?( [^\W\d_]+)?"
    rf"|是(?:我|他|她)?们?的?([{_HAN}]{{2,6}})"
)
"""The number's owner and what it is: "is my cell phone", "ist meine Handynummer"."""
JOINTS: Final = ",;/&|+"
JOINING_WORDS: Final = ("and", "or", "und", "oder", "y", "e", "o", "ou", "et", "или", "и", "和", "或", "、")
JOINS: Final = rf"[\s{JOINTS}]*(?:(?:{'|'.join(JOINING_WORDS)})\s*)?"
"""Between the items of a list."""
_JOINS: Final = re.compile(JOINS)
_MOST_SPELLINGS: Final = 4_096
_NO_KEYS: Final[frozenset[int]] = frozenset()

Key = int
"""Stands for one list of cues."""


class CueIndex:
    """The words that announce something, of all rows."""

    def __init__(self, kernel: ModuleType | None = _KERNEL) -> None:
        """`kernel`: the compiled twin, None for Python alone."""
        self._kernel = kernel
        self.before: Callable[[str, int], frozenset[Key]] = self.before_in_python
        """Keys of the cues that stand shortly before an offset of a text."""
        self._keys: dict[tuple[str, ...], Key] = {}
        self._phrases: dict[str, frozenset[Key]] = {}
        self._unspaced: dict[str, frozenset[Key]] = {}
        self._match_spaced = re.compile("(?!)").match
        self._search_mixed = self._search_unspaced = re.compile("(?!)")
        self._first_words: frozenset[str] = frozenset()
        """What cues begin with, in singular and plural: where no word is one of these, no cue begins."""
        self._placeholders: dict[str, frozenset[Key]] = {}
        self._spellings: dict[str, frozenset[Key]] = {}

    def add(self, cues: Iterable[str], entity_type: str) -> Key:
        """The key that `before` gives where one of `cues` stands."""
        words = tuple(cues)
        key = self._keys.setdefault(words, len(self._keys))
        for cue in words:
            folded = fold(cue.lower()).text
            phrases = self._unspaced if _UNSPACED_ONLY.fullmatch(folded) else self._phrases
            phrase = folded if phrases is self._unspaced else _normal(folded)
            phrases[phrase] = phrases.get(phrase, _NO_KEYS) | {key}
        mask = placeholder(entity_type).lower()
        self._placeholders[mask] = self._placeholders.get(mask, _NO_KEYS) | {key}
        return key

    def close(self) -> None:
        """To be called once, when all rows are added."""
        if self._unspaced:
            self._search_unspaced = re.compile(f"(?=({trie_pattern(self._unspaced)}))")
        if self._phrases:
            spaced = [phrase for phrase in self._phrases if _LETTERS.match(phrase)]
            mixed = [phrase for phrase in self._phrases if phrase not in spaced]
            first_words = [match.group() for phrase in spaced if (match := _LETTERS.match(phrase))]
            self._first_words = frozenset(form for word in first_words for form in (word, f"{word}s"))
            self._match_spaced = re.compile(_whole_words(spaced)).match
            self._search_mixed = re.compile(rf"(?<![^\W\d_{_HAN}]){_whole_words(mixed)}" if mixed else "(?!)")
            if self._kernel is not None:
                seldom = self._keys_of, self._announced_by_mask, self._in_other_scripts
                sizes = _GAP_CHARS, _WINDOW_CHARS
                self.before = self._kernel.Words(flat_trie(spaced), _UNSPACED, *sizes, *seldom, _NO_KEYS).before
        for phrase in sorted(self._phrases, key=len):  # what a phrase holds is announced as well
            words = phrase.split(" ")
            for first in range(len(words)):
                for end in range(first + 1, len(words) + 1):
                    self._phrases[phrase] |= self._phrases.get(" ".join(words[first:end]), _NO_KEYS)

    @cached_property
    def _search_ascii(self) -> re.Pattern[str]:
        """Of ASCII phrases. Where there is a kernel nobody asks for it."""
        spaced = (phrase for phrase in self._phrases if _LETTERS.match(phrase))
        return re.compile(f"(?<![a-z]){_whole_words(filter(str.isascii, spaced))}")

    def before_in_python(self, text: str, start: int) -> frozenset[Key]:
        """`before` without the kernel.

        Another number or address in between breaks the tie, and so does the end of a sentence or list item that holds
        further words. A find of the same type announces the next one: "phone [PHONE] or 467 3396".
        """
        if start < 2:
            return _NO_KEYS
        window = text[max(0, start - _WINDOW_CHARS) : start]
        stop = _STOPS.search(window[::-1])
        reach_start = len(window) - stop.start() if stop else 0
        found = _NO_KEYS
        if reach_start and window[reach_start - 1] == "]":
            found = self._announced_by_mask(window, reach_start)
        window = window[reach_start:].lower()
        if not window.strip(_NO_WORD):
            return found
        if window.isascii():
            for match in self._search_ascii.finditer(window):
                if _is_near(window, match.end()):
                    found |= self._keys_of(match.group(1))
            return found
        return found | self._in_other_scripts(window)

    def _announced_by_mask(self, window: str, end: int) -> frozenset[Key]:
        """Keys that the mask of a find announces which ends at `end` of a window, if only the next item of a list
        follows."""
        if not _JOINS.fullmatch(window, end):
            return _NO_KEYS
        return self._placeholders.get(window[window.rfind("[", 0, end) : end].lower(), _NO_KEYS)

    def _in_other_scripts(self, window: str) -> frozenset[Key]:
        """Keys of the cues in a window that is not all ASCII."""
        found = _NO_KEYS
        end = 0
        for word in _LETTERS.finditer(window):
            if word.group() not in self._first_words or word.start() < end:
                continue
            match = self._match_spaced(window, word.start())
            if match:
                end = match.end()
                if _is_near(window, end):
                    found |= self._keys_of(match.group(1))
        for match in self._search_mixed.finditer(window):
            if _is_near(window, match.end()):
                found |= self._keys_of(match.group(1))
        for match in self._search_unspaced.finditer(window):
            if _is_near(window, match.end(1)):
                found |= self._unspaced[match.group(1)]
        return found

    def _keys_of(self, spelling: str) -> frozenset[Key]:
        """Keys of a phrase as it stands in a text."""
        keys = self._spellings.get(spelling)
        if keys is None:
            if len(self._spellings) >= _MOST_SPELLINGS:
                self._spellings.clear()
            keys = self._phrases.get(_normal(spelling))
            if keys is None:  # "ss# no" is "ss no", and so is "sss no"
                phrases = map(" ".join, product(*map(_forms, _WORD.findall(spelling))))
                keys = next(self._phrases[phrase] for phrase in phrases if phrase in self._phrases)
            self._spellings[spelling] = keys
        return keys

    def after(self, text: str, end: int) -> frozenset[Key]:
        """Keys of the cues that stand right after offset `end`: "123456782 (BSN)", "4673395 is my cell phone"."""
        if not text.startswith(FOLLOWS, end):
            return _NO_KEYS
        if (match := _IN_BRACKETS.match(text, end)) is not None:
            return self._phrases.get(_normal(match.group(1).lower()), _NO_KEYS)
        if (match := _BEHIND.match(text, end)) is None:
            return _NO_KEYS
        *spaced, unspaced = match.groups(default="")
        if unspaced:
            phrases = (unspaced[:size] for size in range(len(unspaced), 1, -1))
            return next((self._unspaced[phrase] for phrase in phrases if phrase in self._unspaced), _NO_KEYS)
        phrases = (_normal("".join(spaced[:count]).lower()) for count in range(3, 0, -1))
        return next((self._phrases[phrase] for phrase in phrases if phrase in self._phrases), _NO_KEYS)


def _is_near(window: str, end: int) -> bool:
    """Whether a phrase that ends at `end` announces what stands behind the window."""
    if len(window) - end > _GAP_CHARS:
        return False
    if not _BREAK.search(window, end):
        return True
    last_word = _LAST_WORD.search(window, end)
    return last_word is None or not _BREAK.search(window, end, last_word.start())


def _whole_words(phrases: Iterable[str]) -> str:
    """A pattern for one of `phrases`, in singular or plural, where no letter goes on."""
    trie = trie_pattern(phrases, lambda character: _SPACE if character == " " else re.escape(character))
    return rf"({trie or '(?!)'})s?(?![^\W\d_{_HAN}])"


def _normal(phrase: str) -> str:
    """Lower-case words, singular, joined by one space."""
    return " ".join(map(_singular, _WORD.findall(phrase)))


def joins(text: str, end: int, start: int) -> bool:
    """Whether a find that ends at `end` and a number that starts at `start` are items of one list."""
    return 0 <= start - end <= _GAP_CHARS and _JOINS.fullmatch(text, end, start) is not None


def _forms(word: str) -> tuple[str, str, str]:
    """What a word of a spelling may be in its phrase: itself, without a number sign, and in singular."""
    bare = word.removesuffix("#")
    return word, bare, bare.removesuffix("s")


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
