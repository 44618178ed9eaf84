"""Keeps how the topic table is told in AsyncAPI 3.1 with Kafka bindings 0.5.0.

schemas/asyncapi.yaml is made by `python -m stream_maas.asyncapi schemas/asyncapi.yaml` and held equal to this by a
test. Payloads refer to the JSON Schema files beside it; they are 2020-12, which AsyncAPI wants said explicitly.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from stream_maas import topics
from stream_maas.topics import TopicSpec
from stream_maas.wire import headers

PREFIX = "maas"
"""The default prefix; deployments may choose another, and the addresses change with it."""
BINDING_VERSION = "0.5.0"
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"

_CLOUDEVENT = (headers.CE_SPECVERSION, headers.CE_TYPE, headers.CE_SOURCE, headers.CE_ID)
_HEADER_TEXTS = {
    headers.CE_SPECVERSION: "CloudEvents version, 1.0.",
    headers.CE_TYPE: "What kind of record this is.",
    headers.CE_SOURCE: "The application that published it; the same for all its workers.",
    headers.CE_ID: "Unique per source, and the same again when a record is answered twice.",
    headers.CE_CORRELATION_ID: "Id of the request.",
    headers.CONTENT_TYPE: "Media type of the value.",
    headers.TRACEPARENT: "W3C trace context of the request, passed on.",
    headers.AUDIT_ID: "Id of the audit event about the request.",
    headers.AUDIT_LEAF: "Leaf hash (RFC 6962) of that event, hex: with the id, a receipt for it.",
    headers.AUDIT_DEFERRED: "Session and counter of that event if it waits in a spool because the topic was away.",
    headers.CODE: "Rejection code.",
    headers.X_REQUEST_ID: "Id of the request where neither body nor ce_id has one.",
    headers.REDACTED_BY: "Policy under which the client redacted the request; the worker still looks.",
    **{name: "Name of the model where the body has none." for name, _ in headers.MODEL_HEADERS},
    **{version: "Version of that model." for _, version in headers.MODEL_HEADERS},
    "__streams.errors.exception": "Class of the error (KIP-1034).",
    "__streams.errors.message": "Place and rule, never a value (KIP-1034).",
    "__streams.errors.topic": "Topic of the request record (KIP-1034).",
    "__streams.errors.partition": "Its partition, in decimal (KIP-1034).",
    "__streams.errors.offset": "Its offset, in decimal (KIP-1034).",
}
_ANSWER_HEADERS = (
    *_CLOUDEVENT,
    headers.CE_CORRELATION_ID,
    headers.CONTENT_TYPE,
    headers.AUDIT_ID,
    headers.AUDIT_LEAF,
    headers.TRACEPARENT,
    headers.AUDIT_DEFERRED,
)
_DEAD_LETTER_HEADERS = (
    *_CLOUDEVENT,
    headers.CE_CORRELATION_ID,
    headers.CONTENT_TYPE,
    headers.AUDIT_ID,
    headers.CODE,
    *(name for name in _HEADER_TEXTS if name.startswith("__streams.")),
)
_REQUEST_HEADERS = (
    *_CLOUDEVENT,
    headers.CONTENT_TYPE,
    headers.X_REQUEST_ID,
    *(name for pair in headers.MODEL_HEADERS for name in pair),
    headers.TRACEPARENT,
    headers.REDACTED_BY,
)
# Schema stem -> title, ce_type (None: structured mode or not fixed), header names, those that are always there.
_MESSAGES: dict[str, tuple[str, str | None, Sequence[str], Sequence[str]]] = {
    "request": ("Inference request", None, _REQUEST_HEADERS, ()),
    "result": ("Prediction", headers.PREDICTION_TYPE, _ANSWER_HEADERS, _ANSWER_HEADERS[:-2]),
    "rejection": ("Rejection", headers.REJECTION_TYPE, _ANSWER_HEADERS, _ANSWER_HEADERS[:-2]),
    "audit-event": ("Audit event", None, (headers.CONTENT_TYPE,), (headers.CONTENT_TYPE,)),
    "audit-service-event": ("Audit event about the service", None, (headers.CONTENT_TYPE,), (headers.CONTENT_TYPE,)),
    "dead-letter": ("Dead letter", headers.DEAD_LETTER_TYPE, _DEAD_LETTER_HEADERS, _DEAD_LETTER_HEADERS),
    "alert": ("Alert event", None, (), ()),
    "alert-command": ("Alert command", None, (), ()),
}
_CORRELATION = {
    "request": "$message.payload#/id",
    "audit-event": "$message.payload#/data/request/id",
    "audit-service-event": "$message.payload#/id",
    "alert": "$message.payload#/incident_id",
}
_SERVICE_ROLES = ("worker", "sealer", "monitor", "dashboard")
"""Roles that are processes of this project; the document is written from their side."""


def document(version: str) -> dict[str, Any]:
    """The AsyncAPI document. `version`: of the contract, which is the package's."""
    specs = [spec for spec in topics.table(PREFIX) if spec.schema]
    used = dict.fromkeys(stem for spec in specs for stem in spec.schema)
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "stream_maas",
            "version": version,
            "description": "A model server whose only interface is Kafka: one request record in, exactly one result "
            "and one audit event out, personal data redacted first.\n\nTopic names are shown with the default prefix. "
            f"A lane has a request topic of its own, {topics.requests(PREFIX, 'LANE')}. Results, audit events and dead "
            "letters have the partition number of their request.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": headers.JSON_TYPE.decode(),
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "Apache Kafka. Readers of results, audit events and dead letters use read_committed.",
                "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "HOST:PORT of a broker"}},
            }
        },
        "channels": {_channel_name(spec): _channel(spec) for spec in specs},
        "operations": _operations(specs),
        "components": {"messages": {stem: _message(stem, specs) for stem in used}},
    }


def to_yaml(version: str) -> str:
    """The text of schemas/asyncapi.yaml."""
    first = "# Made by `python -m stream_maas.asyncapi` from the topic table; change that, not this.\n"
    return first + yaml.safe_dump(document(version), sort_keys=False, allow_unicode=True, width=110)


def _channel_name(spec: TopicSpec) -> str:
    return spec.name.removeprefix(f"{PREFIX}.")


def _channel(spec: TopicSpec) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": [spec.cleanup_policy]}
    if spec.retention_ms is not None:
        configuration["retention.ms"] = spec.retention_ms
    if spec.retention_ms == topics.FOR_EVER:
        configuration["retention.bytes"] = topics.FOR_EVER
    binding: dict[str, Any] = {"topic": spec.name}
    if spec.partitions == "one":
        binding["partitions"] = 1
    return {
        "address": spec.name,
        "title": spec.value,
        "description": f"{spec.description} Key: {spec.key}.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {stem: {"$ref": f"#/components/messages/{stem}"} for stem in spec.schema},
        "bindings": {"kafka": {**binding, "topicConfiguration": configuration, "bindingVersion": BINDING_VERSION}},
    }


def _operations(specs: Sequence[TopicSpec]) -> dict[str, Any]:
    """What each process does with each channel; serving a request replies to it."""
    operations: dict[str, Any] = {}
    results = next(spec for spec in specs if spec.name == topics.results(PREFIX))
    for role in _SERVICE_ROLES:
        for spec in specs:
            name = _channel_name(spec)
            channel = {"channel": {"$ref": f"#/channels/{name}"}, "messages": _messages_of(spec)}
            if role in spec.read_by:
                operation = {
                    "action": "receive",
                    "title": f"The {role} reads {name}",
                    **channel,
                    "tags": [{"name": role}],
                }
                if spec.name == topics.requests(PREFIX):
                    reply = {
                        "channel": {"$ref": f"#/channels/{_channel_name(results)}"},
                        "messages": _messages_of(results),
                    }
                    operation |= {"reply": reply, "bindings": _group()}
                operations[f"{role}.reads.{name}"] = operation
            if role in spec.written_by and spec is not results:
                operations[f"{role}.writes.{name}"] = {
                    "action": "send",
                    "title": f"The {role} writes {name}",
                    **channel,
                    "tags": [{"name": role}],
                }
    return operations


def _messages_of(spec: TopicSpec) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{_channel_name(spec)}/messages/{stem}"} for stem in spec.schema]


def _group() -> dict[str, Any]:
    group = {"type": "string", "description": "The setting worker.app_id."}
    return {"kafka": {"groupId": group, "bindingVersion": BINDING_VERSION}}


def _message(stem: str, specs: Sequence[TopicSpec]) -> dict[str, Any]:
    title, ce_type, names, required = _MESSAGES[stem]
    spec = next(spec for spec in specs if stem in spec.schema)
    known: dict[str, Any] = {name: {"type": "string", "description": _HEADER_TEXTS[name]} for name in names}
    if ce_type is not None:
        known[headers.CE_TYPE]["const"] = ce_type
    structured = stem.startswith("audit-")
    made: dict[str, Any] = {"name": stem, "title": title, "summary": spec.value}
    made["contentType"] = (headers.CLOUDEVENTS_JSON_TYPE if structured else headers.JSON_TYPE).decode()
    if known:
        made["headers"] = {"type": "object", "properties": known}
        if required:
            made["headers"]["required"] = list(required)
    made["correlationId"] = {"location": _CORRELATION.get(stem, f"$message.header#/{headers.CE_CORRELATION_ID}")}
    made["payload"] = {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./{stem}.schema.json"}}
    key = {"type": "string", "description": spec.key}
    made["bindings"] = {"kafka": {"key": key, "bindingVersion": BINDING_VERSION}}
    return made


if __name__ == "__main__":
    from stream_maas import __version__

    Path(sys.argv[1]).write_text(to_yaml(__version__), encoding="utf-8")
