"""The rules file: the packaged one is right, scaling is exact, and every mistake is named by its place."""

from __future__ import annotations

import pytest

from stream_maas.errors import RulesError
from stream_maas.monitor.rules import HOUR_US, MINUTE_US, SECOND_US
from stream_maas.monitor.rules_file import default_text, parse_rules

SECRET = "s3cret-value"


def test_the_packaged_rules_watch_what_they_should() -> None:
    rules = parse_rules(default_text()).by_id
    assert {(rules[f"errors:{name}"].threshold, *rules[f"errors:{name}"].windows_us) for name in ("fast", "slow")} == {
        (14.4, 5 * MINUTE_US, HOUR_US),
        (6.0, 30 * MINUTE_US, 6 * HOUR_US),
    }
    budget = rules["errors:budget"]
    assert (budget.threshold, budget.windows_us, budget.severity) == (1.0, (6 * HOUR_US, 72 * HOUR_US), "ticket")
    assert (budget.min_bad, budget.min_events) == (3, 30)
    assert {"errors:fast", "errors:slow"} <= set(budget.muted_by)
    measures = {rule.measure for rule in rules.values()}
    assert measures >= {
        "latency_burn", "latency_quantile", "queue_quantile", "lag_seconds", "reject_ratio", "redaction_failures",
        "audit_gap", "no_requests", "no_results", "monitor_gap",
    }  # fmt: skip


def test_a_scale_shrinks_windows_and_waits_but_no_limit_on_requests() -> None:
    whole, small = parse_rules(default_text()), parse_rules(default_text(), time_scale=0.02)
    assert small.timing.step_us == 200_000
    assert small.by_id["errors:fast"].windows_us == (6 * SECOND_US, 72 * SECOND_US)
    assert small.by_id["lag"].for_us == whole.by_id["lag"].for_us * 0.02
    assert small.by_id["lag"].threshold == whole.by_id["lag"].threshold
    assert small.latency_limits_us == whole.latency_limits_us
    assert small.by_id["errors:fast"].revision != whole.by_id["errors:fast"].revision


def test_equal_documents_have_equal_revisions_and_others_have_not() -> None:
    assert parse_rules(default_text()).digest == parse_rules(default_text()).digest
    changed = parse_rules(default_text().replace("above: 60s", "above: 61s"))
    before = parse_rules(default_text())
    differing = {name for name, rule in before.by_id.items() if changed.by_id[name].revision != rule.revision}
    assert differing == {"lag"}


RULE = "rules:\n  - {id: one, measure: lag_seconds, above: 1s}\n  - "
WRONG = {
    "not YAML": ("rules: [", "rules: not YAML, line 1"),
    "no mapping": ("- 1", "rules: expected a mapping"),
    "no rules": ("version: 1", "rules: is missing"),
    "version": ("version: 2\nrules: []", "version: "),
    "unknown at the top": ("rules: []\nrulez: 1", "rulez: is not known here"),
    "scale": ("time_scale: 7\nrules: []", "time_scale: expected a number"),
    "duration": (RULE + f"{{id: two, measure: lag_seconds, above: 1s, for: {SECRET}}}", "rules[1].for: expected a dur"),
    "missing": (RULE + "{id: two, measure: lag_seconds}", "rules[1].above: is missing"),
    "unknown": (RULE + f"{{id: two, measure: lag_seconds, above: 1s, abov: {SECRET}}}", "rules[1].abov: is not known"),
    "twice": (RULE + "{id: one, measure: lag_seconds, above: 1s}", "rules[1].id: occurs twice"),
    "no kind": (RULE + "{id: two}", "rules[1]: expected exactly one of slo, measure, silence"),
    "measure": (RULE + f"{{id: two, measure: {SECRET}}}", "rules[1].measure: expected one of"),
    "objective": (RULE + "{id: two, slo: errors, objective: 20%}", "rules[1].objective: expected at least 50%"),
    "no limit": (RULE + "{id: two, slo: latency, objective: 99%}", "rules[1].below: is missing"),
    "per": (RULE + "{id: two, slo: errors, objective: 99%, per: partition}", "rules[1].per: expected one of"),
    "mutes": (RULE + f"{{id: two, measure: lag_seconds, above: 1s, muted_by: [{SECRET}]}}", "rules[1].muted_by: names"),
    "expect": (RULE + "{id: two, silence: no_requests, per: lane, expect: always}", "rules[1].series: is needed"),
    "window": (RULE + "{id: two, measure: reject_ratio, above: 5%, over: 9d}", "rules[1].over: expected 1s to 3d"),
    "a name of another kind": (RULE + "{id: Two words, measure: lag_seconds, above: 1s}", "rules[1].id: expected a-z"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_named_by_its_place_and_never_by_its_value(text: str, message: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse_rules(text)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)
