"""The record forms that others read: an alert event as a CloudEvent, the heartbeat as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from stream_maas.monitor.alerts import AlertEvent
from stream_maas.wire.audit import rfc3339

ALERT_SCHEMA = "https://stream-maas.org/schemas/v1/alert.schema.json"
ALERT_TYPE = "org.stream-maas.alert."
HEARTBEAT_KEY = b"heartbeat"
"""Key of the heartbeat in the monitor's state topic, partition 0."""


def encode_alert(event: AlertEvent, *, prefix: str) -> bytes:
    """The value of an alerts record: CloudEvents 1.0 structured mode, keys sorted; equal steps have equal bytes."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "type": f"{ALERT_TYPE}{event.step}.v1",
            "source": f"/stream-maas/{prefix}/monitor",
            "id": event.id,
            "subject": event.data["series_id"],
            "time": rfc3339(event.data["at_us"]),
            "datacontenttype": "application/json",
            "dataschema": ALERT_SCHEMA,
            "data": dict(event.data),
        },
        option=orjson.OPT_SORT_KEYS,
    )


def alert_data(value: bytes) -> Mapping[str, Any] | None:
    """The `data` of an alerts record, or None for a record of another kind."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or not str(document.get("type", "")).startswith(ALERT_TYPE):
        return None
    data = document.get("data")
    return data if isinstance(data, dict) else None


def encode_heartbeat(
    *, at_us: int, watermark_us: int, instance: str, partitions: list[dict[str, Any]], slos: list[dict[str, Any]],
    requests: list[dict[str, Any]], silences: list[dict[str, Any]], alerts: Mapping[str, int],
) -> bytes:  # fmt: skip
    """The value of a heartbeat record: proof of life, how far the monitor is, burn rates and budgets."""
    return orjson.dumps(
        {
            "kind": "heartbeat",
            "at_us": at_us,
            "watermark_us": watermark_us,
            "instance": instance,
            "partitions": partitions,
            "requests": requests,
            "slos": slos,
            "silences": silences,
            "alerts": alerts,
        }
    )
