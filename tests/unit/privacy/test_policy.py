"""Policy documents: what is accepted, what is refused and with which place, and which rule decides where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_maas.errors import SettingsError
from stream_maas.privacy import Policy
from stream_maas.privacy.operators import OPERATORS, Keep, Mask, Replace
from stream_maas.privacy.plan import compile_plan, strict_plan
from stream_maas.privacy.policy import DEFAULT_POLICY

HEAD = "name: acme\nversion: 3\n"


def problems(text: str) -> list[str]:
    """Places of the problems, in the order of the message."""
    with pytest.raises(SettingsError) as caught:
        Policy.parse(text)
    return [line.split(": ")[1] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", ["document"]),
        ("- a", ["document"]),
        ("name: acme", ["version"]),
        ("version: 1", ["name"]),
        ("name: Acme!\nversion: [1]", ["name", "version"]),
        (HEAD + "mode: off", ["mode"]),
        (HEAD + "rule: []", ["rule"]),
        (HEAD + "rules: {}", ["rules"]),
        (HEAD + "rules: [1]", ["rules[0]"]),
        (HEAD + "rules: [{for: EMAIL}]", ["rules[0].do"]),
        (HEAD + "rules: [{for: EMIAL, do: keep}]", ["rules[0].for"]),
        (HEAD + "rules: [{for: [EMAIL, X-Y], do: keep}]", ["rules[0].for[1]"]),
        (HEAD + "rules: [{for: [], do: keep}]", ["rules[0].for"]),
        (HEAD + "rules: [{do: encrypt}]", ["rules[0].do"]),
        (HEAD + "rules: [{do: {operator: mask, keep_last: 5}}]", ["rules[0].do.keep_last"]),
        (HEAD + "rules: [{do: {operator: mask, keep_last: true}}]", ["rules[0].do.keep_last"]),
        (HEAD + "rules: [{do: {operator: mask, char: 1}}]", ["rules[0].do.char"]),
        (HEAD + "rules: [{do: {operator: keep, char: x}}]", ["rules[0].do.char"]),
        (HEAD + "rules: [{do: {operator: replace, numbered: 1}}]", ["rules[0].do.numbered"]),
        (HEAD + "rules: [{do: generalise}]", ["rules[0].do"]),
        (HEAD + "rules: [{for: [IP, EMAIL], do: generalise}]", ["rules[0].do"]),
        (HEAD + "rules: [{treat_as: PERSON}]", ["rules[0].treat_as"]),
        (HEAD + "rules: [{treat_as: person, at: a}]", ["rules[0].treat_as"]),
        (HEAD + "rules: [{treat_as: PERSON, for: EMAIL, at: a}]", ["rules[0].for"]),
        (HEAD + "rules: [{at: a..b, do: keep}]", ["rules[0].at"]),
        (HEAD + "rules: [{at: [a, b*], do: keep}]", ["rules[0].at[1]"]),
        (HEAD + "rules: [{at: 5, do: keep}]", ["rules[0].at"]),
        (HEAD + "rules: [{do: keep, shadow: 1}]", ["rules[0].shadow"]),
        (HEAD + "packs: [us, moon]", ["packs[1]"]),
        (HEAD + "packs: us", ["packs"]),
        (HEAD + "shadow_packs: [moon]", ["shadow_packs[0]"]),
        (HEAD + "purpose: 3", ["purpose"]),
        (HEAD + "default: nothing", ["default"]),
        (HEAD + "tenants: [a]", ["tenants"]),
        (HEAD + "tenants: {shop: 1}", ["tenants.shop"]),
        (HEAD + "tenants: {shop: {rules: [{do: x}], y: 1}}", ["tenants.shop.y", "tenants.shop.rules[0].do"]),
        (HEAD + "rules: [{for: SPAM, do: x}, {at: '', do: keep}]", ["rules[0].for", "rules[0].do", "rules[1].at"]),
    ],
)
def test_every_problem_is_told_with_its_place(text: str, places: list[str]) -> None:
    assert problems(text) == places


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "cannot be read as YAML"),
        ("a: 1\na: 2", "line 2: a repeated name"),
        ("a: &x [1]\nb: *x", "line 2: an alias"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("\x00", "cannot be read as YAML"),
        ("[" * 100_000, "cannot be read as YAML"),
        ("#" * 1_000_001, "above 1000000 bytes"),
    ],
)
def test_what_is_no_document(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Policy.parse(text)


def test_too_many_rules_are_refused() -> None:
    assert problems(HEAD + "rules:\n" + "- {do: keep}\n" * 501) == ["rules"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read \(FileNotFoundError\)"):
        Policy.load(tmp_path / "none.yaml")


def test_the_digest_is_of_what_the_document_says() -> None:
    one = Policy.parse(HEAD + "rules: [{for: EMAIL, do: keep}]")
    other = Policy.parse("# a comment\nrules:\n  - do: keep\n    for: EMAIL\nversion: 3\nname: acme\n")
    assert one.id == other.id
    assert one.id.startswith("acme-3/")
    assert Policy.parse(HEAD + "rules: [{for: EMAIL, do: mask}]").id != one.id
    assert Policy.parse("{name: acme, version: 2026-03-01}").id.startswith("acme-2026-03-01/")


def decided(policy: Policy, tenant: str | None, path: str, entity_type: str) -> tuple[Any, str]:
    state = compile_plan(policy, tenant).root
    for name in path.split(".") if path else []:
        state = state.step(name)
    action = state.action(entity_type)
    return action.operator, action.rule


POLICY = Policy.parse(
    HEAD
    + """
default: {operator: mask}
rules:
  - {for: CARD, at: parameters.refund, do: keep}
  - {for: [CARD, IBAN], do: {operator: mask, keep_last: 4}}
  - {at: inputs.*.note, do: {operator: replace, numbered: true}}
  - {at: ["**.secret", a.**.z], treat_as: SECRET}
tenants:
  shop:
    rules:
      - {for: EMAIL, do: keep}
  bank:
    default: replace
"""
)


@pytest.mark.parametrize(
    ("tenant", "path", "entity_type", "operator", "rule"),
    [
        (None, "", "CARD", Mask(keep_last=4), "rules[1]"),
        (None, "", "EMAIL", Mask(), "default"),
        (None, "parameters.refund", "CARD", Keep(), "rules[0]"),
        (None, "parameters.refund.deeper.still", "CARD", Keep(), "rules[0]"),
        (None, "parameters.refunds", "CARD", Mask(keep_last=4), "rules[1]"),
        (None, "x.parameters.refund", "CARD", Mask(keep_last=4), "rules[1]"),
        (None, "parameters.refund", "IBAN", Mask(keep_last=4), "rules[1]"),
        (None, "inputs.text.note", "EMAIL", Replace(numbered=True), "rules[2]"),
        (None, "inputs.text.other", "EMAIL", Mask(), "default"),
        (None, "inputs.note", "EMAIL", Mask(), "default"),
        ("nobody", "", "EMAIL", Mask(), "default"),
        ("shop", "", "EMAIL", Keep(), "tenants.shop.rules[0]"),
        ("shop", "parameters.refund", "CARD", Keep(), "rules[0]"),
        ("bank", "", "EMAIL", Replace(), "default"),
    ],
)
def test_the_first_rule_that_fits_decides(
    tenant: str | None, path: str, entity_type: str, operator: Any, rule: str
) -> None:
    assert decided(POLICY, tenant, path, entity_type) == (operator, rule)


@pytest.mark.parametrize(
    ("path", "treated"),
    [
        ("secret", True), ("x.secret", True), ("x.y.secret", True), ("secret.x", True), ("a.z", True),
        ("a.b.c.z", True), ("z", False), ("a", False), ("b.z", False), ("secrets", False), ("", False),
    ],
)  # fmt: skip
def test_paths(path: str, treated: bool) -> None:
    state = compile_plan(POLICY, None).root
    for name in path.split(".") if path else []:
        state = state.step(name)
    assert (state.treat_as == "SECRET") is treated


def test_names_of_clients_make_no_new_states() -> None:
    root = compile_plan(POLICY, None).root
    assert len({id(root.step(f"name {number}")) for number in range(1_000)}) == 1


def test_a_policy_without_paths_stays_where_it_is() -> None:
    root = compile_plan(DEFAULT_POLICY, None).root
    assert root.step("anything") is root
    assert not root.leads_on


def test_the_strict_plan_replaces_whatever_is_personal_to_anybody() -> None:
    policy = Policy.parse(
        HEAD
        + "default: keep\npacks: [us]\nrules: [{at: a, treat_as: OWN_NUMBER, do: keep}]\n"
        + "tenants: {shop: {packs: [br], rules: [{at: b, treat_as: PERSON, do: keep}, {for: EMAIL, do: keep}]}}"
    )
    plan = strict_plan(policy)
    assert plan.packs == {"us", "br"}
    assert [plan.root.step(name).treat_as for name in "abc"] == ["OWN_NUMBER", "PERSON", None]
    actions = [plan.root.step(name).action(kind) for name in "abc" for kind in ("OWN_NUMBER", "PERSON", "EMAIL")]
    assert {action.operator for action in actions} == {Replace()}


def test_types_of_ones_own_may_have_rules() -> None:
    policy = Policy.parse(HEAD + "rules: [{for: OWN_NUMBER, do: mask}, {at: a, treat_as: OWN_NUMBER, do: keep}]")
    assert decided(policy, None, "a", "OWN_NUMBER") == (Mask(), "rules[0]")


def test_whether_a_key_is_needed() -> None:
    assert not DEFAULT_POLICY.needs_key
    assert Policy.parse(HEAD + "default: pseudonym").needs_key
    assert Policy.parse(HEAD + "tenants: {a: {rules: [{for: EMAIL, do: pseudonym}]}}").needs_key
    assert not Policy.parse(HEAD + "mode: shadow\ndefault: pseudonym").needs_key


def test_all_operators_can_be_named() -> None:
    for name in OPERATORS:
        policy = Policy.parse(HEAD + f"rules: [{{for: IP, do: {name}}}]")
        assert decided(policy, None, "", "IP")[0].name == name
