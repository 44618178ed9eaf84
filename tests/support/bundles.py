"""Models made for tests: one that is as slow as a request asks it to be, one that fails on a row it cannot foresee."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import orjson
import yaml
from onnx import TensorProto, helper, numpy_helper

SLOW = "slow"
LOOKUP = "lookup"
TABLE_ROWS = 16
"""Rows of the lookup model's table; an index from there on makes ONNX Runtime fail the whole call."""

_OPSET, _IR_VERSION = 17, 9
_WIDTH = 64


def write_slow_bundle(folder: Path, name: str = SLOW, *, least_rounds: int = 0) -> Path:
    """A model whose call takes as many rounds of a small matrix product as the largest `rounds` of its batch, and
    `least_rounds` at least."""
    rng = np.random.default_rng(7)
    # An orthogonal matrix: the state neither grows nor shrinks, however many rounds there are.
    weights = np.linalg.qr(rng.standard_normal((_WIDTH, _WIDTH)))[0].astype(np.float32)
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "weights"], ["next_state"]),
            helper.make_node("Identity", ["condition"], ["next_condition"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("round_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, _WIDTH]),
        ],
        [
            helper.make_tensor_value_info("next_condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_state", TensorProto.FLOAT, [1, _WIDTH]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["rounds"], ["most"], keepdims=0),
        helper.make_node("Max", ["most", "least"], ["trips"]),
        helper.make_node("Loop", ["trips", "true", "start"], ["end"], body=body),
        # The answer depends on the row alone, as batch mates and repeats must not change it. The loop has to be used,
        # or it would be optimised away: its result is a number, and a number times zero is zero.
        helper.make_node("ReduceSum", ["end"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Cast", ["rounds"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["as_float", "nothing"], ["value"]),
    ]
    constants = {
        "weights": weights,
        "start": np.full((1, _WIDTH), 0.125, dtype=np.float32),
        "true": np.array(True),
        "zero": np.array(0, dtype=np.float32),
        "least": np.array(least_rounds),
    }
    return _write(folder / name, name, nodes, constants, "rounds")


def write_lookup_bundle(folder: Path) -> Path:
    """A table look-up that declares no bounds, so that only ONNX Runtime finds a bad index, and fails the batch."""
    nodes = [
        helper.make_node("Squeeze", ["index", "last_axis"], ["flat"]),
        helper.make_node("Gather", ["table", "flat"], ["value"], axis=0),
    ]
    table = np.arange(TABLE_ROWS, dtype=np.float32).reshape(-1, 1) / 2
    return _write(folder / LOOKUP, LOOKUP, nodes, {"table": table, "last_axis": np.array([1])}, "index")


def slow_request(rounds: int, request_id: str, **parameters: Any) -> bytes:
    """A request that keeps the slow model busy for `rounds`."""
    return _request(SLOW, "rounds", rounds, request_id, parameters)


def lookup_request(index: int, request_id: str) -> bytes:
    """A request for one row of the table."""
    return _request(LOOKUP, "index", index, request_id, {})


def rounds_per_second(bundle: Path) -> int:
    """How many rounds this machine does in a second at its best: a request made with it is never quicker than meant."""
    session = ort.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    rounds, best = 50_000, 0.0
    for _ in range(8):
        started_s = time.perf_counter()
        session.run(["value"], {"rounds": np.array([[rounds]], dtype=np.int64)})
        best = max(best, rounds / (time.perf_counter() - started_s))
    return int(best)


def _request(model: str, name: str, value: int, request_id: str, parameters: dict[str, Any]) -> bytes:
    tensor = {"name": name, "shape": [1, 1], "datatype": "INT64", "data": [value]}
    document = {"id": request_id, "model_name": model, "inputs": [tensor]}
    return orjson.dumps(document | ({"parameters": parameters} if parameters else {}))


def _write(directory: Path, name: str, nodes: list[Any], constants: dict[str, Any], input_name: str) -> Path:
    """A bundle with one INT64 input [-1, 1] and one FP32 output `value` [-1, 1]."""
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info(input_name, TensorProto.INT64, ["n", 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.asarray(value), constant) for constant, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    directory.mkdir(parents=True)
    files = {"model.onnx": model.SerializeToString(), "MODEL_CARD.md": f"# {name}\n\nMade by a test.\n".encode()}
    for file, content in files.items():
        (directory / file).write_bytes(content)
    manifest = {
        "bundle": 1, "name": name, "version": "1", "kind": "tensor", "licence": "Apache-2.0",
        "description": "Made by a test.", "intended_use": "Tests.",
        "sha256": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        "inputs": [{"name": input_name, "datatype": "INT64", "shape": [-1, 1]}],
        "outputs": [{"name": "value", "datatype": "FP32", "shape": [-1, 1]}],
        "labels": None, "preprocessing": {},
        "limits": {"max_record_rows": 1, "max_row_tokens": 1, "max_batch_rows": 64, "max_batch_tokens": 64},
        "training_data": {"source": "none", "sha256": "unknown"},
        "metrics": {}, "tiny": False,
    }  # fmt: skip
    (directory / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    return directory
