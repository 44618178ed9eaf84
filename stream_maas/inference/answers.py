"""Output arrays of one call -> one answer per record: where they are cut, what is no answer, and which label wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stream_maas.errors import BadOutputError, BundleError, RequestError
from stream_maas.inference.adapter import Output, Row, score_ppm
from stream_maas.inference.bundle import MANIFEST, Bundle
from stream_maas.inference.manifest import Activation, TensorSpec, takes_one_row
from stream_maas.inference.session import Array, GraphTensor
from stream_maas.records import Tensor

LABEL, PROBABILITIES = "label", "probabilities"
PROBABILITY_TOLERANCE = 1e-3
"""How far a softmax in half precision may end above 1."""


class Answers:
    """Cuts output arrays at the records' borders. A classifier (labels in the bundle) also answers `label` BYTES [n],
    and `probabilities` FP32 [n, classes] where the graph gives logits."""

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        self._specs = manifest.outputs
        self._labels = manifest.labels
        names = [spec.name for spec in manifest.outputs]
        self._class_index = names.index(manifest.labels.output) if manifest.labels else 0
        # A graph's own output of that name stays what it is.
        self._adds_label = manifest.labels is not None and LABEL not in names
        self._activation: Activation = manifest.labels.activation if manifest.labels else "none"
        added = [LABEL] if self._adds_label else []
        if self._activation != "none":
            added.append(PROBABILITIES)
        self.names: tuple[str, ...] = (*added, *names)
        """Every output that a request may ask for; all of them are the default."""
        self._whole = manifest.batching == "alone" or takes_one_row(manifest)
        """The outputs of a call belong to one record, so their first dimension may be anything (found boxes, say)."""

    def cut(self, rows: Sequence[Row], arrays: Mapping[str, Array]) -> list[Output | RequestError]:
        """One item per record; a record with a number that is not finite gets an error.

        Raises `BadOutputError` when the arrays are not of the declared shape.
        """
        count = -1 if self._whole else sum(row.size for row in rows)
        for index, spec in enumerate(self._specs):
            _check_shape(index, spec, arrays[spec.name], count)
        answers: list[Output | RequestError] = []
        start = 0
        for row in rows:
            end = None if self._whole else start + row.size
            own = [arrays[spec.name][start:end] for spec in self._specs]
            try:
                answers.append(self._answer(row, own))
            except BadOutputError as error:
                answers.append(error)
            start += row.size
        return answers

    def _answer(self, row: Row, arrays: Sequence[Array]) -> Output:
        for index, array in enumerate(arrays):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise BadOutputError(f"outputs[{index}].data: not a finite number")
        probabilities = None if self._labels is None else self._probabilities(arrays[self._class_index])
        tensors, labels, scores = [], [], []
        if self._labels is not None and probabilities is not None:
            labels = [self._labels.names[best] for best in probabilities.argmax(axis=1).tolist()]
            scores = [min(score_ppm(best), 1_000_000) for best in probabilities.max(axis=1).tolist()]
            if self._adds_label and LABEL in row.wanted:
                tensors.append(Tensor(LABEL, "BYTES", (len(labels),), labels))
            if self._activation != "none" and PROBABILITIES in row.wanted:
                tensors.append(Tensor(PROBABILITIES, "FP32", probabilities.shape, probabilities.ravel().tolist()))
        for spec, array in zip(self._specs, arrays, strict=True):
            if spec.name in row.wanted:
                tensors.append(Tensor(spec.name, spec.datatype, array.shape, array.ravel().tolist()))
        if len(labels) == 1:
            return Output(tuple(tensors), labels[0], scores[0])
        return Output(tuple(tensors))

    def _probabilities(self, scores: Array) -> Array:
        """[n, classes]. Computed row by row in FP64, so that no row's bits depend on its neighbours."""
        if self._activation == "softmax":
            exponents = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
            softmax: Array = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)
            return softmax
        if self._activation == "sigmoid":
            odds = scores.astype(np.float64).reshape(len(scores), -1)
            positive = 0.5 * (1 + np.tanh(0.5 * odds))
            if positive.shape[1] == 1:
                positive = np.concatenate([1 - positive, positive], axis=1)
            sigmoid: Array = positive.astype(np.float32)
            return sigmoid
        if scores.min() < 0 or scores.max() > 1 + PROBABILITY_TOLERANCE:
            raise BadOutputError(f"outputs[{self._class_index}].data: not a probability between 0 and 1")
        return scores


def _check_shape(index: int, spec: TensorSpec, array: Array, count: int) -> None:
    """`count`: rows of the call, -1 when the first dimension is free."""
    expected = (count, *spec.shape[1:])
    if len(array.shape) != len(expected) or any(b not in (-1, a) for a, b in zip(array.shape, expected, strict=True)):
        raise BadOutputError(f"outputs[{index}].shape: not the declared one")


def check_graph(
    bundle: Bundle, field: str, specs: Sequence[TensorSpec], graph: Mapping[str, GraphTensor], *, exact: bool
) -> None:
    """Raise `BundleError` unless `specs` are what the graph says. `exact`: it has no tensor that is not declared."""
    place = f"{bundle.path(MANIFEST)}: {field}"
    names = {spec.name for spec in specs}
    if exact and set(graph) - names:
        raise BundleError(f"{place}: {', '.join(sorted(set(graph) - names))} of the graph is not declared")
    for index, spec in enumerate(specs):
        node = graph.get(spec.name)
        if node is None:
            raise BundleError(f"{place}[{index}]: the graph has no tensor {spec.name}")
        if node.datatype is None:
            raise BundleError(f"{place}[{index}]: {spec.name} {node.strangeness}")
        if node.datatype != spec.datatype:
            raise BundleError(f"{place}[{index}].datatype: the graph says {node.datatype}")
        if not node.shape:
            continue  # the graph leaves it open; the arrays themselves are checked at every call
        if len(node.shape) != len(spec.shape):
            raise BundleError(f"{place}[{index}].shape: the graph says {list(node.shape)}")
        if node.shape[0] not in (-1, spec.shape[0]):
            raise BundleError(
                f"{place}[{index}].shape: the first dimension is the rows; the graph says {list(node.shape)}"
            )
        if any(have not in (-1, said) for have, said in zip(node.shape, spec.shape, strict=True)):
            raise BundleError(f"{place}[{index}].shape: the graph says {list(node.shape)}")
