"""Which models are loaded, what stays out and why, and which one a request gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from stream_maas.errors import BundleError, UnknownModelError
from stream_maas.inference import Catalog, RuntimeConfig
from tests.unit.inference.conftest import Bundles


@pytest.fixture
def two(make_bundle: Bundles, tmp_path: Path) -> Path:
    """A folder with the bundles one 1.0, one 1.9, one 1.10 and two 1.0."""
    folder = tmp_path / "models"
    for name, version in (("one", "1.0"), ("one", "1.10"), ("one", "1.9"), ("two", "1.0")):
        make_bundle(directory=folder / f"{name}-{version}", name=name, version=version)
    return folder


def load(*paths: Path, default: str = "") -> Catalog:
    return Catalog.load(RuntimeConfig(models=tuple(map(str, paths)), default_model=default))


def refused(catalog: Catalog, name: str | None, version: str | None) -> str:
    with pytest.raises(UnknownModelError) as caught:
        catalog.resolve(name, version)
    return str(caught.value)


def test_nothing_configured_serves_sentiment_lite() -> None:
    catalog = Catalog.load(RuntimeConfig())
    assert [model.ref.name for model in catalog.models] == ["sentiment-lite"]
    assert catalog.failures == {}
    assert catalog.resolve(None, None).tiny


def test_runtime_says_what_a_replay_has_to_know(two: Path) -> None:
    assert load(two).runtime == {
        "onnxruntime": onnxruntime.__version__,
        "provider": "CPUExecutionProvider",
        "intra_op_threads": 1,
        "optimisation": "all",
    }


def test_a_bundle_and_a_folder_of_bundles(two: Path, make_bundle: Bundles) -> None:
    single = make_bundle(name="three")
    catalog = load(single, two)
    assert [(model.ref.name, model.ref.version) for model in catalog.models] == [
        ("three", "1.0"), ("one", "1.0"), ("one", "1.10"), ("one", "1.9"), ("two", "1.0"),
    ]  # fmt: skip


def test_versions(two: Path) -> None:
    catalog = load(two)
    assert catalog.resolve("one", None).ref.version == "1.10"
    assert catalog.resolve("one", "1.9").ref.version == "1.9"
    assert refused(catalog, "one", "2.0") == "model_version: this model is not loaded"


def test_unknown_names_are_not_repeated(two: Path) -> None:
    catalog = load(two)
    for name, version in (("4111-1111", None), ("4111-1111", "x"), ("two", "4111-1111")):
        assert "4111" not in refused(catalog, name, version)
    assert refused(catalog, "four", None) == "model_name: this model is not loaded"


def test_the_default_model(two: Path) -> None:
    assert load(two, default="two").resolve(None, None).ref.name == "two"
    assert load(two / "two-1.0").resolve(None, None).ref.name == "two"
    assert load(two / "one-1.0", two / "one-1.9").resolve(None, None).ref.version == "1.9"
    assert refused(load(two), None, None).startswith("model_name: missing")
    assert refused(load(two, default="gone"), None, None) == "model_name: this model is not loaded"
    assert refused(load(two / "two-1.0"), None, "7") == "model_version: this model is not loaded"


def test_a_failure_leaves_the_others_serving(two: Path, make_bundle: Bundles, tmp_path: Path) -> None:
    (two / "one-1.9" / "model.onnx").write_bytes(b"altered")
    garbage = make_bundle(b"no graph", name="garbage")
    nowhere = tmp_path / "nowhere"
    catalog = load(two, garbage, nowhere)
    assert len(catalog.models) == 3
    assert {Path(path).name: reason.partition(": ")[2] for path, reason in catalog.failures.items()} == {
        "one-1.9": "model.onnx: its SHA-256 is not the one in bundle.yaml",
        "garbage": "ONNX Runtime refuses the graph (Protobuf parsing failed)",
        "nowhere": "no bundle.yaml here or one folder below",
    }


def test_the_same_version_twice_is_a_failure_of_the_second(two: Path, make_bundle: Bundles, tmp_path: Path) -> None:
    twin = make_bundle(directory=tmp_path / "twin", name="two")
    catalog = load(two, twin)
    assert catalog.resolve("two", None).bundle.directory == two / "two-1.0"
    assert list(catalog.failures) == [str(twin)]


def test_nothing_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no model could be loaded: .*nowhere"):
        load(tmp_path / "nowhere")


def test_settings_do_not_load_onnx_runtime() -> None:
    """A client that only produces records reads settings, too."""
    code = "import sys, stream_maas.settings; sys.exit('onnxruntime' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_serving_needs_no_training_library() -> None:
    code = (
        "import sys\n"
        "for name in ('onnx', 'sklearn', 'scipy'): sys.modules[name] = None\n"
        "from stream_maas.inference import Catalog, RuntimeConfig\n"
        "Catalog.load(RuntimeConfig())\n"
        "from stream_maas.inference import train_model\n"
        "from stream_maas.errors import ServiceError\n"
        "from pathlib import Path\n"
        "try: train_model('sentiment-lite', Path('never-written'), cache=Path('never-used'))\n"
        "except ServiceError as error: sys.exit('stream-maas[train]' not in str(error))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
