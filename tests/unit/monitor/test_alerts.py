"""The life of an alert: waits, hysteresis, reminders, silences, changed rules, and what its events say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jsonschema_rs
import pytest

from stream_maas.monitor.commands import Acknowledge, Command, Retire, Silence, Unsilence, decode_command
from stream_maas.monitor.publication import encode_alert
from tests.unit.monitor.histories import START_US, Answer, History, Idle, Run, play, rules

SECOND_US = 1_000_000
TEXT = """
version: 1
rules:
  - {id: rejected, measure: reject_ratio, per: lane, above: 50%, over: 5m, for: 4m, keep_firing_for: 2m, min_events: 10,
     repeat_every: 10m}
  - {id: errors, slo: errors, per: model, objective: 99%, escalate_after: 10m, runbook: docs/x.md}
  - {id: slow, slo: latency, below: 100ms, per: lane, objective: 90%, muted_by: ["errors:fast"]}
"""
RULES = rules(TEXT)
STEP_US = RULES.timing.step_us


def spell(
    begin_s: float, end_s: float, code: str = "", *, every: int = 1, per_s: int = 20
) -> list[Answer | Idle | bytes]:
    """Answers of which every n-th has a code."""
    count = round((end_s - begin_s) * per_s)
    times = [START_US + round((begin_s + n / per_s) * SECOND_US) for n in range(count)]
    return [Answer(at_us, code if n % every == 0 else "") for n, at_us in enumerate(times)]


def lived(*spells: Sequence[Answer | Idle | bytes], commands: Sequence[tuple[int, Command]] = ()) -> Run:
    items = [item for one in spells for item in one]
    last = max(item.at_us for item in items if isinstance(item, Answer))
    return play(History({0: [*items, Idle(last + 2 * SECOND_US)]}, commands=commands), RULES)


def at(seconds: float) -> int:
    return (START_US + round(seconds * SECOND_US)) // STEP_US


def test_a_breach_waits_for_its_time_and_leaves_only_when_it_is_clearly_over() -> None:
    """for: 4m is 4.8 s at this scale; 45 % is below the threshold and not clearly below it."""
    run = lived(spell(0, 10), spell(10, 20, "invalid_input"), spell(20, 30, "invalid_input", every=2), spell(30, 60))
    steps = [
        (data["event"], data["at_us"]) for data in run.told if data["rule"] == "rejected" and data["event"] != "repeat"
    ]
    assert [step for step, _ in steps] == ["pending", "firing", "resolved"]
    (_, pending), (_, firing), (_, resolved) = steps
    assert firing - pending == RULES.by_id["rejected"].for_us
    assert resolved > START_US + 30 * SECOND_US + RULES.by_id["rejected"].keep_us


def test_a_short_breach_never_fires() -> None:
    run = lived(spell(0, 10), spell(10, 13.5, "invalid_input"), spell(13.5, 40))
    assert run.steps("rejected") == ["pending", "resolved"]


def test_faults_of_callers_use_up_no_error_budget() -> None:
    run = lived(spell(0, 30, "invalid_input"))
    assert run.steps("errors:fast") == []


def test_two_bad_events_wake_nobody() -> None:
    """Both would burn the budget far above 14.4 times; they are two."""
    items = spell(0, 20, per_s=7)
    items[60], items[90] = (Answer(items[n].at_us, "model_error") for n in (60, 90))  # type: ignore[union-attr]
    assert lived(items).steps("errors:fast") == []


def test_repeat_escalate_and_acknowledge() -> None:
    ill = [*spell(0, 10), *spell(10, 100, "model_error", every=2)]
    alone = lived(ill)
    assert "escalated" in alone.steps("errors:fast")
    incident = next(data["incident_id"] for data in alone.told if data["rule"] == "errors:fast")
    looked_after = lived(ill, commands=[(at(16), Acknowledge("c1", incident))])
    assert looked_after.steps("errors:fast") == ["firing", "acknowledged"]


def test_a_silence_is_said_and_hides_nothing() -> None:
    ill = [*spell(0, 10), *spell(10, 40, "model_error", every=2), *spell(40, 70)]
    silence = Silence("s1", {"model": "sentiment-lite"}, START_US, START_US + 30 * SECOND_US)
    run = lived(ill, commands=[(at(2), silence)])
    events = [(data["event"], data["silenced"]) for data in run.told if data["rule"] == "errors:fast"]
    assert events[0] == ("firing", True)
    assert events[-1] == ("resolved", False)  # it had ended by then
    ended = lived(ill, commands=[(at(2), silence), (at(5), Unsilence("u1", "s1"))])
    assert next(data["silenced"] for data in ended.told if data["rule"] == "errors:fast") is False
    other = lived(ill, commands=[(at(2), Silence("s1", {"model": "other"}, START_US, START_US + 30 * SECOND_US))])
    assert not any(data["silenced"] for data in other.told)


def test_a_retired_model_is_resolved_and_forgotten() -> None:
    ill = [*spell(0, 10), *spell(10, 40, "model_error", every=2)]
    run = lived(ill, commands=[(at(30), Retire("r1", {"model": "sentiment-lite"}))])
    over = [data for data in run.told if data["rule"] == "errors:fast" and data["event"] == "resolved"]
    assert [data["reason"] for data in over] == ["model_retired"]


def test_changed_rules_end_their_incidents_and_only_theirs() -> None:
    changed = rules(TEXT.replace("above: 50%", "above: 40%"))
    items = [*spell(0, 10), *spell(10, 40, "invalid_input"), *spell(40, 41)]
    history = History({0: [*items, Idle(START_US + 43 * SECOND_US)]})
    run = play(history, RULES)
    run.monitor.command(changed)
    run.monitor.fold.be_idle(0, len(items), START_US + 45 * SECOND_US)
    outputs = run.monitor.advance()
    over = next(event for event in outputs.events if event.data["rule"] == "rejected")
    assert (over.step, over.data["reason"]) == ("resolved", "rule_removed")
    assert outputs.applied[0].document == {"rules": changed.document}


def test_evidence_points_at_the_bad_events() -> None:
    run = lived(spell(0, 10), spell(10, 30, "model_error", every=2))
    fired = next(data for data in run.told if data["rule"] == "errors:fast")
    offsets = [place["offset"] for place in fired["evidence"]]
    assert len(offsets) == 5
    assert all(offset >= 200 and offset % 2 == 0 for offset in offsets)


def test_events_are_valid_cloud_events_with_equal_bytes_on_every_replay() -> None:
    schema = json.loads(Path("schemas/alert.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    ill = [*spell(0, 10), *spell(10, 40, "model_error", every=2), *spell(40, 41, "invalid_input"), *spell(41, 60)]
    values = [encode_alert(event, prefix="maas") for event in lived(ill).events]
    assert values == [encode_alert(event, prefix="maas") for event in lived(ill).events]
    for value in values:
        document = json.loads(value)
        assert [error.message for error in validator.iter_errors(document)] == []
        assert document["id"] == document["data"]["event_id"]


@pytest.mark.parametrize(
    "path", sorted(Path("schemas/examples/alert-command/valid").glob("*.json")), ids=lambda p: p.stem
)
def test_every_valid_command_is_understood(path: Path) -> None:
    decode_command(path.read_bytes())
