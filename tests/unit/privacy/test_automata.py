"""Automata accept whatever their patterns match: compared with `re`, which reads the same patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.privacy import automata
from stream_maas.privacy.automata import Automaton
from stream_maas.privacy.patterns import read

CHARACTERS = "abAZ09 .-@[号é\ud800\U0001f600"
ATOMS = st.one_of(
    st.sampled_from(CHARACTERS[:-2]).map(re.escape),
    st.sampled_from(("[ab]", "[^a0]", "[A-Z]", "[a-z]", "[0-9]", "[0-9A-Za-z]", r"[.\-\]]", "[^0-9A-Za-z]", "[号é]")),
)
COUNTS = st.sampled_from(("", "", "", "?", "*", "+", "{2}", "{1,3}", "{2,}", "{0,2}?"))


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    piece = st.tuples(st.one_of(ATOMS, inner.map("(?:{})".format)), COUNTS).map("".join)
    sequence = st.lists(piece, min_size=1, max_size=4).map("".join)
    return st.lists(sequence, min_size=1, max_size=3).map("|".join)


PATTERNS = st.recursive(ATOMS, _grown, max_leaves=8).filter(lambda pattern: not re.search(pattern, ""))
TEXTS = st.text(CHARACTERS, max_size=24)
LONG_ATOMS = 4


@settings(max_examples=150)
@given(st.lists(PATTERNS, min_size=1, max_size=3), TEXTS)
@example(["(?:^|[^a])b(?:[^b]|$)"], "ab b")
def test_whatever_matches_is_accepted(patterns: list[str], text: str) -> None:
    shown = text.replace("\ud800", "?")
    matches = any(re.search(pattern, shown) for pattern in patterns)
    assert Automaton(patterns).accepts(text) or not matches


@settings(max_examples=100)
@given(st.lists(st.lists(ATOMS, min_size=1, max_size=LONG_ATOMS).map("".join), min_size=1, max_size=3), TEXTS)
def test_short_patterns_are_read_as_they_are(patterns: list[str], text: str) -> None:
    shown = text.replace("\ud800", "?")
    assert Automaton(patterns).accepts(text) == any(re.search(pattern, shown) for pattern in patterns)


@pytest.mark.parametrize(("pattern", "text"), [("(?:^|[^a])b", "ab"), ("^b", "ab"), ("b$", "ba"), ("a[^b]?$", "abb")])
def test_beginning_and_end_are_read(pattern: str, text: str) -> None:
    assert not Automaton([pattern]).accepts(text)
    assert Automaton([pattern]).accepts(text[1:] if re.search(pattern, text[1:]) else text[:1])


@pytest.mark.parametrize("pattern", [r"\d", "(?=a)", "a(", "a)", "[a", "a{2", "a{3,2}", "[b-a]", ".", "a**", "\\"])
def test_what_is_not_in_the_subset_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(pattern)


@pytest.mark.parametrize("pattern", ["a?", "a*|b", "", "[\U0001f600-\U0001f64f]"])
def test_what_no_automaton_can_tell_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Automaton([pattern])


def test_states_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many, everything is accepted: the engine is asked then."""
    monkeypatch.setattr(automata, "_MOST_STATES", 4)
    automaton = Automaton(["abcd", "bcda"])
    assert automaton.accepts("xxabcdxx")
    assert automaton.accepts("xabcxbcdx")
    assert not automaton.accepts("xx")


# The kernel -------------------------------------------------------------------------------------------------------

scanning = native.load("scanning")
needs_kernel = pytest.mark.skipif(scanning is None, reason="not compiled; test_native.py tells whether it should be")


@needs_kernel
@settings(max_examples=60)
@given(st.lists(st.lists(PATTERNS, min_size=1, max_size=2), min_size=1, max_size=8), st.lists(TEXTS, max_size=4))
def test_the_kernel_walks_as_python_does(groups: list[list[str]], several: list[str]) -> None:
    assert scanning is not None
    group_automata = [Automaton(group) for group in groups]
    fewest_digits = [index % 3 for index in range(len(groups))]
    scanner = scanning.Scanner(group_automata, fewest_digits)
    for text in several:
        digits = sum(character in "0123456789" for character in text)
        expected = sum(
            1 << lane
            for lane, (automaton, fewest) in enumerate(zip(group_automata, fewest_digits, strict=True))
            if digits >= fewest and automaton.accepts(text)
        )
        assert scanner.accepted(text) == scanner.accepted(text) == expected


class _Broken:
    """An automaton that breaks its word."""

    alphabet = bytes(automata.INDICES)
    width = 1

    def __init__(self, row: list[int]) -> None:
        self._row = row

    def row(self, state: int) -> list[int]:
        return [0] if state == automata.ACCEPTING else self._row


@needs_kernel
@pytest.mark.parametrize("row", [[], [0, 0], [-1], [2**40], ["x"]])
def test_the_kernel_takes_nobodys_word_for_it(row: list[int]) -> None:
    assert scanning is not None
    with pytest.raises((ValueError, OverflowError, TypeError)):
        scanning.Scanner([_Broken(row)], [0])


@needs_kernel
def test_the_kernel_refuses_more_than_it_has_lanes_for() -> None:
    assert scanning is not None
    with pytest.raises(ValueError, match="lanes"):
        scanning.Scanner([Automaton(["a"])] * 9, [0] * 9)
    wide = Automaton(["a"])
    wide.alphabet = bytes(reversed(range(256))) + bytes(automata.INDICES - 256)
    with pytest.raises(ValueError, match="alphabet"):
        scanning.Scanner([wide], [0])
