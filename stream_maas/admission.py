"""Admission: which records may go on, decided from the record and the clock reading handed in.

First cut: size, rows and deadlines. Lanes, quotas and the degradation ladder join here later; whatever they
need (counters, lag) is handed in, so that a replay decides alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache

import orjson

from stream_maas.errors import BadOutputError, ExpiredError, TooLargeError, UnknownTenantError
from stream_maas.records import KafkaRecord, PolicyDecision, Request

_DENIED_BY = {
    "expired": "admission.deadline",
    "quota": "admission.quota",
    "redaction_error": "privacy.fail_closed",
    "shed": "admission.overload",
    "too_large": "admission.size",
    "unknown_tenant": "admission.tenant",
}
"""Rejection code -> the rule of ours that decided."""
_VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """What one record may ask for."""

    max_record_bytes: int = field(
        default=1_000_000,
        metadata={"help": "largest request value; Kafka's own default limit for a record is 1 MiB"},
    )
    max_key_bytes: int = field(
        default=16_000,
        metadata={"help": "largest request key; the answer carries the same key and has to fit into a record too"},
    )
    max_answer_bytes: int = field(
        default=1_000_000,
        metadata={
            "help": "largest prediction, dead letter or kept input; must stay below the topics' max.message.bytes"
        },
    )
    max_timeout_us: int = field(
        default=24 * 3600 * 1_000_000,
        metadata={"help": "larger `timeout` parameters are cut to this (one day)"},
    )
    tenants: tuple[str, ...] = field(
        default=(), metadata={"help": "tenants that are served, comma separated; empty serves everyone"}
    )


def check_size(record: KafkaRecord, limits: Limits) -> None:
    """Raise `TooLargeError` above a byte limit. Called before decoding, so a huge record costs nothing."""
    size = len(record.value) if record.value is not None else 0
    if size > limits.max_record_bytes:
        raise TooLargeError(f"value: {size} bytes, the limit is {limits.max_record_bytes}")
    key_size = len(record.key) if record.key is not None else 0
    if key_size > limits.max_key_bytes:
        raise TooLargeError(f"key: {key_size} bytes, the limit is {limits.max_key_bytes}")


def check_answer_size(value: bytes, limits: Limits) -> None:
    """Raise `BadOutputError` for a prediction that no topic would take: a record that can never be published would
    hold back its partition for ever."""
    if len(value) > limits.max_answer_bytes:
        raise BadOutputError(f"outputs: {len(value)} bytes, the limit is {limits.max_answer_bytes}")


def check_tenant(request: Request, limits: Limits) -> None:
    """Raise `UnknownTenantError` when a tenant list is set and the request's tenant is not on it."""
    if limits.tenants and request.tenant not in limits.tenants:
        raise UnknownTenantError("parameters.tenant: not a tenant of this deployment")


def deadline_us(request: Request, record: KafkaRecord, limits: Limits) -> int | None:
    """Epoch microseconds after which an answer is no longer wanted, or None when the client set no timeout."""
    if request.timeout_us is None:
        return None
    return record.timestamp * 1000 + min(request.timeout_us, limits.max_timeout_us)


def check_deadline(
    deadline: int | None, now_us: int, message: str = "parameters.timeout: passed before the record was served"
) -> None:
    """Raise `ExpiredError` when `now_us` is past the deadline. Arriving exactly on it is still in time."""
    if deadline is not None and now_us > deadline:
        raise ExpiredError(message)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What audit events say that admission decided."""

    allow: tuple[PolicyDecision, ...]
    """Of a record that no rule objected to."""
    deny: Mapping[str, tuple[PolicyDecision, ...]]
    """By rejection code; a code that is not here is nobody's rule."""


@lru_cache(maxsize=8)
def verdicts(limits: Limits) -> Verdicts:
    """Verdicts under these limits. Their version is the beginning of the SHA-256 (hex) of the limits as canonical
    JSON, so that an auditor can tell which settings decided, and whether two workers decided alike."""
    stated = orjson.dumps(asdict(limits), option=orjson.OPT_SORT_KEYS)
    version = hashlib.sha256(stated).hexdigest()[:_VERSION_DIGITS]
    deny = {
        code: (PolicyDecision(rule, "deny", version if rule.startswith("admission.") else ""),)
        for code, rule in _DENIED_BY.items()
    }
    return Verdicts((PolicyDecision("admission", "allow", version),), deny)
