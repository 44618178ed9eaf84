"""Sums that have no order, and a logistic function that does not see the batch."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream_maas.inference.train.graph_builder import GraphBuilder

BITS = 24
rows = arrays(
    np.float64,
    st.tuples(st.integers(1, 20), st.integers(1, 40)),
    elements=st.floats(-16, 16, allow_nan=False, width=32),
)


@pytest.fixture(scope="module")
def summing() -> ort.InferenceSession:
    graph = GraphBuilder()
    graph.add("Identity", graph.exact_sum("x", 1, BITS), name="y")
    content = graph.serialise(
        "sum", {"x": ("FP64", ("b", "n"))}, {"y": ("FP64", ("b",))}, {"k": "v"}, opset=20, ir_version=9
    )
    return ort.InferenceSession(content)


@pytest.fixture(scope="module")
def logistic() -> ort.InferenceSession:
    graph = GraphBuilder()
    graph.two_probabilities("x", "y")
    content = graph.serialise("p", {"x": ("FP64", ("b",))}, {"y": ("FP32", ("b", 2))}, {}, opset=20, ir_version=9)
    return ort.InferenceSession(content)


@given(rows, st.randoms(use_true_random=False))
def test_a_sum_is_the_sum_of_rounded_terms_in_any_order(
    summing: ort.InferenceSession, values: np.ndarray, random: object
) -> None:
    expected = [sum(round(term * 2**BITS) for term in row.tolist()) / 2**BITS for row in values]
    assert summing.run(None, {"x": values})[0].tolist() == expected
    order = list(range(values.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    padded = np.concatenate([values[:, order], np.zeros((len(values), 7))], axis=1)
    assert summing.run(None, {"x": padded})[0].tolist() == expected


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=70))
def test_probabilities_are_the_same_bits_alone_and_together(
    logistic: ort.InferenceSession, log_odds: list[float]
) -> None:
    together = logistic.run(None, {"x": np.array(log_odds)})[0]
    alone = np.concatenate([logistic.run(None, {"x": np.array([value])})[0] for value in log_odds])
    assert together.tobytes() == alone.tobytes()
    assert together[:, 1] == pytest.approx(1 / (1 + np.exp(-np.array(log_odds))), abs=1e-6)
    assert together.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_metadata_is_kept(summing: ort.InferenceSession) -> None:
    assert summing.get_modelmeta().custom_metadata_map == {"k": "v"}
