"""What must hold for every text, whatever the table of recognizers says."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas.privacy import Redactor
from stream_maas.privacy.canaries import DISGUISES
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.fold import fold
from stream_maas.privacy.recognizers import RECOGNIZERS, Recognizer
from stream_maas.privacy.spans import Span, resolve
from stream_maas.privacy.transform import cut
from tests.unit.privacy.examples import EXAMPLES
from tests.unit.privacy.texts import VALUES, texts

RE2 = Detector(RECOGNIZERS, "re2")
REDACTOR = Redactor()


@settings(max_examples=100)
@given(texts)
@example("phone john@example.com 4673395")
@example("call 4673395 4111 1111 1111 1111 4673396")
@example("a@b.cc5551234567@d.ee415-555-0132")
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = REDACTOR.redact_text(text).value
    twice = REDACTOR.redact_text(once)
    assert twice.value is once
    assert twice.counts == {}


@settings(max_examples=100)
@given(texts)
def test_spans_are_disjoint_in_order_and_cover_what_they_name(text: str) -> None:
    spans = RE2.find(text)
    for left, right in pairwise(spans):
        assert left.end <= right.start
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        # Nothing of the fold is lost at the edges: a find starts with something visible and leaves no
        # invisible character of its own behind.
        assert fold(text[span.start]).text
        assert span.end == len(text) or fold(text[span.end]).text


@settings(max_examples=100)
@given(texts)
@example("52.520066, 13.404954, a@b.cc, 52.520066, 13.404954, 52.520066, 13.404954")
def test_no_accepted_value_is_left_in_any_form(text: str) -> None:
    spans = RE2.find(text)
    left = fold(cut(text, spans)).text
    for span in spans:
        value = fold(text[span.start : span.end]).text
        assert not re.search(rf"(?<![0-9A-Za-z]){re.escape(value)}(?![0-9A-Za-z])", left), value


@settings(max_examples=100)
@given(st.sampled_from(VALUES), st.sampled_from(sorted(DISGUISES)), texts, texts)
def test_a_canary_on_a_line_of_its_own_is_found_in_any_disguise(
    value: tuple[str, str], disguise: str, before: str, after: str
) -> None:
    entity_type, plain = value
    line = DISGUISES[disguise](plain)
    redacted = REDACTOR.redact_text(f"{before}\n{line}\n{after}").value
    assert f"\n[{entity_type}]\n" in redacted


@settings(max_examples=100)
@given(st.lists(texts, max_size=4))
def test_a_clear_text_has_clear_lines(lines: list[str]) -> None:
    """What lets a whole request be looked at in one go."""
    if RE2.is_clear("\n".join(lines)):
        assert all(not RE2.find(line) for line in lines)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from("AB"), st.integers(1, 5)), max_size=12)
)
def test_resolution_is_a_total_order(parts: list[tuple[int, int, str, int]]) -> None:
    spans = [Span(start, start + size, kind, kind, score) for start, size, kind, score in parts]
    standing = resolve(spans)
    assert standing == resolve(reversed(spans))
    # The slow, obvious version: take the best, drop what overlaps it, go on.
    rest, expected = set(spans), []
    while rest:
        best = min(rest, key=lambda span: (-span.score, span.start - span.end, span.start, span.recognizer))
        expected.append(best)
        rest = {span for span in rest if span.end <= best.start or best.end <= span.start}
    assert standing == sorted(expected)


def test_a_number_given_away_once_is_found_everywhere_in_the_text() -> None:
    assert REDACTOR.redact_text("ticket 4673395: call me at 467 3395").value == "ticket [PHONE]: call me at [PHONE]"


def test_a_stronger_find_does_not_hide_what_is_beside_it() -> None:
    assert REDACTOR.redact_text("phone 4111 1111 1111 1111, 4673395").value == "phone [CARD], 4673395"
    assert REDACTOR.redact_text("john@acme.com4111111111111111").value == "[EMAIL][CARD]"


@pytest.mark.parametrize("row", RECOGNIZERS, ids=lambda row: row.name)
def test_every_row_finds_what_no_other_row_finds(row: Recognizer) -> None:
    """A row whose pattern broke would not go unnoticed, and no row is covered by another."""
    text = EXAMPLES[row.name]
    assert [span.recognizer for span in RE2.find(text)] == [row.name]
