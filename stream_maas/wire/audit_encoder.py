"""Keeps the fast way to the canonical bytes of an audit event: a third of the price of `audit.encode_audit`.

`encode_audit` is the definition, this is its twin for the hot path. The predictions of one model call have most of
their events in common: that is encoded once, its members in sorted order, and what is an event's own put in between.
tests/unit/wire/test_audit.py holds both against each other on random events.

An event's place in its chain is known only when it joins a transaction (ledger/chain.py). It is the last member of
`data.writer`, which is the last member of `data`, so an event is encoded as two halves and linked by joining them.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import Any

import orjson

from stream_maas.records import Decision, Link, RedactionReport, Writer
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
from stream_maas.wire.templates import Field, Form, Template, template

_REST = '}},"datacontenttype":"application/json","dataschema":"%s","id":' % AUDIT_SCHEMA  # noqa: UP031 - braces
"""What follows `data.writer.session`."""
_SHARED = ("topic", "lane", "status", "code", "model", "model_name", "id_source", "degraded", "policy")
"""Fields of a `Decision` that most predictions of a worker have in common. What clients choose freely is not among
them: there would be no end of templates."""
_shared = attrgetter(*_SHARED)
_MOST_TEMPLATES = 64


class AuditEncoder:
    """Encodes the audit events of one writer. Not for several threads at once."""

    def __init__(self, writer: Writer) -> None:
        """Raises `ValueError` for a runtime fact whose name is not ASCII."""
        self._writer = writer
        self._described = _sorted(**writer_members(writer, None))[:-1]
        """Without its closing brace: the session follows."""
        self._templates: dict[object, tuple[Template, Template]] = {}
        self._last: tuple[Template, Template] | None = None
        """The templates that the last prediction was written with."""
        self._time = 0, rfc3339(0).encode()
        self._clear: tuple[str, RedactionReport | None, bytes] = ("", None, b"")

    def encode(self, d: Decision, *, time_us: int) -> tuple[bytes, bytes]:
        """(head, tail): with `session_member(link)` in between it is what `encode_audit` writes, byte for byte."""
        if d.batch is not None and d.output_digest is not None:
            if time_us != self._time[0]:
                self._time = time_us, rfc3339(time_us).encode()
            given = (_caller(d), self._redaction(d), self._time[1])
            head = self._last[0].write(d, given) if self._last is not None else None
            if self._last is None or head is None:
                self._last = self._templates_for(d)
                head = self._last[0].write(d, given)
            if head is not None and (tail := self._last[1].write(d, given)) is not None:
                return head, tail
        return _halves(encode_event(d, self._writer, time_us=time_us, link=None))

    def _templates_for(self, d: Decision) -> tuple[Template, Template]:
        shared = _shared(d)
        if shared not in self._templates:
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
            self._templates[shared] = self._new_templates(d)
        return self._templates[shared]

    def _new_templates(self, d: Decision) -> tuple[Template, Template]:
        """Of heads and tails; names stand in canonical order. Given: `caller`, `redaction`, the time."""
        request = {"id_source": d.id_source, "lane": d.lane}
        if d.model_name is not None:
            request["model_name"] = d.model_name
        code = "" if d.code is None else f'"code":"{d.code}",'
        model = "" if d.model is None else f'"model":{_sorted(**model_members(d.model))},'
        policy = f'"policy":{orjson.dumps(policy_members(d.policy)).decode()},' if d.policy else ""
        source = _quoted(service_source(self._writer.app))
        head = (
            '{"data":{"batch":{"id":"', Field("batch.id", "text"), '","index":', Field("batch.index", "number"),
            ',"size":', Field("batch.size", "number"), "},", Field("0", "given"),
            f'{code}"degraded":{_quoted(d.degraded)},"input":{{', _optional("box", "ascii", '"box":"', '",'),
            '"bytes":', Field("input_bytes", "number"), _optional("input_digest", "ascii", ',"digest":"', '"'),
            f'}},{model}"output":{{"digest":"', Field("output_digest", "ascii"),
            '"', _optional("label", "text", ',"label":"', '"'), _optional("score_ppm", "number", ',"score_ppm":'),
            f'}},{policy}"redaction":', Field("1", "given"), ',"request":{"attempt":', Field("attempt", "number"),
            ',"id":"', Field("request_id", "text"),
            f'",{_sorted(**request)[1:-1]},"offset":', Field("offset", "number"),
            ',"partition":', Field("partition", "number"), ',"priority":', Field("priority", "number"),
            ',"timestamp_ms":', Field("timestamp_ms", "number"),
            f',"topic":{_quoted(d.topic)}}},"status":"{d.status}","timings_us":{{"infer":',
            Field("timings.infer_us", "number"), ',"queue":', Field("timings.queue_us", "number"),
            ',"redact":', Field("timings.redact_us", "number"), ',"total":', Field("timings.total_us", "number"), "},",
            _optional("trace_id", "ascii", '"trace_id":"', '",'), f'"writer":{self._described}',
        )  # fmt: skip
        tail = (
            f"{_REST}{_quoted(d.topic)[:-1]}:", Field("partition", "number"), ":", Field("offset", "number"),
            f'","source":{source},"specversion":"1.0","time":"', Field("2", "given"),
            f'","type":"{decision_type(d.code)}"}}',
        )  # fmt: skip
        return template(head, like=d, shared=_SHARED), template(tail)

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


def _optional(path: str, form: Form, before: str, after: str = "") -> Field:
    return Field(path, form, before.encode(), after.encode(), optional=True)


def _quoted(value: str | bool) -> str:
    return orjson.dumps(value).decode()


def _sorted(**members: Any) -> str:
    return orjson.dumps(members, option=orjson.OPT_SORT_KEYS).decode()
