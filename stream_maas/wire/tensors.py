"""Keeps the JSON form of an Open Inference Protocol tensor, shared by requests and predictions.

`data` may be flat or nested (row-major), but one array holds either scalars of the tensor's datatype or arrays.
Whether its length is the product of `shape` is for inference to say: that needs the model's signature anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from stream_maas.errors import InvalidInputError
from stream_maas.records import Datatype, ParameterValue, Tensor

MAX_NAME_CHARS = 256
MAX_RANK = 8
"""Dimensions of a shape and levels of nested data. Real models need five; a bound keeps recursion harmless."""
MAX_TENSORS = 1024
MAX_PARAMETERS = 64
MAX_DIMENSION = 2**31 - 1
MAX_SAFE_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 7493, section 2.2)."""
MAX_FLOAT = 1.7976931348623157e308

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Parameters = Annotated[
    dict[
        str,
        Annotated[int, Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
        | Annotated[float, Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
        | str
        | bool,
    ],
    Meta(max_length=MAX_PARAMETERS),
]
Dimension = Annotated[int, Meta(ge=0, le=MAX_DIMENSION)]
Shape = Annotated[tuple[Dimension, ...], Meta(min_length=1, max_length=MAX_RANK)]


class WireTensor(Struct, forbid_unknown_fields=True, gc=False):
    """A tensor as it stands in JSON. `gc=False`: parsed JSON has no cycles, so the collector need not look."""

    name: Name
    shape: Shape
    datatype: Datatype
    data: list[Any]
    parameters: Parameters | UnsetType = UNSET


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_INTEGER_RANGES: dict[str, tuple[int, int]] = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
_FLOATS = ("FP16", "FP32", "FP64")
_SCALARS: dict[str, frozenset[type]] = {
    "BYTES": frozenset({str}),
    "BOOL": frozenset({bool}),
    **dict.fromkeys(_FLOATS, frozenset({int, float})),
    **dict.fromkeys(_INTEGER_RANGES, frozenset({int})),
}
_ONLY_FLOATS = frozenset({float})
_ONLY_ARRAYS = frozenset({list})


def check_tensors(tensors: Sequence[WireTensor], place: str) -> int:
    """Raise `InvalidInputError` where `data` does not fit `datatype` or two tensors have one name.

    Returns how many strings the JSON text of these tensors holds, keys included (see strict.py).
    """
    strings = 6 * len(tensors)
    for index, tensor in enumerate(tensors):
        data, datatype = tensor.data, tensor.datatype
        if datatype == "BYTES" and _SCALARS["BYTES"].issuperset(map(type, data)):
            strings += len(data)
        elif not _ONLY_FLOATS.issuperset(map(type, data)) or datatype not in _FLOATS:
            try:
                strings += _check_data(datatype, data, 1)
            except InvalidInputError as error:
                raise InvalidInputError(f"{place}[{index}].data: {error}") from None
        if tensor.parameters is not UNSET:
            strings += 1 + parameter_strings(tensor.parameters)
    if len(tensors) > 1 and len({tensor.name for tensor in tensors}) != len(tensors):
        raise InvalidInputError(f"{place}: two tensors have one name")
    return strings


def _check_data(datatype: str, data: list[Any], level: int) -> int:
    kinds = set(map(type, data))
    if kinds <= _SCALARS[datatype]:
        if datatype == "BYTES":
            return len(data)
        if int in kinds:
            low, high = _INTEGER_RANGES.get(datatype, (-MAX_FLOAT, MAX_FLOAT))
            if min(data) < low or max(data) > high:
                raise InvalidInputError(f"number out of the range of {datatype}")
        return 0
    if kinds != _ONLY_ARRAYS:
        raise InvalidInputError(f"expected only {datatype} values, or only arrays of them")
    if level == MAX_RANK:
        raise InvalidInputError(f"nested deeper than {MAX_RANK} levels")
    return sum(_check_data(datatype, part, level + 1) for part in data)


def parameter_strings(parameters: Mapping[str, ParameterValue]) -> int:
    """Keys plus string values."""
    return len(parameters) + sum(type(value) is str for value in parameters.values())


def has_control(text: str) -> bool:
    """Whether a C0 or C1 control character is in the text; CloudEvents strings and log lines must not hold any."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def to_tensors(tensors: Sequence[WireTensor]) -> tuple[Tensor, ...]:
    return tuple([Tensor(item.name, item.datatype, item.shape, item.data, item.parameters or {}) for item in tensors])


def from_tensor(tensor: Tensor) -> dict[str, Any]:
    """The JSON object, in the member order of the specification. NumPy arrays stay arrays for orjson."""
    document: dict[str, Any] = {
        "name": tensor.name,
        "shape": tensor.shape,
        "datatype": tensor.datatype,
        "data": tensor.data,
    }
    if tensor.parameters:
        document["parameters"] = dict(tensor.parameters)
    return document


def plain(value: object) -> object:
    """orjson's `default`: NumPy scalars and arrays that are not C-contiguous or not of a native dtype."""
    to_list: Callable[[], object] | None = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"{type(value).__name__} is not a JSON value")
    return to_list()
