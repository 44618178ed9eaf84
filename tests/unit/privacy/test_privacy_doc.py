"""docs/privacy.md against the code: its table of recognizers, its limits, the names that it mentions."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import msgspec

from stream_maas.privacy import Policy, RedactionConfig, Redactor
from stream_maas.privacy.operators import OPERATORS

DOCUMENT = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text("utf-8")


def test_limits_and_their_defaults_are_listed() -> None:
    for field in fields(RedactionConfig):
        default = (
            f"{field.default:,}" if isinstance(field.default, int) else f"`{field.default}`" if field.default else ""
        )
        assert f"| `{field.name}` | {default} |".replace("|  |", "| |") in DOCUMENT


def test_the_policy_that_is_shown_is_right() -> None:
    (document,) = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    policy = Policy.parse(document)
    assert policy.id.startswith("support-desk-4/")
    assert policy.needs_key


def test_every_operator_is_told_with_its_parameters() -> None:
    for name, operator in OPERATORS.items():
        (row,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{name}` |")]
        for parameter in operator.__struct_fields__:
            assert parameter in ("name", "settled") or f"`{parameter}" in row


def test_the_answer_that_is_shown_is_the_answer() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    redacted, entities = Redactor().explain("Call +1 415 555 0132")
    (entity,) = entities
    assert json.loads(shown) == {"id": "7", "text": redacted.value, "entities": [msgspec.structs.asdict(entity)]}
