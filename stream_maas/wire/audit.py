"""Keeps the canonical bytes of an audit event (docs/audit-format.md says who asks for each field).

A CloudEvent 1.0 in structured mode, so that what is hashed covers its attributes. Canonical means: the output of
`orjson` with sorted keys, which for ASCII keys, no floats and integers below 2^53 is RFC 8785 exactly, at a
sixtieth of its price. What is not known is left out, never null. Consumers hash the stored bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from stream_maas.records import Decision, Link, ModelRef, PolicyDecision, Writer
from stream_maas.wire.headers import AUDIT_TYPE, DENIED_TYPE, FAILED_TYPE, audit_id
from stream_maas.wire.schemas import schema_id
from stream_maas.wire.tensors import MAX_SAFE_INTEGER

AUDIT_SCHEMA = schema_id("audit-event")
FAILED_CODES = frozenset({"redaction_error", "model_error", "bad_output", "circuit_open", "audit_unavailable"})
"""Rejections because the service could not. All other codes say that a rule of ours, or the contract, said no."""

_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def decision_type(code: str | None) -> str:
    """CloudEvents `type` of a decision with this rejection code (None: a prediction)."""
    if code is None:
        return AUDIT_TYPE
    return FAILED_TYPE if code in FAILED_CODES else DENIED_TYPE


def encode_audit(decision: Decision, writer: Writer, *, time_us: int, link: Link) -> bytes:
    """The value of an audit record. `time_us`: epoch microseconds at which the event was written.

    Integers beyond 2^53 - 1 (a producer may set any record timestamp) are cut to it. Raises `ValueError` for a
    redaction type or runtime fact whose name is not ASCII, which is an error of the program, not of a record.
    """
    return encode_event(decision, writer, time_us=time_us, link=link)


def encode_event(decision: Decision, writer: Writer, *, time_us: int, link: Link | None) -> bytes:
    """`encode_audit`; with `link` None an event that stands in no chain yet, for `wire.AuditEncoder` only."""
    event = {
        "specversion": "1.0",
        "type": decision_type(decision.code),
        "source": service_source(writer.app),
        "id": audit_id(decision.topic, decision.partition, decision.offset),
        "time": rfc3339(time_us),
        "datacontenttype": "application/json",
        "dataschema": AUDIT_SCHEMA,
        "data": _data(decision, writer, link),
    }
    return canonical(event)


def canonical(event: Mapping[str, Any]) -> bytes:
    """Canonical bytes of an event with ASCII names and no floats; integers beyond 2^53 - 1 are cut to it."""
    try:
        return orjson.dumps(event, option=_CANONICAL)
    except orjson.JSONEncodeError:
        return orjson.dumps(_clamped(event), option=_CANONICAL)


def _data(d: Decision, writer: Writer, link: Link | None) -> dict[str, Any]:
    request: dict[str, Any] = {
        "id": d.request_id,
        "id_source": d.id_source,
        "topic": d.topic,
        "partition": d.partition,
        "offset": d.offset,
        "timestamp_ms": d.timestamp_ms,
        "lane": d.lane,
        "priority": d.priority,
        "attempt": d.attempt,
    }
    if d.model_name is not None:
        request["model_name"] = d.model_name
    timings = d.timings
    data: dict[str, Any] = {
        "status": d.status,
        "request": request,
        "input": {"bytes": d.input_bytes},
        "redaction": redaction_members(d),
        "degraded": d.degraded,
        "timings_us": {
            "queue": timings.queue_us,
            "redact": timings.redact_us,
            "infer": timings.infer_us,
            "total": timings.total_us,
        },
        "writer": writer_members(writer, link),
    }
    if d.input_digest is not None:
        data["input"]["digest"] = d.input_digest
    if d.box is not None:
        data["input"]["box"] = d.box
    if d.policy:
        data["policy"] = policy_members(d.policy)
    if d.code is not None:
        data["code"] = d.code
    if d.trace_id is not None:
        data["trace_id"] = d.trace_id
    if (model := d.model) is not None:
        data["model"] = model_members(model)
    if (batch := d.batch) is not None:
        data["batch"] = {"id": batch.id, "size": batch.size, "index": batch.index}
    if caller := _caller(d):
        data["caller"] = caller
    if output := _output(d):
        data["output"] = output
    return data


def policy_members(policy: Iterable[PolicyDecision]) -> list[dict[str, str]]:
    """The member `policy`, names in canonical order."""
    said = [{"outcome": one.outcome, "rule": one.rule, "version": one.version} for one in policy]
    return [{name: value for name, value in one.items() if value} for one in said]


def model_members(model: ModelRef) -> dict[str, str]:
    """The member `model`."""
    members = {"name": model.name, "version": model.version, "digest": model.digest, "licence": model.licence}
    return {**members, "bundle_digest": model.bundle_digest} if model.bundle_digest else members


def redaction_members(d: Decision) -> dict[str, Any]:
    """The member `redaction`. Raises `ValueError` for a name that is not ASCII."""
    report = d.redaction
    members: dict[str, Any] = {
        "policy": d.redaction_policy,
        "ruleset": report.ruleset,
        "engine": report.engine,
        "counts": ascii_members(d.redactions),
        "folded": report.folded,
        "truncated": report.truncated,
    }
    if report.operators:
        members["operators"] = ascii_members(report.operators)
    if report.places:
        members["places"] = {place: ascii_members(counts) for place, counts in ascii_members(report.places).items()}
    if report.shadow:
        members["shadow"] = ascii_members(report.shadow)
    if report.client:
        members["client"] = report.client
    return members


def writer_members(writer: Writer, link: Link | None) -> dict[str, Any]:
    """`data.writer` of any event of ours: who writes, on what, and where in the chain."""
    members: dict[str, Any] = {
        "app": writer.app,
        "instance": writer.instance,
        "build": writer.build,
        "runtime": ascii_members(writer.runtime),
    }
    if writer.host is not None:
        members["host"] = writer.host
    if link is not None:
        members["session"] = {"id": link.session, "counter": link.counter}
        if link.prev is not None:
            members["session"]["prev"] = link.prev
    return members


def _caller(d: Decision) -> dict[str, str]:
    caller = {
        "app": d.app,
        "basis": d.basis,
        "consent_ref": d.consent_ref,
        "principal": d.principal,
        "purpose": d.purpose,
        "subject_ref": d.subject_ref,
        "tenant": d.tenant,
    }
    return {name: value for name, value in caller.items() if value is not None}


def _output(d: Decision) -> dict[str, str | int]:
    output: dict[str, str | int] = {}
    if d.output_digest is not None:
        output["digest"] = d.output_digest
    if d.label is not None:
        output["label"] = d.label
    if d.score_ppm is not None:
        output["score_ppm"] = d.score_ppm
    return output


def ascii_members(members: Mapping[str, Any]) -> dict[str, Any]:
    """A copy. Raises `ValueError` for a name that is not ASCII: sorting would not be canonical."""
    for name in members:
        if not name.isascii():
            raise ValueError("audit events have ASCII member names only")
    return dict(members)


@lru_cache(maxsize=8)
def service_source(app: str) -> str:
    """CloudEvents `source`, a URI reference: the application, not the worker, so that a repeat is the same event."""
    return f"/stream-maas/{quote(app, safe='')}"


def rfc3339(time_us: int) -> str:
    """UTC with exactly six digits of a second."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def _clamped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clamped(member) for name, member in value.items()}
    if type(value) is int:
        return max(-MAX_SAFE_INTEGER, min(value, MAX_SAFE_INTEGER))
    return value
