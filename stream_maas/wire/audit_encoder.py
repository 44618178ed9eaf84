"""Keeps the fast way to the canonical bytes of an audit event: a third of the price of `audit.encode_audit`.

`encode_audit` is the definition, this is its twin for the hot path. The predictions of one model call have most of
their events in common: that is encoded once, its members in sorted order, and what is an event's own put in between.
tests/unit/wire/test_audit.py holds both against each other on random events.

An event's place in its chain is known only when it joins a transaction (ledger/chain.py). It is the last member of
`data.writer`, which is the last member of `data`, so an event is encoded as two halves and linked by joining them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from stream_maas.records import BatchPosition, Decision, Link, RedactionReport, Writer
from stream_maas.wire.audit import (
    AUDIT_SCHEMA,
    decision_type,
    encode_event,
    model_members,
    policy_members,
    redaction_members,
    rfc3339,
    service_source,
    writer_members,
)
from stream_maas.wire.headers import audit_id
from stream_maas.wire.pieces import joined, quoted
from stream_maas.wire.tensors import MAX_SAFE_INTEGER

_REST = '}},"datacontenttype":"application/json","dataschema":"%s","id":' % AUDIT_SCHEMA  # noqa: UP031 - braces
"""What follows `data.writer.session`."""


class _Frame(NamedTuple):
    """What the events of one model call have in common, cut where something of an event's own stands."""

    to_index: bytes
    to_caller: bytes
    to_input: bytes
    to_output: bytes
    to_redaction: bytes
    to_request_id: bytes
    to_offset: bytes
    to_timestamp: bytes
    to_queue: bytes
    to_writer: bytes
    rest: bytes
    end: bytes

    @classmethod
    def of(cls, **texts: str) -> _Frame:
        return cls(**{name: text.encode() for name, text in texts.items()})


class AuditEncoder:
    """Encodes the audit events of one writer. Not for several threads at once."""

    def __init__(self, writer: Writer) -> None:
        """Raises `ValueError` for a runtime fact whose name is not ASCII."""
        self._writer = writer
        self._described = _sorted(**writer_members(writer, None))[:-1]
        """Without its closing brace: the session follows."""
        self._shared: tuple[Any, ...] = ()
        """What `_frame` was made of."""
        self._frame = _Frame(*[b""] * len(_Frame._fields))
        self._clear: tuple[str, RedactionReport | None, bytes] = ("", None, b"")

    def encode(self, d: Decision, *, time_us: int) -> tuple[bytes, bytes]:
        """(head, tail): with `session_member(link)` in between it is what `encode_audit` writes, byte for byte."""
        batch, label, score_ppm, output_digest, t = d.batch, d.label, d.score_ppm, d.output_digest, d.timings
        if batch is None or label is None or score_ppm is None or output_digest is None or not _is_usual(d):
            return _halves(encode_event(d, self._writer, time_us=time_us, link=None))
        shared = (
            time_us, batch.id, batch.size, t.infer_us, d.topic, d.partition, d.lane, d.status, d.code, d.model,
            d.model_name, d.id_source, d.priority, d.degraded, d.policy, d.attempt,
        )  # fmt: skip
        if shared != self._shared:
            self._frame = self._new_frame(d, batch, time_us)
            self._shared = shared
        (
            to_index, to_caller, to_input, to_output, to_redaction, to_request_id, to_offset, to_timestamp, to_queue,
            to_writer, rest, end,
        ) = self._frame  # fmt: skip
        box = "" if d.box is None else f'"box":"{d.box}",'
        digest = "" if d.input_digest is None else f',"digest":"{d.input_digest}"'
        trace = "" if d.trace_id is None else f'"trace_id":"{d.trace_id}",'
        head = joined(
            (
                to_index, batch.index, to_caller, _caller(d), to_input, box, b'"bytes":', d.input_bytes, digest,
                to_output, output_digest, b'","label":', _known(label), b',"score_ppm":', score_ppm,
                to_redaction, self._redaction(d), to_request_id, quoted(d.request_id), to_offset, d.offset,
                to_timestamp, d.timestamp_ms, to_queue, t.queue_us, b',"redact":', t.redact_us, b',"total":',
                t.total_us, b"},", trace, to_writer,
            )
        )  # fmt: skip
        return head, joined((rest, d.offset, end))

    def _new_frame(self, d: Decision, batch: BatchPosition, time_us: int) -> _Frame:
        degraded = "true" if d.degraded else "false"
        model, policy, request = "", "", {"id_source": d.id_source, "lane": d.lane}
        if d.model is not None:
            model = f'"model":{_sorted(**model_members(d.model))},'
        if d.policy:
            policy = f'"policy":{orjson.dumps(policy_members(d.policy)).decode()},'
        if d.model_name is not None:
            request["model_name"] = d.model_name
        code = "" if d.code is None else f'"code":"{d.code}",'
        source, written = _quoted(service_source(self._writer.app)), rfc3339(time_us)
        return _Frame.of(
            to_index=f'{{"data":{{"batch":{{"id":{_quoted(batch.id)},"index":',
            to_caller=f',"size":{batch.size}}},',
            to_input=f'{code}"degraded":{degraded},"input":{{',
            to_output=f'}},{model}"output":{{"digest":"',
            to_redaction=f'}},{policy}"redaction":',
            to_request_id=f',"request":{{"attempt":{d.attempt},"id":',
            to_offset=f',{_sorted(**request)[1:-1]},"offset":',
            to_timestamp=f',"partition":{d.partition},"priority":{d.priority},"timestamp_ms":',
            to_queue=(
                f',"topic":{_quoted(d.topic)}}},"status":"{d.status}","timings_us":{{"infer":{d.timings.infer_us},"queue":'
            ),
            to_writer=f'"writer":{self._described}',
            rest=_REST + _quoted(audit_id(d.topic, d.partition, 0))[:-2],
            end=f'","source":{source},"specversion":"1.0","time":"{written}","type":"{decision_type(d.code)}"}}',
        )

    def _redaction(self, d: Decision) -> bytes:
        if d.redactions:
            return _sorted(**redaction_members(d)).encode()
        report = d.redaction
        last_policy, last_report, fragment = self._clear
        if report is not last_report or d.redaction_policy != last_policy:
            # Clear records of one policy share one report, so that their fragment is made once.
            fragment = _sorted(**redaction_members(d)).encode()
            self._clear = (d.redaction_policy, report, fragment)
        return fragment


def session_member(link: Link) -> bytes:
    """What stands between the two halves of an event (`ledger.chain.link` writes the same, faster)."""
    session: dict[str, str | int] = {"counter": link.counter, "id": link.session}
    if link.prev is not None:
        session["prev"] = link.prev
    return b',"session":' + orjson.dumps(session)


def _halves(value: bytes) -> tuple[bytes, bytes]:
    """Quotes inside of strings are escaped, so the last occurrence is the member itself."""
    place = value.rindex(_REST.encode())
    return value[:place], value[place:]


def _is_usual(d: Decision) -> bool:
    """A prediction of a model call at hours that JSON's readers can keep."""
    t = d.timings
    return (
        -MAX_SAFE_INTEGER <= d.timestamp_ms <= MAX_SAFE_INTEGER
        and -MAX_SAFE_INTEGER <= t.queue_us <= MAX_SAFE_INTEGER
        and -MAX_SAFE_INTEGER <= t.total_us <= MAX_SAFE_INTEGER
        and -MAX_SAFE_INTEGER <= t.infer_us <= MAX_SAFE_INTEGER
        and -MAX_SAFE_INTEGER <= t.redact_us <= MAX_SAFE_INTEGER
    )


def _caller(d: Decision) -> bytes:
    if d.subject_ref is None and d.consent_ref is None:
        return _application(d.app, d.basis, d.principal, d.purpose, d.tenant)
    return _caller_member(
        app=d.app, basis=d.basis, consent_ref=d.consent_ref, principal=d.principal, purpose=d.purpose,
        subject_ref=d.subject_ref, tenant=d.tenant,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _application(
    app: str | None, basis: str | None, principal: str | None, purpose: str | None, tenant: str | None
) -> bytes:
    """`caller` without what is another for each person."""
    return _caller_member(app=app, basis=basis, principal=principal, purpose=purpose, tenant=tenant)


def _caller_member(**members: str | None) -> bytes:
    """With the comma behind it. What is not known is left out, and so is an object with nothing in it."""
    known = {name: value for name, value in members.items() if value is not None}
    return f'"caller":{_sorted(**known)},'.encode() if known else b""


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


_known = lru_cache(maxsize=256)(orjson.dumps)
"""JSON of a text that stands in many events."""


def _sorted(**members: Any) -> str:
    return orjson.dumps(members, option=orjson.OPT_SORT_KEYS).decode()
