"""Golden bytes of every format. A change here is a change of the wire format: write the new bytes on purpose.

`python -m tests.contract.test_golden` writes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from stream_maas import wire
from stream_maas.records import (
    BatchPosition,
    Decision,
    Headers,
    InputRecord,
    Link,
    ModelRef,
    PolicyDecision,
    Prediction,
    Redacted,
    RedactionReport,
    Rejection,
    Tensor,
    Timings,
    Writer,
)

GOLDEN = Path(__file__).parent / "golden"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MODEL = ModelRef(
    "sentiment-lite", "1", "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", "Apache-2.0"
)
KEYED = "9b74c9897bac770ffc029102a200c5de5c1e6f1d7a2f7b8e1b3f0a4c5d6e7f80"
WRITER = Writer("stream-maas", "worker-0", "0.1.0", {"onnxruntime": "1.31.1", "intra_op_threads": 1}, "node-1")
LINK = Link("0123456789abcdef0123456789abcdef", 7, "ab" * 32)
PREDICTION = Prediction(
    id="order-4711",
    model=MODEL,
    outputs=(Tensor("label", "BYTES", (1,), ["positive"]), Tensor("probabilities", "FP32", (1, 2), [0.125, 0.875])),
    redactions={"EMAIL_ADDRESS": 1, "CREDIT_CARD": 2},
    timings=Timings(1200, 35, 410, 2100),
)
REJECTED = Decision(
    topic="maas.requests",
    partition=3,
    offset=43,
    timestamp_ms=1_790_000_000_001,
    lane="default",
    request_id="maas.requests:3:43",
    id_source="coordinates",
    status="rejection",
    code="undecodable",
    redaction_policy="default-1/9f2c1e0b7a64",
    redaction=RedactionReport(ruleset="core-1/0f1e2d3c4b5a", engine="re2"),
    timings=Timings(-3, 0, 0, 900),
)
PREDICTED = Decision(
    topic="maas.requests",
    partition=3,
    offset=42,
    timestamp_ms=1_790_000_000_000,
    lane="default",
    request_id="order-4711",
    id_source="body",
    status="prediction",
    tenant="acmé",
    subject_ref=KEYED,
    purpose="support-quality",
    consent_ref="consent-2026-04",
    priority=1,
    attempt=2,
    model=replace(MODEL, bundle_digest=KEYED),
    model_name="sentiment-lite",
    input_bytes=412,
    input_digest=KEYED,
    redactions=PREDICTION.redactions,
    redaction_policy="default-1/9f2c1e0b7a64",
    redaction=RedactionReport(
        ruleset="core-1/0f1e2d3c4b5a",
        engine="re2",
        operators={"replace": 1, "pseudonym": 2},
        places={"inputs": {"EMAIL_ADDRESS": 1, "CREDIT_CARD": 1}, "key": {"CREDIT_CARD": 1}},
        shadow={"PHONE": 1},
        folded=True,
        client="shop-2/0a1b2c3d4e5f",
    ),
    output_digest=wire.stable_digest(PREDICTION),
    label="positive",
    score_ppm=875_000,
    batch=BatchPosition("maas.requests:3:40/0", 8, 2),
    app="claims-portal",
    principal="svc-claims",
    basis="GDPR 6(1)(b)",
    box=KEYED,
    policy=(PolicyDecision("admission.quota", "allow"),),
    timings=PREDICTION.timings,
    trace_id=TRACEPARENT[3:35],
)


START = wire.ServiceEvent(
    "session.start",
    3,
    1_790_000_000_000_000,
    WRITER,
    Link(LINK.session, 0),
    key="stream-maas/worker-0+4c3a1d2e+AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAh",
    signature="A" * 86 + "==",
    after=("f" * 32, "outcome_unknown"),
)
HEARTBEAT = wire.ServiceEvent("session.heartbeat", 3, 1_790_000_000_000_001, WRITER, LINK, signature="A" * 86 + "==")
PRUNED = wire.ServiceEvent(
    "pruned",
    3,
    1_790_000_000_000_002,
    WRITER,
    LINK,
    {
        "partition": 3,
        "size": 3,
        "next_offset": 5,
        "root": KEYED,
        "frontier": [KEYED, KEYED],
        "before_us": 1_780_000_000_000_000,
        "policy": "retention-6-months",
        "approver": "dpo",
    },
)


def dead_letter(document: Redacted[object] | None) -> tuple[bytes, list[tuple[str, bytes]]]:
    return wire.encode_dead_letter(
        topic="maas.requests",
        partition=3,
        offset=44,
        code="invalid_input",
        message="inputs[0]: has an unknown member",
        request_id="order-4712",
        source="/maas/stream-maas",
        document=document,
        digest=KEYED,
        size_bytes=96,
    )


def shown(headers: Headers) -> bytes:
    return "".join(f"{name}: {value.decode()}\n" for name, value in headers).encode()


def answer(kind: str) -> bytes:
    headers = wire.answer_headers(
        kind,  # type: ignore[arg-type]
        request_id="order-4711",
        audit_id=wire.audit_id("maas.requests", 3, 42),
        source="/maas/stream-maas",
        traceparent=TRACEPARENT,
    )
    return shown([*headers, wire.receipt_header(KEYED.encode())])


DOCUMENT = Redacted(
    {"inputs": [{"name": "text", "data": ["mail <EMAIL_ADDRESS>, é"], "surprise": 1}], "id": "order-4712"}
)
MADE: dict[str, Callable[[], bytes]] = {
    "request.json": lambda: wire.encode_request(
        ["The delivery was late, é.", 'She said "fine".'],
        request_id="order-4711",
        model_name="sentiment-lite",
        model_version="1",
        outputs=["label"],
        tenant="acme",
        data_subject="customer-88",
        purpose="support-quality",
        consent_ref="consent-2026-04",
        priority=1,
        timeout_us=500_000,
        explain=True,
        parameters={"content_type": "str"},
    ),
    "request-bare.json": lambda: wire.encode_request("hello"),
    "request-headers.txt": lambda: shown(
        wire.request_headers(request_id="order-4711", source="/shop", traceparent=TRACEPARENT)
    ),
    "prediction.json": lambda: wire.encode_prediction(PREDICTION),
    "prediction-without-timings.json": lambda: wire.without_timings(wire.encode_prediction(PREDICTION)),
    "prediction-headers.txt": lambda: answer("prediction"),
    "rejection.json": lambda: wire.encode_rejection(Rejection("order-4711", "shed", "lane: overloaded", True, 250)),
    "rejection-headers.txt": lambda: answer("rejection"),
    "audit-prediction.json": lambda: wire.encode_audit(PREDICTED, WRITER, time_us=1_790_000_000_002_100, link=LINK),
    "audit-rejection.json": lambda: wire.encode_audit(REJECTED, WRITER, time_us=1_790_000_000_000_901, link=LINK),
    "audit-session-start.json": lambda: wire.encode_service_event(START),
    "audit-session-heartbeat.json": lambda: wire.encode_service_event(HEARTBEAT),
    "audit-pruned.json": lambda: wire.encode_service_event(PRUNED),
    "audit-signed-text.txt": lambda: wire.signed_text("session.heartbeat", "maas.audit", 3, LINK),
    "audit-headers.txt": lambda: shown(wire.audit_headers()),
    "dead-letter.json": lambda: dead_letter(DOCUMENT)[0],
    "dead-letter-digest.json": lambda: dead_letter(None)[0],
    "dead-letter-headers.txt": lambda: shown(dead_letter(DOCUMENT)[1]),
}


@pytest.mark.parametrize("name", MADE)
def test_bytes_are_the_golden_ones(name: str) -> None:
    assert MADE[name]() == (GOLDEN / name).read_bytes()


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(MADE)


def test_golden_bytes_are_read_back() -> None:
    def golden(name: str) -> bytes:
        return (GOLDEN / name).read_bytes()

    assert wire.decode_answer(golden("prediction.json")) == PREDICTION
    assert wire.decode_answer(golden("rejection.json")) == Rejection(
        "order-4711", "shed", "lane: overloaded", True, 250
    )
    assert wire.decode_audit(golden("audit-prediction.json")).decision == PREDICTED
    assert wire.decode_audit(golden("audit-rejection.json")).decision == REJECTED
    assert wire.decode_service_event(golden("audit-session-start.json")) == START
    assert wire.decode_service_event(golden("audit-session-heartbeat.json")) == HEARTBEAT
    assert wire.decode_service_event(golden("audit-pruned.json")) == PRUNED
    request = wire.decode_request(InputRecord("t", 0, 0, 0, None, golden("request.json")))
    digest = hashlib.sha256(golden("prediction-without-timings.json")).hexdigest()
    assert wire.decode_audit(golden("audit-prediction.json")).decision.output_digest == digest
    assert (request.id, request.timeout_us, request.inputs[0].shape) == ("order-4711", 500_000, (2,))


if __name__ == "__main__":
    for name, make in MADE.items():
        (GOLDEN / name).write_bytes(make())
