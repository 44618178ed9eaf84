"""The compiled kernels for words, codes and shapes, and the Python that they stand in for: the same finds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.privacy import caseless_names, name_words, names, shapes
from stream_maas.privacy.codes import CodeFinder
from stream_maas.privacy.cues import CueIndex
from stream_maas.privacy.fold import fold
from stream_maas.privacy.recognizers import PACKS, rows_for
from stream_maas.privacy.rows import Code, Located, Shaped, whole
from tests.unit.privacy.texts import canaries, texts

pytestmark = pytest.mark.skipif(
    native.load("words") is None, reason="not compiled; test_native.py tells if it should be"
)

# Names ------------------------------------------------------------------------------------------------------------

written = st.sampled_from(
    [str, str.upper, str.lower, str.title, lambda word: f"{word}'s", lambda word: f"{word}\u2019s"]
)
listed = st.sampled_from(sorted(names._GIVEN | names._FAMILY | names.AMBIGUOUS | names.NOT_NAMES))
name_words_of_all_kinds = st.builds(
    lambda write, word: write(word),
    written,
    st.one_of(
        listed,
        listed,
        st.sampled_from(sorted(name_words.CUES | name_words.CUES_BEFORE_ANY_WORD)),
        st.sampled_from(sorted(name_words.PARTICLES | name_words.BEFORE_PLACES)),
        st.sampled_from((*name_words.EAST_PHRASES, *name_words.TITLES_BEHIND, *sorted(caseless_names.PHRASES))),
        st.sampled_from(
            ["J.", "X", "e", "O'Neil", "Jean-Luc", "王", "小明", "김", "أحمد", "अमित", "İrem", "ẞ", "ΑΣ", "Σ"]
        ),
    ),
)
gaps = st.sampled_from(
    [" ", " ", " ", " ", "  ", ", ", "-", ".", ". ", ": ", "\n", "/", "'", "\u2019", "\u2013", "", "_", "9"]
)
with_names = st.lists(st.tuples(name_words_of_all_kinds, gaps).map("".join), max_size=8).map("".join)


def assert_same_names(text: str) -> None:
    folded = fold(text).text
    assert list(names.locate(folded)) == list(names.locate_in_python(folded)), folded


@settings(max_examples=300)
@given(st.one_of(with_names, with_names, texts))
@example(" " * 31 + "\nMr" + " " * 31 + "Xyz")
@example("my name is" + " :" * 16 + "Xyz")
@example("a:m. Bc")
def test_the_filter_lets_every_name_through(text: str) -> None:
    assert_same_names(text)


def test_the_filter_lets_every_name_of_labelled_texts_through(
    labelled: Callable[[str], list[dict[str, Any]]],
) -> None:
    for line in (*labelled("corpus_dev"), *labelled("presidio_cases")):
        assert_same_names(line["text"])


def test_every_listed_name_is_let_through() -> None:
    """Where the lists and the filter's tables part, names would be missed without a word."""
    for given_name in sorted(names._GIVEN):
        assert_same_names(f"{given_name} {given_name} x")
    for phrase in sorted(name_words.CUES):
        assert_same_names(f"so {phrase} Xyz")


# Codes ------------------------------------------------------------------------------------------------------------


@cache
def code_finders() -> list[tuple[CodeFinder, CodeFinder]]:
    """For the usual rows and for all that can be turned on: compiled, and not."""

    def finder(packs: frozenset[str], kernel: ModuleType | None) -> CodeFinder:
        cues = CueIndex()
        finder = CodeFinder([row for row in rows_for(packs) if isinstance(row, Code)], cues, kernel)
        cues.close()
        return finder

    kernel = native.load("pictures")
    return [(finder(packs, kernel), finder(packs, None)) for packs in (frozenset[str](), frozenset(PACKS))]


pieces = st.one_of(
    st.sampled_from(
        ["A", "Z", "AB", "DE", "ES", "k", "0", "12", "999", "12345678", "Z", " ", " ", "-", ".", "+", "(", ")"]
    ),
    st.sampled_from(["é", "٣", "号", "_", "/", "\n", "\U0001f600"]),
)
pictured = st.sampled_from(sorted(code_finders()[1][1]._rules)) if native.load("pictures") else st.nothing()
with_codes = st.lists(st.one_of(pieces, pieces, pictured), max_size=10).map("".join)
hints = st.sampled_from([None, None, "PASSPORT", "VAT", "PLATE"])


@cache
def pictures() -> tuple[list[str], Callable[[str], list[tuple[int, int, int]]]]:
    kernel = native.load("pictures")
    assert kernel is not None
    written = list(code_finders()[1][1]._rules)
    return written, kernel.Pictures(written).find


def assert_same_codes(text: str, hint: str | None) -> None:
    folded = fold(text).text
    written, find = pictures()
    stretches = {(start, end, written[number]) for start, end, number in find(folded)}
    assert stretches == set(code_finders()[1][1]._stretches(folded)), folded
    for compiled, reference in code_finders():
        assert sorted(compiled.find(folded, hint, {})) == sorted(reference.find(folded, hint, {})), folded


@settings(max_examples=150)
@given(st.one_of(with_codes, with_codes, texts), hints)
def test_the_same_codes_are_found(text: str, hint: str | None) -> None:
    assert_same_codes(text, hint)


def test_the_same_codes_are_found_in_labelled_texts(labelled: Callable[[str], list[dict[str, Any]]]) -> None:
    for line in (*labelled("corpus_dev"), *labelled("presidio_cases"), *labelled("identifiers")):
        assert_same_codes(str(line.get("text") or line.get("value")), None)


def test_tables_of_pictures_are_checked() -> None:
    kernel = native.load("pictures")
    assert kernel is not None
    assert kernel.Pictures([]).find("A1") == []
    for wrong in (["A"], ["é9"], ["9" * 65_536]):
        with pytest.raises(ValueError, match=r".+"):
            kernel.Pictures(wrong)
    with pytest.raises(ValueError, match="without rules"):
        kernel.Codes(["A9"], [], CueIndex(), None, None)


# Shapes -----------------------------------------------------------------------------------------------------------


@cache
def shaped_finders() -> list[tuple[Shaped | Located, shapes.Finder, shapes.Finder]]:
    """Of every row that can be turned on: compiled, and not."""
    cues = CueIndex()
    kernel = native.load("shapes")
    found = [
        (row, shapes.finder(row, cues, kernel), shapes.finder(row, cues, None))
        for packs in (frozenset[str](), frozenset(PACKS))
        for row in rows_for(packs)
        if isinstance(row, Shaped | Located)
    ]
    cues.close()
    return found


glue = st.sampled_from(
    ["", " ", "\n", "x", "7", "é", "_", "[", "my name is ", "born on ", "BIC ", "IBAN ", "号", "Mr "]
)
shapely = st.lists(st.one_of(canaries, glue, glue), max_size=7).map("".join)


def assert_same_shapes(text: str, hint: str | None) -> None:
    folded = fold(text).text
    for row, compiled, reference in shaped_finders():
        assert list(compiled(folded, hint, {})) == list(reference(folded, hint, {})), (row.name, folded)


@settings(max_examples=150)
@given(st.one_of(shapely, shapely, texts), st.sampled_from([None, None, "DATE_OF_BIRTH", "BIC"]))
@example("DE89370400440532013000DE89370400440532013000 and xDE89370400440532013000", None)
@example("BIC COBADEFF\U0001f600COBADEFF", None)
@example("1.2.1990 1.2.1990", "DATE_OF_BIRTH")
@example("2.3 4.5 6.7", None)
def test_the_same_shapes_are_found(text: str, hint: str | None) -> None:
    assert_same_shapes(text, hint)


def test_the_same_shapes_are_found_in_labelled_texts(labelled: Callable[[str], list[dict[str, Any]]]) -> None:
    for line in (*labelled("corpus_dev")[::3], *labelled("presidio_cases")):
        assert_same_shapes(line["text"], None)


def test_characters_beyond_the_table_are_refused() -> None:
    kernel = native.load("shapes")
    assert kernel is not None
    search = re.compile("x")
    with pytest.raises(ValueError, match="more characters"):
        kernel.Shaped("\U0001f600", search.search, search.match, None, None, CueIndex(), whole, ("X", "x", 1), tuple)
