"""`tail`: any record becomes one line of JSON that says what was there, and one line that people can read."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.cli.common import json_line
from stream_maas.cli.tail import full_name, line, record_document
from stream_maas.records import InputRecord, ModelRef, Prediction, Rejection, Tensor

MODEL = ModelRef("sentiment-lite", "1.0.0", "0" * 64, "Apache-2.0")
DATA = st.none() | st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["id", "inputs", "outputs", "code", "retryable", "specversion", "data", "parameters", "name",
                         "request", "model", "output", "redaction", "counts", "label", "score_ppm", "x"]),
        inner, max_size=6,
    ),
    max_leaves=12,
)  # fmt: skip


def record(
    value: bytes | None, key: bytes | None = None, headers: list[tuple[str, bytes]] | None = None
) -> InputRecord:
    return InputRecord("maas.results", 2, 17, 1_700_000_000_123, key, value, headers or [])


def shown(source: InputRecord) -> dict[str, Any]:
    text = json_line(record_document(source))
    assert text.count(b"\n") == 1
    document: dict[str, Any] = orjson.loads(text)
    return document


@given(DATA, DATA, st.lists(st.tuples(st.text(max_size=5), DATA), max_size=4))
def test_every_record_is_one_line_that_keeps_its_bytes(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    document = shown(record(value, key, headers))
    assert (document["topic"], document["partition"], document["offset"]) == ("maas.results", 2, 17)
    assert document["timestamp"] == 1_700_000_000_123
    assert set(document["headers"]) == {name for name, _ in headers}
    assert _bytes(document, "key") == key
    if isinstance(document["value"], str | None) and _parsed(value) is None:
        assert _bytes(document, "value") == value


@given(JSON)
def test_json_values_are_parsed(value: Any) -> None:
    text = orjson.dumps(value)
    expected = "null" if value is None else orjson.loads(text)
    assert shown(record(text))["value"] == expected
    assert shown(record(orjson.dumps(value, option=orjson.OPT_INDENT_2)))["value"] == expected


def test_large_numbers_come_through_unchanged() -> None:
    assert b'"value":{"n":123456789012345678901234567890}' in json_line(
        record_document(record(b'{"n":123456789012345678901234567890}'))
    )


def test_repeated_headers_become_a_list() -> None:
    document = shown(record(b"{}", None, [("a", b"1"), ("b", b"x"), ("a", b"2"), ("a", b"3")]))
    assert document["headers"] == {"a": ["1", "2", "3"], "b": "x"}


@given(JSON)
def test_people_get_a_line_for_any_json(value: Any) -> None:
    assert line(record(orjson.dumps(value))).isprintable()


@given(DATA)
def test_people_get_a_line_for_any_bytes(value: bytes | None) -> None:
    assert line(record(value)).isprintable()


def test_people_get_the_gist_of_answers() -> None:
    outputs = (Tensor("label", "BYTES", (1,), ["positive"]), Tensor("probabilities", "FP32", (1, 2), [0.25, 0.75]))
    prediction = wire.encode_prediction(Prediction("r1", MODEL, outputs, {"EMAIL": 2}))
    text = "22:13:20.123 2:17 prediction r1 positive probabilities=[0.250, 0.750] sentiment-lite 1.0.0 redacted EMAIL 2"
    assert " ".join(line(record(prediction)).split()) == text
    rejection = wire.encode_rejection(Rejection("r2", "unknown_model", "model_name: not loaded", True))
    assert "rejection   r2  unknown_model: model_name: not loaded (retryable)" in line(record(rejection))
    request = wire.encode_request("some text", request_id="r3", model_name="m")
    assert "request     r3  m  text BYTES[1]" in line(record(request))
    assert "code=x  digest=abc" in line(record(b'{"code": "x", "digest": "abc"}'))


def test_nothing_in_a_record_reaches_the_terminal_as_a_command() -> None:
    hostile = line(record(b'{"x": "\\u001b[2Jgone\\r\\u009b31m"}'))
    assert hostile.isprintable()
    assert "gone" in hostile


@pytest.mark.parametrize(
    ("topic", "full"),
    [
        ("results", "maas.results"),
        ("audit", "maas.audit"),
        ("dead-letters", "maas.dead-letters"),
        ("audit.checkpoints", "maas.audit.checkpoints"),
        ("requests.bulk", "maas.requests.bulk"),
        ("maas.results", "maas.results"),
        ("orders", "orders"),
    ],
)
def test_short_names(topic: str, full: str) -> None:
    assert full_name(topic, "maas") == full


def _parsed(value: bytes | None) -> Any:
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None


def _bytes(document: dict[str, Any], name: str) -> bytes | None:
    value = document[name]
    if value is None:
        return None
    return base64.b64decode(value) if document.get(f"{name}_encoding") == "base64" else value.encode()
