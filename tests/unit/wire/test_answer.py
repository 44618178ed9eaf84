"""Answers: what goes out comes back, and what may differ between two answers to one record is only the timings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.errors import REQUEST_ERRORS, BadOutputError, UndecodableError
from stream_maas.records import BatchPosition, ModelRef, Prediction, Rejection, Tensor, Timings

MODEL = ModelRef("sentiment-lite", "1", "d" * 64, "Apache-2.0")
PREDICTION = Prediction("r-1", MODEL, (Tensor("label", "BYTES", (1,), ["positive"]),))

LABELS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256)
COUNTS = st.integers(0, 2**53 - 1)
TENSORS = st.one_of(
    st.builds(Tensor, LABELS, st.just("BYTES"), st.just((1,)), st.lists(st.text(), max_size=3)),
    st.builds(Tensor, LABELS, st.just("BOOL"), st.just((2, 1)), st.lists(st.booleans().map(lambda item: [item]))),
    st.builds(
        Tensor,
        LABELS,
        st.just("FP64"),
        st.just((1, 2)),
        st.lists(st.floats(allow_nan=False, allow_infinity=False)),
        st.dictionaries(LABELS, st.text() | st.booleans() | COUNTS, max_size=2),
    ),
)
PREDICTIONS = st.builds(
    Prediction,
    id=LABELS,
    model=st.builds(
        ModelRef, LABELS, LABELS, st.binary(min_size=32, max_size=32).map(bytes.hex), st.sampled_from(["MIT", "é"])
    ),
    outputs=st.lists(TENSORS, max_size=3, unique_by=lambda item: item.name).map(tuple),
    redactions=st.dictionaries(st.from_regex(r"[A-Z0-9_]{1,12}", fullmatch=True), st.integers(1, 10**6), max_size=3),
    degraded=st.booleans(),
    timings=st.builds(Timings, COUNTS, COUNTS, COUNTS, COUNTS),
)
REJECTIONS = st.sampled_from(REQUEST_ERRORS).flatmap(
    lambda error: st.builds(
        Rejection,
        LABELS,
        st.just(error.code),
        st.text(min_size=1),
        st.just(error.retryable),
        st.none() | COUNTS if error.retryable else st.none(),
    )
)


@given(PREDICTIONS)
def test_prediction_comes_back(prediction: Prediction) -> None:
    assert wire.decode_answer(wire.encode_prediction(prediction)) == prediction


@given(REJECTIONS)
def test_rejection_comes_back(rejection: Rejection) -> None:
    assert wire.decode_answer(wire.encode_rejection(rejection)) == rejection


@given(
    PREDICTIONS, st.builds(Timings, COUNTS, COUNTS, COUNTS, COUNTS), st.builds(BatchPosition, LABELS, COUNTS, COUNTS)
)
def test_answers_to_one_record_differ_in_timings_only(
    first: Prediction, timings: Timings, batch: BatchPosition
) -> None:
    second = Prediction(first.id, first.model, first.outputs, first.redactions, first.degraded, timings, batch)
    value, other = wire.encode_prediction(first), wire.encode_prediction(second)
    assert wire.without_timings(value) == wire.without_timings(other)
    assert not any(name.startswith("timing_") for name in json.loads(wire.without_timings(value))["parameters"])
    expected = {name: item for name, item in json.loads(value)["parameters"].items() if not name.startswith("timing_")}
    assert json.loads(wire.without_timings(value)) == {**json.loads(value), "parameters": expected}
    digest = hashlib.sha256(wire.without_timings(other)).hexdigest()
    assert wire.stable_digest(first) == wire.stable_digest(second) == digest
    assert wire.encode_prediction_and_digest(first) == (value, digest)


def test_a_tensor_parameter_that_looks_like_a_timing_stays() -> None:
    tensor = Tensor("x", "INT8", (1,), [1], {"a": 1, "timing_queue_us": 5})
    prediction = Prediction("r", MODEL, (tensor,))
    assert hashlib.sha256(wire.without_timings(wire.encode_prediction(prediction))).hexdigest() == wire.stable_digest(
        prediction
    )


def test_redactions_are_counted_by_type_in_a_fixed_order() -> None:
    values = [
        wire.encode_prediction(Prediction("r", MODEL, (), redactions=dict(order)))
        for order in ([("EMAIL_ADDRESS", 1), ("CARD", 2)], [("CARD", 2), ("EMAIL_ADDRESS", 1)])
    ]
    assert values[0] == values[1]
    parameters = json.loads(values[0])["parameters"]
    assert (parameters["redactions"], parameters["redactions_CARD"], parameters["redactions_EMAIL_ADDRESS"]) == (
        3,
        2,
        1,
    )


@pytest.mark.parametrize("clock_error", [-5, 2**63, -(2**70)])
def test_timings_from_two_clocks_never_spoil_an_answer(clock_error: int) -> None:
    answer = wire.decode_answer(
        wire.encode_prediction(Prediction("r", MODEL, (), timings=Timings(clock_error, 1, 2, 3)))
    )
    assert isinstance(answer, Prediction)
    assert answer.timings == Timings(0 if clock_error < 0 else 2**53 - 1, 1, 2, 3)


@pytest.mark.parametrize(
    "data",
    [
        np.array([[0.25, 0.75]], dtype=np.float32),
        np.array([[0.25, 0.0, 0.75]], dtype=np.float32)[:, ::2],  # not contiguous
        [[np.float64(0.25), np.float32(0.75)]],
        ((0.25, 0.75),),
    ],
)
def test_numpy_data_is_written_as_numbers(data: Any) -> None:
    value = wire.encode_prediction(Prediction("r", MODEL, (Tensor("p", "FP32", (1, 2), data),)))
    assert json.loads(value)["outputs"][0]["data"] == [[0.25, 0.75]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), None])
@pytest.mark.parametrize(
    "wrap",
    [lambda bad: [0.5, bad], lambda bad: [[0.5], [bad]], lambda bad: np.array([0.5, bad], dtype=np.float32)],
    ids=["flat", "nested", "numpy"],
)
def test_a_number_that_is_not_finite_is_no_output(wrap: Any, bad: float | None) -> None:
    prediction = Prediction("r", MODEL, (Tensor("a", "BYTES", (1,), ["null"]), Tensor("p", "FP32", (2,), wrap(bad))))
    for encode in (wire.encode_prediction, wire.stable_digest, wire.encode_prediction_and_digest):
        with pytest.raises(BadOutputError) as caught:
            encode(prediction)
        assert str(caught.value) == "outputs[1].data: a number is not finite"


def test_the_word_null_in_a_text_is_an_output_like_any_other() -> None:
    prediction = Prediction("null", MODEL, (Tensor("null", "BYTES", (1,), ["null"]),))
    assert wire.decode_answer(wire.encode_prediction(prediction)) == prediction


def changed(value: bytes, path: tuple[str, ...], new: Any) -> bytes:
    document = json.loads(value)
    node = document
    for name in path[:-1]:
        node = node[name]
    if new is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = new
    return json.dumps(document).encode()


def test_integral_floats_are_integers_as_in_json_schema() -> None:
    prediction = Prediction("r", MODEL, (Tensor("x", "INT8", (1,), [1]),), {"CARD": 2}, timings=Timings(3))
    value = wire.encode_prediction(prediction)
    floats = value.replace(b"[1]", b"[1.0]").replace(b'CARD":2', b'CARD":2.0').replace(b'queue_us":3', b'queue_us":3e0')
    assert len(floats) == len(value) + 4 * 2
    assert wire.decode_answer(floats) == prediction


def test_a_later_version_may_say_more() -> None:
    value = wire.encode_prediction(PREDICTION)
    for path in (("news",), ("parameters", "news")):
        for new in (1, [{"a": None}], "text"):
            assert wire.decode_answer(changed(value, path, new)) == PREDICTION
    rejection = wire.encode_rejection(Rejection("r", "shed", "later", True, 5))
    assert wire.decode_answer(changed(rejection, ("code",), "new_code")) == Rejection("r", "new_code", "later", True, 5)


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (("id",), ...),
        (("id",), ""),
        (("id",), "a\nb"),
        (("model_name",), ...),
        (("model_version",), 1),
        (("outputs",), ...),
        (("outputs",), [1]),
        (("outputs",), [{"name": "x", "shape": [1], "datatype": "INT8", "data": ["a"]}]),
        (("parameters",), ...),
        (("parameters", "status"), "rejection"),
        (("parameters", "status"), ...),
        (("parameters", "served_by"), "m:1"),
        (("parameters", "served_by"), "m:1@sha256:" + "d" * 63 + "\n"),
        (("parameters", "licence"), ""),
        (("parameters", "degraded"), 1),
        (("parameters", "redactions"), -1),
        (("parameters", "redactions_X"), 0),
        (("parameters", "redactions_X"), "canary"),
        (("parameters", "timing_queue_us"), ...),
        (("parameters", "timing_total_us"), 2**53),
        (("parameters", "timing_infer_us"), True),
    ],
)
def test_what_is_no_prediction_is_undecodable(path: tuple[str, ...], new: Any) -> None:
    with pytest.raises(UndecodableError) as caught:
        wire.decode_answer(changed(wire.encode_prediction(PREDICTION), path, new))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [b"", b"null", b"{}", b"[]", b"\xff", b"{", b"[" * 100_000, b'{"id":"r","code":"shed"}']
)
def test_what_is_no_answer_is_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableError):
        wire.decode_answer(value)


@given(st.binary(max_size=100))
def test_any_bytes_are_undecodable_and_nothing_else(value: bytes) -> None:
    with pytest.raises(UndecodableError):
        wire.decode_answer(value)
