"""Audit events: what is decided comes back, odd records cannot stop the log, and only canonical bytes are read."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_maas import wire
from stream_maas.errors import ERRORS_BY_CODE, UndecodableError
from stream_maas.records import (
    BatchPosition,
    Decision,
    Link,
    ModelRef,
    PolicyDecision,
    RedactionReport,
    Timings,
    Writer,
)

SAFE = 2**53 - 1
TEXT = st.text(min_size=1, max_size=20)
HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
COUNT = st.integers(0, SAFE)
ANY = st.integers(-SAFE, SAFE)
MODELS = st.builds(ModelRef, TEXT, TEXT, HEX, TEXT, st.just("") | HEX)
COUNTS = st.dictionaries(st.from_regex("[A-Za-z_]{1,9}", fullmatch=True), st.integers(1, SAFE), max_size=3)
REPORTS = st.builds(
    RedactionReport,
    TEXT,
    st.sampled_from(["re2", "re"]),
    COUNTS,
    st.dictionaries(st.sampled_from(["inputs", "key"]), COUNTS, max_size=2),
    COUNTS,
    st.booleans(),
    st.booleans(),
    st.just("") | TEXT,
)
DECISIONS = st.one_of(
    st.tuples(st.just("prediction"), st.none()),
    st.tuples(st.just("rejection"), st.sampled_from(sorted(ERRORS_BY_CODE))),
).flatmap(
    lambda ending: st.builds(
        Decision,
        topic=TEXT,
        partition=COUNT,
        offset=COUNT,
        timestamp_ms=ANY,
        lane=st.text(),
        request_id=TEXT,
        id_source=st.sampled_from(["body", "header", "coordinates"]),
        status=st.just(ending[0]),
        code=st.just(ending[1]),
        tenant=st.none() | TEXT,
        subject_ref=st.none() | HEX,
        purpose=st.none() | TEXT,
        consent_ref=st.none() | TEXT,
        priority=st.integers(0, 100),
        attempt=st.integers(1, 100),
        model=st.none() | MODELS,
        model_name=st.none() | TEXT,
        input_bytes=COUNT,
        input_digest=st.none() | HEX,
        redactions=st.dictionaries(st.from_regex("[A-Z_]{1,9}", fullmatch=True), st.integers(1, SAFE), max_size=3),
        redaction_policy=st.text(),
        redaction=REPORTS,
        output_digest=st.none() | HEX,
        label=st.none() | st.text(),
        score_ppm=st.none() | st.integers(0, 10**6),
        degraded=st.booleans(),
        batch=st.none() | st.builds(BatchPosition, TEXT, st.integers(1, SAFE), COUNT),
        timings=st.builds(Timings, ANY, ANY, ANY, ANY),
        trace_id=st.none() | st.binary(min_size=16, max_size=16).map(bytes.hex),
        app=st.none() | TEXT,
        principal=st.none() | TEXT,
        basis=st.none() | TEXT,
        box=st.none() | HEX,
        policy=st.lists(
            st.builds(PolicyDecision, TEXT, st.sampled_from(["allow", "deny", "degrade"]), st.just("") | TEXT),
            max_size=2,
        ).map(tuple),
    )
)
WRITERS = st.builds(
    Writer,
    TEXT,
    TEXT,
    TEXT,
    st.dictionaries(st.from_regex("[a-z_]{1,9}", fullmatch=True), st.text() | ANY, max_size=3),
    st.none() | TEXT,
)
LINKS = st.builds(Link, st.binary(min_size=16, max_size=16).map(bytes.hex), st.integers(1, SAFE), HEX)
TIMES = st.integers(0, 253_402_300_799_999_999)  # until the end of the year 9999

DECISION = Decision("maas.requests", 3, 42, 1_700_000_000_000, "default", "r-1", "body", "prediction")
WRITER = Writer("app", "w-1", "0.1.0")
LINK = Link("0123456789abcdef0123456789abcdef", 7, "ab" * 32)


@given(DECISIONS, WRITERS, TIMES, LINKS)
def test_decision_comes_back(decision: Decision, writer: Writer, time_us: int, link: Link) -> None:
    event = wire.decode_audit(wire.encode_audit(decision, writer, time_us=time_us, link=link))
    assert event == wire.AuditEvent(
        id=wire.audit_id(decision.topic, decision.partition, decision.offset),
        source=event.source,
        time_us=time_us,
        decision=decision,
        writer=writer,
        link=link,
    )


def walk(node: Any) -> Any:
    yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(item)


@given(DECISIONS, WRITERS, TIMES)
def test_no_floats_no_nulls_no_unsafe_integers_ascii_names(decision: Decision, writer: Writer, time_us: int) -> None:
    for node in walk(orjson.loads(wire.encode_audit(decision, writer, time_us=time_us, link=LINK))):
        assert not isinstance(node, float)
        assert node is not None
        assert not isinstance(node, int) or abs(node) <= SAFE
        assert not isinstance(node, dict) or all(name.isascii() for name in node)


@pytest.mark.parametrize("absurd", [2**53, 2**62, -(2**63), 2**80])
def test_a_producers_clock_cannot_stop_the_log(absurd: int) -> None:
    decision = replace(DECISION, timestamp_ms=absurd, timings=Timings(-absurd, 1, 2, -absurd), label="é")
    read = wire.decode_audit(wire.encode_audit(decision, WRITER, time_us=5, link=LINK)).decision
    bound = SAFE if absurd > 0 else -SAFE
    assert read == replace(decision, timestamp_ms=bound, timings=Timings(-bound, 1, 2, -bound))


@pytest.mark.parametrize(
    ("decision", "writer"),
    [
        (replace(DECISION, redactions={"É": 1}), WRITER),
        (replace(DECISION, redaction=RedactionReport(operators={"É": 1})), WRITER),
        (replace(DECISION, redaction=RedactionReport(places={"É": {"EMAIL": 1}})), WRITER),
        (replace(DECISION, redaction=RedactionReport(places={"key": {"É": 1}})), WRITER),
        (DECISION, replace(WRITER, runtime={"vérsion": "1"})),
    ],
)
def test_names_that_are_not_ascii_are_refused(decision: Decision, writer: Writer) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        wire.encode_audit(decision, writer, time_us=0, link=LINK)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value + b"\n",
        lambda value: value.replace(b",", b", ", 1),
        lambda value: value.replace(b'"offset":42', b'"offset":42.0'),
        lambda value: value.replace(b'"offset":42', b'"offset":42,"offset":42'),
        lambda value: value.replace(b'"r-1"', b'"\\u0072-1"'),
        lambda value: value.replace(b'"priority":0', b'"priority":0,"surprise":1'),
        lambda value: value.replace(b'"status":', b'"caller":{},"status":'),
        lambda value: value.replace(b'"status":', b'"trace_id":null,"status":'),
        lambda value: value.replace(b'"id":"maas.requests:3:42"', b'"id":"maas.requests:3:43"'),
        lambda value: value.replace(b"/stream-maas/app", b"/stream-maas/other"),
        lambda value: value.replace(b"1970-01-01T", b"1970-01-01 "),
        lambda value: value.replace(b"1970-01-01T", b"1970-13-01T"),
        lambda value: value.replace(b"000007Z", b"000007"),
        lambda value: value.replace(b'"prediction"', b'"rejection"'),
        lambda value: value.replace(b'"status":', b'"code":"shed","status":'),
        lambda value: value.replace(b"decision.v2", b"decision.v1"),
        lambda value: value.replace(b"decision.v2", b"decision.denied.v2"),
        lambda value: value.replace(b'"counter":7', b'"counter":0'),
        lambda value: value.replace(b',"prev":"' + b"ab" * 32 + b'"', b""),
        lambda value: json.dumps(json.loads(value), indent=1).encode(),
        lambda _: b"[" * 100_000,
        lambda _: b"\xff",
        lambda _: b"",
    ],
)
def test_only_canonical_events_of_this_version_are_read(spoil: Any) -> None:
    value = wire.encode_audit(DECISION, WRITER, time_us=7, link=LINK)
    assert spoil(value) != value
    with pytest.raises(UndecodableError):
        wire.decode_audit(spoil(value))


def test_a_repeat_by_another_worker_has_the_same_id_and_source() -> None:
    first, second = (
        wire.decode_audit(wire.encode_audit(DECISION, replace(WRITER, instance=name), time_us=time_us, link=LINK))
        for name, time_us in (("w-1", 7), ("w-2", 8))
    )
    assert (first.id, first.source, first.decision) == (second.id, second.source, second.decision)


HUGE = st.integers(-(2**63), 2**63 - 1)


def fast(encoder: wire.AuditEncoder, decision: Decision, time_us: int, link: Link = LINK) -> bytes:
    head, tail = encoder.encode(decision, time_us=time_us)
    return head + wire.session_member(link) + tail


@given(DECISIONS, WRITERS, st.integers(0, 4 * 10**15), LINKS)
def test_the_fast_encoder_writes_the_same_bytes(decision: Decision, writer: Writer, time_us: int, link: Link) -> None:
    assert fast(wire.AuditEncoder(writer), decision, time_us, link) == wire.encode_audit(
        decision, writer, time_us=time_us, link=link
    )


@given(st.lists(DECISIONS, max_size=8), WRITERS)
def test_the_fast_encoder_keeps_nothing_of_an_event_for_the_next(decisions: list[Decision], writer: Writer) -> None:
    encoder = wire.AuditEncoder(writer)
    for decision in decisions:
        assert fast(encoder, decision, 1) == wire.encode_audit(decision, writer, time_us=1, link=LINK)


PREDICTED = DECISIONS.map(
    lambda decision: replace(
        decision,
        status="prediction",
        code=None,
        label=decision.label or "positive",
        score_ppm=decision.score_ppm or 0,
        output_digest=decision.output_digest or "cd" * 32,
        batch=decision.batch or BatchPosition("maas.requests:3:42/0", 7, 3),
    )
)


@st.composite
def one_call(draw: st.DrawFn) -> list[Decision]:
    """Predictions that share some fields and not others: one after the other they take up what the last one left."""
    first, *others = draw(st.lists(PREDICTED, min_size=2, max_size=6))
    same = draw(st.lists(st.sampled_from(Decision.__struct_fields__), unique=True))
    return [first, *(replace(other, **{name: getattr(first, name) for name in same}) for other in others), first]


@given(one_call(), WRITERS)
def test_predictions_of_one_call_have_the_same_bytes_as_one_by_one(decisions: list[Decision], writer: Writer) -> None:
    encoder = wire.AuditEncoder(writer)
    for decision in decisions:
        assert fast(encoder, decision, 1) == wire.encode_audit(decision, writer, time_us=1, link=LINK)


@given(DECISIONS, WRITERS, HUGE, st.tuples(HUGE, HUGE, HUGE, HUGE))
def test_absurd_clocks_are_cut_alike(
    decision: Decision, writer: Writer, timestamp_ms: int, clocks: tuple[int, int, int, int]
) -> None:
    absurd = replace(decision, timestamp_ms=timestamp_ms, timings=Timings(*clocks))
    assert fast(wire.AuditEncoder(writer), absurd, 1) == wire.encode_audit(absurd, writer, time_us=1, link=LINK)


def test_every_rejection_is_either_denied_or_failed() -> None:
    types = {code: wire.decision_type(code) for code in ERRORS_BY_CODE}
    assert set(types.values()) == {
        "org.stream-maas.audit.decision.denied.v2",
        "org.stream-maas.audit.decision.failed.v2",
    }
    assert types["quota"].endswith("denied.v2")
    assert types["model_error"].endswith("failed.v2")
    assert wire.decision_type(None) == "org.stream-maas.audit.decision.v2"


@given(DECISIONS, WRITERS)
def test_the_type_is_read_off_the_end(decision: Decision, writer: Writer) -> None:
    value = wire.encode_audit(decision, writer, time_us=1, link=LINK)
    assert wire.audit_type(value) == wire.decision_type(decision.code)
    assert wire.is_decision(value)
    assert wire.audit_type(value[:-1]) is None


@pytest.mark.parametrize("value", [b"", b"{}", b'{"type":"org.stream-maas.prediction.v1"}', b"\xff" * 200])
def test_what_is_no_audit_event_has_no_type(value: bytes) -> None:
    assert wire.audit_type(value) is None
    assert not wire.is_decision(value)
