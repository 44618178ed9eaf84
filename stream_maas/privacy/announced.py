"""How values without a form of their own are found: a word first, then whatever looks like a number behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from stream_maas.privacy.fold import fold
from stream_maas.privacy.layouts import trie_pattern

_GAP_CHARS: Final = 32
_UNSPACED: Final = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


def any_case(words: tuple[str, ...]) -> str:
    """A pattern for one of `words`, lower case, in any case, for both engines: without flags. Text is read folded, so
    vowel signs and the like are left out of words as well."""

    def written(character: str) -> str:
        upper = character.upper()
        if character == " ":
            return "[ _\\-]{0,2}"
        return f"[{upper}{character}]" if len(upper) == 1 and upper != character else re.escape(character)

    return trie_pattern([fold(word).text for word in words], written)


def gate(words: tuple[str, ...]) -> str:
    """What the gate must know of a `locator` for `words`: where one of them stands as a word of its own."""
    spaced = tuple(word for word in words if not _UNSPACED.match(word))
    unspaced = tuple(word for word in words if _UNSPACED.match(word))
    whole = f"(?:^|[^A-Za-z])(?:{any_case(spaced)})[sS]?(?:[^A-Za-z]|$)" if spaced else ""
    return "|".join(filter(None, (whole, any_case(unspaced))))


def locator(words: tuple[str, ...], value: str, fewest_digits: int) -> Callable[[str], Iterator[tuple[int, int]]]:
    """A `Locate`: one of `words` as a whole word, then at most 32 characters without digits, brackets or the end of a
    sentence, then what `value` matches in full with `fewest_digits` digits."""
    word = re.compile(any_case(words))
    after = re.compile(rf"[^0-9@\[\];!?\n]{{0,{_GAP_CHARS}}}?(?<![0-9A-Za-z])({value})(?![0-9A-Za-z@])")

    def locate(text: str) -> Iterator[tuple[int, int]]:
        for match in word.finditer(text):
            start, end = match.span()
            if not _UNSPACED.match(match.group()) and (
                (start and _is_letter(text[start - 1])) or (end < len(text) and _goes_on(text, end))
            ):
                continue
            found = after.match(text, end)
            while found:
                if sum(map(str.isdigit, found.group(1))) >= fewest_digits:
                    yield found.span(1)
                    break
                if found.start(1) - end > _GAP_CHARS:
                    break
                found = after.match(text, found.start(1) + 1) if found.end(1) - end < _GAP_CHARS else None

    return locate


def _goes_on(text: str, end: int) -> bool:
    """Whether the word goes on behind `end`; a plural does not count."""
    if text[end] in "sS":
        end += 1
    return end < len(text) and _is_letter(text[end])


def _is_letter(character: str) -> bool:
    """A letter of a script that puts spaces between words."""
    return character.isalpha() and not _UNSPACED.match(character)
