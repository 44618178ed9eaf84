"""What counts as personal data: the table of recognizers, all packs together.

To add a recognizer, add a row to its pack, its canaries (canaries.py), its field names (hints.py) and its tests.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from msgspec.structs import replace

from stream_maas.privacy.packs import announced, br, cn, core, eu, people, secrets, telephones, uk, us, vat, world
from stream_maas.privacy.rows import Anchored, Code, Located, Number, Recognizer, Shaped

__all__ = [
    "ENTITY_TYPES",
    "PACKS",
    "RECOGNIZERS",
    "RULES_NAME",
    "Anchored",
    "Code",
    "Located",
    "Number",
    "Recognizer",
    "Shaped",
    "rows_for",
    "rules_digest",
]

RULES_NAME: Final = "core-2"
"""Raised when a verifying function changes in a way that the table does not show."""

_TABLE: Final[tuple[Recognizer, ...]] = tuple(
    sorted(
        (
            row
            for pack in (core, secrets, telephones, announced, people, us, br, cn, uk, eu, vat, world)
            for row in pack.ROWS
        ),
        key=lambda row: -row.score,
    )
)
"""Every row, those that have to be turned on too."""


def _is_weak(row: Recognizer) -> bool:
    return not isinstance(row, Anchored) and row.weak


def rows_for(packs: frozenset[str]) -> tuple[Recognizer, ...]:
    """The rows for a tenant who turned on `packs`: in these, weak types are looked for, and nothing has to be
    announced by a word."""
    return tuple(
        _turned_on(row) if row.pack in packs else row for row in _TABLE if row.pack in packs or not _is_weak(row)
    )


def _turned_on(row: Recognizer) -> Recognizer:
    if isinstance(row, Anchored | Located) or not row.cues:
        return row
    return replace(row, cues=())


RECOGNIZERS: Final = rows_for(frozenset())
"""The rows that are always on."""
PACKS: Final = tuple(dict.fromkeys(row.pack for row in _TABLE))
ENTITY_TYPES: Final = tuple(dict.fromkeys(row.entity_type for row in _TABLE))


def rules_digest(*more: object) -> str:
    """SHA-256 hex over the table and `more` JSON values: two workers with the same digest decide alike."""
    rows = [
        {
            field: value.__qualname__ if callable(value) else value
            for field, value in ((field, getattr(row, field)) for field in row.__struct_fields__)
        }
        for row in RECOGNIZERS
    ]
    return hashlib.sha256(json.dumps([rows, more], sort_keys=True).encode()).hexdigest()
