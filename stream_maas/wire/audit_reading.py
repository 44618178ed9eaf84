"""Keeps how an audit event is read back: exactly what `encode_audit` writes, or not at all.

Reading is for tools and tests, so it checks every rule of schemas/audit-event.schema.json; the rule "left out,
never null" needs no check of its own, because what was read must encode to the same bytes. A verifier needs none
of this: it hashes the stored bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from stream_maas.errors import ERRORS_BY_CODE, UndecodableError
from stream_maas.records import (
    BatchPosition,
    Decision,
    IdSource,
    Link,
    ModelRef,
    PolicyDecision,
    RedactionReport,
    Timings,
    Writer,
)
from stream_maas.wire.audit import AUDIT_SCHEMA, encode_audit
from stream_maas.wire.headers import AUDIT_TYPE, DENIED_TYPE, FAILED_TYPE
from stream_maas.wire.tensors import MAX_SAFE_INTEGER

Text = Annotated[str, Meta(min_length=1)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)]
AnyInteger = Annotated[int, Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]


class _Request(Struct, forbid_unknown_fields=True):
    attempt: Annotated[int, Meta(ge=1, le=MAX_SAFE_INTEGER)]
    id: Text
    id_source: IdSource
    topic: Text
    partition: Count
    offset: Count
    timestamp_ms: AnyInteger
    lane: str
    priority: Count
    model_name: Text | None = None


class _Input(Struct, forbid_unknown_fields=True):
    bytes: Count
    box: Digest | None = None
    digest: Digest | None = None


class _Caller(Struct, forbid_unknown_fields=True):
    tenant: Text | None = None
    subject_ref: Digest | None = None
    purpose: Text | None = None
    consent_ref: Text | None = None
    app: Text | None = None
    principal: Text | None = None
    basis: Text | None = None


class _Policy(Struct, forbid_unknown_fields=True):
    rule: Text
    outcome: Literal["allow", "deny", "degrade"]
    version: Text | None = None


class _Model(Struct, forbid_unknown_fields=True):
    name: Text
    version: Text
    digest: Digest
    licence: Text
    bundle_digest: Digest | None = None


Counts = dict[str, Annotated[int, Meta(ge=1, le=MAX_SAFE_INTEGER)]]


class _Redaction(Struct, forbid_unknown_fields=True):
    policy: str
    ruleset: str
    engine: str
    counts: Counts
    folded: bool
    truncated: bool
    operators: Counts = {}
    places: dict[str, Counts] = {}
    shadow: Counts = {}
    client: str = ""


class _Output(Struct, forbid_unknown_fields=True):
    digest: Digest | None = None
    label: str | None = None
    score_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class _Batch(Struct, forbid_unknown_fields=True):
    id: Text
    size: Annotated[int, Meta(ge=1, le=MAX_SAFE_INTEGER)]
    index: Count


class _Timings(Struct, forbid_unknown_fields=True):
    queue: AnyInteger
    redact: AnyInteger
    infer: AnyInteger
    total: AnyInteger


class _Session(Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    counter: Count
    prev: Digest | None = None


class WireWriter(Struct, forbid_unknown_fields=True):
    """`data.writer` of any event of ours."""

    app: Text
    instance: Text
    build: Text
    runtime: dict[str, str | AnyInteger]
    session: _Session
    host: Text | None = None


class _Data(Struct, forbid_unknown_fields=True):
    status: Literal["prediction", "rejection"]
    request: _Request
    input: _Input
    redaction: _Redaction
    degraded: bool
    timings_us: _Timings
    writer: WireWriter
    code: str | None = None
    trace_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] | None = None
    model: _Model | None = None
    batch: _Batch | None = None
    caller: _Caller | None = None
    output: _Output | None = None
    policy: Annotated[list[_Policy], Meta(min_length=1)] | None = None


class _Event(Struct, forbid_unknown_fields=True):
    specversion: Literal["1.0"]
    type: Literal[AUDIT_TYPE, DENIED_TYPE, FAILED_TYPE]  # type: ignore[valid-type]
    source: Text
    id: Text
    time: str
    datacontenttype: Literal["application/json"]
    dataschema: Literal[AUDIT_SCHEMA]  # type: ignore[valid-type]
    data: _Data


class AuditEvent(Struct, frozen=True):
    """One audit event: what was decided, who wrote it, and when (epoch microseconds)."""

    id: str
    source: str
    time_us: int
    decision: Decision
    writer: Writer
    link: Link


_DECODER = msgspec.json.Decoder(_Event)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_audit(value: bytes) -> AuditEvent:
    """The event in an audit record's value. Raises `UndecodableError` for anything that `encode_audit` would not
    write byte for byte: another format, an unknown member, or bytes that are not canonical."""
    try:
        event = _DECODER.decode(value)
        time_us = (datetime.fromisoformat(event.time) - _EPOCH) // _EPOCH.resolution
        decision = _decision(event.data)
        writer, link = to_writer(event.data.writer)
        canonical = encode_audit(decision, writer, time_us=time_us, link=link)
    except (msgspec.DecodeError, RecursionError, ValueError, TypeError, OverflowError):
        raise UndecodableError("value: not an audit event of this version") from None
    rejected = decision.status == "rejection"
    if decision.code not in ERRORS_BY_CODE if rejected else decision.code is not None:
        raise UndecodableError("data.code: rejections have one that is known, predictions have none")
    if link.prev is None or link.counter == 0:
        raise UndecodableError("data.writer.session: a chain begins with the session's start, not with a decision")
    if canonical != value:
        raise UndecodableError("value: an audit event, but not in its canonical bytes")
    return AuditEvent(event.id, event.source, time_us, decision, writer, link)


def _decision(data: _Data) -> Decision:
    request, timings, model, batch = data.request, data.timings_us, data.model, data.batch
    caller = data.caller or _Caller()
    output = data.output or _Output()
    return Decision(
        topic=request.topic,
        partition=request.partition,
        offset=request.offset,
        timestamp_ms=request.timestamp_ms,
        lane=request.lane,
        request_id=request.id,
        id_source=request.id_source,
        status=data.status,
        code=data.code,
        tenant=caller.tenant,
        subject_ref=caller.subject_ref,
        purpose=caller.purpose,
        consent_ref=caller.consent_ref,
        priority=request.priority,
        attempt=request.attempt,
        model=_model(model) if model else None,
        model_name=request.model_name,
        input_bytes=data.input.bytes,
        input_digest=data.input.digest,
        redactions=data.redaction.counts,
        redaction_policy=data.redaction.policy,
        redaction=_report(data.redaction),
        output_digest=output.digest,
        label=output.label,
        score_ppm=output.score_ppm,
        degraded=data.degraded,
        batch=BatchPosition(batch.id, batch.size, batch.index) if batch else None,
        timings=Timings(timings.queue, timings.redact, timings.infer, timings.total),
        trace_id=data.trace_id,
        app=caller.app,
        principal=caller.principal,
        basis=caller.basis,
        box=data.input.box,
        policy=tuple(PolicyDecision(said.rule, said.outcome, said.version or "") for said in data.policy or ()),
    )


def _report(r: _Redaction) -> RedactionReport:
    return RedactionReport(r.ruleset, r.engine, r.operators, r.places, r.shadow, r.folded, r.truncated, r.client)


def to_writer(writer: WireWriter) -> tuple[Writer, Link]:
    """Who wrote an event, and where it stands in its chain."""
    session = writer.session
    return (
        Writer(writer.app, writer.instance, writer.build, writer.runtime, writer.host),
        Link(session.id, session.counter, session.prev),
    )


def _model(model: _Model) -> ModelRef:
    return ModelRef(model.name, model.version, model.digest, model.licence, model.bundle_digest or "")
