"""The compiled kernels and the Python that they stand in for: the same answers, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.privacy import checksums, looks
from stream_maas.privacy.canaries import CANARIES, DISGUISES
from stream_maas.privacy.cues import CueIndex
from stream_maas.privacy.fold import fold
from stream_maas.privacy.numbers import NumberFinder
from stream_maas.privacy.recognizers import PACKS, rows_for
from stream_maas.privacy.rows import Number
from stream_maas.privacy.spans import Known, Span
from stream_maas.privacy.transform import cut
from tests.unit.privacy.texts import texts

pytestmark = pytest.mark.skipif(native.IS_OFF, reason="there is only one side to compare")

gaps = st.sampled_from(
    [" ", " ", "-", ".", "/", "(", ")", ") ", " (", " - ", "_", "  ", ")-", " -- ", "x", "X", "$", ""]
)
laid_out = st.lists(
    st.builds(lambda digits, gap: digits + gap, st.text("0123456789", max_size=18), gaps), min_size=1, max_size=12
).map("".join)
"""Runs of digits with everything that may stand between their groups."""
soup = st.text("0123456789 -./()_xXa$€٣", max_size=80)
hints = st.sampled_from([None, None, "PHONE", "SSN", "CARD", "BANK_ACCOUNT"])
known_numbers = st.sampled_from([{}, {}, {}, {"4673395": "PHONE", "78051120": "SSN"}])


@cache
def number_finders() -> list[tuple[NumberFinder, NumberFinder]]:
    """For the usual rows and for all that can be turned on: compiled, and not."""

    def finder(packs: frozenset[str], kernel: ModuleType | None) -> NumberFinder:
        cues = CueIndex(None)
        finder = NumberFinder([row for row in rows_for(packs) if isinstance(row, Number)], cues, kernel)
        cues.close()
        return finder

    kernel = native.load("numbers")
    assert kernel
    return [(finder(packs, kernel), finder(packs, None)) for packs in (frozenset[str](), frozenset(PACKS))]


def assert_same_numbers(text: str, hint: str | None, known: Known) -> None:
    folded = fold(text).text
    for compiled, reference in number_finders():
        assert compiled.find(folded, hint, known) == reference.find(folded, hint, known), folded


@settings(max_examples=400)
@given(st.one_of(laid_out, soup, texts), hints, known_numbers)
@example("(11) 98765-4321 or (11) 98765-4322", None, {})
@example("11010519491231002X", None, {})
@example("id 110105-19491231-002X) 467-3395 is my cell phone", None, {})
@example("12345678-1234-1234-1234-123456789012", None, {})
@example("3.4111111111111111 4111-1111-1111-1111-1111", "CARD", {})
@example("phone 467 3395 (467) 3396, 467 3397", None, {"4673395": "PHONE"})
@example("1" * 300 + " 4111 1111 1111 1111", None, {})
def test_numbers_of_any_layout(text: str, hint: str | None, known: Known) -> None:
    assert_same_numbers(text, hint, known)


@cache
def cue_index() -> CueIndex:
    """With the words of every row that numbers have."""
    cues = CueIndex()
    NumberFinder([row for row in rows_for(frozenset()) if isinstance(row, Number)], cues)
    cues.close()
    assert cues.before != cues.before_in_python
    return cues


CUES = sorted({cue for row in rows_for(frozenset()) if isinstance(row, Number) for cue in row.cues})
cue_words = st.sampled_from(sorted({*CUES, *(word for cue in CUES for word in cue.split())}))
other_words = st.sampled_from(["s", "the", "[PHONE]", "[SSN]", "x", "é", "电话", "İ"])
between = st.sampled_from([" ", " ", ": ", "# ", ", ", ". ", "; ", "-", "_", "", "s ", "s: ", "\n", "@", " or ", "..."])
announcements = st.lists(
    st.builds(lambda word, gap: word + gap, st.one_of(cue_words, cue_words.map(str.upper), other_words), between),
    max_size=8,
).map("".join)


@settings(max_examples=400)
@given(st.one_of(announcements, texts), st.integers(0, 3))
@example("my sss no: ", 0)
@example("call. It was a phone, then an account", 0)
@example("[PHONE], [SSN] or ", 0)
@example("tel" + " " * 70, 0)
def test_words_before_any_place(text: str, back: int) -> None:
    folded = fold(text).text
    cues = cue_index()
    for start in {len(folded), max(0, len(folded) - back), len(folded) // 2}:
        assert cues.before(folded, start) == cues.before_in_python(folded, start)


def test_words_before_every_place_of_labelled_texts(labelled: Callable[[str], list[dict[str, Any]]]) -> None:
    cues = cue_index()
    for line in labelled("corpus_dev")[::20]:
        folded = fold(line["text"]).text
        for start in range(len(folded)):
            assert cues.before(folded, start) == cues.before_in_python(folded, start)


def test_numbers_of_all_labelled_texts(labelled: Callable[[str], list[dict[str, Any]]]) -> None:
    lines = [line for name in ("corpus_dev", "presidio_cases", "identifiers") for line in labelled(name)]
    for value in {value for line in lines for value in line.values() if isinstance(value, str)}:
        assert_same_numbers(value, None, {})


def test_numbers_of_every_type_in_every_disguise() -> None:
    for value in (value for values in CANARIES.values() for value in values):
        for disguise in DISGUISES.values():
            assert_same_numbers(f"phone {disguise(value)}, {value}", None, {})


def test_a_layout_that_no_table_has_room_for_is_refused() -> None:
    row = Number(name="wide", entity_type="WIDE", pack="core", score=1, layouts=("11-10",))
    with pytest.raises(ValueError, match="more than 20 digits"):
        NumberFinder([row], CueIndex())


@st.composite
def finds(draw: st.DrawFn) -> tuple[str, list[Span], list[Span]]:
    """A text, finds in it, and those of them that stand."""
    joints = st.sampled_from([" ", " ", ", ", ". ", " and ", ",ou ", "; ", "(", "\n", " или1", "", ",  oder @", " - "])
    words = st.sampled_from(
        ["pay", "Ana", "4111111111111111", "Silva", "a@b.org", "12-34 56", "DE89", "[IP]", "é", "1"]
    )
    pieces = draw(st.lists(st.tuples(words, joints), max_size=8))
    starts, at = [], 0
    for word, joint in pieces:
        starts.append(at)
        at += len(word) + len(joint)
    every = [Span(start, start + len(word), "T", "r", 1) for start, (word, _) in zip(starts, pieces, strict=True)]
    candidates = [span for span in every if draw(st.booleans())]
    spans = [span for span in candidates if draw(st.integers(0, 4))]
    return "".join(word + joint for word, joint in pieces), candidates, spans


@settings(max_examples=400)
@given(finds())
def test_what_a_second_look_could_bring_up(found: tuple[str, list[Span], list[Span]]) -> None:
    text, candidates, spans = found
    assert looks.left != looks.left_in_python
    rest = cut(text, spans)
    assert looks.left(text, candidates, spans, rest) is looks.left_in_python(text, candidates, spans, rest)


@settings(max_examples=200)
@given(st.one_of(laid_out, soup, texts))
def test_what_is_left_in_any_text(text: str) -> None:
    folded = fold(text).text
    assert looks.left("", [], [], folded) is looks.left_in_python("", [], [], folded)
    for end in range(1, len(folded) + 1, 3):
        span = [Span(max(0, end - 5), end, "T", "r", 1)]
        assert looks.left(folded, span, span, "") is looks.left_in_python(folded, span, span, "")


@given(st.text("0123456789", max_size=24), st.lists(st.integers(-10, 20), max_size=24))
def test_check_digits(digits: str, weights: list[int]) -> None:
    assert checksums.weighted is not checksums.weighted_in_python
    assert checksums.luhn(digits) is checksums.luhn_in_python(digits)
    assert checksums.weighted(digits, weights) == checksums.weighted_in_python(digits, weights)


@given(st.text("0123456789", min_size=9, max_size=9), st.sampled_from(["", "1", "1a", "123"]))
@example("111111111", "11")
def test_pairs_of_check_digits(number: str, other: str) -> None:
    for digits in (*(f"{number}{pair:02}" for pair in range(100)), number + other):
        assert checksums.cpf(digits) is checksums.cpf_in_python(digits)


@given(st.text("0123456789XK", max_size=12))
def test_check_digits_with_letters(characters: str) -> None:
    assert checksums.luhn(characters) is checksums.luhn_in_python(characters)
    assert checksums.weighted(characters, range(12)) == checksums.weighted_in_python(characters, range(12))


@given(st.integers(-1, 2101), st.integers(-1, 14), st.integers(-1, 33))
@example(1900, 2, 29)
@example(2000, 2, 29)
@example(0, 2, 29)
def test_days_of_the_calendar(year: int, month: int, day: int) -> None:
    assert checksums.is_date is not checksums.is_date_in_python
    assert checksums.is_date(year, month, day) is checksums.is_date_in_python(year, month, day)
    assert checksums.is_short_date(year, month, day) is checksums.is_short_date_in_python(year, month, day)
