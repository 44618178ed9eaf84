"""Planning: every row once, in order, within the budgets; and what is said of a model as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_maas.inference import Model, Row, RuntimeConfig, load_bundle
from tests.unit.inference.graphs import FLOAT, graph, lookup_graph, request, spec, tensor, text_request

MAX_ROWS, MAX_TOKENS = 8, 100
rows = st.lists(
    st.builds(
        Row,
        size=st.integers(1, 8),
        length=st.integers(0, 130),
        key=st.sampled_from(["a", "b", None]),
        wanted=st.just(()),
        features=st.none(),
    ),
    max_size=30,
)


@pytest.fixture
def model(open_bundle: Callable[..., Model]) -> Model:
    limits = {"max_record_rows": 8, "max_row_tokens": 130, "max_batch_rows": MAX_ROWS, "max_batch_tokens": MAX_TOKENS}
    return open_bundle(
        lookup_graph(), inputs=[spec("i", "INT64", -1)], outputs=[spec("y", "FP32", -1)], limits=limits
    )  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=rows)
def test_a_plan_keeps_to_keys_and_budgets(model: Model, batch: list[Row]) -> None:
    plan = model.plan(batch)
    assert sorted(index for indexes in plan for index in indexes) == list(range(len(batch)))
    for indexes in plan:
        chosen = [batch[index] for index in indexes]
        assert indexes == sorted(indexes)
        assert len({row.key for row in chosen}) == 1
        assert len(chosen) == 1 or sum(row.size for row in chosen) <= MAX_ROWS
        assert len(chosen) == 1 or sum(row.length for row in chosen) <= MAX_TOKENS


def test_a_plan_fills_its_batches(model: Model) -> None:
    batch = [Row(1, 10, None, (), None)] * 20
    assert [len(indexes) for indexes in model.plan(batch)] == [8, 8, 4]
    batch = [Row(1, 30, None, (), None)] * 7
    assert [len(indexes) for indexes in model.plan(batch)] == [3, 3, 1]


def test_no_rows_no_answers(model: Model, sentiment: Model) -> None:
    assert model.plan([]) == model.run([]) == sentiment.run([]) == []


def test_answers_keep_the_order_across_batches(model: Model) -> None:
    asked = [model.prepare(request(tensor("i", "INT64", (1,), [index % 10]))) for index in range(50)]
    answers: list[Any] = list(model.run(asked))
    assert [answer.tensors[0].data[0] for answer in answers] == [index % 10 / 2 for index in range(50)]


def test_threads_share_a_model(sentiment: Model) -> None:
    asked = [sentiment.prepare(text_request(text)) for text in ("great fun", "a bore", "so so", "")]
    alone = sentiment.run(asked)
    with ThreadPoolExecutor(4) as pool:
        assert all(answers == alone for answers in pool.map(sentiment.run, [asked] * 64))


@pytest.mark.parametrize(("declared", "tiny"), [(None, True), (True, True), (False, False)])
def test_tiny_is_declared_or_estimated(open_bundle: Callable[..., Model], declared: bool | None, tiny: bool) -> None:
    assert open_bundle(tiny=declared).tiny is tiny


@pytest.mark.parametrize(("call_us", "tiny"), [(1_000, True), (1_001, False)])
def test_a_small_file_that_takes_long_is_not_tiny(make_bundle: Callable[..., Path], call_us: int, tiny: bool) -> None:
    ticks = itertools.count(step=call_us * 1000)
    assert Model(load_bundle(make_bundle()), RuntimeConfig(), lambda: next(ticks)).tiny is tiny


def test_a_large_graph_is_not_tiny(open_bundle: Callable[..., Model]) -> None:
    table = np.zeros((1 << 18) + 1, dtype=np.float32)
    large = graph(
        [("ReduceSum", ["table"], ["zero"]), ("Add", ["x", "zero"], ["y"])],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2])},
        {"table": table},
    )
    assert not open_bundle(large).tiny


def test_warming_up_survives_a_model_that_dislikes_zeros(open_bundle: Callable[..., Model]) -> None:
    open_bundle().warm_up()
