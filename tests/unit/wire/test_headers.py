"""Headers: CloudEvents by the SDK's opinion, KIP-1034 names, and the guard against answering ourselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_binary,
    from_kafka_event,
    from_structured_event,
    to_binary_event,
)
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.errors import ModelError
from stream_maas.records import Decision, InputRecord, Link, ModelRef, Prediction, Writer

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MODEL = ModelRef("m", "1", "d" * 64, "MIT")
WRITER = Writer("stream maas/é", "w-1", "0.1.0")
LINK = Link("0123456789abcdef0123456789abcdef", 7, "ab" * 32)
DECISION = Decision("maas.requests", 3, 42, 1_700_000_000_000, "default", "r-é", "body", "prediction")

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


def message(value: bytes, headers: Sequence[tuple[str, bytes]], key: bytes | None = None) -> KafkaMessage:
    assert len(dict(headers)) == len(headers)
    return KafkaMessage(headers=dict(headers), key=key, value=value)


def dead_letter(document: Any = None) -> tuple[bytes, list[tuple[str, bytes]]]:
    return wire.encode_dead_letter(
        topic="maas.requests",
        partition=3,
        offset=42,
        code="model_error",
        message="model: failed",
        request_id="r-é",
        source="/maas/app",
        document=document,
        digest="a" * 64,
        size_bytes=7,
    )


@given(TEXT, TEXT, st.sampled_from(["prediction", "rejection"]), st.none() | st.just(TRACEPARENT))
def test_answers_are_cloudevents_in_the_sdks_opinion(
    request_id: str, source: str, kind: Any, traceparent: str | None
) -> None:
    value = wire.encode_prediction(Prediction(request_id, MODEL, ()))
    headers = wire.answer_headers(kind, request_id=request_id, audit_id="t:0:1", source=source, traceparent=traceparent)
    event = from_kafka_event(message(value, headers, b"key"))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == "t:0:1:answer"
    assert event.get_source() == source
    assert event.get_type() == f"org.stream-maas.{kind}.v1"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("correlationid") == request_id
    assert event.get_extension("partitionkey") == "key"
    assert event.get_data()["id"] == request_id
    assert dict(headers).get("traceparent") == (traceparent.encode() if traceparent else None)
    assert dict(headers)["maas-audit-id"] == b"t:0:1"
    assert (wire.answer_kind(headers), wire.correlation_id(headers)) == (kind, request_id)


def test_headers_equal_what_the_sdk_writes_for_the_same_event() -> None:
    event = CloudEvent(
        attributes={
            "id": "t:0:1:answer",
            "source": "/maas/app",
            "type": "org.stream-maas.prediction.v1",
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "correlationid": "r-é",
        },
        data={},
    )
    ours = wire.answer_headers("prediction", request_id="r-é", audit_id="t:0:1", source="/maas/app", traceparent=None)
    theirs = {name: value for name, value in to_binary_event(event).headers.items() if name != "ce_time"}
    assert theirs == {name: value for name, value in ours if name != "maas-audit-id"}


def test_request_of_the_sdk_is_a_cloudevent_and_not_one_of_our_own() -> None:
    headers = wire.request_headers(request_id="r-é", source="/app", traceparent=TRACEPARENT)
    value = wire.encode_request("hi", request_id="r-é")
    event = from_binary(message(value, headers), JSONFormat())
    assert (event.get_id(), event.get_type()) == ("r-é", "org.stream-maas.request.v1")
    record = InputRecord("t", 0, 1, 0, None, value, headers)
    assert not wire.is_own_record(record)
    assert wire.decode_request(record).traceparent == TRACEPARENT


def test_audit_event_is_a_structured_cloudevent() -> None:
    value = wire.encode_audit(DECISION, WRITER, time_us=1_700_000_000_000_001, link=LINK)
    event = from_structured_event(message(value, wire.audit_headers()))
    assert event.get_id() == wire.audit_id("maas.requests", 3, 42) == "maas.requests:3:42"
    assert event.get_source() == "/stream-maas/stream%20maas%2F%C3%A9"
    assert event.get_type() == "org.stream-maas.audit.decision.v2"
    assert event.get_time().isoformat() == "2023-11-14T22:13:20.000001+00:00"
    assert event.get_data()["request"]["id"] == "r-é"
    assert from_kafka_event(message(value, wire.audit_headers())).get_id() == event.get_id()


def test_dead_letter_headers_are_those_of_kip_1034_without_the_stack_trace() -> None:
    _, headers = dead_letter()
    kip = {name.removeprefix("__streams.errors."): value for name, value in headers if name.startswith("__streams.")}
    assert kip == {
        "exception": f"{ModelError.__module__}.ModelError".encode(),
        "message": b"model: failed",
        "topic": b"maas.requests",
        "partition": b"3",
        "offset": b"42",
    }
    assert dict(headers)["maas-code"] == b"model_error"
    event = from_kafka_event(message(dead_letter()[0], headers))
    assert (event.get_id(), event.get_type()) == ("maas.requests:3:42:dead-letter", "org.stream-maas.dead-letter.v1")
    assert wire.correlation_id(headers) == "r-é"


def test_everything_we_publish_is_our_own_record() -> None:
    answers = [
        wire.answer_headers(kind, request_id="r", audit_id="a", source="/s", traceparent=None)
        for kind in ("prediction", "rejection")
    ]
    for headers in (*answers, dead_letter()[1]):
        assert wire.is_own_record(InputRecord("t", 0, 0, 0, None, b"{}", headers))
    audit_event = wire.encode_audit(DECISION, WRITER, time_us=0, link=LINK)
    assert wire.is_own_record(InputRecord("t", 0, 0, 0, None, audit_event, wire.audit_headers()))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        [("ce_type", b"com.example.order")],
        [("ce_type", None)],
        [("ce_id", b"org.stream-maas.rejection.v1")],
        wire.audit_headers(),  # somebody else's structured event
    ],
)
def test_other_records_are_not_our_own(headers: Any) -> None:
    record = InputRecord("t", 0, 0, 0, None, b"{}", headers)
    assert not wire.is_own_record(record)
    assert wire.answer_kind(headers) is None
    assert wire.correlation_id(headers) is None


def test_header_lists_are_the_callers_own() -> None:
    wire.audit_headers().clear()
    assert wire.audit_headers()
