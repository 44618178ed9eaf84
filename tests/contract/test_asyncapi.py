"""schemas/asyncapi.yaml: made from the topic table, valid by the published AsyncAPI schema, true to the wire."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
import yaml

from stream_maas import __version__, asyncapi, topics, wire
from stream_maas.records import Headers

META_SCHEMA = json.loads(
    (Path(__file__).parents[1] / "data" / "asyncapi-3.1.0.schema.json").read_text(encoding="utf-8")
)
DOCUMENT: dict[str, Any] = asyncapi.document(__version__)


def test_the_committed_file_is_what_the_table_gives() -> None:
    assert (wire.schemas_dir() / "asyncapi.yaml").read_text(encoding="utf-8") == asyncapi.to_yaml(__version__)


def test_the_published_schema_accepts_it() -> None:
    assert jsonschema.Draft7Validator(META_SCHEMA).is_valid(DOCUMENT)
    jsonschema_rs.Draft7Validator(META_SCHEMA).validate(DOCUMENT)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("asyncapi",), "3.7.0"),
        (("operations", "worker.reads.requests", "action"), "serve"),
        (("channels", "results", "bindings", "kafka", "partitions"), 0),
        (("channels", "results", "bindings", "kafka", "topicConfiguration", "cleanup.policy"), "delete"),
        (("components", "messages", "result", "correlationId", "location"), "header"),
    ],
)
def test_the_published_schema_would_notice(path: tuple[str, ...], wrong: object) -> None:
    document = copy.deepcopy(DOCUMENT)
    node = document
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = wrong
    assert not jsonschema_rs.Draft7Validator(META_SCHEMA).is_valid(document)


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [node["$ref"]] if "$ref" in node else [ref for item in node.values() for ref in references(item)]
    return [ref for item in node for ref in references(item)] if isinstance(node, list) else []


def test_every_reference_leads_somewhere() -> None:
    loaded = yaml.safe_load((wire.schemas_dir() / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert loaded == DOCUMENT
    found = references(loaded)
    assert any(reference.startswith("./") for reference in found)
    for reference in found:
        if reference.startswith("./"):
            assert (wire.schemas_dir() / reference).is_file()
        else:
            node = loaded
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]


def test_every_public_topic_is_a_channel_with_its_own_settings() -> None:
    public = {spec.name: spec for spec in topics.table(asyncapi.PREFIX) if spec.schema}
    channels = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
    assert channels.keys() == public.keys()
    for address, spec in public.items():
        assert tuple(channels[address]["messages"]) == spec.schema
        settings = channels[address]["bindings"]["kafka"]["topicConfiguration"]
        told = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in settings.items()}
        assert told.items() <= spec.configs(replication_count=1).items()
        assert spec.retention_ms is None or told["retention.ms"] == str(spec.retention_ms)
    assert {stem for spec in public.values() for stem in spec.schema} == set(wire.SCHEMA_NAMES)


def published() -> dict[str, Headers]:
    dead_letter = wire.encode_dead_letter(
        topic="t",
        partition=0,
        offset=0,
        code="model_error",
        message="m",
        request_id="r",
        source="/s",
        document=None,
        digest="a" * 64,
        size_bytes=1,
    )
    answer: dict[str, Any] = {"request_id": "r", "audit_id": "a", "source": "/s", "traceparent": None}
    return {
        "result": [*wire.answer_headers("prediction", **answer), wire.receipt_header(b"0" * 64)],
        "rejection": [*wire.answer_headers("rejection", **answer), wire.receipt_header(b"0" * 64)],
        "audit-event": wire.audit_headers(),
        "audit-service-event": wire.audit_headers(),
        "dead-letter": dead_letter[1],
        "request": wire.request_headers(request_id="r", source="/s", traceparent="t"),
    }


@pytest.mark.parametrize("stem", published())
def test_headers_are_the_ones_on_the_wire(stem: str) -> None:
    schema = DOCUMENT["components"]["messages"][stem]["headers"]
    sent = {name: value.decode() for name, value in published()[stem]}
    jsonschema.Draft7Validator({**schema, "additionalProperties": False}).validate(sent)
    assert set(schema.get("required", sent)) == set(sent)
