"""The word-bag graph, written node by node: why its sums are exact and what its outputs mean.

For text r with the different terms T (numbers into the table), x = sum of weight over T / norm + bias, where
norm = sqrt(sum of idf squared over T): a linear model over l2-normalised, binary TF-IDF.

The table holds weight (coefficient x idf) and idf squared as integers, in units of 2^-22. Integer sums are exact
in any order, so a running total over all texts of a batch, differenced at the texts' borders, gives the very bits
that each text gets alone, on any processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FRACTION_BITS = 22
"""Rounds a weight by at most 1.2e-7; int32 then reaches up to +-512."""
# Older than current on purpose: opset 18 and its IR version are read by ONNX Runtime from 1.14 on.
OPSET, IR_VERSION = 18, 8


def word_bag_graph(
    weights: NDArray[np.float64], idf: NDArray[np.float64], bias: float, metadata: Mapping[str, str]
) -> bytes:
    """`weights`, `idf`: float64 [terms] -> the serialised model.

    Inputs `ids` int32 [n], `offsets` int64 [b + 1] (0 first, n last). Outputs `probabilities` float [b, 2],
    `log_odds` double [b], `norms` double [b], `term_weights` double [n] (before division by the text's norm).
    Raises `ValueError` when a number does not fit the table.
    """
    graph = helper.make_graph(
        [*score_nodes(), *_answer_nodes()],
        "word_bag",
        [_info("ids", TensorProto.INT32, "n"), _info("offsets", TensorProto.INT64, "b_plus_1")],
        [
            _info("probabilities", TensorProto.FLOAT, "b", 2),
            _info("log_odds", TensorProto.DOUBLE, "b"),
            _info("norms", TensorProto.DOUBLE, "b"),
            _info("term_weights", TensorProto.DOUBLE, "n"),
        ],
        score_constants(weights, idf, bias),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="stream_maas")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _table(weights: NDArray[np.float64], idf: NDArray[np.float64]) -> NDArray[np.int32]:
    scaled = np.rint(np.stack([weights, idf**2], axis=1) * 2**FRACTION_BITS)
    if not (np.abs(scaled) < 2**31).all():
        raise ValueError(f"weights and squared idf must stay below {2 ** (31 - FRACTION_BITS)}")
    table: NDArray[np.int32] = scaled.astype(np.int32)
    return table


def score_nodes() -> list[Any]:
    """`ids`, `offsets` -> `scores` double [b]: the weighted sum over the text's norm, without the bias."""
    node = helper.make_node
    return [
        node("Gather", ["table", "ids"], ["entries"], axis=0),  # int32 [n, 2]
        node("Cast", ["entries"], ["entries_64"], to=TensorProto.INT64),
        node("CumSum", ["entries_64", "first"], ["totals"]),  # over all texts
        node("Concat", ["zero_row", "totals"], ["totals_from_0"], axis=0),  # int64 [n + 1, 2]
        node("Slice", ["offsets", "one_1d", "end_1d"], ["ends"]),
        node("Slice", ["offsets", "zero_1d", "minus_one_1d"], ["starts"]),
        node("Gather", ["totals_from_0", "ends"], ["totals_at_ends"], axis=0),
        node("Gather", ["totals_from_0", "starts"], ["totals_at_starts"], axis=0),
        node("Sub", ["totals_at_ends", "totals_at_starts"], ["sums"]),  # int64 [b, 2], exact
        node("Cast", ["sums"], ["sums_double"], to=TensorProto.DOUBLE),
        node("Mul", ["sums_double", "unit"], ["sums_real"]),
        node("Gather", ["sums_real", "first"], ["weight_sums"], axis=1),
        node("Gather", ["sums_real", "second"], ["squares"], axis=1),
        node("Sqrt", ["squares"], ["norms"]),
        node("Max", ["norms", "tiny"], ["divisors"]),  # a text without a known term: 0 / tiny, so the bias alone
        node("Div", ["weight_sums", "divisors"], ["scores"]),
    ]


def _answer_nodes() -> list[Any]:
    node = helper.make_node
    return [
        node("Add", ["scores", "bias"], ["log_odds"]),
        node("Cast", ["log_odds"], ["log_odds_float"], to=TensorProto.FLOAT),
        node("Sigmoid", ["log_odds_float"], ["positive"]),
        node("Sub", ["one", "positive"], ["negative"]),
        node("Unsqueeze", ["negative", "one_1d"], ["negative_column"]),
        node("Unsqueeze", ["positive", "one_1d"], ["positive_column"]),
        node("Concat", ["negative_column", "positive_column"], ["probabilities"], axis=1),
        node("Gather", ["entries", "first"], ["weights"], axis=1),
        node("Cast", ["weights"], ["weights_double"], to=TensorProto.DOUBLE),
        node("Mul", ["weights_double", "unit"], ["term_weights"]),
    ]


def score_constants(weights: NDArray[np.float64], idf: NDArray[np.float64], bias: float) -> list[Any]:
    """The constants of `score_nodes` and of the answer. Raises `ValueError` when a number does not fit the table."""
    values: dict[str, NDArray[Any]] = {
        "table": _table(weights, idf),
        "bias": np.array(bias, dtype=np.float64),
        "unit": np.array(2.0**-FRACTION_BITS, dtype=np.float64),
        "tiny": np.array(np.finfo(np.float64).tiny, dtype=np.float64),
        "one": np.array(1, dtype=np.float32),
        "first": np.array(0, dtype=np.int64),
        "second": np.array(1, dtype=np.int64),
        "zero_row": np.zeros((1, 2), dtype=np.int64),
        "zero_1d": np.array([0], dtype=np.int64),
        "one_1d": np.array([1], dtype=np.int64),
        "minus_one_1d": np.array([-1], dtype=np.int64),
        "end_1d": np.array([np.iinfo(np.int64).max], dtype=np.int64),
    }
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def _info(name: str, datatype: int, *shape: str | int) -> Any:
    return helper.make_tensor_value_info(name, datatype, list(shape))
