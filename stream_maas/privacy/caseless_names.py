"""How names are found in Arabic and Hindi, whose letters know no capitals: behind a phrase, up to where prose goes on.

Rules of this file:
1. A phrase that says "name" is followed by up to three words of a name, a title by one, and by what can only be a
   second part of it: a particle with its word, in Arabic a word with the article, in Hindi one before a postposition.
2. Words that join a sentence end a name. A first word with the article is no name but an office ("the director").
3. Text is read folded, so vowel signs are left out here as there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from stream_maas.privacy.fold import fold


class _Script(NamedTuple):
    """How one script writes what stands around a name; words folded."""

    letters: str
    """Inside of a character class."""
    names: frozenset[str]
    """Phrases that say "name"."""
    titles: frozenset[str]
    ends: frozenset[str]
    """Words that are no part of a name."""
    particles: frozenset[str]
    """Words that need another one behind them."""
    article: str
    conjunction: str
    """Joined to the word behind it: the name ends."""


def _folded(*words: str) -> frozenset[str]:
    return frozenset(fold(word).text for word in words)


_ARABIC: Final = _Script(
    "\u0620-\u064a\u066e-\u06d3",
    _folded(
        "اسمي", "إسمي", "اسمي الكامل", "اسمي هو", "اسمي الكامل هو", "اسمه", "اسمها", "يدعى", "تدعى", "أدعى", "الاسم",
        "الاسم الكامل", "اسم المريض", "اسم المريضة", "اسم العميل", "اسم الزبون", "اسم الموظف", "اسم المستلم",
        "اسم صاحب الحساب", "اسم صاحب البطاقة",
    ),
    _folded(
        "السيد", "السيدة", "الآنسة", "الدكتور", "الدكتورة", "الأستاذ", "الأستاذة", "المهندس", "المهندسة", "الشيخ",
        "سيد", "دكتور", "دكتورة", "أستاذ", "أستاذة",
    ),
    _folded(
        "في", "من", "على", "إلى", "الى", "هو", "هي", "هنا", "أنا", "انا", "لكن", "كان", "كانت", "ليس", "عن", "مع",
        "هذا", "هذه", "قد", "لم", "لا", "ما", "أن", "إن", "ان", "ثم", "أو", "او", "رقم", "غير", "قال", "قالت", "كما",
        "المحترم", "المحترمة", "الكريم", "الكريمة", "تحية",
        "بعد", "قبل", "حيث", "لقد", "سوف", "يا", "أريد", "اريد", "عمري", "عندي", "لدي", "صحيح", "خطأ", "مكتوب",
    ),
    _folded("بن", "ابن", "بنت", "أبو", "ابو", "أبي", "ابي", "آل", "عبد", "أم", "ام"),
    "ال", "و",
)  # fmt: skip
_HINDI: Final = _Script(
    "\u0900-\u0963\u0970-\u097f",
    _folded(
        "मेरा नाम", "मेरा पूरा नाम", "मेरा नाम है", "पूरा नाम", "उसका नाम", "उनका नाम", "इनका नाम", "इसका नाम",
        "ग्राहक का नाम", "मरीज का नाम", "मरीज़ का नाम", "पति का नाम", "पिता का नाम", "पत्नी का नाम", "माता का नाम",
        "खाताधारक का नाम",
    ),
    _folded("श्री", "श्रीमती", "श्रीमान", "सुश्री", "कुमारी", "डॉ.", "डॉ", "डॉक्टर", "प्रोफेसर"),
    _folded(
        "ने", "को", "का", "की", "के", "से", "में", "पर", "जी", "और", "है", "हैं", "हूँ", "हूं", "था", "थी", "थे", "तो", "भी",
        "ही", "या", "एक", "कि", "यह", "वह", "मैं", "हम", "आप", "साहब", "साहिब", "नहीं", "क्या", "सही", "गलत", "ग़लत",
        "बदल", "लिखा", "मेरा", "मेरी", "मेरे", "द्वारा", "व", "तथा", "एवं",
    ),
    frozenset(),
    "", "",
)  # fmt: skip
_SCRIPTS: Final = (_ARABIC, _HINDI)
PHRASES: Final = frozenset().union(*(script.names | script.titles for script in _SCRIPTS))
"""What stands before every name that is found here."""
_AFTER_NAME: Final = 3
_AFTER_TITLE: Final = 1
_BETWEEN: Final = r"[ :\u060c\-]{1,3}"


class _Finder(NamedTuple):
    script: _Script
    phrases: re.Pattern[str]
    words: re.Pattern[str]


def _finder(script: _Script) -> _Finder:
    word = f"[{script.letters}]+"
    # One flat list of literals: what they begin with is searched for at the speed of memory.
    phrases = "|".join(map(re.escape, sorted(script.names | script.titles, key=len, reverse=True)))
    return _Finder(script, re.compile(f"({phrases}){_BETWEEN}(?={word})"), re.compile(f"{word}(?: {word}){{0,7}}"))


_FINDERS: Final = tuple(map(_finder, _SCRIPTS))
_ANY_LETTER: Final = re.compile(f"[{''.join(script.letters for script in _SCRIPTS)}]")


def locate(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each name in folded text that is not ASCII. Linear: what follows a phrase is bounded."""
    if not _ANY_LETTER.search(text):
        return
    for finder in _FINDERS:
        for match in finder.phrases.finditer(text):
            before = text[match.start() - 1 : match.start()]
            if before and finder.words.match(before):
                continue
            run = finder.words.match(text, match.end())
            words = run.group().split(" ") if run else []
            count = _count(finder.script, words, is_title=match.group(1) in finder.script.titles)
            if count:
                yield match.end(), match.end() + len(" ".join(words[:count]))


def _ends_clause(script: _Script, words: list[str], at: int) -> bool:
    """Whether word `at` is the family name: in Hindi, where a postposition follows it."""
    return not script.article and at + 1 < len(words) and words[at + 1] in script.ends


def _count(script: _Script, words: list[str], *, is_title: bool) -> int:
    """How many of `words` are a name."""
    most = _AFTER_TITLE if is_title else _AFTER_NAME
    count = taken = 0
    while count < len(words):
        word = words[count]
        has_article = bool(script.article) and word.startswith(script.article) and len(word) > len(script.article) + 1
        if word in script.ends or (not taken and has_article):
            break
        if taken and script.conjunction and word.startswith(script.conjunction):
            break
        if word in script.particles:
            if count + 1 == len(words) or words[count + 1] in script.ends:
                break
            count += 2
            taken += not taken
            continue
        if (
            taken >= most
            and not has_article
            and not (is_title and taken == most and _ends_clause(script, words, count))
        ):
            break
        count += 1
        taken += 1
    return count
