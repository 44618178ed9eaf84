"""sentiment-lite is trained from the real source, compared with the packaged one, and asked about redacted texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stream_maas.inference import check, load_bundle
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.inference.train.corpus import load_corpus
from stream_maas.inference.train.evaluation import evaluate_texts
from stream_maas.inference.train.packages import SENTIMENT_TEXTS, Shelf
from stream_maas.privacy import Redactor
from tests.training.conftest import Trained

MOST_LOST_BY_REDACTION = 0.005


@pytest.fixture(scope="module")
def lite(need, trained) -> Trained:
    need(SENTIMENT_TEXTS)
    return trained("sentiment-lite")


def constants(directory: Path) -> dict[str, np.ndarray]:
    graph = onnx.load(directory / "model.onnx").graph
    return {value.name: numpy_helper.to_array(value) for value in graph.initializer}


def test_the_floors_hold(lite: Trained) -> None:
    assert check(lite.directory) == []
    assert lite.metrics["accuracy"]["movie"] >= 0.78
    assert lite.metrics["auc"]["movie"] >= 0.87
    assert lite.metrics["max_difference_to_scikit_learn"] <= 1e-5
    assert lite.said[0][1] == 0
    assert lite.said[-1][0] == "done"


def test_training_gives_the_packaged_model_again(lite: Trained) -> None:
    packaged = load_bundle(DEFAULT_BUNDLE).manifest
    assert load_bundle(lite.directory).manifest.training_data == packaged.training_data
    for name in ("accuracy", "auc", "texts", "majority_class"):
        assert lite.metrics[name] == pytest.approx(packaged.metrics[name], abs=1e-3)
    assert (lite.directory / "vocabulary.txt").read_bytes() == (DEFAULT_BUNDLE / "vocabulary.txt").read_bytes()
    again, before = constants(lite.directory), constants(DEFAULT_BUNDLE)
    assert again.keys() == before.keys()
    assert abs(again["bias"] - before["bias"]) <= 1e-6
    units_apart = np.abs(again["table"].astype(np.int64) - before["table"].astype(np.int64)).max()
    assert units_apart * before["unit"] <= 1e-5


def test_redaction_hardly_moves_the_accuracy(need, shelf: Shelf) -> None:
    """Real sentences of four domains, each judged as written and as redacted by default."""
    need(SENTIMENT_TEXTS)
    held_out = [example for example in load_corpus(shelf).examples if example.held_out]
    redactor = Redactor()
    written = [example.text for example in held_out]
    redacted = [redactor.redact_text(text).value for text in written]
    assert redacted != written, "nothing was redacted, so nothing was measured"
    positive = [example.rating > 0 for example in held_out]
    accuracy = {name: evaluate_texts(DEFAULT_BUNDLE, texts, positive) for name, texts in
                (("written", written), ("redacted", redacted))}  # fmt: skip
    assert abs(accuracy["written"] - accuracy["redacted"]) < MOST_LOST_BY_REDACTION
