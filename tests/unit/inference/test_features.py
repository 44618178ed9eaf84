"""Words and terms: the same as scikit-learn's, whatever the text and whoever stands beside it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from stream_maas import native
from stream_maas.inference.features import WordBag

TERMS = (
    "a", "and", "café", "foo", "foo bar", "bar", "bar foo", "not", "not good", "good", "ärger groß", "groß", "中文",
    "x_1", "good good", "i", "ſ", "42",
)  # fmt: skip
WORDS = [term for term in TERMS if " " not in term] + ["unknown", "FOO", "Café", "İ", "K", "[EMAIL]", "[x]", "ÄRGER"]
SEPARATORS = [" ", "  ", "\n", "-", ", ", "\u00a0", "\u2003", "\x1c", "\x00", "'", "\u0307", "[", "]"]
IN_PYTHON = WordBag(TERMS, kernel=None)
BAGS = [IN_PYTHON, *([WordBag(TERMS, kernel)] if (kernel := native.load("bags")) else [])]
both = pytest.mark.parametrize("bag", BAGS, ids=["python", "kernel"][: len(BAGS)])

mixed = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SEPARATORS)), max_size=30).map(
    lambda pairs: "".join(word + separator for word, separator in pairs)
)
texts = st.one_of(mixed, st.text(max_size=80), st.text(st.characters(codec="ascii"), max_size=80))


REFERENCE = TfidfVectorizer(
    preprocessor=lambda text: re.sub(r"\[[A-Z][A-Z0-9_]*\]", " ", text).lower(),
    token_pattern=r"\w+",
    ngram_range=(1, 2),
    binary=True,
    vocabulary=TERMS,
    use_idf=False,
    norm=None,
).fit([""])
"""scikit-learn, told the steps in its own words."""


def reference(text: str) -> set[str]:
    row = REFERENCE.transform([text]).tocoo()
    assert set(row.data) <= {1.0}
    return {TERMS[index] for index in row.coords[1]}


def found(bag: WordBag, text: str) -> list[str]:
    ids, offsets = bag.bags([bag.bag(text).terms])
    assert offsets.tolist() == [0, len(ids)]
    return [bag.terms[index] for index in ids]


@both
@given(texts)
@example("")
@example("not good good")
@example("İ K ſ GROSS Ärger Groß")
@example("foo [EMAIL] bar [PHONE_2]good [sic] [Email]")
@example("foo\x1cbar\x85bar\u2028foo")
def test_terms_are_scikit_learns(bag: WordBag, text: str) -> None:
    terms = found(bag, text)
    assert terms == sorted(reference(text), key=TERMS.index)


@both
@given(st.lists(texts, max_size=8))
def test_a_text_gets_its_terms_in_any_company(bag: WordBag, batch: list[str]) -> None:
    ids, offsets = bag.bags([bag.bag(text).terms for text in batch])
    assert (ids.dtype, offsets.dtype, len(offsets)) == ("int32", "int64", len(batch) + 1)
    for index, text in enumerate(batch):
        together = [TERMS[number] for number in ids[offsets[index] : offsets[index + 1]]]
        assert together == found(bag, text)


@both
@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_the_fast_way_for_ascii_is_the_slow_way(bag: WordBag, text: str) -> None:
    """A trailing non-ASCII separator, which is no word, sends the same words down the other path."""
    assert bag.bag(text) == bag.bag(text + "\u00a0")


@given(texts)
@example("foo " * 40_000 + "not good")
@example(" ".join(TERMS) * 50)
@example("\U0001d7d8 ١٢ 中文 foo\ud800bar \u0130 ß_1")
def test_the_kernel_finds_what_python_finds(text: str) -> None:
    for bag in BAGS:
        assert bag.bag(text) == IN_PYTHON.bag(text)


@given(st.lists(st.text(st.sampled_from("abcß中_1"), min_size=1, max_size=3), unique=True, max_size=300), st.data())
def test_any_vocabulary_is_searched_alike(words: list[str], data: st.DataObject) -> None:
    words = [word for word in words if word == word.lower()]
    pairs = [f"{first} {second}" for first, second in zip(words[::3], words[1::3], strict=False)]
    text = " ".join(data.draw(st.lists(st.sampled_from([*words, "zz"]), max_size=200)))
    expected = WordBag([*words[::2], *pairs], kernel=None).bag(text)
    assert WordBag([*words[::2], *pairs]).bag(text) == expected


@both
def test_words_are_counted_whether_they_are_known_or_not(bag: WordBag) -> None:
    assert bag.bag("foo quux [EMAIL] bar").words == 3
    assert bag.bag("quux") == (1, b"")


def test_a_vocabulary_without_pairs() -> None:
    for kernel in (None, native.load("bags")):
        assert found(WordBag(["b", "a"], kernel), "a b a") == ["b", "a"]


@pytest.mark.parametrize("bad", ["", "Upper", "a b c", "a  b", " a", "a-b", "[EMAIL]", "a"])
def test_what_is_no_term_is_refused_by_line(bad: str) -> None:
    with pytest.raises(ValueError, match="line 2: "):
        WordBag(["a", bad])
