"""docs/privacy.md against the code: its table of recognizers, its limits, the names that it mentions."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from stream_maas.privacy import RedactionConfig
from stream_maas.privacy.recognizers import RECOGNIZERS
from stream_maas.privacy.transform import placeholder

DOCUMENT = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text("utf-8")


def test_the_table_lists_the_rows_in_their_order() -> None:
    listed = re.findall(r"^\| ([A-Z_]+) \| `([a-z0-9_]+)` \|", DOCUMENT, re.MULTILINE)
    assert listed == [(row.entity_type, row.name) for row in RECOGNIZERS]


def test_every_placeholder_is_mentioned() -> None:
    assert [row for row in RECOGNIZERS if f"`{placeholder(row.entity_type)}`" not in DOCUMENT] == []


def test_limits_and_their_defaults_are_listed() -> None:
    for field in fields(RedactionConfig):
        default = (
            f"{field.default:,}" if isinstance(field.default, int) else f"`{field.default}`" if field.default else ""
        )
        assert f"| `{field.name}` | {default} |".replace("|  |", "| |") in DOCUMENT
