"""Models of kind tensor: any stateless ONNX graph with declared inputs, served without code.

Records are stacked on axis 0 and the outputs cut apart again. Records whose other dimensions differ do not
share a call, so nothing is padded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from stream_maas.errors import InvalidInputError, RequestError, TooLargeError
from stream_maas.inference.adapter import SAMPLE_ROWS, Output, Row, spread, wanted_outputs
from stream_maas.inference.answers import Answers, check_graph
from stream_maas.inference.bundle import Bundle
from stream_maas.inference.columns import join_columns
from stream_maas.inference.manifest import TensorSpec
from stream_maas.inference.oip import check_rows, match_inputs, read_array
from stream_maas.inference.session import DTYPES, Array, Session
from stream_maas.records import Request


class TensorAdapter:
    """Arrays in, arrays out."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        """Raises `BundleError` when bundle.yaml and the graph declare different inputs or outputs."""
        manifest = bundle.manifest
        check_graph(bundle, "inputs", manifest.inputs, session.inputs, exact=True)
        check_graph(bundle, "outputs", manifest.outputs, session.outputs, exact=False)
        self._inputs, self._outputs = manifest.inputs, manifest.outputs
        self._has_columns = any(spec.columns for spec in manifest.inputs)
        self._limits = manifest.limits
        self._answers = Answers(bundle)

    def prepare(self, request: Request) -> Row:
        """The declared tensors, all with the same number of rows, as arrays."""
        wanted = wanted_outputs(request, self._answers.names, self._answers.names)
        if self._has_columns:
            request = join_columns(request, self._inputs, self._limits.max_record_rows)
        arrays: list[Array] = []
        tokens = 0
        for spec, (place, tensor) in zip(self._inputs, match_inputs(request, self._inputs), strict=True):
            rows = check_rows(tensor, place, self._limits.max_record_rows)
            array = read_array(tensor, spec, place)
            if arrays and rows != len(arrays[0]):
                raise InvalidInputError(f"{place}.shape[0]: all inputs must have the same number of rows")
            arrays.append(array)
            tokens += array.size
            if tokens > self._limits.max_row_tokens * rows:
                raise TooLargeError(f"{place}.shape: the limit is {self._limits.max_row_tokens} values per row")
        return Row(len(arrays[0]), tokens, tuple(array.shape[1:] for array in arrays), wanted, arrays)

    def fetches(self, rows: Sequence[Row]) -> Sequence[str]:
        """All declared outputs: each is checked, asked for or not."""
        return [spec.name for spec in self._outputs]

    def feeds(self, rows: Sequence[Row]) -> Mapping[str, Array]:
        """Per input, the records' arrays one below the other."""
        if len(rows) == 1:
            return dict(zip((spec.name for spec in self._inputs), rows[0].features, strict=True))
        return {
            spec.name: np.concatenate([row.features[index] for row in rows]) for index, spec in enumerate(self._inputs)
        }

    def answers(self, rows: Sequence[Row], arrays: Mapping[str, Array]) -> list[Output | RequestError]:
        """The outputs, cut at the records' borders."""
        return self._answers.cut(rows, arrays)

    def neutral(self) -> Row:
        """Smallest allowed values (or zeros, or empty strings) in the smallest allowed shape."""
        arrays = []
        for spec in self._inputs:
            shape = tuple(max(size, 1) for size in spec.shape)
            value = "" if spec.datatype == "BYTES" else spec.minimum or 0
            arrays.append(np.full(shape, value, dtype=DTYPES[spec.datatype]))
        tokens = sum(array.size for array in arrays)
        return Row(1, tokens, tuple(array.shape[1:] for array in arrays), self._answers.names, arrays)

    def samples(self) -> list[Row]:
        """Values spread over the declared range, in the smallest allowed shape; floats of several magnitudes."""
        rows = []
        for number in range(SAMPLE_ROWS):
            arrays = [_sample(spec, number) for spec in self._inputs]
            tokens = sum(array.size for array in arrays)
            rows.append(Row(1, tokens, tuple(array.shape[1:] for array in arrays), self._answers.names, arrays))
        return rows


def _sample(spec: TensorSpec, number: int) -> Array:
    """One row of one input: where no bounds are declared, floats up to 4 in every second row, else up to 400, and small
    whole numbers."""
    shape = tuple(max(size, 1) for size in spec.shape)
    dtype = DTYPES[spec.datatype]
    places = spread(math.prod(shape), number * 7919)
    if spec.datatype == "BYTES":
        words = np.array(["", "a", "sample", "value 1", "Ü"], dtype=object)
        return words[(places * len(words)).astype(np.int64)].reshape(shape)
    if dtype.kind == "f":
        reach = (4.0, 400.0)[number % 2]
        low = -reach if spec.minimum is None else float(spec.minimum)
        high = max(low, reach if spec.maximum is None else float(spec.maximum))
        return (low + places * (high - low)).astype(dtype).reshape(shape)
    low_int = int(spec.minimum or 0)
    high_int = low_int + 9 if spec.maximum is None else int(spec.maximum)
    return (low_int + np.floor(places * (high_int - low_int + 1))).astype(dtype).reshape(shape)
