"""income-adult, trained from the published census rows: floors, protected attributes, the same trees twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_maas.inference import check, load_bundle
from stream_maas.inference.train import income_adult
from stream_maas.inference.train.adult import LEFT_OUT, load_adult
from stream_maas.inference.train.packages import ADULT, Shelf
from tests.training.conftest import Trained


@pytest.fixture(scope="module")
def adult(need, trained) -> Trained:
    need(ADULT)
    return trained("income-adult")


def test_the_floors_hold(adult: Trained) -> None:
    assert check(adult.directory) == []
    assert adult.metrics["accuracy"] >= 0.865
    assert adult.metrics["auc"] >= 0.92
    assert adult.metrics["max_difference_to_lightgbm"] <= 1e-5


def test_protected_attributes_are_shown_and_not_seen(adult: Trained) -> None:
    manifest = load_bundle(adult.directory).manifest
    assert not {spec.name for spec in manifest.inputs} & set(LEFT_OUT)
    assert adult.metrics["groups"]["sex"]["Female"]["rows"] == 5421
    assert adult.metrics["gaps"]["sex"]["selection_ratio"] < 0.8
    card = Path(adult.directory / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"| sex | {adult.metrics['gaps']['sex']['selection_ratio']:.2f} |" in card


def test_the_same_rows_give_the_same_trees(adult: Trained, shelf: Shelf) -> None:
    training, _ = load_adult(shelf)
    again = income_adult.tree_graph(income_adult.fit(training))
    assert (adult.directory / "model.onnx").read_bytes() == again
