"""Keeps how bytes become records and records bytes: the only room that spells JSON members and header names.

docs/wire-format.md is the same contract in prose, schemas/ in JSON Schema.
"""

from stream_maas.wire.answer import (
    decode_answer,
    encode_numbers,
    encode_outputs,
    encode_prediction,
    encode_prediction_and_digest,
    encode_rejection,
    stable_digest,
    without_timings,
)
from stream_maas.wire.audit import decision_type, encode_audit, service_source
from stream_maas.wire.audit_encoder import AuditEncoder, session_member
from stream_maas.wire.audit_glance import AuditGlance, glance_audit
from stream_maas.wire.audit_reading import AuditEvent, decode_audit
from stream_maas.wire.dead_letter import encode_dead_letter
from stream_maas.wire.headers import (
    answer_headers,
    answer_kind,
    audit_headers,
    audit_id,
    audit_type,
    coordinates_id,
    correlation_id,
    deferral_header,
    is_decision,
    is_own_record,
    read_deferral,
    read_receipt,
    receipt_header,
    redacted_by,
    request_headers,
)
from stream_maas.wire.request import TEXT_INPUT, best_effort_id, best_effort_subject, decode_request, encode_request
from stream_maas.wire.schemas import SCHEMA_BASE, SCHEMA_NAMES, schema_id, schemas_dir
from stream_maas.wire.service_event import (
    ServiceEvent,
    ServiceKind,
    decode_service_event,
    encode_service_event,
    signed_text,
)

__all__ = [
    "SCHEMA_BASE",
    "SCHEMA_NAMES",
    "TEXT_INPUT",
    "AuditEncoder",
    "AuditEvent",
    "AuditGlance",
    "ServiceEvent",
    "ServiceKind",
    "answer_headers",
    "answer_kind",
    "audit_headers",
    "audit_id",
    "audit_type",
    "best_effort_id",
    "best_effort_subject",
    "coordinates_id",
    "correlation_id",
    "decision_type",
    "decode_answer",
    "decode_audit",
    "decode_request",
    "decode_service_event",
    "deferral_header",
    "encode_audit",
    "encode_dead_letter",
    "encode_numbers",
    "encode_outputs",
    "encode_prediction",
    "encode_prediction_and_digest",
    "encode_rejection",
    "encode_request",
    "encode_service_event",
    "glance_audit",
    "is_decision",
    "is_own_record",
    "read_deferral",
    "read_receipt",
    "receipt_header",
    "redacted_by",
    "request_headers",
    "schema_id",
    "schemas_dir",
    "service_source",
    "session_member",
    "signed_text",
    "stable_digest",
    "without_timings",
]
