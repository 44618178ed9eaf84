"""sentiment-lite is trained from the real source and compared with the packaged one. Downloads 2.4 MB with pip.

Where the source cannot be had, this fails under CI and is skipped elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stream_maas.errors import ServiceError
from stream_maas.inference import check, load_bundle, train_sentiment_lite
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.inference.train.corpus import fetch_source

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return fetch_source(tmp_path_factory.mktemp("source"))
    except ServiceError as error:
        if IN_CI:
            raise
        pytest.skip(str(error))


def constants(directory: Path) -> dict[str, np.ndarray]:
    graph = onnx.load(directory / "model.onnx").graph
    return {value.name: numpy_helper.to_array(value) for value in graph.initializer}


def test_training_gives_the_packaged_model_again(source: Path, tmp_path: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    metrics = train_sentiment_lite(
        tmp_path, source=source, progress=lambda stage, done, total: stages.append((stage, done, total))
    )
    assert check(tmp_path) == []
    assert [done for _, done, _ in stages] == list(range(len(stages)))
    assert stages[-1] == ("done", 4, 4)

    assert metrics["accuracy"]["movie"] >= 0.78
    assert metrics["auc"]["movie"] >= 0.87
    assert metrics["max_difference_to_scikit_learn"] <= 1e-5

    packaged = load_bundle(DEFAULT_BUNDLE).manifest
    assert load_bundle(tmp_path).manifest.training_data == packaged.training_data
    for name in ("accuracy", "auc", "texts", "majority_class"):
        assert metrics[name] == pytest.approx(packaged.metrics[name], abs=1e-3)
    assert (tmp_path / "vocabulary.txt").read_bytes() == (DEFAULT_BUNDLE / "vocabulary.txt").read_bytes()
    again, before = constants(tmp_path), constants(DEFAULT_BUNDLE)
    assert again.keys() == before.keys()
    assert abs(again["bias"] - before["bias"]) <= 1e-6
    units_apart = np.abs(again["table"].astype(np.int64) - before["table"].astype(np.int64)).max()
    assert units_apart * before["unit"] <= 1e-5
