"""Binary tensors: the same request as its JSON form, and nothing that does not add up gets through."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.errors import InvalidInputError, RequestError, UndecodableError
from stream_maas.records import InputRecord, Request

DTYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
    "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
HEADER = "inference-header-content-length"


def binary(document: dict[str, Any], tail: bytes, *, name: str = HEADER, length: bytes | None = None) -> InputRecord:
    part = orjson.dumps(document)
    header = (name, length if length is not None else str(len(part)).encode())
    return InputRecord("t", 0, 0, 0, None, part + tail, [header])


def announced(datatype: str, shape: list[int], size: int, name: str = "x") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


def decode(record: InputRecord) -> Request:
    return wire.decode_request(record)


def refusal(record: InputRecord) -> str:
    with pytest.raises(InvalidInputError) as caught:
        decode(record)
    return str(caught.value)


@pytest.mark.parametrize("datatype", DTYPES)
@given(data=st.data())
def test_every_datatype_is_what_numpy_wrote(datatype: str, data: st.DataObject) -> None:
    dtype = np.dtype(DTYPES[datatype])
    content = data.draw(st.binary(min_size=dtype.itemsize, max_size=8 * dtype.itemsize))
    count = len(content) // dtype.itemsize
    array = np.frombuffer(content[: count * dtype.itemsize], dtype=dtype)
    if dtype.kind == "b":
        array = array.view(np.uint8) != 0
    if dtype.kind == "f":
        array = np.nan_to_num(array)
    raw = array.tobytes()
    (tensor,) = decode(binary({"inputs": [announced(datatype, [count], len(raw))]}, raw)).inputs
    assert tensor.data == array.tolist()
    assert (tensor.datatype, tensor.shape, dict(tensor.parameters)) == (datatype, (count,), {})


def test_it_is_the_same_request_as_in_json() -> None:
    pixels = np.arange(12, dtype=np.uint8)
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"good", "Größe".encode(), b""))
    tensors = [
        announced("UINT8", [1, 2, 2, 3], 12, "pixels"),
        {"name": "k", "shape": [1], "datatype": "INT64", "data": [7]},
        announced("BYTES", [3], len(texts), "texts"),
    ]
    common = {"id": "a", "model_name": "m", "parameters": {"timeout": 5, "tenant": "t"}, "outputs": [{"name": "y"}]}
    in_json = [
        {"name": "pixels", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": pixels.tolist()},
        tensors[1],
        {"name": "texts", "shape": [3], "datatype": "BYTES", "data": ["good", "Größe", ""]},
    ]
    plain = InputRecord("t", 0, 0, 0, None, orjson.dumps(common | {"inputs": in_json}))
    expected = decode(plain)
    for name in (HEADER, "Inference-Header-Content-Length"):
        assert decode(binary(common | {"inputs": tensors}, pixels.tobytes() + texts, name=name)) == expected


@pytest.mark.parametrize(
    ("tensors", "tail", "message"),
    [
        ([announced("FP32", [2], 8)], b"\0" * 7, "inputs[0].parameters.binary_data_size"),
        ([announced("FP32", [2], 8)], b"\0" * 9, "value: 1 bytes behind the last tensor"),
        ([announced("FP32", [3], 8)], b"\0" * 8, "inputs[0]: 8 bytes, the shape asks for 12"),
        ([announced("FP32", [1], -4)], b"", "inputs[0].parameters.binary_data_size"),
        ([{**announced("FP32", [1], 4), "data": [1.0]}], b"\0" * 4, "inputs[0]: has both"),
        ([{"name": "x", "shape": [1], "datatype": "FP32"}], b"", "inputs[0].data: missing"),
        ([announced("FP32", [1], 4)], struct.pack("<f", float("nan")), "inputs[0]: not a finite number"),
        ([announced("BYTES", [1], 3)], b"\1\0\0", "inputs[0]: element 0 is cut off"),
        ([announced("BYTES", [1], 5)], b"\2\0\0\0a", "inputs[0]: element 0 is cut off"),
        ([announced("BYTES", [1], 5)], b"\1\0\0\0\xff", "inputs[0]: element 0 is not UTF-8"),
        ([announced("BYTES", [2], 5)], b"\1\0\0\0a", "inputs[0]: 1 elements, the shape asks for 2"),
        ([announced("FP32", [1], 4), announced("FP32", [1], 4)], b"\0" * 8, "inputs: two tensors have one name"),
        # More digits than Python writes, and a product that takes seconds: the rank is bounded before it is computed.
        ([announced("FP32", [2**31 - 1] * 600, 4)], b"\0" * 4, "inputs[0].shape: expected length <= 8"),
        ([announced("BYTES", [2**31 - 1] * 600, 4)], b"\0" * 4, "inputs[0].shape: expected length <= 8"),
        ([announced("FP32", [2**31 - 1] * 8, 4)], b"\0" * 4, "inputs[0]: 4 bytes, the shape asks for "),
        ([announced("FP32", [], 4)], b"\0" * 4, "inputs[0].shape: expected length >= 1"),
    ],
)
def test_what_does_not_add_up_is_refused(tensors: list[dict[str, Any]], tail: bytes, message: str) -> None:
    assert message in refusal(binary({"inputs": tensors}, tail))


@pytest.mark.parametrize("length", [b"", b"x", b"-1", b"0", b"99999", b"1" * 30, "٣".encode()])
def test_a_length_that_is_none_is_refused(length: bytes) -> None:
    assert HEADER in refusal(binary({"inputs": [announced("FP32", [1], 4)]}, b"\0" * 4, length=length))


@given(st.binary(max_size=60), st.integers(0, 80))
def test_nothing_but_request_errors_comes_of_noise(tail: bytes, length: int) -> None:
    document = {"inputs": [announced("BYTES", [2], len(tail))]}
    try:
        decode(binary(document, tail, length=str(length).encode()))
        decode(binary(document, tail))
    except RequestError:
        pass


def test_a_json_part_that_is_none_is_undecodable() -> None:
    with pytest.raises(UndecodableError):
        decode(InputRecord("t", 0, 0, 0, None, b'{"inputs": \0\0', [(HEADER, b"10")]))
