"""decode_request and best_effort_id: what is read from where, and what is refused with which words."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from stream_maas import wire
from stream_maas.errors import InvalidInputError, RequestError, UndecodableError
from stream_maas.records import InputRecord, Request, Tensor

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hello"]}


def record(value: bytes | None, headers: Any = ()) -> InputRecord:
    return InputRecord("maas.requests", 3, 42, 1_700_000_000_000, None, value, headers)


def decode(document: Any, headers: Any = ()) -> Request:
    return wire.decode_request(
        record(document if isinstance(document, bytes) else json.dumps(document).encode(), headers)
    )


def refusal(document: Any, headers: Any = ()) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(document, headers)
    return caught.value


def tensor(datatype: str, data: Any, **others: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": datatype, "data": data, **others}]}


def asking(**parameters: Any) -> dict[str, Any]:
    return {"inputs": [TENSOR], "parameters": parameters}


# What is read from where


def test_everything_a_body_can_say() -> None:
    request = decode(
        {
            "id": "r-1",
            "model_name": "m",
            "model_version": "2",
            "parameters": {
                "tenant": "acme", "data_subject": "u1", "purpose": "p", "consent_ref": "c", "priority": 1,
                "timeout": 250_000, "explain": True, "content_type": "str", "ratio": 0.5,
            },
            "inputs": [{**TENSOR, "parameters": {"content_type": "str"}}],
            "outputs": [{"name": "label", "parameters": {"x": 1}}],
        },
        [("traceparent", TRACEPARENT.encode())],
    )  # fmt: skip
    assert request == Request(
        id="r-1",
        id_source="body",
        inputs=(Tensor("text", "BYTES", (1,), ["hello"], {"content_type": "str"}),),
        model_name="m",
        model_version="2",
        outputs=("label",),
        tenant="acme",
        data_subject="u1",
        purpose="p",
        consent_ref="c",
        priority=1,
        timeout_us=250_000,
        explain=True,
        parameters={"content_type": "str", "ratio": 0.5},
        traceparent=TRACEPARENT,
    )


def test_bare_body_gets_the_coordinates() -> None:
    request = decode({"inputs": [TENSOR]})
    assert (request.id, request.id_source) == ("maas.requests:3:42", "coordinates")
    assert request == Request("maas.requests:3:42", "coordinates", (Tensor("text", "BYTES", (1,), ["hello"]),))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("ce_id", b"ce"), ("x-request-id", b"x")], ("ce", "header")),
        ([("x-request-id", b"x")], ("x", "header")),
        ([("ce_id", b"\xff"), ("x-request-id", "é".encode())], ("é", "header")),
        ([("ce_id", b""), ("x-request-id", None)], ("maas.requests:3:42", "coordinates")),
        ([("ce_id", b"line\nbreak")], ("maas.requests:3:42", "coordinates")),
        ([("ce_id", b"i" * 257)], ("maas.requests:3:42", "coordinates")),
        ([("ce_id", b"first"), ("ce_id", b"last")], ("last", "header")),  # Kafka's lastHeader
    ],
)
def test_id_from_headers(headers: Any, expected: tuple[str, str]) -> None:
    request = decode({"inputs": [TENSOR]}, headers)
    assert (request.id, request.id_source) == expected
    assert wire.best_effort_id(record(b"not json", headers)) == expected
    assert decode({"id": "body", "inputs": [TENSOR]}, headers).id_source == "body"


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({}, {}, (None, None)),
        ({"model_name": "b"}, {"mlserver-model": b"h", "mlserver-version": b"9"}, ("b", None)),
        ({"model_version": "1"}, {"mlserver-model": b"h", "mlserver-version": b"9"}, ("h", "1")),
        ({"model_version": "1"}, {}, (None, "1")),
        ({}, {"mlserver-model": b"h", "mlserver-version": b"9", "ce_model": b"c"}, ("h", "9")),
        ({}, {"ce_model": b"c", "ce_modelversion": b"4", "mlserver-version": b"9"}, ("c", "4")),
        ({}, {"mlserver-model": b"\xff", "ce_model": b"c"}, ("c", None)),
        ({}, {"mlserver-version": b"9"}, (None, None)),
        ({}, {"mlserver-model": b"h", "mlserver-method": b"infer"}, ("h", None)),
    ],
)
def test_model_from_body_or_headers(
    body: Any, headers: dict[str, bytes], expected: tuple[str | None, str | None]
) -> None:
    request = decode({"inputs": [TENSOR], **body}, list(headers.items()))
    assert (request.model_name, request.model_version) == expected


def test_unusable_model_header_is_refused_because_the_default_model_would_be_wrong() -> None:
    error = refusal({"inputs": [TENSOR]}, [("mlserver-model", b"m" * 257)])
    assert isinstance(error, InvalidInputError)
    assert "headers.mlserver-model" in str(error)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff" * 55,
        TRACEPARENT.encode() + b"\n",
        TRACEPARENT.upper().encode(),
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
        b"ff" + TRACEPARENT.encode()[2:],
        TRACEPARENT.encode() + b"-more",
    ],
)
def test_traceparent_that_is_none_is_dropped(header: bytes) -> None:
    assert decode({"inputs": [TENSOR]}, [("traceparent", header)]).traceparent is None


def test_timeout_zero_is_no_timeout_as_in_triton() -> None:
    assert decode(asking(timeout=0)).timeout_us is None


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BYTES", []), ("BYTES", ["a", "é", "\0"]), ("BYTES", [["a"], ["b"]]), ("BOOL", [True, False]),
        ("INT8", [-128, 127]), ("UINT64", [0, 2**64 - 1]), ("INT64", [[-(2**63)], [2**63 - 1]]),
        ("FP32", [1, 0.5, -2e30]), ("FP64", [[[[[[[[1.5]]]]]]]]), ("FP16", [[], []]),
    ],
)  # fmt: skip
def test_data_that_fits_its_datatype_is_kept_as_it_is(datatype: str, data: Any) -> None:
    assert decode(tensor(datatype, data)).inputs[0].data == data


def test_integral_floats_are_integers_as_in_json_schema() -> None:
    request = decode(
        b'{"inputs":[{"name":"x","shape":[2.0,1e0],"datatype":"INT32","data":[1.0,-2]}],"parameters":{"priority":5.0}}'
    )
    assert request.inputs[0].shape == (2, 1)
    assert request.inputs[0].data == [1, -2]
    assert all(type(item) is int for item in (*request.inputs[0].shape, *request.inputs[0].data, request.priority))


# What is refused


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "value: null (a tombstone)"),
        (b"", "value: empty"),
        (b" ", "value: not JSON in UTF-8"),
        (b"{", "value: not JSON in UTF-8"),
        (b'{"inputs":[]}x', "value: not JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "value: not JSON in UTF-8"),
        ('{"inputs":[]}'.encode("utf-16"), "value: not JSON in UTF-8"),
        (b'{"id":"\xff"}', "value: not JSON in UTF-8"),
        (b'{"id":"\\ud800"}', "value: not JSON in UTF-8"),
        (b'{"id":"\xed\xa0\x80"}', "value: not JSON in UTF-8"),
        (b'{"inputs":[{"data":[NaN]}]}', "value: not JSON in UTF-8"),
        (b'{"id":5,"inputs":', "value: not JSON in UTF-8"),  # wrong type first, then cut off
        (b"\x00\x00\x00\x00\x01{}", "value: not JSON in UTF-8"),
    ],
)
def test_undecodable(value: bytes | None, message: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        wire.decode_request(record(value))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "value: expected object, got array"),
        ("text", "value: expected object, got string"),
        ({}, "value: inputs is missing"),
        ({"inputs": []}, "inputs: expected length >= 1"),
        ({"inputs": [TENSOR], "id": None}, "id: expected string, got null"),
        ({"inputs": [TENSOR], "id": ""}, "id: expected length >= 1"),
        ({"inputs": [TENSOR], "id": "a\nb"}, "id: has a control character"),
        ({"inputs": [TENSOR], "surprise": 1}, "value: has an unknown member"),
        ({"inputs": [TENSOR, TENSOR]}, "inputs: two tensors have one name"),
        ({"inputs": [{**TENSOR, "extra": 1}]}, "inputs[0]: has an unknown member"),
        ({"inputs": [{**TENSOR, "datatype": "STRING"}]}, "inputs[0].datatype: is not one of the allowed values"),
        ({"inputs": [{**TENSOR, "shape": []}]}, "inputs[0].shape: expected length >= 1"),
        ({"inputs": [{**TENSOR, "shape": [-1]}]}, "inputs[0].shape[0]: expected a number >= 0"),
        ({"inputs": [{**TENSOR, "shape": [True]}]}, "inputs[0].shape[0]: expected integer, got boolean"),
        ({"inputs": [{**TENSOR, "data": "hello"}]}, "inputs[0].data: expected array, got string"),
        ({"inputs": [{**TENSOR, "data": [1]}]}, "inputs[0].data: expected only BYTES values, or only arrays of them"),
        (tensor("BYTES", [["a"], "b"]), "inputs[0].data: expected only BYTES values, or only arrays of them"),
        (tensor("INT8", [128]), "inputs[0].data: number out of the range of INT8"),
        (tensor("UINT8", [-1]), "inputs[0].data: number out of the range of UINT8"),
        (tensor("INT32", [1.5]), "inputs[0].data: expected only INT32 values, or only arrays of them"),
        (tensor("FP64", [10**400]), "inputs[0].data: number out of the range of FP64"),
        (tensor("FP64", [[[[[[[[[1]]]]]]]]]), "inputs[0].data: nested deeper than 8 levels"),
        (tensor("FP64", [None]), "inputs[0].data: expected only FP64 values, or only arrays of them"),
        (tensor("BYTES", [{}]), "inputs[0].data: expected only BYTES values, or only arrays of them"),
        (asking(priority=101), "parameters.priority: expected an integer from 0 to 100"),
        (asking(priority=True), "parameters.priority: expected an integer from 0 to 100"),
        (asking(explain=1), "parameters.explain: expected true or false"),
        (asking(tenant=""), "parameters.tenant: expected a string of 1 to 256 characters"),
        (asking(tenant="a\tb"), "parameters.tenant: has a control character"),
        (asking(x=[1]), "parameters[...]: expected boolean or integer or number or string, got array"),
        (asking(x=2**53), "parameters[...]: expected a number <= 9007199254740991"),
        (asking(**{f"k{i}": i for i in range(65)}), "parameters: expected length <= 64"),
    ],
)  # fmt: skip
def test_invalid_input_names_place_and_rule(document: Any, message: str) -> None:
    error = refusal(document)
    assert isinstance(error, InvalidInputError)
    assert str(error) == message


def test_ids_have_no_c0_and_c1_control_characters_and_may_have_any_other() -> None:
    for code in range(0x100):
        document = {"inputs": [TENSOR], "id": chr(code)}
        if unicodedata.category(chr(code)) == "Cc":
            assert str(refusal(document)) == "id: has a control character"
        else:
            assert decode(document).id == chr(code)
    assert decode({"inputs": [TENSOR], "id": "\u2028\ufffe\U0010ffff"}).id_source == "body"


@pytest.mark.parametrize(
    "text",
    [
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}],"id":"a","id":"b"}',
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"data":[2]}]}',
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}],"i\\u0064":"a","id":"b"}',
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}],"parameters":{"a":1,"a":1}}',
        b'{"inputs":[{"name":"\\\\","shape":[1],"datatype":"INT8","data":[1]}],"id":"\\"\\\\","id":"\\"\\\\"}',
        b'{"inputs":[{"name":"x","name":"x","shape":[1.0],"datatype":"INT8","data":[1]}]}',
    ],
)
def test_repeated_keys_are_refused(text: bytes) -> None:
    assert str(refusal(text)) == "value: an object repeats a key"


@pytest.mark.parametrize("depth", [200, 2_000, 100_000])
@pytest.mark.parametrize(
    "shape", ['{"inputs":%s}', '{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":%s}]}', "%s"]
)
def test_deep_nesting_is_invalid_input_whatever_the_depth(shape: str, depth: int) -> None:
    assert isinstance(refusal((shape % ("[" * depth + "]" * depth)).encode()), InvalidInputError)


@pytest.mark.parametrize("digits", [20, 400, 4_299, 4_301, 100_000])
@pytest.mark.parametrize("datatype", ["INT64", "FP64"])
def test_huge_numbers_are_out_of_range_or_floats(datatype: str, digits: int) -> None:
    text = json.dumps(tensor(datatype, ["@"])).replace('"@"', "9" * digits).encode()
    if datatype == "FP64" and digits == 20:
        assert decode(text).inputs[0].data == [int("9" * 20)]
    else:
        assert isinstance(refusal(text), InvalidInputError)


# Ids of records that do not decode


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"id":"r-1","inputs":', ("r-1", "body")),  # cut off
        (b' { "id" : "\\u0072-1" , nonsense', ("r-1", "body")),
        (b'{"inputs":5,"id":"r-1"}', ("r-1", "body")),
        (b'{"inputs":5,"id":7}', ("h", "header")),
        (b'{"id":"a\\nb"}', ("h", "header")),
        (b'{"id":"\\ud800"}', ("h", "header")),
        (b'{"id":"' + b"i" * 257 + b'"}', ("h", "header")),
        (b'{"id":"' + b"i" * 5000 + b'"}', ("h", "header")),
        (b'["id"]', ("h", "header")),
        (b"[" * 100_000, ("h", "header")),
        (None, ("h", "header")),
    ],
)
def test_best_effort_id(value: bytes | None, expected: tuple[str, str]) -> None:
    assert wire.best_effort_id(record(value, [("x-request-id", b"h")])) == expected
