"""The fold: what it makes of every kind of character, and that offsets lead back."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.privacy.fold import CONTROLS, fold, fold_in_python

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1)]
DECIMALS = [character for character in EVERY_CHARACTER if unicodedata.category(character) == "Nd"]
INVISIBLE = [
    character
    for character in EVERY_CHARACTER
    if unicodedata.category(character) in ("Mn", "Me", "Cf") and character < "\U000e0000"
]


def origin(text: str, at: int) -> int:
    origins = fold(text).origins
    return at if origins is None else origins[at]


def test_every_decimal_digit_of_every_script_folds_to_ascii() -> None:
    folded = fold("".join(DECIMALS))
    assert folded.text == "".join(str(unicodedata.decimal(digit)) for digit in DECIMALS)
    assert folded.origins is None


def test_every_format_character_and_combining_mark_is_invisible() -> None:
    assert [mark for mark in INVISIBLE if fold(f"4{mark}1").text != "41"] == []


@pytest.mark.parametrize(
    ("character", "ascii_"),
    [("－", "-"), ("\u2011", "-"), ("\u2013", "-"), ("\u2212", "-"), ("\u00a0", " "), ("\u3000", " "), ("\u202f", " "),
     ("．", "."), ("。", "."), ("＠", "@"), ("﹫", "@"), ("（", "("), ("𝐀", "A"), ("𝟗", "9"), ("①", "1"), ("²", "2")],
)  # fmt: skip
def test_lookalikes_fold(character: str, ascii_: str) -> None:
    assert fold(f"a{character}b") == (f"a{ascii_}b", None)


@pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\ufeff", "\u2060", "\U000e0041", "\u0301", "\ufe0f", "\u3164"])
def test_what_cannot_be_seen_is_left_out_with_its_origin(hidden: str) -> None:
    assert fold(f"a{hidden}b{hidden}") == ("ab", [0, 2, 4])


def test_controls_are_invisible_in_ascii_text_too() -> None:
    assert [code for code in CONTROLS if fold(f"4{chr(code)}1").text != "41"] == []
    assert fold("4\t1\r\n1").text == "4\t1\r\n1"


def test_a_lone_surrogate_has_a_form_in_utf_8_afterwards() -> None:
    assert fold("a\ud800b").text.encode() == "a\ufffdb".encode()


@given(st.text("ab12 -é中\u200b\u0301１\U0001f600\ud800", max_size=40))
def test_origins_lead_back(text: str) -> None:
    folded = fold(text)
    offsets = [origin(text, at) for at in range(len(folded.text) + 1)]
    assert offsets[-1] == len(text)
    assert offsets == sorted(set(offsets))
    for at, character in enumerate(folded.text):
        assert fold(text[offsets[at]]).text == character
    kept = set(offsets)
    assert all(fold(text[at]).text == "" for at in range(len(text)) if at not in kept)


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    once = fold(text).text
    assert fold(once).text == once


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), max_size=40))
def test_printable_ascii_is_returned_as_the_same_object(text: str) -> None:
    assert fold(text).text is text


def test_the_kernel_lets_nothing_pass_that_folds() -> None:
    """Where the kernel is turned off, both sides are the same, and so is this for CI's run without kernels."""
    texts = [f"a{character}b" for character in EVERY_CHARACTER]
    assert [text for text in texts if fold(text) != fold_in_python(text)] == []


@given(st.text())
def test_the_kernel_and_python_fold_alike(text: str) -> None:
    assert fold(text) == fold_in_python(text)
