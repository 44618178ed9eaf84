"""Audit events and alert events as the topics hold them, for the dashboard's tests."""

from __future__ import annotations

import json
from typing import Any

from stream_maas import wire
from stream_maas.records import Decision, Link, ModelRef, Timings, Writer

MODEL = ModelRef("sentiment-lite", "1", "5f" * 32, "Apache-2.0")
WRITER = Writer("stream-maas", "worker-0", "0.1.0")
LINK = Link("0123456789abcdef" * 2, 7, "ab" * 32)


def audit_value(offset: int = 0, *, code: str | None = None, **members: Any) -> bytes:
    """The value of an audit record."""
    facts: dict[str, Any] = {
        "topic": "maas.requests", "partition": 0, "offset": offset, "timestamp_ms": 1_790_000_000_000,
        "lane": "default", "request_id": f"order-{offset}", "id_source": "body",
        "status": "rejection" if code else "prediction",
        "code": code, "model": None if code else MODEL, "timings": Timings(1000, 100, 400, 2000),
    }  # fmt: skip
    return wire.encode_audit(Decision(**(facts | members)), WRITER, time_us=1_790_000_000_002_100, link=LINK)


def glance(offset: int = 0, **members: Any) -> wire.AuditGlance:
    """What the page reads of that value."""
    event = wire.glance_audit(audit_value(offset, **members))
    assert event is not None
    return event


def alert(event: str, sequence: int, incident: str = "a", *, at_us: int = 0, **members: Any) -> dict[str, Any]:
    """An alert event; `incident` is one hex digit that is repeated."""
    facts = {
        "event": event, "event_id": f"{incident * 64}:{sequence}", "incident_id": incident * 64, "series_id": "5" * 64,
        "sequence": sequence, "rule": "error-budget-fast", "rule_revision": 3, "severity": "page",
        "labels": {"model": "sentiment-lite", "version": "1"}, "value": 16.2, "threshold": 14.4, "unit": "burn rate",
        "windows": [{"length_ms": 300_000, "bad": 41, "total": 900}], "started_at_us": 1_790_000_000_000_000,
        "at_us": at_us or 1_790_000_000_000_000 + sequence * 1_000_000, "watermark_us": 1_790_000_000_000_000,
        "silenced": False, "evidence": [], "summary": "sentiment-lite uses its error budget 16 times too fast.",
    }  # fmt: skip
    return facts | ({"reason": "recovered"} if event == "resolved" else {}) | members


def alert_value(*arguments: Any, **members: Any) -> bytes:
    """The same as the value of an alert record."""
    return json.dumps(alert(*arguments, **members)).encode()
