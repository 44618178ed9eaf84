"""When one look at a text is enough: a second one would not have brought up anything."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.privacy import detect
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.fold import fold
from stream_maas.privacy.recognizers import RECOGNIZERS
from stream_maas.privacy.spans import Known
from tests.unit.privacy.texts import canaries, fragments, texts

DETECTOR = Detector(RECOGNIZERS, "re2")
WORDS = (
    "Ana",
    "Dear",
    "Will",
    "San",
    "passport",
    "born on",
    "SSN",
    "phone",
    "BSN",
    "and",
    "or",
    "to",
    "12",
    "1.2.1990",
)
spaced = st.lists(st.one_of(canaries, canaries, fragments, st.sampled_from(WORDS)), max_size=8).map(" ".join)


@settings(max_examples=300)
@given(st.one_of(spaced, texts))
@example("phone 467 3395 or 467 3396")
@example("SSN 078-05-1120, 123456789")
@example("4111 1111 1111 1111 and 4111111111111111 4111")
def test_nothing_is_found_in_what_a_search_has_left(text: str) -> None:
    known: Known = {}
    try:
        _, rest = DETECTOR.search(fold(text), None, known)
    except RuntimeError:  # refused
        return
    assert DETECTOR.find(rest, known=known) == []


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("pay 4111 1111 1111 1111 today", 1),
        ("mail ada@example.org, thanks", 1),
        ("nothing here", 1),
        ("phone 467 3395 or 467 3396", 2),  # a find announces the next item
        ("4111 1111 1111 1111 12 345 678", 2),  # a run of digits is left
        ("(4111 1111 1111 1111)", 2),  # the mask touches something
        ("Ana Silva 4111 1111 1111 1111", 2),  # a name
    ],
)
@pytest.mark.parametrize("kernel", [None, native.load("searching")], ids=["python", "kernel"])
def test_most_texts_are_looked_at_once(
    text: str, looks: int, kernel: ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    look = DETECTOR._gate
    monkeypatch.setattr(detect, "compile_gate", lambda *_: lambda folded: taken.append(folded) or look(folded))
    Detector(RECOGNIZERS, "re2", kernel).find(text)
    assert len(taken) == looks
