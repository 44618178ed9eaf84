"""Keeps the fast way to the canonical bytes of an audit event: half the price of `audit.encode_audit`.

`encode_audit` is the definition, this is its twin for the hot path. What is the same in all events of a worker is
serialised once, and the structs below have their members in sorted order, so that nothing has to be sorted.
tests/unit/wire/test_audit.py holds both against each other on random events.

An event's place in its chain is known only when it joins a transaction (ledger/chain.py). It is the last member of
`data.writer`, which is the last member of `data`, so an event is encoded as two halves and linked by joining them.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from msgspec import UNSET, Raw, Struct, UnsetType

from stream_maas.records import Decision, Link, ModelRef, RedactionReport, Writer
from stream_maas.wire.audit import (
    AUDIT_SCHEMA,
    decision_type,
    encode_event,
    model_members,
    redaction_members,
    rfc3339,
    service_source,
    writer_members,
)
from stream_maas.wire.headers import audit_id
from stream_maas.wire.tensors import MAX_SAFE_INTEGER

_MAX_MODELS = 256
"""Fragments kept; a worker serves far fewer models at a time."""
_REST = b'}},"datacontenttype":"application/json","dataschema":"%b","id":' % AUDIT_SCHEMA.encode()
"""What follows `data.writer.session`."""


class _Batch(Struct, gc=False):
    id: str
    index: int
    size: int


class _Caller(Struct, gc=False):
    app: str | UnsetType
    basis: str | UnsetType
    consent_ref: str | UnsetType
    principal: str | UnsetType
    purpose: str | UnsetType
    subject_ref: str | UnsetType
    tenant: str | UnsetType


class _Input(Struct, gc=False):
    box: str | UnsetType
    bytes: int
    digest: str | UnsetType


class _Policy(Struct, gc=False):
    outcome: str
    rule: str


class _Output(Struct, gc=False):
    digest: str | UnsetType
    label: str | UnsetType
    score_ppm: int | UnsetType


class _Request(Struct, gc=False):
    attempt: int
    id: str
    id_source: str
    lane: str
    model_name: str | UnsetType
    offset: int
    partition: int
    priority: int
    timestamp_ms: int
    topic: str


class _Timings(Struct, gc=False):
    infer: int
    queue: int
    redact: int
    total: int


class _Data(Struct, gc=False):
    batch: _Batch | UnsetType
    caller: _Caller | UnsetType
    code: str | UnsetType
    degraded: bool
    input: _Input
    model: Raw | UnsetType
    output: _Output | UnsetType
    policy: list[_Policy] | UnsetType
    redaction: Raw
    request: _Request
    status: str
    timings_us: _Timings
    trace_id: str | UnsetType
    writer: Raw


class AuditEncoder:
    """Encodes the audit events of one writer. Not for several threads at once."""

    def __init__(self, writer: Writer) -> None:
        """Raises `ValueError` for a runtime fact whose name is not ASCII."""
        self._writer = writer
        self._described = _sorted(**writer_members(writer, None))
        self._source = orjson.dumps(service_source(writer.app))
        self._models: dict[ModelRef, Raw] = {}
        self._clear: tuple[str, RedactionReport | None, Raw] = ("", None, Raw(b""))
        self._time_us = 0
        self._ends: dict[str | None, bytes] = {}
        """Rejection code -> what follows the id of an event written at `_time_us`."""
        self._encode = msgspec.json.Encoder().encode

    def encode(self, d: Decision, *, time_us: int) -> tuple[bytes, bytes]:
        """(head, tail): with `session_member(link)` in between it is what `encode_audit` writes, byte for byte."""
        t = d.timings
        clocks = (d.timestamp_ms, t.queue_us, t.total_us, t.infer_us, t.redact_us)
        if max(clocks) > MAX_SAFE_INTEGER or min(clocks) < -MAX_SAFE_INTEGER:
            return _halves(encode_event(d, self._writer, time_us=time_us, link=None))
        batch = d.batch
        data = _Data(
            _Batch(batch.id, batch.index, batch.size) if batch is not None else UNSET,
            _caller(d),
            _known(d.code),
            d.degraded,
            _Input(_known(d.box), d.input_bytes, _known(d.input_digest)),
            UNSET if d.model is None else self._models.get(d.model) or self._describe(d.model),
            _output(d),
            [_Policy(said.outcome, said.rule) for said in d.policy] if d.policy else UNSET,
            self._redaction(d),
            _Request(
                d.attempt, d.request_id, d.id_source, d.lane, _known(d.model_name),
                d.offset, d.partition, d.priority, d.timestamp_ms, d.topic,
            ),
            d.status,
            _Timings(t.infer_us, t.queue_us, t.redact_us, t.total_us),
            _known(d.trace_id),
            self._described,
        )  # fmt: skip
        event_id = self._encode(audit_id(d.topic, d.partition, d.offset))
        return b'{"data":' + self._encode(data)[:-2], _REST + event_id + self._end(d.code, time_us)

    def _end(self, code: str | None, time_us: int) -> bytes:
        if self._time_us != time_us:
            self._time_us = time_us
            self._ends.clear()
        end = self._ends.get(code)
        if end is None:
            end = self._ends[code] = b',"source":%b,"specversion":"1.0","time":"%b","type":"%b"}' % (
                self._source, rfc3339(time_us).encode(), decision_type(code).encode(),
            )  # fmt: skip
        return end

    def _redaction(self, d: Decision) -> Raw:
        if d.redactions:
            return _sorted(**redaction_members(d))
        report = d.redaction
        last_policy, last_report, fragment = self._clear
        if report is not last_report or d.redaction_policy != last_policy:
            # Clear records of one policy share one report, so that their fragment is made once.
            fragment = _sorted(**redaction_members(d))
            self._clear = (d.redaction_policy, report, fragment)
        return fragment

    def _describe(self, model: ModelRef) -> Raw:
        if len(self._models) >= _MAX_MODELS:
            self._models.clear()
        self._models[model] = fragment = _sorted(**model_members(model))
        return fragment


def session_member(link: Link) -> bytes:
    """What stands between the two halves of an event (`ledger.chain.link` writes the same, faster)."""
    session: dict[str, str | int] = {"counter": link.counter, "id": link.session}
    if link.prev is not None:
        session["prev"] = link.prev
    return b',"session":' + orjson.dumps(session)


def _halves(value: bytes) -> tuple[bytes, bytes]:
    """Quotes inside of strings are escaped, so the last occurrence is the member itself."""
    place = value.rindex(_REST)
    return value[:place], value[place:]


def _caller(d: Decision) -> _Caller | UnsetType:
    if (
        d.tenant is None
        and d.purpose is None
        and d.subject_ref is None
        and d.consent_ref is None
        and d.app is None
        and d.principal is None
        and d.basis is None
    ):
        return UNSET
    return _Caller(
        _known(d.app),
        _known(d.basis),
        _known(d.consent_ref),
        _known(d.principal),
        _known(d.purpose),
        _known(d.subject_ref),
        _known(d.tenant),
    )


def _output(d: Decision) -> _Output | UnsetType:
    if d.output_digest is None and d.label is None and d.score_ppm is None:
        return UNSET
    return _Output(_known(d.output_digest), _known(d.label), _known(d.score_ppm))


def _known(value: Any) -> Any:
    """What is not known is left out."""
    return UNSET if value is None else value


def _sorted(**members: Any) -> Raw:
    return Raw(orjson.dumps(members, option=orjson.OPT_SORT_KEYS))
