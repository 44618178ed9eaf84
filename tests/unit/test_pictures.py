"""An image of usual size goes the whole way: as a flat list, nested, and in binary."""

from __future__ import annotations

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper

from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.cli.app import run
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.privacy import Redactor
from stream_maas.records import Headers, InputRecord, Writer

SHAPE = (1, 224, 224, 3)
PIXELS = np.random.default_rng(4).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Service:
    """A graph that averages each colour, served from `model init` on."""
    folder = tmp_path_factory.mktemp("colours")
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.DOUBLE),
        helper.make_node("ReduceMean", ["numbers"], ["colours"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "height", "width", 3])],
        [helper.make_tensor_value_info("colours", TensorProto.DOUBLE, ["n", 3])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "c.onnx")
    assert run(["model", "init", str(folder / "c.onnx"), "--licence", "MIT", "--out", str(folder / "colours")]) == 0
    return pipeline.Service(
        redactor=Redactor(),
        catalog=Catalog.load(RuntimeConfig(models=(str(folder / "colours"),))),
        limits=Limits(),
        audit=wire.AuditEncoder(Writer("app", "w1", "test")),
        source="/maas/app",
        digest_key=b"k" * 32,
    )


def flat() -> tuple[bytes, Headers]:
    return _request(data=PIXELS.ravel().tolist()), []


def nested() -> tuple[bytes, Headers]:
    return _request(data=PIXELS.tolist()), []


def binary() -> tuple[bytes, Headers]:
    head = _request(parameters={"binary_data_size": PIXELS.nbytes})
    return head + PIXELS.tobytes(), [("inference-header-content-length", str(len(head)).encode())]


def _request(**members: object) -> bytes:
    return orjson.dumps({"inputs": [{"name": "image", "datatype": "UINT8", "shape": SHAPE, **members}]})


@pytest.mark.parametrize("form", [flat, nested, binary])
def test_an_image_is_served(service: pipeline.Service, form: object) -> None:
    value, headers = form()  # type: ignore[operator]
    record = InputRecord("maas.requests", 0, 0, 1_700_000_000_000, None, value, headers)
    answered = pipeline.serve([record], lane="default", now_us=1_700_000_000_000_000, clock=lambda: 0, service=service)
    (output,) = orjson.loads(answered.results[0].value)["outputs"]
    assert output["data"] == pytest.approx(PIXELS.mean(axis=(0, 1, 2)).tolist())
