"""Models of kind tensor: any stateless ONNX graph with declared inputs, served without code.

Records are stacked on axis 0 and the outputs cut apart again. Records whose other dimensions differ do not
share a call, so nothing is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stream_maas.errors import BadOutputError, BundleError, InvalidInputError, RequestError, TooLargeError
from stream_maas.inference.adapter import Output, Row, score_ppm, wanted_outputs
from stream_maas.inference.bundle import Bundle, Labels, TensorSpec
from stream_maas.inference.oip import check_rows, match_inputs, read_array
from stream_maas.inference.session import DTYPES, Array, GraphTensor, Session
from stream_maas.records import Request, Tensor

LABEL = "label"
PROBABILITY_TOLERANCE = 1e-3
"""How far a softmax in half precision may end above 1."""


class TensorAdapter:
    """Arrays in, arrays out. A classifier (labels in the bundle) also answers `label` BYTES [n]."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        """Raises `BundleError` when bundle.yaml and the graph declare different inputs or outputs."""
        manifest = bundle.manifest
        path = bundle.path("bundle.yaml")
        _check_same(f"{path}: inputs", manifest.inputs, session.inputs, exact=True)
        _check_same(f"{path}: outputs", manifest.outputs, session.outputs, exact=False)
        self._inputs, self._outputs = manifest.inputs, manifest.outputs
        self._limits = manifest.limits
        self._labels: Labels | None = manifest.labels
        names = tuple(spec.name for spec in manifest.outputs)
        # A graph's own output of that name stays what it is.
        self._adds_label = self._labels is not None and LABEL not in names
        self._names = (LABEL, *names) if self._adds_label else names

    def prepare(self, request: Request) -> Row:
        """The declared tensors, all with the same number of rows, as arrays."""
        wanted = wanted_outputs(request, self._names, self._names)
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
        """Cut the outputs at the records' borders; a record with a number that is not finite gets an error."""
        count = sum(row.size for row in rows)
        for index, spec in enumerate(self._outputs):
            expected = (count, *spec.shape[1:])
            shape = arrays[spec.name].shape
            if len(shape) != len(expected) or any(b not in (-1, a) for a, b in zip(shape, expected, strict=True)):
                raise BadOutputError(f"outputs[{index}].shape: not the declared one")
        answers: list[Output | RequestError] = []
        start = 0
        for row in rows:
            own = [arrays[spec.name][start : start + row.size] for spec in self._outputs]
            try:
                answers.append(self._answer(row, own))
            except BadOutputError as error:
                answers.append(error)
            start += row.size
        return answers

    def neutral(self) -> Row:
        """Smallest allowed values (or zeros, or empty strings) in the smallest allowed shape."""
        arrays = []
        for spec in self._inputs:
            shape = tuple(max(size, 1) for size in spec.shape)
            value = "" if spec.datatype == "BYTES" else spec.minimum or 0
            arrays.append(np.full(shape, value, dtype=DTYPES[spec.datatype]))
        tokens = sum(array.size for array in arrays)
        return Row(1, tokens, tuple(array.shape[1:] for array in arrays), self._names, arrays)

    def _answer(self, row: Row, arrays: Sequence[Array]) -> Output:
        for index, array in enumerate(arrays):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise BadOutputError(f"outputs[{index}].data: not a finite number")
        labels, scores = self._classes(arrays)
        tensors = []
        if self._adds_label and LABEL in row.wanted:
            tensors.append(Tensor(LABEL, "BYTES", (row.size,), labels))
        for spec, array in zip(self._outputs, arrays, strict=True):
            if spec.name in row.wanted:
                tensors.append(Tensor(spec.name, spec.datatype, array.shape, array.ravel().tolist()))
        if len(labels) == 1:
            return Output(tuple(tensors), labels[0], scores[0])
        return Output(tuple(tensors))

    def _classes(self, arrays: Sequence[Array]) -> tuple[list[str], list[int]]:
        """Label and winning probability (parts per million) of each row; empty for a model without labels."""
        if self._labels is None:
            return [], []
        index = next(index for index, spec in enumerate(self._outputs) if spec.name == self._labels.output)
        probabilities = arrays[index]
        if probabilities.min() < 0 or probabilities.max() > 1 + PROBABILITY_TOLERANCE:
            raise BadOutputError(f"outputs[{index}].data: not a probability between 0 and 1")
        labels = [self._labels.names[best] for best in probabilities.argmax(axis=1).tolist()]
        return labels, [min(score_ppm(best), 1_000_000) for best in probabilities.max(axis=1).tolist()]


def _check_same(place: str, specs: Sequence[TensorSpec], graph: Mapping[str, GraphTensor], *, exact: bool) -> None:
    """`exact`: the graph has no tensor that is not declared."""
    names = {spec.name for spec in specs}
    if exact and set(graph) - names:
        raise BundleError(f"{place}: {', '.join(sorted(set(graph) - names))} of the graph is not declared")
    for index, spec in enumerate(specs):
        node = graph.get(spec.name)
        if node is None:
            raise BundleError(f"{place}[{index}]: the graph has no tensor {spec.name}")
        if node.datatype is None:
            raise BundleError(f"{place}[{index}]: sequences and maps cannot be served, export a tensor instead")
        if node.datatype != spec.datatype:
            raise BundleError(f"{place}[{index}].datatype: the graph says {node.datatype}")
        if not node.shape:
            continue  # the graph leaves it open; the arrays themselves are checked at every call
        if len(node.shape) != len(spec.shape) or node.shape[0] != -1:
            raise BundleError(f"{place}[{index}].shape: the graph's first dimension must be free, and the ranks equal")
        if any(have not in (-1, said) for have, said in zip(node.shape, spec.shape, strict=True)):
            raise BundleError(f"{place}[{index}].shape: the graph says {list(node.shape)}")
