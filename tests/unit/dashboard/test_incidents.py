"""Incidents from alert events: any order and any repetition give the same; what is not an alert is passed over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.dashboard.incidents import MAX_INCIDENTS, MAX_STEPS, Incidents
from stream_maas.dashboard.overseer import SILENT_AFTER_S, Overseer
from tests.unit.dashboard.samples import alert, alert_value

LIFE = ["pending", "firing", "acknowledged", "repeat", "resolved"]


@given(st.permutations(range(len(LIFE))), st.lists(st.integers(0, len(LIFE) - 1)))
def test_order_and_repetition_do_not_matter(order: list[int], again: list[int]) -> None:
    incidents = Incidents()
    for number in [*order, *again]:
        incidents.add(alert_value(LIFE[number], number))
    (incident,) = incidents.all()
    assert incident["state"] == "resolved"
    assert incident["reason"] == "recovered"
    assert [step["event"] for step in incident["steps"]] == LIFE


@pytest.mark.parametrize(
    ("life", "state"),
    [
        (["pending"], "pending"),
        (["pending", "firing", "repeat"], "firing"),
        (["firing", "acknowledged", "repeat"], "acknowledged"),
        (["firing", "acknowledged", "escalated"], "firing"),
        (["pending", "resolved"], "resolved"),
    ],
)
def test_state(life: list[str], state: str) -> None:
    incidents = Incidents()
    for number, event in enumerate(life):
        incidents.add(alert_value(event, number))
    assert incidents.all()[0]["state"] == state


def test_a_step_seen_before_is_no_news() -> None:
    incidents = Incidents()
    assert incidents.add(alert_value("firing", 0)) is not None
    assert incidents.add(alert_value("firing", 0)) is None


def test_envelope_of_cloudevents_is_taken_off() -> None:
    incidents = Incidents()
    event = {"specversion": "1.0", "type": "org.stream-maas.alert.firing.v1", "data": alert("firing", 0)}
    incident = incidents.add(json.dumps(event).encode())
    assert incident is not None
    assert incident["rule"] == "error-budget-fast"
    assert "a" * 64 in incidents


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"{}", b'{"specversion": "1.0"}', b'{"event": "firing"}'])
def test_what_is_no_alert_is_passed_over(value: bytes | None) -> None:
    incidents = Incidents()
    assert incidents.add(value) is None
    assert incidents.all() == []


def test_memory_is_bounded_and_open_incidents_stay() -> None:
    incidents = Incidents()
    incidents.add(alert_value("firing", 0, "f"))
    for number in range(MAX_INCIDENTS + 10):
        id_ = f"{number:064x}"
        incidents.add(alert_value("resolved", 0, incident_id=id_, event_id=f"{id_}:0"))
    assert len(incidents.all()) == MAX_INCIDENTS
    assert incidents.all()[0]["state"] == "firing"
    for number in range(1, MAX_STEPS + 50):
        incidents.add(alert_value("repeat", number, "f"))
    steps = incidents.all()[0]["steps"]
    assert len(steps) <= MAX_STEPS + 1
    assert (steps[0]["sequence"], steps[-1]["sequence"]) == (0, MAX_STEPS + 49)


def heartbeat(**members: Any) -> bytes:
    return json.dumps({"kind": "heartbeat", "at_us": 1, **members}).encode()


def test_a_monitor_is_absent_alive_or_silent() -> None:
    overseer = Overseer()
    assert overseer.document(1000.0)["state"] == "absent"
    overseer.add_heartbeat(heartbeat(instance="m1"), 1_000_000)
    assert overseer.document(1000.0 + SILENT_AFTER_S)["state"] == "alive"
    silent = overseer.document(1001.0 + SILENT_AFTER_S)
    assert (silent["state"], silent["heartbeat"]["instance"]) == ("silent", "m1")
    overseer.add_heartbeat(b"\x00 a snapshot", 9_000_000)
    assert overseer.document(9000.0)["state"] == "silent"


def test_silences_begin_and_end() -> None:
    overseer = Overseer()
    for id_, end_s in (("s1", 20), ("s2", 10)):
        overseer.add_command(
            json.dumps({"command": "silence", "command_id": id_, "ends_at_us": end_s * 10**6}).encode()
        )
    assert [silence["command_id"] for silence in overseer.silences(5)] == ["s2", "s1"]
    assert [silence["command_id"] for silence in overseer.silences(15)] == ["s1"]
    overseer.add_command(b'{"command": "unsilence", "silence_id": "s1"}')
    assert overseer.silences(15) == []
