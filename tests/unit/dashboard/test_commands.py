"""What the page may tell the monitor: bodies that do not fit are refused, and what is written is the published form."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest

from stream_maas import wire
from stream_maas.dashboard import commands
from stream_maas.wire.audit_glance import glance_audit
from tests.unit.dashboard.samples import audit_value

ID = "0b6f0a3e-5c1d-4e0f-9c57-2b8f3a1d7e64"
GOOD = {
    "acknowledge": {"incident_id": "5" * 64, "by": "ana", "comment": "on it"},
    "silence": {"matchers": {"rule": "latency", "model": "m"}, "duration_ms": 60_000, "by": "ana"},
    "unsilence": {"silence_id": ID, "by": "ana"},
}
BAD = [
    ("acknowledge", {"incident_id": "5" * 63, "by": "ana"}),
    ("acknowledge", {"incident_id": "5" * 64, "by": ""}),
    ("acknowledge", {"incident_id": "5" * 64, "by": "a" * 65}),
    ("acknowledge", GOOD["acknowledge"] | {"more": 1}),
    ("silence", GOOD["silence"] | {"matchers": {}}),
    ("silence", GOOD["silence"] | {"matchers": {"Rule": "x"}}),
    ("silence", GOOD["silence"] | {"duration_ms": 0}),
    ("silence", GOOD["silence"] | {"duration_ms": commands.MAX_SILENCE_MS + 1}),
    ("unsilence", {"silence_id": "x", "by": "ana"}),
    ("retire", GOOD["acknowledge"]),
]


@pytest.mark.parametrize("name", GOOD)
def test_records_have_the_published_form(name: str) -> None:
    command = commands.parse(name, json.dumps(GOOD[name]).encode())
    assert command is not None
    key, value = commands.record_of(command, 1_790_000_000_000_000)
    document = json.loads(value)
    schema = json.loads((wire.schemas_dir() / "alert-command.schema.json").read_text())
    jsonschema_rs.Draft202012Validator(schema).validate(document)
    assert document["command"] == name
    assert document["command_id"] == key.decode()
    assert document["at_us"] == 1_790_000_000_000_000
    if name == "silence":
        assert document["ends_at_us"] - document["starts_at_us"] == 60_000_000


@pytest.mark.parametrize(("name", "body"), BAD)
def test_bodies_that_do_not_fit_are_refused(name: str, body: dict[str, object]) -> None:
    assert commands.parse(name, json.dumps(body).encode()) is None


def test_control_characters_do_not_reach_the_topic() -> None:
    command = commands.parse("acknowledge", json.dumps(GOOD["acknowledge"] | {"comment": "a\nb\x1b[31m"}).encode())
    assert command is not None
    assert json.loads(commands.record_of(command, 1)[1])["comment"] == "a b [31m"


def test_glance_reads_every_decision_and_nothing_else() -> None:
    value = audit_value(7, redactions={"EMAIL": 2})
    event = glance_audit(value)
    assert event is not None
    whole = wire.decode_audit(value).decision
    assert (event.request.id, event.request.offset, event.request.lane) == (whole.request_id, 7, whole.lane)
    assert (event.status, event.code, dict(event.redaction.counts)) == (whole.status, None, dict(whole.redactions))
    assert event.timings_us.total == whole.timings.total_us
    newer = json.loads(value)
    newer["type"] = "org.stream-maas.audit.decision.denied.v9"
    newer["data"]["request"]["unheard_of"] = 1
    assert glance_audit(json.dumps(newer).encode()) is not None
    newer["type"] = "org.stream-maas.audit.session.start.v1"
    for other in (json.dumps(newer).encode(), b"", None, b"{", b"[]", value[:-5]):
        assert glance_audit(other) is None
