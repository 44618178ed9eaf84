"""Keeps how bytes become records and records bytes: the only room that spells JSON members and header names.

docs/wire-format.md is the same contract in prose, schemas/ in JSON Schema.
"""

from stream_maas.wire.answer import (
    decode_answer,
    encode_prediction,
    encode_prediction_and_digest,
    encode_rejection,
    stable_digest,
    without_timings,
)
from stream_maas.wire.audit import encode_audit, service_source
from stream_maas.wire.audit_encoder import AuditEncoder
from stream_maas.wire.audit_glance import AuditGlance, glance_audit
from stream_maas.wire.audit_reading import AuditEvent, decode_audit
from stream_maas.wire.dead_letter import encode_dead_letter
from stream_maas.wire.headers import (
    answer_headers,
    answer_kind,
    audit_headers,
    audit_id,
    coordinates_id,
    correlation_id,
    is_own_record,
    request_headers,
)
from stream_maas.wire.request import TEXT_INPUT, best_effort_id, best_effort_subject, decode_request, encode_request
from stream_maas.wire.schemas import SCHEMA_BASE, SCHEMA_NAMES, schemas_dir

__all__ = [
    "SCHEMA_BASE",
    "SCHEMA_NAMES",
    "TEXT_INPUT",
    "AuditEncoder",
    "AuditEvent",
    "AuditGlance",
    "answer_headers",
    "answer_kind",
    "audit_headers",
    "audit_id",
    "best_effort_id",
    "best_effort_subject",
    "coordinates_id",
    "correlation_id",
    "decode_answer",
    "decode_audit",
    "decode_request",
    "encode_audit",
    "encode_dead_letter",
    "encode_prediction",
    "encode_prediction_and_digest",
    "encode_rejection",
    "encode_request",
    "glance_audit",
    "is_own_record",
    "request_headers",
    "schemas_dir",
    "service_source",
    "stable_digest",
    "without_timings",
]
