"""Open Inference Protocol tensors -> NumPy arrays: everything that ONNX Runtime would not have noticed.

ONNX Runtime takes a wrapped negative index, an infinity made by a cast and a shape that only fits by accident
without complaint, and fails the whole batch for the rest. So each record is checked here, before it has mates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from stream_maas.errors import InvalidInputError, TooLargeError
from stream_maas.inference.manifest import TensorSpec
from stream_maas.inference.session import DTYPES, Array
from stream_maas.records import Request, Tensor

_FLOAT_TYPES = frozenset({int, float})
_ELEMENT_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(DTYPES, frozenset({int})),
    **dict.fromkeys(("FP16", "FP32", "FP64"), _FLOAT_TYPES),
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
}
"""Exact element types: `True` is no 1 and "1" is no 1, although NumPy would convert both."""
_TYPE_WORDS = {"BOOL": "booleans", "BYTES": "strings", "FP16": "numbers", "FP32": "numbers", "FP64": "numbers"}


def match_inputs(request: Request, specs: Sequence[TensorSpec]) -> list[tuple[str, Tensor]]:
    """The request's tensors in the order of `specs`, each with its place ("inputs[1]").

    Raises `InvalidInputError` for a tensor that is unknown, missing or given twice.
    """
    found: dict[str, tuple[str, Tensor]] = {}
    names = {spec.name for spec in specs}
    for index, tensor in enumerate(request.inputs):
        if tensor.name not in names:
            raise InvalidInputError(f"inputs[{index}].name: not an input of this model")
        if tensor.name in found:
            raise InvalidInputError(f"inputs[{index}].name: given twice")
        found[tensor.name] = (f"inputs[{index}]", tensor)
    for spec in specs:
        if spec.name not in found:
            raise InvalidInputError(f"inputs: the tensor {spec.name} is missing")
    return [found[spec.name] for spec in specs]


def read_texts(request: Request, spec: TensorSpec, max_rows: int) -> tuple[str, list[str]]:
    """The place ("inputs[0]") and the texts of the one BYTES tensor `spec`, shape [n] or [n, 1].

    Raises `InvalidInputError`, or `TooLargeError` above `max_rows`.
    """
    text = only_text(request, spec.name)
    if text is not None:
        return "inputs[0]", [text]
    ((place, tensor),) = match_inputs(request, (spec,))
    if tensor.datatype != "BYTES":
        raise InvalidInputError(f"{place}.datatype: expected BYTES")
    check_rows(tensor, place, max_rows)
    if len(tensor.shape) > 2 or tensor.shape[1:] not in ((), (1,)):
        raise InvalidInputError(f"{place}.shape: expected [n] or [n, 1]")
    texts: Sequence[str] = flat_values(tensor.data, tensor.shape, place)
    check_types(texts, "BYTES", place)
    return place, list(texts)


def only_text(request: Request, name: str) -> str | None:
    """The text of the usual record, one tensor of shape [1]. None sends every other one through all checks."""
    if len(request.inputs) != 1:
        return None
    tensor = request.inputs[0]
    data = tensor.data
    if tensor.name != name or tensor.datatype != "BYTES" or tensor.shape != (1,) or type(data) is not list:
        return None
    return data[0] if len(data) == 1 and type(data[0]) is str else None


def check_rows(tensor: Tensor, place: str, max_rows: int) -> int:
    """The number of rows, `shape[0]`. Raises `InvalidInputError` below 1, `TooLargeError` above `max_rows`."""
    rows = tensor.shape[0] if tensor.shape else 0
    if rows < 1:
        raise InvalidInputError(f"{place}.shape: expected at least one row in the first dimension")
    if rows > max_rows:
        raise TooLargeError(f"{place}.shape: {rows} rows, the limit is {max_rows}")
    return rows


def check_shape(tensor: Tensor, spec: TensorSpec, place: str) -> None:
    """Datatype, rank and sizes against the declaration. Raises `InvalidInputError`."""
    if tensor.datatype != spec.datatype:
        raise InvalidInputError(f"{place}.datatype: expected {spec.datatype}")
    if len(tensor.shape) != len(spec.shape):
        raise InvalidInputError(f"{place}.shape: expected {len(spec.shape)} dimensions")
    for axis, (size, declared) in enumerate(zip(tensor.shape, spec.shape, strict=True)):
        if size < 1 or declared not in (-1, size):
            expected = "at least 1" if declared == -1 else str(declared)
            raise InvalidInputError(f"{place}.shape[{axis}]: expected {expected}")


def flat_values(data: Any, shape: Sequence[int], place: str) -> Sequence[Any]:
    """Row-major values of `data`, which is flat or nested like `shape`.

    Raises `InvalidInputError` unless there are exactly product(shape) of them, nested evenly.
    """
    if not isinstance(data, list | tuple):
        raise InvalidInputError(f"{place}.data: expected a list")
    values: Sequence[Any] = data
    if len(shape) > 1 and values and isinstance(values[0], list | tuple):
        values = _unnest(values, shape, place)
    count = math.prod(shape)
    if len(values) != count:
        raise InvalidInputError(f"{place}.data: {len(values)} values, the shape asks for {count}")
    return values


def check_types(values: Iterable[Any], datatype: str, place: str) -> None:
    """Raise `InvalidInputError` unless every value has a type that stands for `datatype`."""
    if not set(map(type, values)) <= _ELEMENT_TYPES[datatype]:
        raise InvalidInputError(f"{place}.data: expected {_TYPE_WORDS.get(datatype, 'whole numbers')} only")


def read_array(tensor: Tensor, spec: TensorSpec, place: str) -> Array:
    """The tensor as an array of the declared datatype and the tensor's shape. Raises `InvalidInputError`."""
    check_shape(tensor, spec, place)
    values = flat_values(tensor.data, tensor.shape, place)
    check_types(values, spec.datatype, place)
    dtype = DTYPES[spec.datatype]
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        # Compared as Python integers: NumPy 1 would wrap what does not fit.
        if min(values) < bounds.min or max(values) > bounds.max:
            raise InvalidInputError(f"{place}.data: out of the range of {spec.datatype}")
    array = _finite(values, dtype, spec.datatype, place) if dtype.kind == "f" else np.array(values, dtype=dtype)
    low, high = spec.minimum, spec.maximum
    if (low is not None and min(values) < low) or (high is not None and max(values) > high):
        raise InvalidInputError(f"{place}.data: outside the range that the model declares")
    return array.reshape(tensor.shape)


def _finite(values: Sequence[Any], dtype: np.dtype[Any], datatype: str, place: str) -> Array:
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=dtype)
        finite = bool(np.isfinite(array).all())
    except OverflowError:  # an integer beyond the largest float
        finite = False
    if not finite:
        raise InvalidInputError(f"{place}.data: not finite, or out of the range of {datatype}")
    return array


def _unnest(values: Sequence[Any], shape: Sequence[int], place: str) -> Sequence[Any]:
    """One level for each dimension but the first, whose size the caller's count decides."""
    for size in shape[1:]:
        if not all(isinstance(item, list | tuple) and len(item) == size for item in values):
            raise InvalidInputError(f"{place}.data: not nested as the shape says")
        values = list(chain.from_iterable(values))
    return values
