"""Texts made to be slow or to break something: work grows with the length and nothing raises."""

from __future__ import annotations

import contextlib
import time

import pytest

from stream_maas.privacy.detect import Detector
from stream_maas.privacy.fold import fold
from stream_maas.privacy.recognizers import RECOGNIZERS

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


def cost_us(text: str) -> float:
    """CPU time of one find, the better of two."""
    times = []
    for _ in range(2):
        started = time.process_time()
        with contextlib.suppress(RuntimeError):  # refused, which is an answer
            DETECTOR.find(text)
        times.append(time.process_time() - started)
    return min(times) * 1e6


@pytest.mark.parametrize("unit", UNITS)
def test_work_grows_with_the_length_and_not_faster(unit: str) -> None:
    """Eight times the text may cost a little more than eight times the work; quadratic work would cost 64 times."""
    short = UNITS[unit] * (8_000 // len(UNITS[unit]))
    long = UNITS[unit] * (64_000 // len(UNITS[unit]))
    assert cost_us(long) < 24 * max(cost_us(short), 500)


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
