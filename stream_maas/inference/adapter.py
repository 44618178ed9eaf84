"""The door between the batching of `Model` and one kind of model: what a kind has to know, and nothing else.

A new kind of model is a class with the methods of `Adapter`, an entry in `model.ADAPTERS` and a preprocessing
struct in bundle.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from stream_maas.errors import InvalidInputError, RequestError
from stream_maas.inference.session import Array
from stream_maas.records import Request, Tensor


class Output(Struct, frozen=True, gc=False):
    """What a model says about one record.

    `label` and `score_ppm` (its probability in parts per million) are set where the bundle names labels and
    the record has exactly one row; equal probabilities go to the label that stands first in the bundle.
    """

    tensors: tuple[Tensor, ...]
    label: str | None = None
    score_ppm: int | None = None
    encoded: bytes | None = None
    """JSON of `tensors` (`wire.encode_outputs`), where it cost little to make for all rows of a call together."""


class Row(Struct, frozen=True, gc=False):
    """One record, checked and turned into features. Opaque but for `size` and `length`, which planning reads."""

    size: int
    """Rows in the record (Open Inference Protocol shape [n, ...])."""
    length: int
    """Tokens of all rows together."""
    key: Hashable
    """Only rows with equal keys fit into one call."""
    wanted: tuple[str, ...]
    """Names of the outputs to answer with, in the bundle's order."""
    features: Any
    longest: int = 0
    """Where the kind fills short rows up: the length that this record brings them to. 0: nothing is filled up."""


class Adapter(Protocol):
    """One kind of model. Holds no state that a call changes: executor threads share it."""

    def prepare(self, request: Request) -> Row:
        """Check one record and make its features. Raises `InvalidInputError` or `TooLargeError`."""

    def fetches(self, rows: Sequence[Row]) -> Sequence[str]:
        """Names of the graph outputs that answering `rows` needs."""

    def feeds(self, rows: Sequence[Row]) -> Mapping[str, Array]:
        """Graph inputs for one call."""

    def answers(self, rows: Sequence[Row], arrays: Mapping[str, Array]) -> list[Output | RequestError]:
        """One item per row. `arrays`: the graph's inputs and fetched outputs by name.

        Raises `BadOutputError` when the arrays cannot be told apart by row.
        """

    def neutral(self) -> Row:
        """A harmless row to warm up with."""

    def samples(self) -> list[Row]:
        """Different rows, one row per record, always the same ones, that may share a call: what self_test.py runs."""


def wanted_outputs(request: Request, declared: Sequence[str], default: tuple[str, ...]) -> tuple[str, ...]:
    """The outputs that a request asked for, in declared order. Raises `InvalidInputError` for an unknown one."""
    if not request.outputs:
        return default
    for index, name in enumerate(request.outputs):
        if name not in declared:
            raise InvalidInputError(f"outputs[{index}].name: not an output of this model")
    return tuple(name for name in declared if name in request.outputs)


SAMPLE_ROWS = 64
_GOLDEN = 0.6180339887498949


def spread(count: int, start: int = 0) -> NDArray[np.float64]:
    """float64 [count] in [0, 1): multiples of the golden ratio, evenly spread and never the same twice (Knuth, TAOCP
    6.4). What the core has instead of random numbers."""
    steps = np.arange(start + 1, start + 1 + count, dtype=np.float64) * _GOLDEN
    spread_out: NDArray[np.float64] = steps % 1.0
    return spread_out


def score_ppm(probability: float) -> int:
    """A probability in parts per million, 0 to 1,000,000."""
    return round(probability * 1_000_000)
