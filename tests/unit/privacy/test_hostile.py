"""Texts made to be slow or to break something: work grows with the length and nothing raises."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stream_maas.errors import RequestError
from stream_maas.privacy import Redactor
from stream_maas.privacy.canaries import CANARIES
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.fold import fold
from stream_maas.privacy.recognizers import PACKS, RECOGNIZERS, rows_for
from stream_maas.privacy.spans import Span
from tests.unit.privacy.examples import EXAMPLES

DETECTOR = Detector(RECOGNIZERS, "re2")
UNITS = {
    "digits": "1",
    "digit groups": "1-",
    "mixed groups": "12 345-67(8)9.",
    "cards": "4111 1111 1111 1111 ",
    "letters": "a",
    "capitals": "A",
    "capitalised words": "Aa ",
    "names": "John Smith ",
    "codes": "A1",
    "at signs": "@",
    "addresses": "a@b.cc ",
    "dots": "a.a.",
    "colons": ":",
    "hexadecimal": "ab:",
    "octets": "1.1.1.",
    "key headers": "-----BEGIN RSA PRIVATE KEY-----",
    "passwords": "password=",
    "password after password": "password=correct",
    "passwords of nobody": "password=your",
    "groups of two lengths": "2 95 10 99 126 111 9 ",
    "Chinese addresses": "北京市朝阳区建国路88号",
    "Chinese addresses without a beginning": "阳区建国路88号",
    "zones of passports": "L898902C36UTO7408122F1204159ZE184226B<<<",
    "IPv6 groups": "2001:",
    "handles": "@jan",
    "post boxes": "P.O. Box 123",
    "credentials": "://a:",
    "token heads": "eyJhbGciOi",
    "wallets": "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf",
    "fillers": "<",
    "streets": "1 A Street ",
    "street words": "Straße ",
    "cues": "passport number ",
    "birth": "born on 1.",
    "han": "我叫",
    "titles": "先生",
    "zero-width": "1\u200b",
    "combining": "1\u0301",
    "surrogates": "\ud800",
    "plus signs": "+1",
    "brackets": "(1)",
    "placeholders": "[PHONE] ",
}


MOST_ROUNDS = 4
"""Most times that a text of repeated examples may be gone through: if each round brought up only the next of them, the
work would grow with the square of the text."""
DOUBLING = 2.2
"""Most that the time may grow by when the text doubles."""


def cost_s(work: Callable[[str], object], text: str) -> float:
    """CPU time of this thread."""
    started = time.thread_time()
    with contextlib.suppress(RuntimeError, RequestError):  # refused, which is an answer
        work(text)
    return time.thread_time() - started


def assert_growth(work: Callable[[str], object], unit: str, shorter: int, doublings: int) -> None:
    """Time for a text of `shorter` characters against one that is longer by `doublings`, the best of several: other
    work on the machine makes a measurement slower, never faster, so one that holds is enough."""
    texts = [(unit * (size // len(unit) + 1))[:size] for size in (shorter, shorter << doublings)]
    best = [float("inf"), float("inf")]
    for _ in range(8):
        best = [min(seconds, cost_s(work, text)) for seconds, text in zip(best, texts, strict=True)]
        if best[1] <= DOUBLING**doublings * best[0]:
            return
    raise AssertionError(f"{best[1] / best[0]:.1f} times the work for {1 << doublings} times the text")


@pytest.mark.parametrize("unit", UNITS)
def test_work_grows_with_the_length_and_not_faster(unit: str) -> None:
    assert_growth(DETECTOR.find, UNITS[unit], shorter=8_000, doublings=3)


@pytest.mark.parametrize("unit", ["digits", "letters", "addresses", "han"])
def test_the_whole_way_of_a_text_of_a_megabyte(unit: str) -> None:
    assert_growth(Redactor().redact_text, UNITS[unit], shorter=125_000, doublings=3)


@pytest.mark.parametrize("unit", ["addresses", "cards"])
def test_telling_of_every_find_costs_no_more(unit: str) -> None:
    assert_growth(Redactor().explain, UNITS[unit], shorter=8_000, doublings=3)


def beginnings(text: str) -> Iterator[str]:
    """`text` and what it begins and ends with: what a pattern reads for nothing is the start of what it looks for."""
    for size in {4, 8, 16, len(text) // 2, len(text) - 1, len(text)}:
        if 0 < size <= len(text):
            yield text[:size]
            yield text[-size:]


def test_no_chain_of_values_is_found_one_by_one() -> None:
    """Each beginning of each example, repeated: with all rows, those that a policy has to turn on too."""
    detector = Detector(rows_for(frozenset(PACKS)), "re2")
    rounds = Counter[str]()
    usual = detector._round
    values = {*EXAMPLES.values(), *(value for values in CANARIES.values() for value in values)}
    for unit in {part for value in values for part in beginnings(value)}:
        text = (unit * (800 // len(unit) + 1))[:800]

        def counted(*arguments: Any, unit: str = unit) -> list[Span]:
            rounds[unit] += 1
            return usual(*arguments)

        detector._round = counted  # type: ignore[method-assign]
        with contextlib.suppress(RuntimeError):
            detector.find(text)
    assert {unit: count for unit, count in rounds.items() if count > MOST_ROUNDS} == {}


@pytest.mark.parametrize(
    "text", ["", "\ud800", "\udfff4111111111111111", "\x00" * 99, "\ufeff{", "[" * 5_000, "١" * 500]
)
def test_nothing_raises(text: str) -> None:
    for span in DETECTOR.find(text):
        assert 0 <= span.start < span.end <= len(text)
        assert fold(text[span.start]).text


def test_mixed_scripts_in_one_text() -> None:
    text = "Иван пишет: 卡号4111111111111111，هاتف ٠٤١٥-٥٥٥-٠١٣٢ و a@b.cc"
    assert {span.entity_type for span in DETECTOR.find(text)} >= {"CARD", "EMAIL"}
