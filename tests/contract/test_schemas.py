"""Schemas and code are one contract: the same verdict on every example, on generated instances and on mutations.

Two validators speak for the schemas: jsonschema (slow, the reference) and jsonschema-rs. What a schema cannot say
(repeated keys, two inputs with one name) is tested in tests/unit/wire.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import jsonschema_rs
import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.errors import ERRORS_BY_CODE, RequestError
from stream_maas.records import InputRecord, Prediction, Redacted, Rejection
from tests.contract.instances import instances, mutated, walk

SCHEMAS = wire.schemas_dir()
EXAMPLES = sorted(SCHEMAS.glob("examples/*/*/*.json"))
NAMES_IN_CODE = ("request", "result", "rejection", "audit-event", "audit-service-event", "dead-letter")


def schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return document


# The schemas' opinion


def _is_time(text: object) -> bool:
    return not isinstance(text, str) or bool(datetime.fromisoformat(text))


FORMATS = jsonschema.FormatChecker(formats=[])
FORMATS.checks("date-time", raises=ValueError)(_is_time)


def in_python(node: Any) -> Any:
    """`$` of ECMA 262 is the end of the text; Python's also matches before a final newline."""
    if isinstance(node, dict):
        return {
            name.replace("+$", r"+\Z"): item.removesuffix("$") + r"\Z"
            if name == "pattern" and isinstance(item, str) and item.endswith("$")
            else in_python(item)
            for name, item in node.items()
        }
    return [in_python(item) for item in node] if isinstance(node, list) else node


def validator(document: dict[str, Any]) -> Callable[[Any], bool]:
    """Both validators; they have to agree."""
    reference = jsonschema.Draft202012Validator(in_python(document), format_checker=FORMATS)
    fast = jsonschema_rs.Draft202012Validator(document, validate_formats=True)

    def valid(instance: Any) -> bool:
        verdict = bool(reference.is_valid(instance))
        assert fast.is_valid(instance) == verdict
        return verdict

    return valid


@cache
def valid(name: str) -> Callable[[Any], bool]:
    return validator(schema(name))


@cache
def valid_to_a_reader(name: str) -> Callable[[Any], bool]:
    """The answers' schemas as `decode_answer` promises to take them: unknown members and codes are passed over."""
    document = schema(name)
    for node in walk(document):
        if isinstance(node, dict) and node.get("additionalProperties") is False:
            del node["additionalProperties"]
    if name == "rejection":
        document["properties"]["code"] = {"type": "string", "minLength": 1, "maxLength": 256}
    return validator(document)


# The code's opinion


def accepts_request(instance: Any) -> bool:
    try:
        wire.decode_request(InputRecord("t", 0, 0, 0, None, json.dumps(instance).encode()))
    except RequestError:
        return False
    return True


def accepts_answer(kind: type) -> Callable[[Any], bool]:
    def accepts(instance: Any) -> bool:
        try:
            return isinstance(wire.decode_answer(json.dumps(instance, ensure_ascii=False).encode()), kind)
        except RequestError:
            return False

    return accepts


def accepts_audit(decode: Callable[[bytes], object]) -> Callable[[Any], bool]:
    def accepts(instance: Any) -> bool:
        try:
            decode(orjson.dumps(instance, option=orjson.OPT_SORT_KEYS))
        except (RequestError, orjson.JSONEncodeError):  # beyond 64 bits there are no canonical bytes
            return False
        return True

    return accepts


def accepts_dead_letter(instance: Any) -> bool:
    """A document that is published as it is, or the digest form that stands for one that is not."""
    digest, size = "a" * 64, 7
    if isinstance(instance, dict) and instance.keys() == {"digest", "bytes"}:
        size = instance["bytes"] if isinstance(instance["bytes"], int | float) else -1
        digest = instance["digest"]
        good = isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        return good and size is not True and size is not False and size == int(size) and 0 <= size < 2**53
    value, _ = wire.encode_dead_letter(
        topic="t",
        partition=0,
        offset=0,
        code="invalid_input",
        message="m",
        request_id="r",
        source="/s",
        document=Redacted(instance),
        digest=digest,
        size_bytes=size,
    )
    return bool(json.loads(value) == instance)


ACCEPTS: dict[str, Callable[[Any], bool]] = {
    "request": accepts_request,
    "result": accepts_answer(Prediction),
    "rejection": accepts_answer(Rejection),
    "audit-event": accepts_audit(wire.decode_audit),
    "audit-service-event": accepts_audit(wire.decode_service_event),
    "dead-letter": accepts_dead_letter,
}


def verdicts(name: str, instance: Any) -> tuple[bool, bool]:
    """(schema's, code's)"""
    says = valid_to_a_reader(name) if name in {"result", "rejection"} else valid(name)
    return says(instance), ACCEPTS[name](instance)


# The files


@pytest.mark.parametrize("name", wire.SCHEMA_NAMES)
def test_schema_is_one_closed_and_described(name: str) -> None:
    document = schema(name)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == wire.schema_id(name)
    assert document["title"]
    assert document["description"]
    for definition in (document, *document.get("$defs", {}).values()):
        assert definition["description"]
    for node in walk(document):
        if isinstance(node, dict) and node.get("type") == "object" and "properties" in node:
            assert "additionalProperties" in node
            for member in node["properties"].values():
                assert member.get("description"), f"a member of {node['properties'].keys()} has no description"


def test_every_schema_file_has_a_name_in_the_code_and_examples() -> None:
    assert {path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json")} == set(wire.SCHEMA_NAMES)
    for name in wire.SCHEMA_NAMES:
        for kind in ("valid", "invalid"):
            assert len(list((SCHEMAS / "examples" / name / kind).glob("*.json"))) >= 2


def test_rejection_codes_are_those_of_the_error_tree() -> None:
    assert schema("rejection")["properties"]["code"]["enum"] == list(ERRORS_BY_CODE)
    assert schema("audit-event")["$defs"]["decision"]["properties"]["code"]["enum"] == list(ERRORS_BY_CODE)


def test_request_and_result_mean_the_same_tensor() -> None:
    request, result = schema("request")["$defs"], schema("result")["$defs"]
    shared = request.keys() & result.keys()
    assert {"tensor", "nested_8", "bytes_data", "parameters"} <= shared
    assert {name: request[name] for name in shared} == {name: result[name] for name in shared}


# Same verdict


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.relative_to(SCHEMAS / "examples").parts))
def test_examples(path: Path) -> None:
    name, kind = path.parts[-3], path.parts[-2]
    instance = json.loads(path.read_text(encoding="utf-8"))
    assert valid(name)(instance) is (kind == "valid")
    if name in ACCEPTS:
        said_by_schema, said_by_code = verdicts(name, instance)
        assert said_by_schema is said_by_code
        assert said_by_code is (kind == "valid") or "unknown-" in path.stem


def names_differ(instance: Any) -> bool:
    """Two tensors with one name are refused by the code only."""
    for member in ("inputs", "outputs"):
        tensors = instance.get(member) if isinstance(instance, dict) else None
        items = tensors if isinstance(tensors, list) else []
        names = [repr(item.get("name")) for item in items if isinstance(item, dict)]
        if len(names) != len(set(names)):
            return False
    return True


def canonical(instance: Any) -> Any:
    """An audit event as its writer would put it: integers without a fraction; type, id and source follow from data."""
    if isinstance(instance, dict):
        instance = {member: canonical(item) for member, item in instance.items()}
        data = instance.get("data")
        request, writer = (data.get("request"), data.get("writer")) if isinstance(data, dict) else (None, None)
        if isinstance(request, dict) and {"topic", "partition", "offset"} <= request.keys() and "id" in instance:
            instance["id"] = f"{request['topic']}:{request['partition']}:{request['offset']}"
            if "decision" in str(instance.get("type")):
                instance["type"] = wire.decision_type(str(data["code"]) if "code" in data else None)
        session = writer.get("session") if isinstance(writer, dict) else None
        if isinstance(session, dict) and {"id", "counter"} <= session.keys() and "partition" in data:
            instance["id"] = f"{session['id']}:{data['partition']}:{session['counter']}"
        if isinstance(writer, dict) and isinstance(writer.get("app"), str) and "source" in instance:
            instance["source"] = f"/stream-maas/{quote(writer['app'], safe='')}"
        return instance
    if isinstance(instance, list):
        return [canonical(item) for item in instance]
    return int(instance) if isinstance(instance, float) and instance.is_integer() else instance


def compare(name: str, instance: Any) -> None:
    assume(names_differ(instance))
    said_by_schema, said_by_code = verdicts(name, canonical(instance) if name.startswith("audit-") else instance)
    assert said_by_schema is said_by_code


@pytest.mark.parametrize("name", NAMES_IN_CODE)
@given(data=st.data())
def test_same_verdict_on_broken_examples(name: str, data: st.DataObject) -> None:
    compare(name, data.draw(mutated([path for path in EXAMPLES if path.parts[-3:-1] == (name, "valid")])))


@pytest.mark.parametrize("name", NAMES_IN_CODE)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_same_verdict_on_generated_instances(name: str, data: st.DataObject) -> None:
    compare(name, data.draw(instances(schema(name))))


@pytest.mark.parametrize("name", NAMES_IN_CODE)
def test_generated_instances_are_often_valid(name: str) -> None:
    """Else the test above would compare refusals only."""
    seen: Counter[bool] = Counter()

    @given(instances(schema(name)))
    @settings(max_examples=50, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def count(instance: Any) -> None:
        seen[valid(name)(instance)] += 1

    count()
    assert seen[True] >= 10
