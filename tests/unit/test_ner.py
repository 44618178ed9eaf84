"""Names by a model: where the policy asks, what is done with them, and what a model costs that hangs or dies."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_maas import ner
from stream_maas.errors import RedactionError, SettingsError
from stream_maas.privacy import Policy, RedactionConfig, Redactor
from stream_maas.records import Request, Tensor

NAMES = r"""
import json, re, sys, time
print("[]", flush=True)
for line in sys.stdin:
    text = json.loads(line)
    if "hang" in text:
        time.sleep(600)
    if "die" in text:
        raise SystemExit(text)
    if "babble" in text:
        print("no JSON", flush=True)
        continue
    found = [[m.start(), m.end(), "PERSON"] for m in re.finditer("Quirinius|Mehitabel", text)]
    print(json.dumps(found + [[0, 3, "GPE"], [-5, 900, "PERSON"]]), flush=True)
"""
"""A program that speaks the lines of `stream_maas.ner` and knows two names."""
POLICY = Policy.parse("""
name: clinic
version: 1
rules:
  - {at: inputs.note, ner: true}
  - {for: PERSON, do: {operator: replace, numbered: true}}
tenants:
  everywhere: {rules: [{ner: true}]}
""")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ner.SpacyModel]:
    monkeypatch.setattr(ner, "_PAUSE_S", 0.0)
    model = ner.SpacyModel("names", 0.5, [sys.executable, "-c", NAMES])
    yield model
    model.close()


def request(name: str, text: str, tenant: str | None = None) -> Request:
    return Request("r-1", "body", (Tensor(name, "BYTES", (1,), [text]),), tenant=tenant)


def redacted(redactor: Redactor, name: str, text: str, tenant: str | None = None) -> str:
    return str(redactor.redact_request(request(name, text, tenant)).value.inputs[0].data[0])


def test_it_is_asked_where_the_policy_says(model: ner.SpacyModel) -> None:
    redactor = Redactor(policy=POLICY, model=model)
    text = "Mehitabel met Quirinius, ada@example.org, and Mehitabel"
    assert redacted(redactor, "note", text) == "[PERSON_1] met [PERSON_2], [EMAIL], and [PERSON_1]"
    assert redacted(redactor, "other", text) == text.replace("ada@example.org", "[EMAIL]")
    assert redacted(redactor, "other", text, "everywhere") == "[PERSON_1] met [PERSON_2], [EMAIL], and [PERSON_1]"
    once = redacted(redactor, "note", text)
    assert redacted(redactor, "note", once) == once


def test_offsets_and_recognizer_are_told(model: ner.SpacyModel) -> None:
    redactor = Redactor(policy=POLICY, model=model)
    text = "a@b.cc told Quirinius"
    result, entities = redactor.explain(text, tenant="everywhere")
    assert result.value == "[EMAIL] told [PERSON_1]"
    assert [(text[e.start : e.end], e.recognizer) for e in entities] == [
        ("a@b.cc", "email"),
        ("Quirinius", "ner_model"),
    ]


@pytest.mark.parametrize("fault", ["hang", "die", "babble"])
def test_a_model_that_fails_costs_the_record_and_comes_back(model: ner.SpacyModel, fault: str) -> None:
    redactor = Redactor(policy=POLICY, model=model)
    with pytest.raises(RedactionError) as caught:
        redacted(redactor, "note", f"Mehitabel and {fault}")
    assert "Mehitabel" not in str(caught.value)
    assert caught.value.__context__ is None
    assert redacted(redactor, "other", "nothing is asked here") == "nothing is asked here"
    assert _in_the_end(redactor, "Mehitabel") == "[PERSON_1]"


def test_a_killed_process_is_started_again(model: ner.SpacyModel) -> None:
    redactor = Redactor(policy=POLICY, model=model)
    assert model.pid is not None
    os.kill(model.pid, signal.SIGKILL)
    assert _in_the_end(redactor, "Mehitabel") == "[PERSON_1]"


def _in_the_end(redactor: Redactor, text: str) -> str:
    """Refused at once while the model loads, never let through."""
    for _ in range(2_000):
        try:
            return redacted(redactor, "note", text)
        except RedactionError:
            time.sleep(0.005)
    raise AssertionError("the model did not come back")


def test_after_a_failure_no_process_is_started_for_a_while(
    model: ner.SpacyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ner, "_PAUSE_S", 3600.0)
    with pytest.raises(ner.ModelGoneError):
        model.find("die")
    with pytest.raises(ner.ModelGoneError, match="a moment ago"):
        model.find("fine")
    assert model.pid is None


def test_what_is_too_long_or_too_much_is_refused(model: ner.SpacyModel) -> None:
    redactor = Redactor(policy=POLICY, model=model)
    with pytest.raises(RedactionError):
        redacted(redactor, "note", "a word " * 4_000)
    many = Request("r-1", "body", (Tensor("note", "BYTES", (65,), ["a word"] * 65),))
    with pytest.raises(RedactionError):
        redactor.redact_request(many)


def test_without_a_model_records_that_need_it_are_refused() -> None:
    redactor = Redactor(policy=POLICY)
    with pytest.raises(RedactionError):
        redacted(redactor, "note", "a word")
    assert redacted(redactor, "other", "a word") == "a word"
    assert redactor.redact_line("a line of a log") == "a line of a log"


def test_settings(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{name: p, version: 1, rules: [{ner: true}]}")
    assert ner.model_for(RedactionConfig()) is None
    with pytest.raises(SettingsError, match=r"privacy\.ner_model: the policy asks"):
        ner.model_for(RedactionConfig(policy=str(policy)))
    with pytest.raises(SettingsError, match=r"privacy\.ner_model: no_such_model does not load"):
        ner.model_for(RedactionConfig(policy=str(policy), ner_model="no_such_model"))


@pytest.mark.parametrize("rule", ["{ner: yes please}", "{ner: true, do: keep}", "{ner: true, for: PERSON}"])
def test_a_wrong_rule_is_named(rule: str) -> None:
    with pytest.raises(SettingsError, match=r"rules\[0\]\."):
        Policy.parse(f"{{name: p, version: 1, rules: [{rule}]}}")


def test_a_spacy_pipeline(tmp_path: Path) -> None:
    """The real library with rules in the place of weights: what it costs with weights is in docs/privacy.md."""
    spacy = pytest.importorskip("spacy", reason="the extra `ner` is not installed")
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Quirinius"}])
    pipeline.to_disk(tmp_path / "model")
    model = ner.SpacyModel(str(tmp_path / "model"), 5.0)
    assert model.find("😀 Quirinius came") == [(2, 11, "PERSON")]
    model.close()


def test_the_process_is_given_json_of_any_text(model: ner.SpacyModel) -> None:
    assert model.find("\ud800 Quirinius \u2028\n") == [(2, 11, "PERSON")]
    assert json.dumps("\u2028\n") == '"\\u2028\\n"'
