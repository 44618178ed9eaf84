"""Bundles made by hand: `make_bundle` writes one around any ONNX graph, `open_bundle` serves it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from stream_maas.inference import Catalog, Model, RuntimeConfig, load_bundle
from tests.unit.inference.graphs import log_graph, spec, write_manifest

Bundles = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> Bundles:
    """`make_bundle(graph, inputs=[...], outputs=[...], **fields)` -> a folder with a valid bundle of kind tensor."""

    def make(
        content: bytes | None = None,
        *,
        directory: Path | None = None,
        files: Mapping[str, bytes] | None = None,
        **fields: Any,
    ) -> Path:
        folder = directory or tmp_path / fields.get("name", "made")
        folder.mkdir(parents=True)
        graph = log_graph() if content is None else content
        everything = {"model.onnx": graph, "MODEL_CARD.md": b"# Made by a test\n", **(files or {})}
        for name, value in everything.items():
            (folder / name).write_bytes(value)
        manifest = {
            "bundle": 1,
            "name": "made",
            "version": "1.0",
            "kind": "tensor",
            "licence": "MIT",
            "description": "Made by a test.",
            "intended_use": "Tests.",
            "sha256": {name: hashlib.sha256(value).hexdigest() for name, value in everything.items()},
            "inputs": [spec("x", "FP32", -1, 2)],
            "outputs": [spec("y", "FP32", -1, 2)],
            "labels": None,
            "preprocessing": {},
            "limits": {"max_record_rows": 8, "max_row_tokens": 64, "max_batch_rows": 64, "max_batch_tokens": 4096},
            "training_data": {"source": "none", "sha256": "unknown"},
            "metrics": {},
        }
        write_manifest(folder, manifest | fields)
        return folder

    return make


@pytest.fixture
def open_bundle(make_bundle: Bundles) -> Callable[..., Model]:
    """As `make_bundle`, opened."""

    def open_(content: bytes | None = None, **fields: Any) -> Model:
        return Model(load_bundle(make_bundle(content, **fields)), RuntimeConfig())

    return open_


@pytest.fixture(scope="session")
def sentiment() -> Model:
    """The packaged sentiment-lite."""
    return Catalog.load(RuntimeConfig()).resolve("sentiment-lite", None)
