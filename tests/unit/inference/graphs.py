"""Small ONNX graphs, and short ways to write requests and manifests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from stream_maas.records import Request, Tensor

FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64


def graph(
    nodes: Sequence[tuple[str, list[str], list[str]]],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    constants: dict[str, np.ndarray] | None = None,
    **attributes: Any,
) -> bytes:
    """A serialised model; `attributes` go to every node."""
    made = [helper.make_node(op, ins, outs, **attributes) for op, ins, outs in nodes]
    model = helper.make_model(
        helper.make_graph(
            made,
            "test",
            [helper.make_tensor_value_info(name, *info) for name, info in inputs.items()],
            [helper.make_tensor_value_info(name, *info) for name, info in outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def spec(name: str, datatype: str, *shape: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), **more}


def log_graph(width: int = 2) -> bytes:
    """y = log(x): not finite for a row that holds 0 or less."""
    return graph([("Log", ["x"], ["y"])], {"x": (FLOAT, ["n", width])}, {"y": (FLOAT, ["n", width])})


def lookup_graph() -> bytes:
    """y = table[i], 10 entries, entry k is k / 2: an index beyond fails the whole call, a negative one wraps."""
    table = np.arange(10, dtype=np.float32) / 2
    return graph([("Gather", ["table", "i"], ["y"])], {"i": (INT64, ["n"])}, {"y": (FLOAT, ["n"])}, {"table": table})


def sum_graph() -> bytes:
    """s = a + b over [n, 2] and q = Identity(b): two inputs, two outputs."""
    return graph(
        [("Add", ["a", "b"], ["s"]), ("Identity", ["b"], ["q"])],
        {"a": (DOUBLE, ["n", 2]), "b": (DOUBLE, ["n", 2])},
        {"s": (DOUBLE, ["n", 2]), "q": (DOUBLE, ["n", 2])},
    )


def request(*tensors: Tensor, **fields: Any) -> Request:
    return Request("r", "body", tensors, **fields)


def tensor(name: str, datatype: Any, shape: Sequence[int], data: Any) -> Tensor:
    return Tensor(name, datatype, tuple(shape), data)


def text_request(*texts: str, **fields: Any) -> Request:
    return request(tensor("text", "BYTES", (len(texts),), list(texts)), **fields)


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    (directory / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def read_manifest(directory: Path) -> dict[str, Any]:
    return yaml.safe_load((directory / "bundle.yaml").read_text())
