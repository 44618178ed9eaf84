"""The demo's own checks, on logs in which something is wrong: a check that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stream_maas import wire
from stream_maas.cli.demo_checks import Check, check_answers, check_audit, check_privacy, check_same_ids
from stream_maas.cli.demo_texts import SENTENCES
from stream_maas.privacy import Redactor
from stream_maas.records import Decision, InputRecord, Link, ModelRef, Prediction, Tensor, Writer

MODEL = ModelRef("m", "1", "0" * 64, "Apache-2.0")
WRITER = Writer("stream-maas", "w1", "0.1.0")
LINK = Link("0123456789abcdef0123456789abcdef", 7, "ab" * 32)
COUNT = 4
SECRET = "ada@example.org"


def request(number: int) -> InputRecord:
    return InputRecord("maas.requests", 0, number, 0, None, b"{}")


def result(number: int, request_id: str | None = None) -> InputRecord:
    outputs = (Tensor("label", "BYTES", (1,), ["x"]),)
    value = wire.encode_prediction(Prediction(id=request_id or f"r{number}", model=MODEL, outputs=outputs))
    headers = wire.answer_headers(
        "prediction", request_id=f"r{number}", audit_id=wire.audit_id("maas.requests", 0, number), source="/t",
        traceparent=None,
    )  # fmt: skip
    return InputRecord("maas.results", 0, number, 0, None, value, headers)


def audit(number: int, request_id: str | None = None) -> InputRecord:
    decision = Decision(
        topic="maas.requests", partition=0, offset=number, timestamp_ms=0, lane="default",
        request_id=request_id or f"r{number}", id_source="body", status="prediction", redaction_policy="p",
    )  # fmt: skip
    return InputRecord("maas.audit", 0, number, 0, None, wire.encode_audit(decision, WRITER, time_us=1, link=LINK))


REQUESTS, RESULTS, AUDITS = ([make(number) for number in range(COUNT)] for make in (request, result, audit))


def test_a_sound_log_passes() -> None:
    checks = [
        check_answers(REQUESTS, RESULTS),
        check_audit(REQUESTS, AUDITS),
        check_same_ids(RESULTS, AUDITS),
        check_privacy({"results": RESULTS, "audit": AUDITS}, b"log", [SECRET]),
    ]
    assert all(check.holds for check in checks)


WRONG: dict[str, tuple[Callable[[], Check], str]] = {
    "answer missing": (lambda: check_answers(REQUESTS, RESULTS[1:]), "1 missing, 0 foreign, 0 repeated"),
    "answer twice": (lambda: check_answers(REQUESTS, [*RESULTS, RESULTS[0]]), "0 missing, 0 foreign, 1 repeated"),
    "answer to nothing": (lambda: check_answers(REQUESTS[1:], RESULTS), "0 missing, 1 foreign, 0 repeated"),
    "answer instead of another": (
        lambda: check_answers(REQUESTS, [*RESULTS[1:], RESULTS[1]]), "1 missing, 0 foreign, 1 repeated"
    ),
    "nothing at all": (lambda: check_answers([], []), "0 missing"),
    "event missing": (lambda: check_audit(REQUESTS, AUDITS[:-1]), "1 missing"),
    "event twice": (lambda: check_audit(REQUESTS, [*AUDITS, AUDITS[0]]), "1 repeated"),
    "other id in audit": (lambda: check_same_ids(RESULTS, [*AUDITS[1:], audit(0, "other")]), "2 ids"),
    "id equally named, not equally often": (
        lambda: check_same_ids([*RESULTS, result(9, "r1")], AUDITS), "1 ids"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("check", "detail"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(check: Callable[[], Check], detail: str) -> None:
    found = check()
    assert not found.holds
    assert detail in found.detail


@pytest.mark.parametrize(
    "leak",
    [
        {"key": SECRET.encode()},
        {"value": b'{"x": "ada@example.org"}'},
        {"headers": [("traceparent", b"00-ada@example.org")]},
    ],
)
def test_a_leak_is_found_wherever_it_is(leak: dict[str, Any]) -> None:
    record = InputRecord(
        **{"topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "key": None, "value": None} | leak
    )
    found = check_privacy({"results": RESULTS, "dead-letters": [record]}, b"", [SECRET])
    assert not found.holds
    assert found.detail == "1 in dead-letters"
    assert not check_privacy({}, b"worker saw ada@example.org", [SECRET]).holds


def test_what_is_planted_is_found_by_the_redactor() -> None:
    """Otherwise the demo would show a promise being broken, or worse, nothing worth redacting."""
    redactor = Redactor()
    kinds = set()
    for sentence in SENTENCES:
        assert all(value in sentence.text or value in sentence.text.replace(" ", "").replace("-", "").replace(".", "")
                   for value in sentence.planted)  # fmt: skip
        redacted = redactor.redact_text(sentence.text)
        assert bool(redacted.counts) == bool(sentence.planted)
        assert not any(value in redacted.value for value in sentence.planted)
        kinds |= redacted.counts.keys()
    assert kinds == {"EMAIL", "PHONE", "CARD", "IBAN", "SSN", "CPF", "CN_ID"}
