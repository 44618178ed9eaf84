"""Any graph with declared tensors is served without code, and a bad row is its own problem only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from stream_maas.errors import BadOutputError, BundleError, InvalidInputError, ModelError, TooLargeError
from stream_maas.inference import Model, Output, RuntimeConfig, check, load_bundle
from stream_maas.records import Request
from tests.unit.inference.conftest import Bundles
from tests.unit.inference.graphs import (
    FLOAT,
    INT64,
    graph,
    log_graph,
    lookup_graph,
    request,
    spec,
    sum_graph,
    tensor,
)

Open = Callable[..., Model]
LOOKUP = {"inputs": [spec("i", "INT64", -1)], "outputs": [spec("y", "FP32", -1)]}
SUM = {
    "inputs": [spec("a", "FP64", -1, 2), spec("b", "FP64", -1, 2)],
    "outputs": [spec("s", "FP64", -1, 2), spec("q", "FP64", -1, 2)],
}


def ask(model: Model, *asked: Request) -> list[Any]:
    return model.run([model.prepare(each) for each in asked])


def x(*values: float) -> Request:
    return request(tensor("x", "FP32", (1, len(values)), list(values)))


def i(*values: int) -> Request:
    return request(tensor("i", "INT64", (len(values),), list(values)))


@pytest.fixture
def lookup(open_bundle: Open) -> Model:
    return open_bundle(lookup_graph(), **LOOKUP)


def test_records_are_stacked_and_cut_apart(lookup: Model) -> None:
    answers = ask(lookup, i(4), i(1, 2, 3), i(9, 0))
    assert [(answer.tensors[0].shape, answer.tensors[0].data) for answer in answers] == [
        ((1,), [2.0]), ((3,), [0.5, 1.0, 1.5]), ((2,), [4.5, 0.0]),
    ]  # fmt: skip
    assert answers[0].tensors[0].datatype == "FP32"
    assert (answers[0].label, answers[0].score_ppm) == (None, None)


def test_a_row_that_fails_the_whole_call_is_found_by_halving(lookup: Model) -> None:
    answers = ask(lookup, *(i(10 if index == 13 else index % 10) for index in range(32)))
    assert [index for index, answer in enumerate(answers) if isinstance(answer, ModelError)] == [13]
    for index, answer in enumerate(answers):
        if index != 13:
            assert answer.tensors[0].data == [index % 10 / 2]
    assert str(answers[13]) == "the model failed on this record"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=4), max_size=20))
def test_exactly_the_bad_rows_get_an_error(lookup: Model, batch: list[list[int]]) -> None:
    """10 and above are beyond the table."""
    answers = ask(lookup, *(i(*values) for values in batch))
    assert len(answers) == len(batch)
    for values, answer in zip(batch, answers, strict=True):
        if max(values) > 9:
            assert isinstance(answer, ModelError)
        else:
            assert answer.tensors[0].data == [value / 2 for value in values]


def test_onnx_runtime_prints_nothing_of_the_row(lookup: Model, capfd: pytest.CaptureFixture[str]) -> None:
    (answer,) = ask(lookup, i(918_273_645))
    assert isinstance(answer, ModelError)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert answer.__context__ is None
    assert answer.__cause__ is None


def test_a_negative_index_needs_and_gets_a_declared_bound(open_bundle: Open) -> None:
    """ONNX Runtime wraps it: without a bound, -1 silently means the last entry."""
    model = open_bundle(
        lookup_graph(), **{**LOOKUP, "inputs": [spec("i", "INT64", -1, minimum=0, maximum=9)], "name": "bounded"}
    )
    assert ask(model, i(9))[0].tensors[0].data == [4.5]
    for bad in (-1, 10):
        with pytest.raises(InvalidInputError) as caught:
            model.prepare(i(bad))
        assert str(caught.value) == "inputs[0].data: outside the range that the model declares"


def test_numbers_that_are_not_finite_stop_their_row_only(open_bundle: Open) -> None:
    answers = ask(open_bundle(log_graph()), x(1, 1), x(1, 0), x(-1, 1), x(1, 1))
    assert [type(answer) for answer in answers] == [Output, BadOutputError, BadOutputError, Output]
    assert str(answers[1]) == "outputs[0].data: not a finite number"
    assert answers[3].tensors[0].data == [0.0, 0.0]


def test_one_bad_row_of_a_record_is_a_bad_record(open_bundle: Open) -> None:
    many = request(tensor("x", "FP32", (2, 2), [1, 1, 1, 0]))
    answers = ask(open_bundle(log_graph()), x(1, 1), many)
    assert [type(answer) for answer in answers] == [Output, BadOutputError]


def test_several_inputs_and_outputs_in_any_order(open_bundle: Open) -> None:
    model = open_bundle(sum_graph(), **SUM)
    a, b = tensor("a", "FP64", (1, 2), [1, 2]), tensor("b", "FP64", (1, 2), [[10, 20]])
    for answer in ask(model, request(a, b), request(b, a)):
        assert [(tensor.name, tensor.data) for tensor in answer.tensors] == [("s", [11, 22]), ("q", [10, 20])]
    (answer,) = ask(model, request(a, b, outputs=("q",)))
    assert [tensor.name for tensor in answer.tensors] == ["q"]
    with pytest.raises(InvalidInputError, match=r"outputs\[0\].name: not an output"):
        model.prepare(request(a, b, outputs=("secret",)))


def test_all_inputs_have_the_same_rows(open_bundle: Open) -> None:
    model = open_bundle(sum_graph(), **SUM)
    with pytest.raises(InvalidInputError) as caught:
        model.prepare(request(tensor("b", "FP64", (2, 2), [1] * 4), tensor("a", "FP64", (1, 2), [1, 2])))
    assert str(caught.value) == "inputs[0].shape[0]: all inputs must have the same number of rows"


def test_records_of_other_widths_never_meet(open_bundle: Open) -> None:
    """Nothing is padded: a sum over a padded row would still be right here, a mean would not."""
    mean = graph(
        [("ReduceMean", ["x", "axes"], ["y"])],
        {"x": (FLOAT, ["n", "width"])},
        {"y": (FLOAT, ["n"])},
        {"axes": np.array([1])},
        keepdims=0,
    )
    model = open_bundle(mean, inputs=[spec("x", "FP32", -1, -1)], outputs=[spec("y", "FP32", -1)])
    asked = [x(1, 2, 3), x(5), x(3, 4, 5), x(6), x(*range(9))]
    assert model.plan([model.prepare(each) for each in asked]) == [[0, 2], [1, 3], [4]]
    assert [answer.tensors[0].data for answer in ask(model, *asked)] == [[2], [5], [4], [6], [4]]


@pytest.mark.parametrize(
    ("datatype", "onnx_type", "values"),
    [
        ("BOOL", TensorProto.BOOL, [True, False]),
        ("BYTES", TensorProto.STRING, ["Grüße", ""]),
        ("FP16", TensorProto.FLOAT16, [1.5, -2.0]),
        ("FP64", TensorProto.DOUBLE, [1e300, 0.1]),
        ("INT8", TensorProto.INT8, [-128, 127]),
        ("UINT8", TensorProto.UINT8, [0, 255]),
        ("INT64", TensorProto.INT64, [-(2**63), 2**63 - 1]),
        ("UINT64", TensorProto.UINT64, [0, 2**64 - 1]),
    ],
)
def test_every_datatype_goes_through(open_bundle: Open, datatype: str, onnx_type: int, values: list[Any]) -> None:
    same = graph([("Identity", ["x"], ["y"])], {"x": (onnx_type, ["n"])}, {"y": (onnx_type, ["n"])})
    model = open_bundle(same, inputs=[spec("x", datatype, -1)], outputs=[spec("y", datatype, -1)])
    model.warm_up()
    (answer,) = ask(model, request(tensor("x", datatype, (2,), values)))
    assert (answer.tensors[0].datatype, answer.tensors[0].data) == (datatype, values)


def test_limits(open_bundle: Open) -> None:
    limits = {"max_record_rows": 2, "max_row_tokens": 3, "max_batch_rows": 2, "max_batch_tokens": 100}
    model = open_bundle(
        graph([("Identity", ["x"], ["y"])], {"x": (FLOAT, ["n", "w"])}, {"y": (FLOAT, ["n", "w"])}),
        inputs=[spec("x", "FP32", -1, -1)], outputs=[spec("y", "FP32", -1, -1)], limits=limits,
    )  # fmt: skip
    assert model.prepare(request(tensor("x", "FP32", (2, 3), [1] * 6))).length == 6
    with pytest.raises(TooLargeError, match="3 rows, the limit is 2"):
        model.prepare(request(tensor("x", "FP32", (3, 1), [1] * 3)))
    with pytest.raises(TooLargeError, match="the limit is 3 values per row"):
        model.prepare(x(1, 2, 3, 4))


def classifier(open_bundle: Open, outputs: int = 3, **fields: Any) -> Model:
    names = ["low", "middle", "high"]
    return open_bundle(
        graph([("Identity", ["x"], ["p"])], {"x": (FLOAT, ["n", outputs])}, {"p": (FLOAT, ["n", outputs])}),
        inputs=[spec("x", "FP32", -1, outputs)], outputs=[spec("p", "FP32", -1, outputs)],
        labels={"output": "p", "names": names[:outputs]}, **fields,
    )  # fmt: skip


def test_a_classifier_says_its_label(open_bundle: Open) -> None:
    model = classifier(open_bundle)
    answer, tie = ask(model, x(0.25, 0.125, 0.625), x(0, 0.5, 0.5))
    assert (answer.label, answer.score_ppm, answer.tensors[0].data) == ("high", 625_000, ["high"])
    assert [tensor.name for tensor in answer.tensors] == ["label", "p"]
    assert tie.label == "middle"
    (many,) = ask(model, request(tensor("x", "FP32", (2, 3), [1, 0, 0, 0, 0, 1]), outputs=("label",)))
    assert (many.label, many.score_ppm) == (None, None)
    assert [(tensor.name, tensor.data) for tensor in many.tensors] == [("label", ["low", "high"])]


def test_a_class_score_that_is_no_probability_stops_its_row(open_bundle: Open) -> None:
    answers = ask(classifier(open_bundle), x(0, 0, 1), x(0, 0, 3.5), x(-0.1, 0.5, 0.6))
    assert [type(answer) for answer in answers] == [Output, BadOutputError, BadOutputError]
    assert str(answers[1]) == "outputs[0].data: not a probability between 0 and 1"


def test_a_graph_that_loses_rows_answers_only_for_those_it_kept(open_bundle: Open) -> None:
    """y has one row per value that is not 0, so a batch comes back short and nobody can say whose row is missing."""
    keeps = graph(
        [("NonZero", ["x"], ["columns"]), ("Transpose", ["columns"], ["y"])],
        {"x": (FLOAT, ["n"])},
        {"y": (INT64, ["m", 1])},
    )
    model = open_bundle(keeps, inputs=[spec("x", "FP32", -1)], outputs=[spec("y", "INT64", -1, 1)])
    one, zero = request(tensor("x", "FP32", (1,), [3])), request(tensor("x", "FP32", (1,), [0]))
    answers = ask(model, one, zero, one)
    assert [type(answer) for answer in answers] == [Output, BadOutputError, Output]
    assert str(answers[1]) == "outputs[0].shape: not the declared one"


def test_a_graph_that_returns_one_row_for_all_is_refused(make_bundle: Bundles) -> None:
    largest = graph(
        [("ReduceMax", ["x", "axes"], ["y"])],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["m", 2])},
        {"axes": np.array([0])},
    )
    (problem,) = check(make_bundle(largest))
    assert "outputs[0].shape: the first dimension is the rows" in problem


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": [spec("z", "FP32", -1, 2)]}, "inputs: x of the graph is not declared"),
        ({"inputs": [spec("x", "FP64", -1, 2)]}, "inputs[0].datatype: the graph says FP32"),
        ({"inputs": [spec("x", "FP32", -1, 3)]}, "inputs[0].shape: the graph says [-1, 2]"),
        ({"inputs": [spec("x", "FP32", -1)]}, "inputs[0].shape: the graph says [-1, 2]"),
        ({"inputs": [spec("x", "FP32", -1, 2), spec("z", "FP32", -1)]}, "inputs[1]: the graph has no tensor z"),
        ({"outputs": [spec("z", "FP32", -1, 2)]}, "outputs[0]: the graph has no tensor z"),
        ({"outputs": [spec("y", "INT64", -1, 2)]}, "outputs[0].datatype: the graph says FP32"),
    ],
)
def test_declaration_and_graph_agree(make_bundle: Bundles, fields: dict[str, Any], message: str) -> None:
    directory = make_bundle(**fields)
    (problem,) = check(directory)
    assert problem.startswith(f"{directory}/bundle.yaml: {message}")


def test_a_graph_with_fixed_rows_is_refused(make_bundle: Bundles) -> None:
    fixed = graph([("Log", ["x"], ["y"])], {"x": (FLOAT, [1, 2])}, {"y": (FLOAT, [1, 2])})
    (problem,) = check(make_bundle(fixed))
    assert "the first dimension is the rows" in problem


def test_a_file_that_is_no_graph_is_refused(make_bundle: Bundles, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime refuses the graph"):
        Model(load_bundle(make_bundle(b"not a graph")), RuntimeConfig())
    assert capfd.readouterr().err == ""


def test_a_row_is_nearly_the_same_alone_and_in_company(open_bundle: Open) -> None:
    """Nearly: ONNX Runtime's kernels treat the end of an array in another way than its middle."""
    model = open_bundle(log_graph())
    rng = np.random.default_rng(1)
    asked = [x(*row) for row in rng.uniform(0.01, 9, (40, 2)).tolist()]
    together = np.array([answer.tensors[0].data for answer in ask(model, *asked)])
    alone = np.array([ask(model, each)[0].tensors[0].data for each in asked])
    assert np.abs(together - alone).max() < 1e-6
