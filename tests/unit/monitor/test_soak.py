"""Days of healthy traffic wake nobody; an outage is paged within two short windows. The long run is in
docs/operations.md (`python -m tests.support.soak`)."""

from __future__ import annotations

import re
from pathlib import Path

from stream_maas.monitor.rules_file import default_text, parse_rules
from tests.support.soak import RULES, SEVERITY, SHORT_US, Simulated, detection, soak

DOCS = Path("docs/operations.md")


def test_healthy_traffic_wakes_nobody() -> None:
    """At a rate at which single errors make any ratio look bad; the plain ratio fires on the same data."""
    result = soak([Simulated(0.2, seed) for seed in range(1, 7)], 0.4)
    assert result.events > 30_000
    assert result.fired(SEVERITY, "page") == []
    assert result.plain.fired_us


def test_an_outage_is_paged_within_two_short_windows() -> None:
    ours, _ = detection(2.0, [5], healthy_hours=2)
    assert max(ours) <= 2 * SHORT_US / 1e6


def test_every_runbook_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    for rule in parse_rules(default_text()).rules:
        path, _, anchor = rule.runbook.partition("#")
        assert path == "docs/operations.md", rule.id
        assert anchor in anchors, rule.id
    assert RULES.rules
