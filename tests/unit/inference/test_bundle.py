"""A bundle is served only when it says everything and is exactly what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from stream_maas.errors import BundleError
from stream_maas.inference import RuntimeConfig, check, describe, load_bundle
from stream_maas.inference.bundle import sha256_file
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.inference.manifest import Manifest
from tests.unit.inference.conftest import Bundles
from tests.unit.inference.graphs import read_manifest, spec, write_manifest

REQUIRED = (
    "bundle", "name", "version", "kind", "licence", "description", "intended_use", "sha256", "inputs", "outputs",
    "labels", "preprocessing", "limits", "training_data", "metrics",
)  # fmt: skip


def problem(directory: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(directory)
    return str(caught.value)


def test_a_complete_bundle_loads(make_bundle: Bundles) -> None:
    directory = make_bundle()
    bundle = load_bundle(directory)
    assert (bundle.ref.name, bundle.ref.version, bundle.ref.licence) == ("made", "1.0", "MIT")
    assert bundle.ref.digest == sha256_file(directory / "model.onnx")
    assert check(directory) == []


def test_the_packaged_bundle_is_sound_and_small() -> None:
    assert check(DEFAULT_BUNDLE) == []
    assert sum(path.stat().st_size for path in DEFAULT_BUNDLE.iterdir()) < 1_500_000


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_field_is_named(make_bundle: Bundles, field: str) -> None:
    directory = make_bundle()
    manifest = read_manifest(directory)
    del manifest[field]
    write_manifest(directory, manifest)
    assert f"bundle.yaml: fields: missing {field}" in problem(directory)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bundle": 2}, "bundle.yaml: bundle:"),
        ({"name": "Upper Case"}, "bundle.yaml: name:"),
        ({"name": "../up"}, "bundle.yaml: name:"),
        ({"version": 1.0}, "bundle.yaml: version: expected `str`, got `float` (quote it)"),
        ({"version": "1 0"}, "bundle.yaml: version:"),
        ({"kind": "pickle"}, "kind: invalid enum value 'pickle', expected one of tensor, word-bag, text"),
        ({"licence": "GPL-3.0-only"}, "bundle.yaml: licence:"),
        ({"licence": ""}, "bundle.yaml: licence:"),
        ({"intended_use": "  "}, "bundle.yaml: intended_use: empty"),
        ({"description": ""}, "bundle.yaml: description: empty"),
        ({"inputs": []}, "bundle.yaml: inputs: empty"),
        ({"inputs": [spec("x", "FP32", 2, 2)]}, "bundle.yaml: inputs[0].shape"),
        ({"inputs": [spec("x", "FP32")]}, "bundle.yaml: inputs[0].shape"),
        ({"inputs": [spec("x", "FP32", -1, 0)]}, "bundle.yaml: inputs[0].shape"),
        (
            {"inputs": [spec("x", "FLOAT", -1, 2)]},
            "inputs[0].datatype: invalid enum value 'FLOAT', expected one of BOOL,",
        ),
        ({"inputs": [spec("x", "FP32", -1, 2, minimum=2, maximum=1)]}, "bundle.yaml: inputs[0].minimum"),
        ({"inputs": [spec("x", "BYTES", -1, 2, minimum=2)]}, "bundle.yaml: inputs[0]: BYTES takes no"),
        ({"inputs": [spec("x", "FP32", -1, 2), spec("x", "FP32", -1, 2)]}, "bundle.yaml: inputs: a name occurs twice"),
        ({"outputs": [spec("y", "FP32", 1, 2)]}, "bundle.yaml: outputs[0].shape: the first dimension must be -1"),
        ({"labels": {"output": "z", "names": ["a", "b"]}}, "bundle.yaml: labels.output: not one"),
        ({"labels": {"output": "y", "names": ["a", "b", "c"]}}, "bundle.yaml: labels.output: expected"),
        ({"labels": {"output": "y", "names": ["a", "a"]}}, "bundle.yaml: labels.names"),
        ({"preprocessing": {"vocabulary": "v.txt"}}, "bundle.yaml: preprocessing"),
        ({"kind": "word-bag", "preprocessing": {}}, "bundle.yaml: preprocessing"),
        ({"kind": "word-bag", "preprocessing": {"vocabulary": "v.txt"}}, "bundle.yaml: preprocessing.vocabulary"),
        ({"training_data": {"source": "none", "sha256": "abc"}}, "bundle.yaml: training_data.sha256"),
        ({"training_data": {"source": "", "sha256": "unknown"}}, "bundle.yaml: training_data.source"),
        ({"surprise": 1}, "bundle.yaml: fields: unknown surprise"),
        ({"sha256": {}}, "bundle.yaml: sha256: model.onnx is missing"),
    ],
)
def test_a_wrong_statement_is_named(make_bundle: Bundles, fields: dict[str, Any], message: str) -> None:
    directory = make_bundle(**{"directory": None, **fields}) if "name" not in fields else make_bundle()
    write_manifest(directory, read_manifest(directory) | fields)
    assert message in problem(directory)


@pytest.mark.parametrize("field", ["max_record_rows", "max_row_tokens", "max_batch_rows", "max_batch_tokens"])
def test_limits_are_positive_and_a_record_fits_a_batch(make_bundle: Bundles, field: str) -> None:
    directory = make_bundle()
    manifest = read_manifest(directory)
    manifest["limits"][field] = 0
    write_manifest(directory, manifest)
    assert f"limits.{field}: must be at least 1" in problem(directory)
    manifest["limits"] |= {field: 8, "max_record_rows": 65}
    write_manifest(directory, manifest)
    assert "limits.max_batch_rows: must not be smaller" in problem(directory)


def test_an_altered_byte_is_found(make_bundle: Bundles) -> None:
    directory = make_bundle()
    content = bytearray((directory / "model.onnx").read_bytes())
    content[-1] ^= 1
    (directory / "model.onnx").write_bytes(content)
    assert "model.onnx: its SHA-256 is not the one in bundle.yaml" in problem(directory)


def test_a_missing_file_and_an_unlisted_one_are_found_together(make_bundle: Bundles) -> None:
    directory = make_bundle()
    (directory / "MODEL_CARD.md").unlink()
    (directory / "data").mkdir()
    (directory / "data" / ".weights").write_bytes(b"external data")
    message = problem(directory)
    assert "MODEL_CARD.md: missing" in message
    assert "data/.weights: not listed" in message


def test_the_model_card_is_required(make_bundle: Bundles) -> None:
    directory = make_bundle()
    manifest = read_manifest(directory)
    del manifest["sha256"]["MODEL_CARD.md"]
    (directory / "MODEL_CARD.md").unlink()
    write_manifest(directory, manifest)
    assert "sha256: MODEL_CARD.md is missing" in problem(directory)


def test_an_empty_model_card_is_none(make_bundle: Bundles) -> None:
    directory = make_bundle()
    (directory / "MODEL_CARD.md").write_text(" \n")
    manifest = read_manifest(directory)
    manifest["sha256"]["MODEL_CARD.md"] = sha256_file(directory / "MODEL_CARD.md")
    write_manifest(directory, manifest)
    assert "MODEL_CARD.md: empty" in problem(directory)


def test_all_missing_and_unknown_fields_are_named_at_once(make_bundle: Bundles) -> None:
    directory = make_bundle()
    manifest = read_manifest(directory)
    del manifest["licence"], manifest["training_data"]
    write_manifest(directory, manifest | {"license": "MIT"})
    assert "fields: missing licence, training_data; unknown license" in problem(directory)


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "data/../../secret.txt", ""])
def test_a_path_out_of_the_folder_is_refused(make_bundle: Bundles, name: str) -> None:
    directory = make_bundle()
    secret = directory.parent / "secret.txt"
    secret.write_bytes(b"x")
    manifest = read_manifest(directory)
    manifest["sha256"][name] = sha256_file(secret)
    write_manifest(directory, manifest)
    assert "is not a path inside the bundle" in problem(directory)


def test_a_link_out_of_the_folder_is_refused(make_bundle: Bundles) -> None:
    directory = make_bundle()
    secret = directory.parent / "secret.txt"
    secret.write_bytes(b"x")
    (directory / "link.txt").symlink_to(secret)
    manifest = read_manifest(directory)
    manifest["sha256"]["link.txt"] = sha256_file(secret)
    write_manifest(directory, manifest)
    assert "link.txt: leads out of the bundle" in problem(directory)


def test_a_kubernetes_volume_is_a_bundle(make_bundle: Bundles, tmp_path: Path) -> None:
    """There, `..data` is a link to a dated folder, and each file a link into `..data`."""
    mount = tmp_path / "mount"
    dated = make_bundle(directory=mount / "..2026_11_22")
    (mount / "..data").symlink_to(dated.name)
    for path in dated.iterdir():
        (mount / path.name).symlink_to(Path("..data") / path.name)
    assert load_bundle(mount).ref.name == "made"


@pytest.mark.parametrize(
    "content", [b"", b"- a\n- b\n", b"name: [", b"\xff\xfe\xff", b"a: !!python/object:os.system {}", b"&a [*a]"]
)
def test_what_is_no_manifest_is_a_bundle_error(make_bundle: Bundles, content: bytes) -> None:
    directory = make_bundle()
    (directory / "bundle.yaml").write_bytes(content)
    assert "bundle.yaml: " in problem(directory)


def test_no_folder_is_a_bundle_error(tmp_path: Path) -> None:
    assert "bundle.yaml: cannot be read (FileNotFoundError)" in problem(tmp_path / "nowhere")


def test_the_licences_are_a_setting(make_bundle: Bundles) -> None:
    directory = make_bundle(licence="GPL-3.0-only")
    assert load_bundle(directory, ("GPL-3.0-only",)).ref.licence == "GPL-3.0-only"
    assert check(directory, RuntimeConfig(licences=("GPL-3.0-only",))) == []
    assert [problem for problem in check(directory) if "licence" in problem]


def test_check_lists_every_problem(make_bundle: Bundles) -> None:
    directory = make_bundle(licence="none", description="")
    (directory / "stray").write_bytes(b"")
    assert [problem.split(": ")[:2] for problem in check(directory)] == [
        [f"{directory}/bundle.yaml", "licence"],
        [f"{directory}/bundle.yaml", "description"],
        [f"{directory}/stray", "not listed in bundle.yaml (sha256)"],
    ]


def test_describe_is_json_and_leaves_nothing_out() -> None:
    described = json.loads(json.dumps(describe(load_bundle(DEFAULT_BUNDLE))))
    assert described["name"] == "sentiment-lite"
    assert described["labels"] == ["negative", "positive"]
    assert described["size_bytes"] == sum(
        (DEFAULT_BUNDLE / name).stat().st_size for name in ("model.onnx", "vocabulary.txt", "MODEL_CARD.md")
    )
    assert described["inputs"] == [spec("text", "BYTES", -1, description="UTF-8 texts, one per row")]


def test_the_documented_example_is_a_manifest() -> None:
    """docs/models.md shows all fields; of what it says, only the abridged digests are wrong."""
    document = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    example = yaml.safe_load(document.split("```yaml\n")[1].split("```")[0])
    manifest = msgspec.convert(example, Manifest)
    assert set(example) == set(manifest.__struct_fields__)
