"""How names of people are found in running text: a gazetteer, words of address, and what is not a name.

Rules of this file:
1. A name is a run of capitalised words. It is accepted where a given name stands in it that is followed by a family
   name or by any other word that is not a common one, or behind a phrase such as "my name is", "Mr", "Frau".
2. A given name alone is accepted only if it is common and no ordinary word as well ("Will", "Rose", "Paris").
3. In Chinese, Japanese and Korean a name needs a phrase before or a title behind it, and a known family name; in Arabic
   and Hindi a phrase or a title before it (caseless_names.py).
4. In small letters a name needs a phrase before it, and a known given name.
5. Lists come from Faker's person providers (MIT; gazetteer/README.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import Final

from stream_maas import native
from stream_maas.privacy import caseless_names
from stream_maas.privacy.announced import any_case
from stream_maas.privacy.automata import Automaton
from stream_maas.privacy.name_words import (
    BEFORE_PLACES,
    BEFORE_SMALL_LETTERS,
    CUES,
    CUES_BEFORE_ANY_WORD,
    EAST_PHRASES,
    PARTICLES,
    TITLES,
    TITLES_BEHIND,
)


def _read(name: str) -> frozenset[str]:
    text = resources.files("stream_maas.privacy.gazetteer").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


AMBIGUOUS: Final = _read("ambiguous")
"""Given names that are ordinary words, places or products as well: not enough alone."""
NOT_NAMES: Final = _read("not_names")
"""Capitalised for another reason: words that open sentences, dates, places, companies."""
_COMMON: Final = _read("given") - AMBIGUOUS
_GIVEN: Final = _read("given") | _read("given_rare")
_FAMILY: Final = _read("family")
_EAST: Final = _read("family_east")

_CAPITAL: Final = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0386-\u03ab\u0400-\u042f"
_SMALL: Final = "a-z\u00df-\u00f6\u00f8-\u024f\u0390-\u03ce\u0430-\u045f"
_CAPITALS_AND_MORE: Final = f"{_CAPITAL}\u0100-\u017f\u1e00-\u1eff"
_LETTER: Final = f"{_CAPITALS_AND_MORE}{_SMALL}"
_REST_OF_NAME: Final = rf"(?:[{_LETTER}]+(?:['\u2019\-][{_LETTER}]+)*|['\u2019][{_CAPITAL}][{_LETTER}]+)"
_NAME: Final = f"[{_CAPITALS_AND_MORE}]{_REST_OF_NAME}"
_PARTICLES_IN_CAPITALS: Final = frozenset(("De", "Van", "Der", "Den", "Von", "Du", "Le", "La", "Di", "Da", "El", "Dos"))
"""Behind a name they go on with it: Yvette De Paepe."""
_PARTICLES: Final = "|".join(sorted(PARTICLES, key=len, reverse=True))
_RUN: Final = re.compile(
    # The look behind comes second: a pattern that begins with a class is searched for at the speed of memory.
    rf"([{_CAPITALS_AND_MORE}](?<![{_LETTER}0-9_@/\\.&#\-].){_REST_OF_NAME}"
    rf"(?:(?: (?:{_PARTICLES})){{0,2}} (?:{_NAME}|[{_CAPITAL}]\.?))"
    rf"{{0,4}})(?![{_LETTER}0-9_@])"
)
_CUE_ENDS: Final = frozenset(phrase.rpartition(" ")[2].rstrip(",:") for phrase in CUES | CUES_BEFORE_ANY_WORD)
_ENDS_OF_CUES: Final = frozenset(
    ending for word in _CUE_ENDS for ending in ((word[-2:],) if len(word) > 1 else (word, f" {word}", f"\n{word}"))
)
_BETWEEN: Final = " \n:-\u2013,"
_CUE_CHARS: Final = 32
_CUE_WORDS: Final = 4
_MOST_WORDS: Final = 5
_HAN_OR_HANGUL: Final = re.compile("[\u3400-\u9fff\uac00-\ud7a3]")
_EAST_PHRASE: Final = re.compile(
    rf"(?:{'|'.join(EAST_PHRASES)})[ :\uff1a,\u201c\"]{{0,2}}([\u3400-\u9fff\uac00-\ud7a3]{{2,5}})"
)
_TITLE_BEHIND: Final = re.compile("|".join(TITLES_BEHIND))
_BEFORE_TITLE: Final = re.compile("[\u3400-\u9fff\uac00-\ud7a3]{1,4}$")
_EAST_CHARS: Final = 4
SMALL_LETTERS_GATE: Final = f"(?:{any_case(BEFORE_SMALL_LETTERS)}):? [a-z\u00df-\u00ff]"
_SMALL_NAME: Final = re.compile(
    rf"(?<![{_LETTER}])(?:{any_case(BEFORE_SMALL_LETTERS)}):? "
    rf"(?P<given>[{_SMALL}]{{2,24}})(?P<initial> [{_SMALL}]\.?)?"
    rf"(?: (?P<family>[{_SMALL}'\u2019\-]{{2,24}}))?(?![{_LETTER}0-9_@])"
)
_ENDS: Final = re.compile(r"[.,;!?)\n]|$")


def _all(of: str) -> str:
    """All characters of a class."""
    return "".join(re.findall(f"[{of}]", "".join(map(chr, range(0x2000)))))


def _filters() -> tuple[Callable[[str], bool], Callable[[str], int]] | None:
    """Whether a text may hold a name in capitals; whether it may hold one of East Asia (1) or of scripts without
    capitals (2). None where no kernel is."""
    words, scanning = native.load("words"), native.load("scanning")
    if words is None or scanning is None:
        return None
    in_capitals = words.NameWords(
        capitals=_all(_CAPITALS_AND_MORE),
        letters=_all(_LETTER),
        between=_BETWEEN,
        alone=_COMMON,
        with_more=_GIVEN - _COMMON,
        particles=PARTICLES,
        phrases=[phrase.rstrip(",:") for phrase in CUES | CUES_BEFORE_ANY_WORD],
    )
    in_others = scanning.Scanner(
        [Automaton((*EAST_PHRASES, *TITLES_BEHIND)), Automaton(map(re.escape, caseless_names.PHRASES))], [0, 0]
    )
    return in_capitals.may_occur_in, in_others.accepted


def locate(text: str) -> Iterable[tuple[int, int]]:
    """(start, end) of each name in folded text."""
    if _FILTERS is None:
        return locate_in_python(text)
    may_be_in_capitals, may_be_in_others = _FILTERS
    found: list[tuple[int, int]] = []
    if may_be_in_capitals(text):
        found += _in_capitals(text)
    if not text.isascii():
        scripts = may_be_in_others(text)
        if scripts & 1:
            found += _eastern(text)
        if scripts & 2:
            found += caseless_names.locate(text)
    return found


def locate_in_python(text: str) -> Iterator[tuple[int, int]]:
    """`locate` without the kernels that tell where nothing is."""
    yield from _in_capitals(text)
    if not text.isascii():
        yield from _eastern(text)
        yield from caseless_names.locate(text)


def _in_capitals(text: str) -> Iterator[tuple[int, int]]:
    for match in _RUN.finditer(text):
        run, start = match.group(1), match.start(1)
        if " " in run:
            yield from _in_run(text, start, run.split(" "))
        elif (
            (run not in NOT_NAMES or _is_addressed(run, _last_word_before(text, start)))
            and (run in _COMMON or _may_follow_cue(text, start) or _as_listed(run) in _COMMON)
            and _length_of_name(text, start, _last_word_before(text, start), [run])
        ):
            yield start, start + len(run) - 2 * run.endswith("'s")


def _may_follow_cue(text: str, start: int) -> bool:
    """Whether `_last_word_before` may be one that ends a phrase: most words are told by their last two letters."""
    if not start or text[start - 1] not in _BETWEEN:
        return False
    if text[start - 1] != " " or text[start - 2] in _BETWEEN:
        return True
    return text[max(0, start - 3) : start - 1].lower() in _ENDS_OF_CUES


def _is_addressed(word: str, before: str) -> bool:
    """Whether a title stands before a word that is a name as well as an ordinary one: "Mrs May"."""
    return before in TITLES and (word in _GIVEN or word in _FAMILY)


def _last_word_before(text: str, start: int) -> str:
    if not start or text[start - 1] not in _BETWEEN:
        return ""
    return text[max(0, start - _CUE_CHARS) : start].rstrip(_BETWEEN).rpartition(" ")[2].rpartition("\n")[2].lower()


def _in_run(text: str, start: int, words: list[str]) -> Iterator[tuple[int, int]]:
    """The names in a run of capitalised words."""
    first = 0
    before = _last_word_before(text, start)
    while first < len(words):
        word = words[first]
        if (word not in NOT_NAMES or _is_addressed(word, before)) and word not in PARTICLES:
            count = _length_of_name(text, start, before, words[first:] if first else words)
            if count:
                end = start + sum(map(len, words[first : first + count])) + count - 1
                yield start, end - 2 * text.endswith("'s", start, end)
                start, first, before = end + 1, first + count, ""
                continue
        start += len(word) + 1
        first += 1
        before = word.lower()


def _length_of_name(text: str, start: int, before: str, words: list[str]) -> int:
    """How many of `words` are one name that begins with the first of them; 0 for none. `before`: the word before."""
    head = _as_listed(words[0])
    if head in _GIVEN:
        count = _extent(words)
        following = [_as_listed(word) for word in words[1:count] if word not in PARTICLES]
        if following and (
            head in _COMMON
            or (head not in AMBIGUOUS and len(head) > 3)
            or any(word in _FAMILY or word in _GIVEN for word in following)
        ):
            return count
        if head in _COMMON and len(head) > 2 and not words[0].isupper() and before not in BEFORE_PLACES:
            return 1
    if before in _CUE_ENDS:
        phrases = _phrases_before(text, start)
        if not phrases.isdisjoint(CUES):
            return min(_extent(words), 3)
        if (head in _GIVEN or head in _FAMILY) and not phrases.isdisjoint(CUES_BEFORE_ANY_WORD):
            return _extent(words)
    return 0


def _phrases_before(text: str, start: int) -> set[str]:
    """The last one to four words before `start`, lower case, as phrases."""
    words = text[max(0, start - _CUE_CHARS) : start].lower().rstrip(_BETWEEN).split()[-_CUE_WORDS:]
    return {" ".join(words[-count:]) for count in range(1, len(words) + 1)}


def _extent(words: list[str]) -> int:
    """How many words from the first may belong to one name."""
    count = 1
    for index, word in enumerate(words[1:_MOST_WORDS], start=1):
        if word in PARTICLES or word in _PARTICLES_IN_CAPITALS:
            continue
        if word in NOT_NAMES:
            break
        count = index + 1
    return count


def _as_listed(word: str) -> str:
    """A word of capitals as the lists write it, without a possessive ending."""
    if word[1:2].islower() and word[-2:] not in ("'s", "\u2019s"):
        return word
    plain = word.removesuffix("'s").removesuffix("\u2019s")
    return plain.title() if plain.isupper() and len(plain) > 2 else plain


def _eastern(text: str) -> Iterator[tuple[int, int]]:
    if not _HAN_OR_HANGUL.search(text):
        return
    for match in _EAST_PHRASE.finditer(text):
        value = match.group(1)
        width = next((width for width in (2, 1, 3) if value[:width] in _EAST and len(value) > width), 0)
        if width:
            yield match.start(1), match.start(1) + min(len(value), width + 2)
    for title in _TITLE_BEHIND.finditer(text):
        end = title.start()
        end -= text[end - 1 : end] == " "
        name = _BEFORE_TITLE.search(text, max(0, end - _EAST_CHARS), end)
        for start in range(name.start(), name.end()) if name else ():
            if "的" not in text[start:end] and (text[start] in _EAST or text[start : start + 2] in _EAST):
                yield start, end
                break


def locate_small_letters(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each name that is written without capitals behind a phrase: "my name is janice smith"."""
    for match in _SMALL_NAME.finditer(text):
        if match["given"].title() not in _COMMON:
            continue
        end = match.end("given")
        family = (match["family"] or "").title()
        if (
            family in _FAMILY
            or family in _GIVEN
            or (len(family) > 3 and not match["initial"] and _ENDS.match(text, match.end()))
        ):
            end = match.end("family")
        yield match.start("given"), end


_FILTERS: Final = _filters()
