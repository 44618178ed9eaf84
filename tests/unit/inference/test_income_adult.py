"""The tabular recipe on a made-up census: what is read, what is left out, and what is served of what was fitted."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from stream_maas.inference import Catalog, RuntimeConfig, check
from stream_maas.inference.train.adult import (
    CATEGORIES,
    LEFT_OUT,
    NUMBERS,
    PROTECTED,
    Table,
    features,
    ordered_categories,
    read_adult,
)
from stream_maas.inference.train.fairness import gaps, group_rates, wilson
from stream_maas.inference.train.income_adult import fit, measure, served_probabilities, write_bundle
from stream_maas.records import Request, Tensor

HEAD = "|1x3 Cross validator\n"
LINE = (
    "{age}, {work}, 77516, Bachelors, {years}, {married}, {job}, Husband, {race}, {sex}, {gain}, 0, 40, Cuba, {label}\n"
)


def census(count: int, seed: int) -> Table:
    """Incomes that follow age, years of school and marriage."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        age, years = rng.randint(17, 80), rng.randint(1, 16)
        married = rng.choice(["Married-civ-spouse", "Divorced"])
        above = age + 5 * years + (30 if married == "Married-civ-spouse" else 0) + rng.gauss(0, 8) > 115
        lines.append(
            LINE.format(
                age=age, years=years, married=married, work=rng.choice(["Private", "State-gov", "?"]),
                job=rng.choice(["Sales", "Tech-support"]), race=rng.choice(["White", "Black"]),
                sex=rng.choice(["Male", "Female"]), gain=rng.choice([0, 0, 3103]), label=">50K." if above else "<=50K.",
            )
        )  # fmt: skip
    return read_adult(HEAD + "".join(lines) + "\n")


@pytest.fixture(scope="module")
def training() -> Table:
    return census(1500, 1)


@pytest.fixture(scope="module")
def test_rows() -> Table:
    return census(600, 2)


def test_rows_are_read_with_their_traps() -> None:
    """A first line that is no row, a full stop behind labels, spaces, an empty line at the end."""
    table = read_adult(
        HEAD
        + "25, Private, 1, 11th, 7, Never-married, Sales, Own-child, Black, Male, 0, 0, 40, United-States, <=50K.\n"
        "38,?,1,HS-grad,9,Divorced,Sales,Husband,White,Male,0,0,50,United-States,>50K\n\n"
    )
    assert table.above.tolist() == [False, True]
    assert table.columns["workclass"] == ["Private", "?"]
    assert table.numbers("age").tolist() == [25, 38]
    assert "income" not in table.columns


def test_categories_are_numbered_by_their_share_of_high_incomes() -> None:
    table = Table({"workclass": ["b", "a", "b", "c", "?", "c"]}, np.array([True, False, False, True, True, True]))
    assert ordered_categories(table, "workclass") == ["a", "b", "c"]
    table.columns.update({name: ["1"] * 6 for name in NUMBERS})
    assert features(table, {"workclass": ["a", "b", "c"]})[:, -1].tolist() == [1, 0, 1, 2, -1, 2]


def test_protected_columns_are_no_inputs() -> None:
    inputs = {*NUMBERS, *CATEGORIES}
    assert set(PROTECTED) <= set(LEFT_OUT)
    assert not inputs & set(LEFT_OUT)


def test_what_is_served_is_what_was_fitted(training: Table, test_rows: Table, tmp_path: Path) -> None:
    fitted = fit(training)
    probabilities = fitted.probabilities(test_rows)
    metrics = measure(probabilities, test_rows) | {"rows": {"training": 1500, "test": 600}}
    assert metrics["accuracy"] > 0.8
    assert metrics["groups"]["sex"].keys() == {"Female", "Male"}
    write_bundle(tmp_path / "made", fitted, metrics, test_rows, probabilities)
    assert check(tmp_path / "made") == []
    assert metrics["max_difference_to_lightgbm"] <= 1e-5
    model = Catalog.load(RuntimeConfig(models=(str(tmp_path / "made"),))).resolve("income-adult", None)
    assert {spec.name for spec in model.bundle.manifest.inputs} == {*NUMBERS, *CATEGORIES}
    assert served_probabilities(model, test_rows) == pytest.approx(probabilities, abs=1e-6)
    again = fit(training).probabilities(test_rows)
    assert np.array_equal(again, probabilities)
    card = (tmp_path / "made" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| sex: Female |" in card
    assert "must not be used for" in card


def test_a_row_alone_is_the_row_in_a_crowd(training: Table, test_rows: Table, tmp_path: Path) -> None:
    fitted = fit(training)
    probabilities = fitted.probabilities(test_rows)
    metrics = measure(probabilities, test_rows) | {"rows": {"training": 1500, "test": 600}}
    write_bundle(tmp_path, fitted, metrics, test_rows, probabilities)
    model = Catalog.load(RuntimeConfig(models=(str(tmp_path),))).resolve("income-adult", None)

    def row(index: int) -> Request:
        tensors = [Tensor(name, "FP32", (1, 1), test_rows.numbers(name)[[index]].tolist()) for name in NUMBERS]
        tensors += [Tensor(name, "BYTES", (1, 1), [test_rows.columns[name][index]]) for name in CATEGORIES]
        return Request(str(index), "body", tuple(tensors))

    rows = [model.prepare(row(index)) for index in range(100)]
    crowd = model.run(rows)
    assert [model.run([item])[0] for item in rows] == crowd


def test_wilson_against_published_values() -> None:
    """R.G. Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_rates_and_gaps_by_hand() -> None:
    groups = ["a"] * 200 + ["b"] * 100 + ["few"] * 3
    chosen = np.array([True] * 100 + [False] * 100 + [True] * 20 + [False] * 80 + [False] * 3)
    truth = np.array(
        ([True] * 50 + [False] * 50) * 2 + [True] * 10 + [False] * 10 + [True] * 30 + [False] * 50 + [True] * 3
    )
    rates = group_rates(groups, chosen, truth)
    assert rates["a"]["selection_rate"]["value"] == 0.5
    assert rates["b"]["true_positive_rate"]["value"] == 0.25
    assert rates["few"]["false_positive_rate"] == {"value": 0.0, "low": 0.0, "high": 1.0}
    assert gaps(rates) == {"selection_ratio": 0.4, "true_positive_gap": 0.25, "false_positive_gap": 0.3333}
