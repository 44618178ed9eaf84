"""Texts made to be slow or to break something: work grows with the length and nothing raises."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest

from stream_maas.errors import RequestError, TooLargeError
from stream_maas.privacy import RedactionConfig, Redactor
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
    """CPU time of this thread, without the collections of garbage that look at all that other tests have left."""
    gc.collect()
    gc.disable()
    try:
        started = time.thread_time()
        with contextlib.suppress(RuntimeError, RequestError):  # refused, which is an answer
            work(text)
        return time.thread_time() - started
    finally:
        gc.enable()


def listed(text: str) -> object:
    """Work that is linear by its nature, with as many objects as a text full of short finds makes."""
    return [(at, at + 6, text[at : at + 6]) for at in range(0, len(text), 7)]


def assert_growth(work: Callable[[str], object], unit: str, shorter: int, doublings: int) -> None:
    """Time for a text of `shorter` characters against one that is longer by `doublings`, the best of several: other
    work on the machine makes a measurement slower, never faster, so one that holds is enough. What shares the
    processor's cache slows down longer texts more: by that much `listed` may grow, too. Where the processor itself is
    quicker in one second than in the next, the best of both are of different seconds: then what counts is how much
    more the longer one took right behind the shorter one, more often than not."""
    texts = [(unit * (size // len(unit) + 1))[:size] for size in (shorter, shorter << doublings)]
    limit = DOUBLING**doublings
    best, usual = [float("inf")] * 2, [float("inf")] * 2
    growths = []
    for _ in range(9):
        costs = [cost_s(work, text) for text in texts]
        best = list(map(min, best, costs))
        growths.append(costs[1] / costs[0])
        if best[1] <= limit * best[0]:
            return
        usual = [min(seconds, cost_s(listed, text)) for seconds, text in zip(usual, texts, strict=True)]
        if best[1] <= limit * best[0] * usual[1] / (usual[0] * 2**doublings):
            return
    if median(growths) <= limit:
        return
    raise AssertionError(f"{best[1] / best[0]:.1f} times the work for {1 << doublings} times the text")


@pytest.mark.parametrize("unit", UNITS)
def test_work_grows_with_the_length_and_not_faster(unit: str) -> None:
    assert_growth(DETECTOR.find, UNITS[unit], shorter=8_000, doublings=3)


@pytest.mark.parametrize("unit", ["digits", "letters", "addresses", "han"])
def test_the_whole_way_of_a_text_of_a_megabyte(unit: str) -> None:
    # Half a megabyte is beyond the processor's cache as a whole one is; what fits into it is faster by a half.
    assert_growth(Redactor().redact_text, UNITS[unit], shorter=500_000, doublings=1)


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
    detector = Detector(rows_for(frozenset(PACKS)), "re2", kernel=None)
    rounds = Counter[str]()
    usual = detector._candidates
    values = {*EXAMPLES.values(), *(value for values in CANARIES.values() for value in values)}
    for unit in {part for value in values for part in beginnings(value)}:
        text = (unit * (800 // len(unit) + 1))[:800]

        nested: list[str] = []

        def counted(*arguments: Any, unit: str = unit, nested: list[str] = nested) -> tuple[list[Span], bool]:
            rounds[unit] += not nested  # what is encoded in the text is searched inside of a round
            nested.append(unit)
            try:
                return usual(*arguments)
            finally:
                nested.pop()

        detector._candidates = counted  # type: ignore[method-assign]
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


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"token: {encoded('write to ada@example.org')} thanks", "token: [EMAIL] thanks"),
        (f"卡号{encoded('pay with 4111 1111 1111 1111')}完", "卡号[CARD]完"),
        (f"https://x.example/p/{encoded('call me at 415 555 0132!')}?y=1", "https://x.example/p/[PHONE]?y=1"),
        (f"a {encoded('b ' + encoded('see https://u:secret1@x.example') + ' c')} d", "a [URL_CREDENTIALS] d"),
        (f"a {encoded('nothing to see in here')} b", None),
        ("ThisIsAVeryLongIdentifierInSourceCode and Some/Path/To/SomeFileInADirectory", None),
    ],
)
def test_base64_among_other_words(text: str, left: str | None) -> None:
    assert Redactor().redact_text(text).value == (left or text)


def test_text_encoded_again_and_again_is_searched_to_its_core() -> None:
    text = "ada@example.org"
    for _ in range(25):
        text = f"x {encoded(text)} y"
    assert Redactor().redact_text(text).value == "x [EMAIL] y"


@pytest.mark.parametrize(
    "bomb", ["[" * 60_000, '{"a":' * 60_000, "[" * 400 + "]" * 400, json.dumps("[" * 900 + "]" * 900)]
)
def test_bombs_are_refused_or_harmless(bomb: str) -> None:
    """Nested JSON, in a text and encoded: an answer, and never a stack that runs over."""
    for text in (bomb, encoded(bomb), json.dumps([bomb]), f"see {encoded(bomb)}!"):
        with contextlib.suppress(TooLargeError):
            assert Redactor().redact_text(text).value == text


def test_a_text_of_ten_megabytes_is_refused_by_default_and_searched_if_allowed() -> None:
    text = "a word or two, " * 700_000 + "ada@example.org"
    with pytest.raises(TooLargeError, match="length"):
        Redactor().redact_text(text)
    allowing = Redactor(RedactionConfig(max_text_chars=20_000_000))
    assert allowing.redact_text(text).value.endswith("two, [EMAIL]")


def test_mixed_scripts_in_one_text() -> None:
    text = "Иван пишет: 卡号4111111111111111，هاتف ٠٤١٥-٥٥٥-٠١٣٢ و a@b.cc"
    assert {span.entity_type for span in DETECTOR.find(text)} >= {"CARD", "EMAIL"}
