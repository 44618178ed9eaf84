"""docs/audit-format.md and docs/wire-format.md name what exists, all of it and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from stream_maas import asyncapi, wire
from stream_maas.records import InputRecord

DOCS = Path(__file__).parents[2] / "docs"
AUDIT = (DOCS / "audit-format.md").read_text(encoding="utf-8")
WIRE = (DOCS / "wire-format.md").read_text(encoding="utf-8")


def schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((wire.schemas_dir() / f"{name}.schema.json").read_text(encoding="utf-8"))
    return document


def first_cells(text: str, head: str) -> list[str]:
    """The names in the first column of the table that has this head."""
    rows = text.partition(f"| {head} |")[2].split("\n\n")[0].splitlines()[2:]
    return [match[1] for row in rows if (match := re.match(r"\| `([^`]+)`", row))]


def leaves(document: dict[str, Any], node: dict[str, Any], path: str = "") -> list[str]:
    if "$ref" in node:
        node = document["$defs"][node["$ref"].removeprefix("#/$defs/")]
    if not node.get("properties"):
        return [path]
    below = node["properties"].items()
    return [leaf for name, member in below for leaf in leaves(document, member, f"{path}.{name}".removeprefix("."))]


def test_every_audit_field_has_a_row_and_every_row_a_field() -> None:
    document = schema("audit-event")
    fields = first_cells(AUDIT, "field")
    assert len(fields) == len(set(fields))
    assert set(fields) == set(leaves(document, document))


def test_named_audit_fields_exist() -> None:
    document, service = schema("audit-event"), schema("audit-service-event")
    known = set(leaves(document, document))
    known |= {leaf for kind in service["anyOf"] for leaf in leaves(service, kind)}
    known |= {field.rpartition(".")[0] for field in known}
    assert set(re.findall(r"`(data\.[a-z_.]+)`", AUDIT + WIRE)) <= known


def test_parameters_are_those_of_the_schemas() -> None:
    understood, result = WIRE.split("## Answers")
    assert set(first_cells(understood, "parameter")) == set(
        schema("request")["$defs"]["request_parameters"]["properties"]
    )
    parameters = schema("result")["$defs"]["result_parameters"]["properties"]
    assert set(first_cells(result, "parameter")) == {*parameters, "redactions_TYPE"}


def test_written_headers_are_those_of_the_asyncapi_document() -> None:
    messages = asyncapi.document("0")["components"]["messages"]
    written = {
        name for stem in ("result", "dead-letter", "audit-event") for name in messages[stem]["headers"]["properties"]
    }
    assert set(first_cells(WIRE, "header")) == written
    read = {name for name in messages["request"]["headers"]["properties"] if not name.startswith("ce_s")}
    assert read - {"ce_type", "content-type"} <= set(re.findall(r"`([a-z_-]+)`", WIRE.partition("## Answers")[0]))


def test_json_blocks_are_requests() -> None:
    blocks = re.findall(r"```json\n(.*?)```", WIRE, re.DOTALL)
    assert blocks
    for block in blocks:
        wire.decode_request(InputRecord("t", 0, 0, 0, None, block.encode()))
