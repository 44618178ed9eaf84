"""`model init`: what stands in a graph and beside it is written down, the rest is said to be missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from stream_maas.cli.app import run
from stream_maas.inference import Catalog, RuntimeConfig
from tests.unit.inference.graphs import DOUBLE, FLOAT, INT64, graph, sum_graph, tensor, text_request
from tests.unit.inference.graphs import request as request_of
from tests.unit.inference.texts import hidden_graph, logits_graph, tokenizer_file

BFLOAT16 = TensorProto.BFLOAT16


def init(capsysbinary: pytest.CaptureFixture[bytes], *arguments: str) -> dict[str, Any]:
    assert run(["model", "init", *arguments, "--json"]) == 0, capsysbinary.readouterr().err
    return orjson.loads(capsysbinary.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["model", "init", *arguments]) != 0
    return capsys.readouterr().err.replace("\n", " ")


def manifest(directory: Path) -> dict[str, Any]:
    return yaml.safe_load((directory / "bundle.yaml").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_graph_is_served_from_init_on(tmp_path: Path, capsysbinary: Any) -> None:
    Path("House Prices.onnx").write_bytes(sum_graph())
    said = init(capsysbinary, "House Prices.onnx", "--licence", "MIT")
    assert (said["directory"], said["servable"], said["problems"]) == ("house-prices", True, [])
    model = Catalog.load(RuntimeConfig(models=("house-prices",))).resolve("house-prices", None)
    values = [tensor(name, "FP64", (2, 2), [1.0, 2.0, 3.0, 4.0]) for name in "ab"]
    (answer,) = model.run([model.prepare(request_of(*values))])
    assert {each.name: each.data for each in answer.tensors} == {"s": [2.0, 4.0, 6.0, 8.0], "q": [1.0, 2.0, 3.0, 4.0]}


def test_what_only_a_person_knows_is_unknown_and_refused(tmp_path: Path, capsysbinary: Any) -> None:
    Path("m.onnx").write_bytes(sum_graph())
    said = init(capsysbinary, "m.onnx", "--out", "bundle")
    assert not said["servable"]
    assert any(item.startswith("licence:") for item in said["to_do"])
    written = manifest(Path("bundle"))
    assert (written["licence"], written["intended_use"]) == ("unknown", "unknown")
    assert written["training_data"] == {"source": "unknown", "sha256": "unknown"}
    assert run(["model", "check", "bundle"]) == 1


def test_a_bundle_is_never_overwritten(capsysbinary: Any) -> None:
    Path("m.onnx").write_bytes(sum_graph())
    init(capsysbinary, "m.onnx")
    Path("m/bundle.yaml").write_text("mine")
    assert run(["model", "init", "m.onnx"]) == 1
    assert b"has a bundle.yaml already" in capsysbinary.readouterr().err
    assert Path("m/bundle.yaml").read_text() == "mine"


def test_class_names_come_from_metadata_or_a_file(capsysbinary: Any) -> None:
    content = graph([("Identity", ["x"], ["p"])], {"x": (FLOAT, ["n", 3])}, {"p": (FLOAT, ["n", 3])})
    model = onnx.load_from_string(content)
    helper.set_model_props(model, {"names": "{0: 'cat', 1: 'dog', 2: 'fish'}", "license": "MIT"})
    model.doc_string = "Animals."
    Path("animals.onnx").write_bytes(model.SerializeToString())
    init(capsysbinary, "animals.onnx")
    written = manifest(Path("animals"))
    assert written["labels"] == {"output": "p", "names": ["cat", "dog", "fish"], "activation": "none"}
    assert (written["licence"], written["description"]) == ("MIT", "Animals.")
    Path("names.txt").write_text("one\ntwo\nthree\n")
    init(capsysbinary, "animals.onnx", "--labels", "names.txt", "--out", "other")
    assert manifest(Path("other"))["labels"]["names"] == ["one", "two", "three"]


def test_a_class_number_gives_way_to_the_name(tmp_path: Path, capsysbinary: Any) -> None:
    """As scikit-learn and LightGBM are exported: `label` INT64 beside the probabilities."""
    content = graph(
        [("Identity", ["p_in"], ["probabilities"]), ("Identity", ["l_in"], ["label"])],
        {"p_in": (FLOAT, ["n", 2]), "l_in": (INT64, ["n"])},
        {"label": (INT64, ["n"]), "probabilities": (FLOAT, ["n", 2])},
    )
    Path("both.onnx").write_bytes(content)
    Path("names.txt").write_text("no\nyes\n")
    init(capsysbinary, "both.onnx", "--licence", "MIT", "--labels", "names.txt", "--out", "named")
    assert [spec["name"] for spec in manifest(Path("named"))["outputs"]] == ["probabilities"]
    model = Catalog.load(RuntimeConfig(models=("named",))).resolve("both", None)
    request = request_of(tensor("p_in", "FP32", (1, 2), [0.25, 0.75]), tensor("l_in", "INT64", (1,), [0]))
    (answer,) = model.run([model.prepare(request)])
    assert answer.label == "yes"
    init(capsysbinary, "both.onnx", "--licence", "MIT", "--out", "unnamed")
    assert {spec["name"] for spec in manifest(Path("unnamed"))["outputs"]} == {"label", "probabilities"}


def test_a_transformer_with_its_tokenizer_becomes_a_text_model(capsysbinary: Any) -> None:
    folder = Path("export")
    folder.mkdir()
    (folder / "model.onnx").write_bytes(logits_graph())
    (folder / "tokenizer.json").write_bytes(tokenizer_file())
    config = {"id2label": {"0": "no", "1": "yes"}, "max_position_embeddings": 32}
    (folder / "config.json").write_text(json.dumps(config))
    said = init(capsysbinary, "export/model.onnx", "--licence", "MIT", "--out", "texts")
    assert (said["name"], said["kind"], said["servable"]) == ("export", "text", True)
    written = manifest(Path("texts"))
    assert written["labels"] == {"output": "logits", "names": ["no", "yes"], "activation": "softmax"}
    assert written["preprocessing"]["tokenizer"]["max_length"] == 32
    model = Catalog.load(RuntimeConfig(models=("texts",))).resolve(None, None)
    (answer,) = model.run([model.prepare(text_request("a good film"))])
    assert answer.label in ("no", "yes")


def test_token_vectors_are_pooled(capsysbinary: Any) -> None:
    Path("model.onnx").write_bytes(hidden_graph())
    Path("words.json").write_bytes(tokenizer_file())
    said = init(capsysbinary, "model.onnx", "--licence", "MIT", "--tokenizer", "words.json", "--name", "embedder")
    assert (said["servable"], said["directory"]) == (True, "embedder")
    assert any(item.startswith("pooling:") for item in said["to_do"])
    assert manifest(Path("embedder"))["pooling"]["hidden"] == "last_hidden_state"


def test_weights_in_a_file_beside_the_graph_come_along(capsysbinary: Any) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = numpy_helper.from_array(np.full((64, 64), 0.5, dtype=np.float32), "w")
    info = [helper.make_tensor_value_info(name, FLOAT, ["n", 64]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "g", info[:1], info[1:], [weights]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save_model(model, "big.onnx", save_as_external_data=True, location="big.weights", size_threshold=16)
    Path("stray.txt").write_text("not part of it")
    said = init(capsysbinary, "big.onnx", "--licence", "MIT")
    assert said["servable"], said["problems"]
    assert sorted(path.name for path in Path("big").iterdir()) == [
        "MODEL_CARD.md", "big.weights", "bundle.yaml", "model.onnx",
    ]  # fmt: skip


def test_an_image_model_for_one_picture_at_a_time(capsysbinary: Any) -> None:
    """Preprocessing in the graph: UINT8 pixels in, scaled and averaged inside."""
    Path("image.onnx").write_bytes(_image_graph())
    said = init(capsysbinary, "image.onnx", "--licence", "MIT")
    assert said["servable"], said["problems"]
    model = Catalog.load(RuntimeConfig(models=("image",))).resolve(None, None)
    picture = tensor("pixels", "UINT8", (1, 4, 4, 3), list(range(48)))
    (answer,) = model.run([model.prepare(request_of(picture))])
    assert answer.tensors[0].data == [23.5 / 255]


def _image_graph() -> bytes:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.DOUBLE),
        helper.make_node("Div", ["numbers", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["mean"], keepdims=0),
    ]
    made = helper.make_graph(
        nodes, "image",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 4, 4, 3])],
        [helper.make_tensor_value_info("mean", DOUBLE, [1])],
        [
            helper.make_tensor("scale", DOUBLE, [], [255.0]),
            helper.make_tensor("axes", INT64, [3], [1, 2, 3]),
        ],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"x": (FLOAT, [3, 2])}, {"y": (FLOAT, [3, 2])}, "input x is fixed at 3 rows"),
        ({"x": (FLOAT, [])}, {"y": (FLOAT, [])}, "input x is a scalar"),
        (
            {"x": (BFLOAT16, ["n"])},
            {"y": (BFLOAT16, ["n"])},
            "input x is a tensor(bfloat16), which the protocol does not",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(
    capsys: Any, inputs: dict[str, Any], outputs: dict[str, Any], message: str
) -> None:
    Path("m.onnx").write_bytes(graph([("Identity", ["x"], ["y"])], inputs, outputs))
    assert message in refusal(capsys, "m.onnx")
    assert not Path("m").exists()


@pytest.mark.parametrize(
    ("state", "next_state"),
    [("state", "stateN"), ("h0", "hn"), ("past.0.key", "present.0.key"), ("memory_state", "updatedMemory")],
)
def test_a_stateful_model_is_refused(capsys: Any, state: str, next_state: str) -> None:
    content = graph(
        [("Identity", ["x"], ["y"]), ("Identity", [state], [next_state])],
        {"x": (FLOAT, ["n", 2]), state: (FLOAT, [2, "n", 128])},
        {"y": (FLOAT, ["n", 2]), next_state: (FLOAT, [2, "n", 128])},
    )
    Path("vad.onnx").write_bytes(content)
    assert "sequence and stateful models cannot be served" in refusal(capsys, "vad.onnx")


@pytest.mark.parametrize(("name", "result"), [("state", "state_score"), ("encoder_hidden_states", "hidden_states")])
def test_an_input_that_only_sounds_like_a_state_is_served(capsysbinary: Any, name: str, result: str) -> None:
    """A federal state, and what an encoder has said."""
    Path("m.onnx").write_bytes(
        graph([("Identity", [name], [result])], {name: (FLOAT, ["n", 1])}, {result: (FLOAT, ["n", 1])})
    )
    assert init(capsysbinary, "m.onnx", "--licence", "MIT")["servable"]


def test_names_of_columns_come_from_metadata(capsysbinary: Any) -> None:
    model = onnx.load_from_string(
        graph([("Identity", ["x"], ["y"])], {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])})
    )
    model.metadata_props.add(key="feature_names", value='["age", "hours"]')
    onnx.save(model, "table.onnx")
    assert init(capsysbinary, "table.onnx", "--licence", "MIT")["servable"]
    assert manifest(Path("table"))["inputs"][0]["columns"] == ["age", "hours"]


def test_what_is_no_graph_is_refused(capsys: Any) -> None:
    Path("m.onnx").write_bytes(b"not an ONNX file")
    said = refusal(capsys, "m.onnx")
    assert "ONNX Runtime refuses the graph (Protobuf parsing failed)" in said
    assert "next: docs/models.md" in said
