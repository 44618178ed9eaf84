"""All gates answer alike: plain `re`, slow and obvious, is what the others are compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings

from stream_maas.privacy import RedactionConfig, Redactor
from stream_maas.privacy.canaries import CANARIES, DISGUISES
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.fold import fold
from stream_maas.privacy.gate import Engine
from stream_maas.privacy.recognizers import PACKS, RECOGNIZERS, rows_for
from tests.unit.privacy.examples import EXAMPLES
from tests.unit.privacy.test_recognizers import FOUND, NOT_FOUND, ORDINARY
from tests.unit.privacy.texts import texts

FAST: tuple[Engine, ...] = ("re2", "hyperscan")


@cache
def detector(engine: Engine) -> Detector:
    """Every row there is, those that a policy has to turn on too."""
    if engine == "hyperscan":
        pytest.importorskip("hyperscan", reason="no wheel for this machine")
    return Detector(rows_for(frozenset(PACKS)), engine)


USUAL = Detector(RECOGNIZERS, "re2")
ASKS_ALL = Detector(RECOGNIZERS, "re2", kernel=None)
ASKS_ALL._gate = lambda _: range(len(ASKS_ALL._finders))


@cache
def slow_answer(folded: str) -> list[int]:
    return sorted(detector("re")._gate(folded))


def assert_same_answer(engine: Engine, text: str) -> None:
    folded = fold(text).text
    fast = detector(engine)
    answer, slow = set(fast._gate(folded)), set(slow_answer(folded))
    # Finders of numbers and of codes may be asked more often.
    loose = {index for index, find in enumerate(fast._finders) if _module_of(find) in ("numbers", "codes", "pictures")}
    assert len(loose) == 2
    assert answer >= slow, text
    assert answer - loose == slow - loose, text


def _module_of(find: Any) -> str:
    return str(type(getattr(find, "__self__", None)).__module__).rpartition(".")[2]


@pytest.mark.parametrize("engine", FAST)
def test_gates_agree_on_texts_of_every_recognizer(engine: Engine) -> None:
    disguised = [disguise(value) for values in CANARIES.values() for value in values for disguise in DISGUISES.values()]
    texts = (*EXAMPLES.values(), *(text for text, _ in FOUND), *NOT_FOUND, *ORDINARY, *disguised)
    for text in dict.fromkeys(fold(text).text for text in texts):
        assert_same_answer(engine, f"{text}\n{text}x")


@pytest.mark.parametrize("engine", FAST)
def test_gates_agree_on_labelled_texts(engine: Engine, labelled: Callable[[str], list[dict[str, Any]]]) -> None:
    for line in (*labelled("corpus_dev")[::3], *labelled("presidio_cases")[::2]):
        assert_same_answer(engine, line["text"])


@pytest.mark.parametrize("engine", FAST)
@settings(max_examples=100)
@given(texts)
def test_gates_agree_on_any_text(engine: Engine, text: str) -> None:
    assert_same_answer(engine, text)


@settings(max_examples=60)
@given(texts)
def test_what_no_gate_let_through_is_what_no_finder_finds(text: str) -> None:
    """The gate may say too much, never too little: with every finder asked, the same is found."""
    assert ASKS_ALL.find(text) == USUAL.find(text)


@pytest.mark.parametrize("engine", ["re2", "hyperscan", "re"])
def test_a_redactor_runs_on_every_engine(engine: Engine) -> None:
    detector(engine)
    redactor = Redactor(RedactionConfig(gate=engine))
    assert redactor.engine == engine
    redactor.self_test()
