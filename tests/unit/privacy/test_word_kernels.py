"""The compiled kernels for words and codes, and the Python that they stand in for or in front of: the same finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.privacy import caseless_names, name_words, names
from stream_maas.privacy.fold import fold
from tests.unit.privacy.texts import texts

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


@settings(max_examples=600)
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
