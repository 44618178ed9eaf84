"""Named columns: a table sent as one tensor per column becomes the matrix that the graph wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec.structs import replace

from stream_maas.errors import InvalidInputError
from stream_maas.inference.manifest import TensorSpec
from stream_maas.inference.oip import check_rows, flat_values
from stream_maas.records import Request, Tensor

_FLOATS = frozenset({"FP16", "FP32", "FP64"})


def join_columns(request: Request, specs: Sequence[TensorSpec], max_rows: int) -> Request:
    """`request` with the columns of each spec put together; as it is for a spec whose matrix it sends itself.

    A column is a tensor [n] or [n, 1]; whole numbers may stand for floats. Raises `InvalidInputError` for a column
    that is missing, given twice, of another datatype or length; `TooLargeError` above `max_rows`.
    """
    tensors = list(request.inputs)
    for spec in specs:
        named = [(f"inputs[{index}]", tensor) for index, tensor in enumerate(tensors) if tensor.name in spec.columns]
        if spec.columns and named:
            whole = _join(dict(_by_name(named)), spec, max_rows)
            tensors = [tensor for tensor in tensors if tensor.name not in spec.columns] + [whole]
    return replace(request, inputs=tuple(tensors))


def _by_name(named: Sequence[tuple[str, Tensor]]) -> list[tuple[str, tuple[str, Tensor]]]:
    seen: set[str] = set()
    for place, tensor in named:
        if tensor.name in seen:
            raise InvalidInputError(f"{place}.name: given twice")
        seen.add(tensor.name)
    return [(tensor.name, (place, tensor)) for place, tensor in named]


def _join(columns: Mapping[str, tuple[str, Tensor]], spec: TensorSpec, max_rows: int) -> Tensor:
    values: list[Sequence[Any]] = []
    for name in spec.columns:
        if name not in columns:
            raise InvalidInputError(f"inputs: the column {name} is missing")
        place, tensor = columns[name]
        rows = check_rows(tensor, place, max_rows)
        if tensor.shape[1:] not in ((), (1,)):
            raise InvalidInputError(f"{place}.shape: expected [n] or [n, 1]")
        if values and rows != len(values[0]):
            raise InvalidInputError(f"{place}.shape[0]: all columns must have the same number of rows")
        if tensor.datatype != spec.datatype and not (spec.datatype in _FLOATS and tensor.datatype not in _NO_NUMBERS):
            raise InvalidInputError(f"{place}.datatype: expected {spec.datatype}")
        values.append(flat_values(tensor.data, tensor.shape, place))
    flat = list(chain.from_iterable(zip(*values, strict=True)))
    return Tensor(spec.name, spec.datatype, (len(values[0]), len(spec.columns)), flat)


_NO_NUMBERS = frozenset({"BYTES", "BOOL"})
