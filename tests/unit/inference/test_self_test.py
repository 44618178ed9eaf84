"""Which models may share calls: found out at load, bit by bit; and a score never depends on who else was there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from stream_maas.inference import Model, Output, check
from stream_maas.inference.adapter import Row
from stream_maas.inference.self_test import BATCH_SIZES, examine
from stream_maas.records import Tensor
from tests.unit.inference.conftest import Bundles
from tests.unit.inference.graphs import FLOAT, INT64, graph, log_graph, lookup_graph, request, spec, tensor

Open = Callable[..., Model]
WIDTH = 3


def crowd_graph() -> bytes:
    """y = x + mean over the batch of x: what dynamic quantisation does, without disguise."""
    return graph(
        [("ReduceMean", ["x", "axis"], ["mean"]), ("Add", ["x", "mean"], ["y"])],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2])},
        {"axis": np.array([0])},
    )


def ask(model: Model, *asked: Any) -> list[Any]:
    return [answer.tensors for answer in model.run([model.prepare(each) for each in asked])]


def x(*values: float) -> Any:
    return request(tensor("x", "FP32", (1, len(values)), list(values)))


def test_a_score_that_depends_on_its_neighbours_is_computed_alone(open_bundle: Open) -> None:
    model = open_bundle(crowd_graph())
    assert (model.shares_calls, model.replayable) == (False, True)
    alone = ask(model, x(1.0, 2.0))
    assert ask(model, x(50.0, 3.0), x(1.0, 2.0), x(-7.0, 0.0))[1:2] == alone


def test_what_is_exact_shares_a_call(open_bundle: Open) -> None:
    model = open_bundle(lookup_graph(), inputs=[spec("i", "INT64", -1)], outputs=[spec("y", "FP32", -1)])
    assert (model.shares_calls, model.replayable) == (True, True)
    rows = [model.prepare(request(tensor("i", "INT64", (1,), [index]))) for index in range(5)]
    assert model.plan(rows) == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("batching", "shares", "replayable"), [("alone", False, True), ("exact", False, True), ("loose", True, False)]
)
def test_the_bundle_may_choose(open_bundle: Open, batching: str, shares: bool, replayable: bool) -> None:
    model = open_bundle(crowd_graph(), batching=batching)
    assert (model.shares_calls, model.replayable) == (shares, replayable)


def test_log_has_the_same_bits_alone_in_a_crowd_and_beside_a_poison_row(open_bundle: Open) -> None:
    """ONNX Runtime's Log treats the end of an array in another way than its middle (by 1e-7)."""
    model = open_bundle(log_graph(WIDTH), inputs=[spec("x", "FP32", -1, WIDTH)], outputs=[spec("y", "FP32", -1, WIDTH)])
    rows = [x(*(0.1 + 0.37 * number, 1.7 * number + 0.3, 9.9 - 0.2 * number)) for number in range(40)]
    alone = [ask(model, row)[0] for row in rows]
    assert ask(model, *rows) == alone
    poisoned = model.run([model.prepare(row) for row in [*rows[:20], x(-1.0, 1.0, 1.0), *rows[20:]]])
    assert [answer.tensors for answer in poisoned[:20] + poisoned[21:]] == alone
    assert not isinstance(poisoned[20], Output)


def row(number: int) -> Row:
    return Row(1, 1, None, (), number)


def output(value: float) -> Output:
    return Output((Tensor("y", "FP32", (1,), [value]),))


def test_every_size_and_place_is_tried() -> None:
    """One row that is off in one place of one batch size is enough."""
    for bad_size in BATCH_SIZES:
        calls: list[int] = []

        def run(rows: Any, bad_size: int = bad_size, calls: list[int] = calls) -> list[Output]:
            calls.append(len(rows))
            off = len(rows) == bad_size
            return [
                output(each.features + (1e-12 if off and place == bad_size - 1 else 0))
                for place, each in enumerate(rows)
            ]

        assert not examine(run, [row(number) for number in range(64)], None, together=True).exact
        assert max(calls) == bad_size


def test_minus_zero_is_another_answer() -> None:
    def run(rows: Any) -> list[Output]:
        return [output(-0.0 if len(rows) > 1 else 0.0) for _ in rows]

    assert not examine(run, [row(number) for number in range(8)], None, together=True).exact


def test_slow_models_are_not_tried_together_and_their_speed_is_known() -> None:
    now = [0]
    sizes: list[int] = []

    def run(rows: Any) -> list[Output]:
        sizes.append(len(rows))
        now[0] += 30_000_000 * rows[0].features
        return [output(1.0) for _ in rows]

    verdict = examine(run, [row(number) for number in (3, 2, 1, 2, 3, 3, 3, 3, 3, 3, 3)], lambda: now[0], together=True)
    assert (verdict.exact, verdict.floor_us, set(sizes)) == (False, 30_000, {1})


def test_nothing_to_compare_is_no_evidence(open_bundle: Open) -> None:
    """Every sample fails: the table has ten entries and no declared bounds reach beyond it."""
    model = open_bundle(lookup_graph(), inputs=[spec("i", "INT64", -1, minimum=10)], outputs=[spec("y", "FP32", -1)])
    assert not model.shares_calls


def state_graph(state_in: str, state_out: str, size: list[Any]) -> bytes:
    return graph(
        [("Identity", ["x"], ["y"]), ("Identity", [state_in], [state_out])],
        {"x": (FLOAT, ["n", 2]), state_in: (FLOAT, size)},
        {"y": (FLOAT, ["n", 2]), state_out: (FLOAT, size)},
    )


@pytest.mark.parametrize(
    ("state_in", "state_out"),
    [("state", "stateN"), ("h0", "hn"), ("past_key_values.0.key", "present.0.key"), ("cache_in", "cache_out")],
)
def test_a_stateful_model_is_refused_in_a_clear_sentence(make_bundle: Bundles, state_in: str, state_out: str) -> None:
    specs = {"inputs": [spec("x", "FP32", -1, 2), spec(state_in, "FP32", -1, 4)]}
    (problem,) = check(make_bundle(state_graph(state_in, state_out, ["n", 4]), **specs))
    assert f"carries a state from one call to the next (input {state_in}, output {state_out})" in problem
    assert "stateful models cannot be served" in problem


def test_random_numbers_are_refused(make_bundle: Bundles) -> None:
    noisy = graph(
        [("RandomNormalLike", ["x"], ["noise"]), ("Add", ["x", "noise"], ["y"])],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2])},
    )
    (problem,) = check(make_bundle(noisy))
    assert "it draws random numbers" in problem
    assert check(make_bundle(noisy, name="loose", batching="loose")) == []


def test_dynamic_quantisation_never_shares_loosely(make_bundle: Bundles) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    content = helper.make_model(
        helper.make_graph(nodes, "g", info[:1], info[1:]), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    ).SerializeToString()
    (problem,) = check(make_bundle(content, batching="loose"))
    assert "dynamically quantised" in problem
    assert check(make_bundle(content, name="exact")) == []


def test_a_word_that_is_no_operator_is_none(open_bundle: Open) -> None:
    named = graph([("Identity", ["Bernoulli"], ["y"])], {"Bernoulli": (INT64, ["n"])}, {"y": (INT64, ["n"])})
    model = open_bundle(named, inputs=[spec("Bernoulli", "INT64", -1)], outputs=[spec("y", "INT64", -1)])
    assert model.shares_calls
