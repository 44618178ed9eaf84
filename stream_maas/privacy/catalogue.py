"""What can be found, told for people: one line per recognizer, and per type that only a field name can announce."""

from __future__ import annotations

from msgspec import Struct

from stream_maas.privacy.hints import ALIASES
from stream_maas.privacy.recognizers import ENTITY_TYPES, PACKS, Recognizer, rows_for

CORE = "core"


class Known(Struct, frozen=True):
    """One way in which an entity type is found."""

    entity_type: str
    pack: str
    """Jurisdiction, or "core" for what is the same everywhere."""
    name: str
    found_by: str
    checked_by: str
    """How a find is validated; "form" if by its form alone."""
    needs: str
    """What must stand with it: "" for nothing."""


def catalogue() -> list[Known]:
    """Everything, the types that a policy has to turn on too; by jurisdiction, the common ones first."""
    always_on = {row.name: row for row in rows_for(frozenset())}
    found = []
    for row in rows_for(frozenset(PACKS)):
        usual = always_on.get(row.name)
        if usual is None:
            needs = f"the jurisdiction {row.pack} in the policy"
        elif getattr(usual, "cues", ()):
            needs = "a word before it, or a field name"
        else:
            needs = ""
        found.append(
            Known(row.entity_type, row.pack, row.name, row.found_by, row.checked_by or _verified_by(row), needs)
        )
    found += [
        Known(entity_type, CORE, "field_name", "field name", "nothing: the name decides", "a field name")
        for entity_type in ALIASES
        if entity_type not in ENTITY_TYPES
    ]
    return sorted(found, key=lambda known: (known.pack != CORE, known.pack, known.entity_type, known.name))


def _verified_by(row: Recognizer) -> str:
    verify = getattr(row, "verify", None)
    return "form" if verify is None else str(verify.__name__).replace("_", " ")
