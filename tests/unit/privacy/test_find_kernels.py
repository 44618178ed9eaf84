"""The compiled search and the compiled writing of what stands for finds, and their Python: the same, find by find."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.privacy import canonical, operators, redactor, settled
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.fold import fold
from stream_maas.privacy.gate import choose
from stream_maas.privacy.keys import PseudonymKey
from stream_maas.privacy.plan import compile_plan
from stream_maas.privacy.policy import Policy
from stream_maas.privacy.recognizers import PACKS, rows_for
from stream_maas.privacy.spans import Known, Span, resolve
from stream_maas.privacy.treatment import Treatment
from tests.unit.privacy.texts import canaries, texts

pytestmark = pytest.mark.skipif(
    native.load("searching") is None or native.load("writing") is None,
    reason="not compiled; test_native.py tells if it should be",
)

WORDS = ("Ana", "passport", "born on", "SSN", "phone", "and", "or", "x12", "1.2.1990", "[EMAIL]", "[X", "]", "12", "0")
spaced = st.lists(st.one_of(canaries, canaries, st.sampled_from(WORDS)), max_size=7).flatmap(
    lambda parts: st.sampled_from([" ", " ", ", ", "", "] "]).map(lambda gap: gap.join(parts))
)
hints = st.sampled_from([None, None, None, "PHONE", "SSN", "PERSON", "DATE_OF_BIRTH"])
known_numbers = st.sampled_from([{}, {}, {"4673395": "PHONE", "78051120": "SSN"}, {"4111111111111111": "CARD"}])
KEY = PseudonymKey("k7", b"of no worth, but of some length.")


# Searching --------------------------------------------------------------------------------------------------------


@cache
def detectors() -> list[tuple[Detector, Detector]]:
    """For the usual rows and for all that can be turned on: compiled, and not."""
    rows, engine = [rows_for(packs) for packs in (frozenset[str](), frozenset(PACKS))], choose("auto")
    return [(Detector(some, engine), Detector(some, engine, kernel=None)) for some in rows]


def outcome(detector: Detector, text: str, hint: str | None, known: Known) -> object:
    """What a search brings up and learns."""
    learned = dict(known)
    try:
        return detector.search(fold(text), hint, learned), list(learned.items())
    except RuntimeError as refusal:
        return str(refusal)


def assert_same_finds(text: str, hint: str | None, known: Known) -> None:
    for compiled, reference in detectors():
        assert compiled.search != compiled.search_in_python
        assert outcome(compiled, text, hint, known) == outcome(reference, text, hint, known), text


@settings(max_examples=300)
@given(st.one_of(spaced, spaced, texts), hints, known_numbers)
@example("phone 467 3395 or 467 3396", None, {})
@example("0467-3395 [PHONE]467 3395] phone 0467 3395", "PHONE", {"4673395": "PHONE"})
@example("a\u200bda@example.org, 4111\u00ad1111 1111 1111", None, {})
@example("VAT DE136695976 136695976", None, {"136695976": "VAT"})
@example("12 3456 7890 " * 40, None, {})
def test_the_same_finds(text: str, hint: str | None, known: Known) -> None:
    assert_same_finds(text, hint, known)


def test_the_same_finds_in_labelled_texts(labelled: Callable[[str], list[dict[str, Any]]]) -> None:
    for line in (*labelled("corpus_dev"), *labelled("presidio_cases")):
        assert_same_finds(line["text"], None, {})


few_spans = st.lists(
    st.builds(
        lambda start, size, name, score: Span(start, start + size, "X", name, score),
        st.integers(0, 12),
        st.integers(1, 6),
        st.sampled_from("abc"),
        st.sampled_from([1, 50, 99]),
    ),
    max_size=20,
)


@given(few_spans)
@example([Span(4, 8, "X", "b", 50), Span(4, 8, "X", "a", 50), Span(0, 4, "X", "c", 1), Span(7, 12, "X", "a", 50)])
def test_the_same_finds_stand(candidates: list[Span]) -> None:
    kernel = native.load("searching")
    assert kernel is not None
    looks, seldom = (lambda *_: None, None, None), (None, None, resolve, None, None, lambda found, _: found)
    rows = frozenset(), "", ""
    search = kernel.Search(lambda _: [0], [lambda *_: list(candidates)], [], [1], rows, looks, seldom, str, (1, 7))
    assert search.search(fold("a text of twenty characters"), None, {})[0] == resolve(candidates)


def test_what_is_no_find_is_refused() -> None:
    kernel = native.load("searching")
    assert kernel is not None

    def search(finds: Any, indices: list[int]) -> object:
        limits = frozenset(), "", ""
        looks, seldom = (lambda *_: None, None, None), (None,) * 6
        made = kernel.Search(lambda _: indices, [lambda *_: finds], [], [1], limits, looks, seldom, str, (1, 7))
        return made.search(fold("a text"), None, {})

    assert search([], [0]) == ([], "a text")
    assert search([Span(2, 6, "X", "x", 1)], [0]) == ([Span(2, 6, "X", "x", 1)], "a X")
    for finds, indices, error in (([7], [0], TypeError), ([(1, 2)], [0], TypeError), ([], [1], IndexError)):
        with pytest.raises(error):
            search(finds, indices)


# Writing ----------------------------------------------------------------------------------------------------------

DOCUMENTS = (
    "{name: a, version: 1}",
    "{name: b, version: 1, rules: [{do: {operator: pseudonym}}]}",
    "{name: c, version: 1, mode: shadow, rules: [{do: {operator: keep}}]}",
    """{name: d, version: 1, rules: [
        {for: [EMAIL], do: {operator: keep}},
        {for: [PHONE], shadow: true, do: {operator: remove}},
        {for: [CARD], do: {operator: mask, keep_last: 4}},
        {for: [IP, DATE_OF_BIRTH], do: {operator: generalise}},
        {for: [PERSON], do: {operator: remove}},
        {do: {operator: replace, numbered: true}}]}""",
)


@cache
def plans() -> list[Any]:
    return [compile_plan(Policy.parse(document), None) for document in DOCUMENTS]


@cache
def engine() -> Any:
    return redactor.make_engine(choose("auto"), frozenset(), frozenset())


def treated(plan: Any, text: str, spans: list[Span], hint: str | None, *, compiled: bool) -> dict[str, Any]:
    """All that a treatment knows when it is over."""
    treatment = Treatment(plan, engine(), lambda: KEY)
    write = treatment._written if compiled else treatment.written_in_python
    written = write(text, spans, hint)
    names = ("counts", "operators", "places", "shadow", "kept", "folded", "unsettled", "values", "known")
    return {"written": written, "same": written is text, **{name: getattr(treatment, name) for name in names}}


def assert_same_writing(text: str, hint: str | None) -> None:
    try:
        spans = engine().detector.find(text, hint=hint)
    except RuntimeError:  # refused
        return
    for plan in plans():
        by_kernel = treated(plan, text, spans, hint, compiled=True)
        assert by_kernel == treated(plan, text, spans, hint, compiled=False), text


@settings(max_examples=150)
@given(st.one_of(spaced, spaced, texts), hints)
@example("ada@example.org or ada\uff20example.org, [EMAIL_1] 10.0.0.0/24, 10.1.2.3, card 4111 1111 1111 1111", None)
@example("my name is Ana Silva, born on 1.2.1990, phone (415) 555-0132", None)
def test_the_same_is_written(text: str, hint: str | None) -> None:
    assert_same_writing(text, hint)


def settled_as_treated(plan: Any, text: str, spans: list[Span]) -> bool:
    """Whether the plan leaves nothing to a treatment. If so, the same must be written."""
    written = settled.writer(plan, engine(), lambda tenant: KEY)(text, spans, None)
    if written is None:
        return False
    known = treated(plan, text, spans, None, compiled=False)
    value, counts, by_operator, folded = written
    assert (value, counts, by_operator, folded) == tuple(
        known[name] for name in ("written", "counts", "operators", "folded")
    ), text
    assert known["places"] == {"text": counts}
    assert not any(known[name] for name in ("unsettled", "kept", "shadow", "values", "known"))
    return True


@settings(max_examples=150)
@given(st.one_of(spaced, spaced, texts))
@example("ada@example.org or ada\uff20example.org, [EMAIL_1] 10.0.0.0/24, 10.1.2.3, card 4111 1111 1111 1111")
@example("[EMAIL] and [CARD_2]")
def test_what_is_settled_at_once_is_what_a_treatment_writes(text: str) -> None:
    try:
        spans = engine().detector.find(text)
    except RuntimeError:  # refused
        return
    for plan in plans():
        settled_as_treated(plan, text, spans)


def test_a_text_that_teaches_nothing_is_settled_at_once() -> None:
    for text, plans_that_settle in (
        ("write to ada@example.org, card 4111 1111 1111 1111", 2),  # replaced, or a pseudonym
        ("write to ada@example.org from 10.1.2.3", 2),
        ("my name is Ana Silva", 0),  # personal wherever else it stands
        ("nothing at all", 0),
    ):
        spans = engine().detector.find(text)
        assert sum(settled_as_treated(plan, text, spans) for plan in plans()) == plans_that_settle, text


def test_the_same_is_written_in_labelled_texts(labelled: Callable[[str], list[dict[str, Any]]]) -> None:
    for line in labelled("corpus_dev"):
        assert_same_writing(line["text"], None)


@pytest.mark.parametrize("at", [(0, 0), (3, 2), (-1, 2), (0, 99)])
def test_a_find_outside_of_its_text_is_refused(at: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        treated(plans()[0], "a text", [Span(*at, "EMAIL", "email", 100)], None, compiled=True)
    with pytest.raises(ValueError, match="outside"):
        settled.writer(plans()[0], engine(), lambda tenant: KEY)("a text", [Span(*at, "EMAIL", "email", 100)], None)


@given(st.sampled_from(["EMAIL", "PHONE", "CPF", "X", ""]), st.text(st.characters(), max_size=80))
@example("PERSON", "\ud800")
@example("CPF", "123.456.789-09")
@example("CPF", "\uff11\uff12\uff13")
def test_pseudonyms_are_made_alike(entity_type: str, value: str) -> None:
    compiled, reference = operators.Writing(lambda: KEY), operators.Writing(lambda: KEY)
    for code in ("", "49"):
        made = operators.Pseudonym().write(entity_type, value, compiled, code)
        assert made == operators.pseudonym_in_python(entity_type, value, reference, code)
    assert compiled.key is reference.key is KEY


def test_pseudonyms_need_sixteen_letters() -> None:
    kernel = native.load("writing")
    assert kernel is not None
    for letters, chars in (("abc", 24), ("bcdfghjklmnpqrst", 0), ("bcdfghjklmnpqrst", 66)):
        with pytest.raises(ValueError, match="sixteen"):
            kernel.Pseudonyms(letters, chars, {}, canonical.canonical)
    short = operators.Writing(type("Short", (), {"kid": "k", "mac": lambda *_: b"ab"}))
    with pytest.raises(IndexError):
        kernel.Pseudonyms("bcdfghjklmnpqrst", 24, {}, canonical.canonical).write("X", "", short)


@given(st.text(st.one_of(st.characters(max_codepoint=0x7F), st.characters()), max_size=40))
@example("\x7f")
@example("Ab-1 \n")
def test_codes_have_one_canonical_form(value: str) -> None:
    compiled = canonical._COMPILED_CODE
    assert compiled is not None
    if value.isascii() and value.isprintable():
        assert compiled(value) == canonical._code(value)
    else:
        assert compiled(value) is None
