"""When a word announces a number: which words, how near they must stand, and what may lie between."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from stream_maas.privacy.transform import placeholder

_WINDOW_CHARS: Final = 64
_GAP_CHARS: Final = 40
"""Most characters between the announcing word and the number."""
_PHRASE_WORDS: Final = 3
_HAN: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_WORD: Final = re.compile(rf"[^\W\d_{_HAN}]+#?|[{_HAN}]+")
"""Text in scripts without spaces makes one word, in which a cue is looked for."""
_REACH: Final = re.compile(r"[^0-9@\[\]]*")
"""Read backwards: nothing that is, was or may become a find lies between a word and the number it announces."""
_BREAK: Final = re.compile(r"[,;!?]|[.]\s")
_JOINS: Final = re.compile(r"[\s,;/&|+]*(?:(?:and|or|und|oder|y|e|o|ou|et|или|и|和|或|、)\s*)?")


class Cues(NamedTuple):
    """Words that announce numbers of one entity type, made by `compile_cues`."""

    phrases: frozenset[str]
    last_words: frozenset[str]
    """The last word of each phrase."""
    han: tuple[str, ...]
    placeholder: str


def compile_cues(cues: Iterable[str], entity_type: str) -> Cues:
    """`cues` as `is_announced` compares them: lower case, words joined by one space, no plural."""
    words = tuple(cues)
    phrases = [[_singular(word) for word in _WORD.findall(cue.lower())] for cue in words]
    return Cues(
        frozenset(map(" ".join, phrases)),
        frozenset(phrase[-1] for phrase in phrases),
        tuple(cue for cue in words if re.fullmatch(f"[{_HAN}]+", cue)),
        placeholder(entity_type).lower(),
    )


def is_announced(text: str, start: int, cues: Cues) -> bool:
    """Whether one of `cues` stands shortly before offset `start` of `text`.

    Another number or address in between breaks the tie, and so does the end of a sentence or list item that holds
    further words. A find of the same type announces the next one: "phone [PHONE] or 467 3396".
    """
    window = text[max(0, start - _WINDOW_CHARS) : start].lower()
    reached = _REACH.match(window[::-1])
    reach_start = len(window) - (reached.end() if reached else 0)
    if window.endswith(cues.placeholder, 0, reach_start) and _JOINS.fullmatch(window, reach_start):
        return True
    words = list(_WORD.finditer(window, reach_start))
    for index in range(len(words) - 1, -1, -1):
        if not _may_end_phrase(words[index].group(), cues):
            continue
        gap_start = words[index].end()
        if len(window) - gap_start > _GAP_CHARS:
            return False
        if index + 1 < len(words) and _BREAK.search(window, gap_start, words[-1].start()):
            return False
        phrase = [_singular(word.group()) for word in words[max(0, index - _PHRASE_WORDS + 1) : index + 1]]
        if any(" ".join(phrase[first:]) in cues.phrases for first in range(len(phrase))):
            return True
        if cues.han and any(cue in phrase[-1] for cue in cues.han):
            return True
    return False


def _may_end_phrase(word: str, cues: Cues) -> bool:
    return _singular(word) in cues.last_words or not word.isascii()


def joins(text: str, end: int, start: int) -> bool:
    """Whether a find that ends at `end` and a number that starts at `start` are items of one list."""
    return 0 <= start - end <= _GAP_CHARS and _JOINS.fullmatch(text, end, start) is not None


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
