"""Keeps the fast way to the canonical bytes of an audit event: half the price of `audit.encode_audit`.

`encode_audit` is the definition, this is its twin for the hot path. What is the same in all events of a worker is
serialised once, and members are put in already sorted, so that nothing has to be sorted.
tests/unit/wire/test_audit.py holds both against each other on random events.
"""

from __future__ import annotations

from typing import Any

import orjson

from stream_maas.records import Decision, ModelRef, Writer
from stream_maas.wire.audit import AUDIT_SCHEMA, ascii_members, encode_audit, rfc3339, service_source
from stream_maas.wire.headers import AUDIT_TYPE, audit_id

_SORTED = orjson.OPT_SORT_KEYS
_STRICT = orjson.OPT_STRICT_INTEGER
_NO_COUNTS = orjson.Fragment(b"{}")
_MAX_MODELS = 256
"""Fragments kept; a worker serves far fewer models at a time."""


class AuditEncoder:
    """Encodes the audit events of one writer. Not for several threads at once."""

    def __init__(self, writer: Writer) -> None:
        """Raises `ValueError` for a runtime fact whose name is not ASCII."""
        self._writer = writer
        described = {
            "app": writer.app,
            "build": writer.build,
            "instance": writer.instance,
            "runtime": ascii_members(writer.runtime),
        }
        self._described = orjson.Fragment(orjson.dumps(described, option=_SORTED))
        self._source = service_source(writer.app)
        self._models: dict[ModelRef, orjson.Fragment] = {}
        self._time = (-1, "")

    def encode(self, d: Decision, *, time_us: int) -> bytes:
        """`encode_audit(d, writer, time_us=time_us)`, byte for byte."""
        if self._time[0] != time_us:
            self._time = (time_us, rfc3339(time_us))
        event = {
            "data": self._data(d),
            "datacontenttype": "application/json",
            "dataschema": AUDIT_SCHEMA,
            "id": audit_id(d.topic, d.partition, d.offset),
            "source": self._source,
            "specversion": "1.0",
            "time": self._time[1],
            "type": AUDIT_TYPE,
        }
        try:
            return orjson.dumps(event, option=_STRICT)
        except orjson.JSONEncodeError:
            return encode_audit(d, self._writer, time_us=time_us)

    def _data(self, d: Decision) -> dict[str, Any]:
        data: dict[str, Any] = {}
        if (batch := d.batch) is not None:
            data["batch"] = {"id": batch.id, "index": batch.index, "size": batch.size}
        if caller := _present(
            ("consent_ref", d.consent_ref), ("purpose", d.purpose), ("subject_ref", d.subject_ref), ("tenant", d.tenant)
        ):
            data["caller"] = caller
        if d.code is not None:
            data["code"] = d.code
        data["degraded"] = d.degraded
        data["input"] = {"bytes": d.input_bytes}
        if d.input_digest is not None:
            data["input"]["digest"] = d.input_digest
        if d.model is not None:
            data["model"] = self._models.get(d.model) or self._describe(d.model)
        if output := _present(("digest", d.output_digest), ("label", d.label), ("score_ppm", d.score_ppm)):
            data["output"] = output
        counts = _NO_COUNTS
        if d.redactions:
            counts = orjson.Fragment(orjson.dumps(ascii_members(d.redactions), option=_SORTED))
        data["redaction"] = {"counts": counts, "policy": d.redaction_policy}
        request: dict[str, str | int] = {"id": d.request_id, "id_source": d.id_source, "lane": d.lane}
        if d.model_name is not None:
            request["model_name"] = d.model_name
        request.update(
            offset=d.offset, partition=d.partition, priority=d.priority, timestamp_ms=d.timestamp_ms, topic=d.topic
        )
        data["request"] = request
        data["status"] = d.status
        timings = d.timings
        data["timings_us"] = {
            "infer": timings.infer_us,
            "queue": timings.queue_us,
            "redact": timings.redact_us,
            "total": timings.total_us,
        }
        if d.trace_id is not None:
            data["trace_id"] = d.trace_id
        data["writer"] = self._described
        return data

    def _describe(self, model: ModelRef) -> orjson.Fragment:
        if len(self._models) >= _MAX_MODELS:
            self._models.clear()
        described = {
            "digest": model.digest,
            "licence": model.licence,
            "name": model.name,
            "version": model.version,
        }
        self._models[model] = fragment = orjson.Fragment(orjson.dumps(described))
        return fragment


def _present(*members: tuple[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in members if value is not None}
