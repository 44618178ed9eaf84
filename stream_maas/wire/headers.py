"""Keeps the spelling of Kafka headers: CloudEvents 1.0 binary mode, W3C trace context, MLServer's and our own.

Sources: CloudEvents 1.0 Kafka protocol binding (section 3.2: attribute `x` is header `ce_x`, `datacontenttype` is
`content-type`, values are UTF-8), CloudEvents correlation extension (`correlationid`), W3C Trace Context level 1.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from stream_maas.records import Headers, KafkaRecord

AnswerKind = Literal["prediction", "rejection"]

REQUEST_TYPE = "org.stream-maas.request.v1"
PREDICTION_TYPE = "org.stream-maas.prediction.v1"
REJECTION_TYPE = "org.stream-maas.rejection.v1"
AUDIT_PREFIX = "org.stream-maas.audit."
DECISION_PREFIX = AUDIT_PREFIX + "decision."
"""How `type` of every event about a request begins; versions and outcomes follow."""
AUDIT_TYPE = DECISION_PREFIX + "v2"
DENIED_TYPE = DECISION_PREFIX + "denied.v2"
FAILED_TYPE = DECISION_PREFIX + "failed.v2"
DEAD_LETTER_TYPE = "org.stream-maas.dead-letter.v1"

CONTENT_TYPE = "content-type"
CE_SPECVERSION = "ce_specversion"
CE_ID = "ce_id"
CE_SOURCE = "ce_source"
CE_TYPE = "ce_type"
CE_CORRELATION_ID = "ce_correlationid"
TRACEPARENT = "traceparent"
AUDIT_ID = "maas-audit-id"
AUDIT_LEAF = "maas-audit-leaf"
AUDIT_DEFERRED = "maas-audit-deferred"
CODE = "maas-code"
X_REQUEST_ID = "x-request-id"
REDACTED_BY = "maas-redacted-by"
"""On a request: the policy under which the client redacted it before it sent it."""

MODEL_HEADERS: tuple[tuple[str, str], ...] = (
    ("mlserver-model", "mlserver-version"),
    ("ce_model", "ce_modelversion"),
)
"""(name, version) pairs in the order in which they are asked; a version counts only with the name beside it."""

JSON_TYPE = b"application/json"
CLOUDEVENTS_JSON_TYPE = b"application/cloudevents+json; charset=UTF-8"

_SPECVERSION = (CE_SPECVERSION, b"1.0")
_JSON = (CONTENT_TYPE, JSON_TYPE)
_ANSWER_TYPES = {
    "prediction": (CE_TYPE, PREDICTION_TYPE.encode()),
    "rejection": (CE_TYPE, REJECTION_TYPE.encode()),
}
_AUDIT_HEADERS = ((CONTENT_TYPE, CLOUDEVENTS_JSON_TYPE),)
_AUDIT_MARK = f'"type":"{AUDIT_PREFIX}'.encode()
_DECISION_MARK = f'"type":"{DECISION_PREFIX}'.encode()
_AUDIT_TAIL_BYTES = 100
"""`type` is the last member of an audit event, and no type is longer than this."""
_AUDIT_TYPE_AT_END = re.compile(rb'"type":"(org\.stream-maas\.audit\.[a-z0-9.]+)"\}\Z')
_LEAF = re.compile(rb"[0-9a-f]{64}")
_DEFERRAL = re.compile(rb"([0-9a-f]{32}):(0|[1-9][0-9]{0,15})")
_OWN_TYPES = frozenset(name.encode() for name in (PREDICTION_TYPE, REJECTION_TYPE, DEAD_LETTER_TYPE))
_KINDS: dict[bytes, AnswerKind] = {
    PREDICTION_TYPE.encode(): "prediction",
    REJECTION_TYPE.encode(): "rejection",
}
_POLICY = re.compile(rb"[a-z][a-z-]{0,31}-(?:[0-9A-Za-z.]{1,6}|20[0-9]{2}-[0-9]{2}-[0-9]{2})/[0-9a-f]{12}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def coordinates_id(topic: str, partition: int, offset: int) -> str:
    """`topic:partition:offset`, the id of a record that brings none. Topic names hold no colon, so it is unique."""
    return f"{topic}:{partition}:{offset}"


audit_id = coordinates_id
"""Id of the audit event of the request record at these coordinates; a repeated run gives the same one."""


def audit_type(value: bytes) -> str | None:
    """`type` of an audit event, read off the end of its canonical bytes; None for anything else."""
    found = _AUDIT_TYPE_AT_END.search(value, max(0, len(value) - _AUDIT_TAIL_BYTES))
    return found[1].decode() if found else None


def is_decision(value: bytes) -> bool:
    """Whether an audit record is about a request; the others are the service's own (sessions, exports, ...)."""
    return _DECISION_MARK in value[-_AUDIT_TAIL_BYTES:]


def receipt_header(leaf: bytes) -> tuple[str, bytes]:
    """The header by which a result proves its audit event. `leaf`: RFC 6962 leaf hash of the event, hex."""
    return AUDIT_LEAF, leaf


def deferral_header(session: str, counter: int) -> tuple[str, bytes]:
    """The header of a result whose audit event waits in a spool, with its place in the writer session's chain."""
    return AUDIT_DEFERRED, f"{session}:{counter}".encode()


def read_deferral(headers: Headers) -> tuple[str, int] | None:
    """(session, counter) of a result's audit event that waited in a spool; None for an event that did not."""
    for name, value in headers:
        if name == AUDIT_DEFERRED and (found := _DEFERRAL.fullmatch(value or b"")):
            return found[1].decode(), int(found[2])
    return None


def read_receipt(headers: Headers) -> tuple[str, bytes] | None:
    """(event id, 32 bytes leaf hash) of the audit event that belongs to a result; None without a whole receipt."""
    found = dict(headers)
    event_id, leaf = header_text(found.get(AUDIT_ID)), found.get(AUDIT_LEAF) or b""
    if event_id is None or not _LEAF.fullmatch(leaf):
        return None
    return event_id, bytes.fromhex(leaf.decode())


def header_text(value: bytes | None) -> str | None:
    """The header's text, or None when it is absent, null, empty or not UTF-8."""
    if not value:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def valid_traceparent(value: bytes | None) -> str | None:
    """The header when it is a W3C `traceparent` of four fields, else None. Never raises."""
    if value is not None and _TRACEPARENT.fullmatch(value):
        return value.decode("ascii")
    return None


def is_own_record(record: KafkaRecord) -> bool:
    """Whether this service published the record: answering it would loop for ever.

    `ce_type` tells, and for audit events, which are in structured mode, the `type` at the end of their canonical
    bytes. A request that the SDK labels `org.stream-maas.request.v1` is not our own.
    """
    for name, value in record.headers:
        if name == CE_TYPE and value in _OWN_TYPES:
            return True
        if name == CONTENT_TYPE and value == CLOUDEVENTS_JSON_TYPE:
            return _AUDIT_MARK in (record.value or b"")[-_AUDIT_TAIL_BYTES:]
    return False


def answer_kind(headers: Headers) -> AnswerKind | None:
    """ "prediction" or "rejection" from `ce_type`, None for any other record. Saves parsing the value."""
    for name, value in headers:
        if name == CE_TYPE:
            return _KINDS.get(value)
    return None


def correlation_id(headers: Headers) -> str | None:
    """The request id that an answer or dead letter belongs to, from `ce_correlationid`."""
    for name, value in headers:
        if name == CE_CORRELATION_ID:
            return header_text(value)
    return None


def request_headers(
    *, request_id: str, source: str, traceparent: str | None = None, redacted_by: str | None = None
) -> list[tuple[str, bytes]]:
    """Headers of a request from the SDK. `source`: URI reference of the calling application. `redacted_by`: policy
    under which the request was redacted already."""
    headers = [
        _SPECVERSION,
        (CE_ID, request_id.encode()),
        (CE_SOURCE, source.encode()),
        (CE_TYPE, REQUEST_TYPE.encode()),
        _JSON,
    ]
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode()))
    if redacted_by is not None:
        headers.append((REDACTED_BY, redacted_by.encode()))
    return headers


def redacted_by(headers: Headers) -> str:
    """Policy under which the client says that it redacted the request, "" if it says nothing that could be one.

    The form is narrow because it is repeated in the audit event: nothing personal fits into it.
    """
    for name, value in headers:
        if name == REDACTED_BY and _POLICY.fullmatch(value or b""):
            return value.decode("ascii")
    return ""


def answer_headers(
    kind: AnswerKind, *, request_id: str, audit_id: str, source: str, traceparent: str | None
) -> list[tuple[str, bytes]]:
    """Headers of a result record.

    `ce_id` is the audit id with `:answer` behind it: request ids are the clients' and may repeat, the coordinates
    of the request record do not. `source` must not name the worker: a repeated answer has to be the same event.
    """
    audit = audit_id.encode()
    headers = [
        _SPECVERSION,
        _ANSWER_TYPES[kind],
        _source(source),
        (CE_ID, audit + b":answer"),
        (CE_CORRELATION_ID, request_id.encode()),
        _JSON,
        (AUDIT_ID, audit),
    ]
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode()))
    return headers


@lru_cache(maxsize=8)
def _source(source: str) -> tuple[str, bytes]:
    return CE_SOURCE, source.encode()


def audit_headers() -> list[tuple[str, bytes]]:
    """Headers of an audit event: structured mode, everything that is hashed stands in the value.

    The binding would allow `ce_` headers beside it, but readers such as the CloudEvents SDK for Python take any
    of them for binary mode.
    """
    return list(_AUDIT_HEADERS)


def dead_letter_headers(
    *, topic: str, partition: int, offset: int, exception: str, code: str, message: str, request_id: str, source: str
) -> list[tuple[str, bytes]]:
    """Headers of a dead letter: KIP-1034's names, so that existing tools show them, without the stack trace.

    `partition` and `offset` are decimal text, as Kafka Streams writes them.
    """
    audit = audit_id(topic, partition, offset).encode()
    return [
        _SPECVERSION,
        (CE_TYPE, DEAD_LETTER_TYPE.encode()),
        (CE_SOURCE, source.encode()),
        (CE_ID, audit + b":dead-letter"),
        (CE_CORRELATION_ID, request_id.encode()),
        _JSON,
        (AUDIT_ID, audit),
        (CODE, code.encode()),
        ("__streams.errors.exception", exception.encode()),
        ("__streams.errors.message", message.encode()),
        ("__streams.errors.topic", topic.encode()),
        ("__streams.errors.partition", str(partition).encode()),
        ("__streams.errors.offset", str(offset).encode()),
    ]
