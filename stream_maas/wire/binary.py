"""Keeps the binary tensor data extension of the Open Inference Protocol, as far as it fits a Kafka record: requests.

The record's header `inference-header-content-length` says how many bytes of the value are the JSON part. A tensor with
the parameter `binary_data_size` has no `data` there; its bytes follow the JSON part, tensor after tensor, little-endian
and row-major; BOOL takes a byte, and each BYTES element is its length (4 bytes) and its bytes, here UTF-8 text.
Source: triton-inference-server/server, docs/protocol/extension_binary_data.md. Results are always JSON.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from stream_maas.errors import InvalidInputError
from stream_maas.records import Datatype
from stream_maas.wire.tensors import Name, Parameters, Shape, WireTensor

LENGTH_HEADERS = ("inference-header-content-length", "Inference-Header-Content-Length")
"""Kafka's header names have case, HTTP's have none: both ways of writing it are understood."""
SIZE = "binary_data_size"
_FORMATS: Mapping[str, str] = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip


class BinaryTensor(Struct, forbid_unknown_fields=True, gc=False):
    """A tensor whose data may stand behind the JSON part."""

    name: Name
    shape: Shape
    datatype: Datatype
    data: list[Any] | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET


def json_length(headers: Mapping[str, bytes | None], value: bytes) -> int | None:
    """Bytes of the JSON part; None for a record that is JSON throughout. Raises `InvalidInputError`."""
    for name in LENGTH_HEADERS:
        text = headers.get(name)
        if text is not None:
            if not text.isdigit() or len(text) > 10 or not 0 < int(text) <= len(value):
                raise InvalidInputError(f"headers.{name}: expected a number of bytes up to the length of the value")
            return int(text)
    return None


def read_tensors(tensors: Sequence[BinaryTensor], tail: bytes) -> list[WireTensor]:
    """The tensors with their data. Raises `InvalidInputError` where `tail` is not exactly what they announce."""
    place, read = 0, []
    for index, tensor in enumerate(tensors):
        parameters = {} if tensor.parameters is UNSET else dict(tensor.parameters)
        size = parameters.pop(SIZE, None)
        data: Any = tensor.data
        if size is None:
            if data is UNSET:
                raise InvalidInputError(f"inputs[{index}].data: missing")
        else:
            if data is not UNSET:
                raise InvalidInputError(f"inputs[{index}]: has both data and {SIZE}")
            if type(size) is not int or not 0 <= size <= len(tail) - place:
                raise InvalidInputError(f"inputs[{index}].parameters.{SIZE}: not the bytes that follow the JSON part")
            data = _values(tensor, tail[place : place + size], f"inputs[{index}]")
            place += size
        read.append(WireTensor(tensor.name, tensor.shape, tensor.datatype, data, parameters or UNSET))
    if place != len(tail):
        raise InvalidInputError(f"value: {len(tail) - place} bytes behind the last tensor")
    return read


def _values(tensor: BinaryTensor, content: bytes, place: str) -> list[Any]:
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        return _texts(content, count, place)
    form = struct.Struct("<" + _FORMATS[tensor.datatype])
    if count * form.size != len(content):
        raise InvalidInputError(f"{place}: {len(content)} bytes, the shape asks for {count * form.size}")
    values = list(struct.unpack(f"<{count}{_FORMATS[tensor.datatype]}", content))
    if tensor.datatype.startswith("FP") and not all(map(math.isfinite, values)):
        raise InvalidInputError(f"{place}: not a finite number")
    return values


def _texts(content: bytes, count: int, place: str) -> list[str]:
    texts: list[str] = []
    start = 0
    while start < len(content):
        end = start + 4 + int.from_bytes(content[start : start + 4], "little")
        if start + 4 > len(content) or end > len(content):
            raise InvalidInputError(f"{place}: element {len(texts)} is cut off")
        try:
            texts.append(content[start + 4 : end].decode())
        except UnicodeDecodeError:
            break
        start = end
    if start < len(content):
        raise InvalidInputError(f"{place}: element {len(texts)} is not UTF-8")
    if len(texts) != count:
        raise InvalidInputError(f"{place}: {len(texts)} elements, the shape asks for {count}")
    return texts
