"""What the alerts topic says by now: one incident per id, its steps in order, and which silences are in force. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson

MAX_INCIDENTS = 500
"""The newest ones are kept; what is over goes first."""
MAX_STEPS = 200
"""Of one incident: an alert that repeats for weeks must not fill the page."""
_SHOWN = (
    "incident_id", "series_id", "rule", "rule_revision", "severity", "labels", "value", "threshold", "unit", "windows",
    "started_at_us", "at_us", "watermark_us", "silenced", "evidence", "summary", "runbook", "reason",
)  # fmt: skip


class Incidents:
    """Alert life-cycle events folded into incidents; an event that was seen before changes nothing."""

    def __init__(self) -> None:
        self._incidents: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def add(self, value: bytes | None) -> dict[str, Any] | None:
        """Fold one record's value; the incident as it is now, None when there is no news in it."""
        event = alert_event(value)
        if event is None:
            return None
        id_ = event["incident_id"]
        incident = self._incidents.get(id_)
        if incident is None:
            incident = self._incidents[id_] = {"steps": []}
            self._make_room()
        steps = incident["steps"]
        if any(step["event_id"] == event["event_id"] for step in steps):
            return None
        steps.append(
            {"event_id": event["event_id"], "sequence": event["sequence"], "event": event["event"],
             "at_us": event["at_us"], "value": event["value"], "silenced": event["silenced"]}
        )  # fmt: skip
        steps.sort(key=lambda step: step["sequence"])
        del steps[1 : max(1, len(steps) - MAX_STEPS)]
        if steps[-1]["event_id"] == event["event_id"]:
            incident |= {name: event[name] for name in _SHOWN if name in event}
            incident["inhibited_by"] = event.get("inhibited_by", "")
            incident["state"] = _state(steps)
        self._incidents.move_to_end(id_)
        return incident

    def all(self) -> list[dict[str, Any]]:
        """Open incidents first, then by their last event, newest first."""
        order = sorted(self._incidents.values(), key=lambda incident: -incident["at_us"])
        return sorted(order, key=lambda incident: incident["state"] == "resolved")

    def __contains__(self, incident_id: str) -> bool:
        return incident_id in self._incidents

    def _make_room(self) -> None:
        if len(self._incidents) > MAX_INCIDENTS:
            over = (id_ for id_, incident in self._incidents.items() if incident.get("state") == "resolved")
            del self._incidents[next(over, next(iter(self._incidents)))]


def alert_event(value: bytes | None) -> dict[str, Any] | None:
    """The alert event in a record's value, bare or as the data of a CloudEvent; None for anything else."""
    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    if isinstance(document, Mapping) and "specversion" in document:
        document = document.get("data")
    needed = ("event", "event_id", "incident_id", "sequence", "at_us", "started_at_us", "value", "silenced")
    if not isinstance(document, dict) or any(name not in document for name in needed):
        return None
    return document


def _state(steps: list[dict[str, Any]]) -> str:
    """pending, firing, acknowledged or resolved. A repeat after an acknowledgement leaves it acknowledged."""
    names = [step["event"] for step in steps]
    if names[-1] == "resolved":
        return "resolved"
    if "acknowledged" in names and "escalated" not in names[names.index("acknowledged") :]:
        return "acknowledged"
    return "pending" if set(names) <= {"pending"} else "firing"
