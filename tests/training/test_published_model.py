"""A model that another project published inside a package is served from `model init` on, without code.

Magika (Google, Apache-2.0) tells file types from bytes; its wheel carries the graph and the names of its classes.
Downloads 16 MB with pip; where it cannot be had, this fails under CI and is skipped elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import orjson
import pytest

from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.cli.app import run
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.privacy import Redactor
from stream_maas.records import InputRecord, Writer

REQUIREMENT = "magika==1.0.3"
WHEEL_SHA256 = "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529"
FOLDER = "magika/models/standard_v3_3"
PART_BYTES, PADDING = 1024, 256
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

TEXTS = {
    "python": "import os\n\n\ndef main(path):\n    for name in sorted(os.listdir(path)):\n        print(name)\n\n\n"
    * 4,
    "html": "<!DOCTYPE html>\n<html><head><title>List</title></head>\n<body><p>One.</p></body></html>\n" * 3,
    "c": '#include <stdio.h>\n\nint main(int argc, char **argv) {\n    printf("%d\\n", argc);\n    return 0;\n}\n' * 3,
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--platform", "manylinux_2_28_x86_64", "-d", str(folder), REQUIREMENT], check=False
    )
    if done.returncode and not IN_CI:
        pytest.skip("the wheel cannot be had")
    (found,) = folder.glob("*.whl")
    assert hashlib.sha256(found.read_bytes()).hexdigest() == WHEEL_SHA256
    return found


def features(content: bytes) -> list[int]:
    """What Magika wants: the first and the last 1,024 bytes, filled up with 256."""
    stripped = content.strip()
    first, last = list(stripped[:PART_BYTES]), list(stripped[-PART_BYTES:])
    return first + [PADDING] * (PART_BYTES - len(first)) + [PADDING] * (PART_BYTES - len(last)) + last


def test_it_is_served_from_init_on(wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (tmp_path / "model.onnx").write_bytes(archive.read(f"{FOLDER}/model.onnx"))
        names = json.loads(archive.read(f"{FOLDER}/config.min.json"))["target_labels_space"]
    (tmp_path / "labels.json").write_text(json.dumps(names))
    bundle = tmp_path / "magika"
    arguments = ["--name", "magika", "--licence", "Apache-2.0", "--labels", str(tmp_path / "labels.json")]
    assert run(["model", "init", str(tmp_path / "model.onnx"), "--out", str(bundle), *arguments]) == 0
    assert run(["model", "check", str(bundle)]) == 0

    service = pipeline.Service(
        redactor=Redactor(),
        catalog=Catalog.load(RuntimeConfig(models=(str(bundle),))),
        limits=Limits(),
        audit=wire.AuditEncoder(Writer(app="app", instance="w1", build="test")),
        source="/stream-maas/app",
        digest_key=b"k" * 32,
    )
    records = []
    for offset, text in enumerate(TEXTS.values()):
        tensor = {"name": "bytes", "shape": [1, 2048], "datatype": "INT32", "data": features(text.encode())}
        value = orjson.dumps({"model_name": "magika", "inputs": [tensor]})
        records.append(InputRecord("maas.requests", 0, offset, 1_700_000_000_000, None, value))
    answered = pipeline.serve(records, lane="default", now_us=1_700_000_000_000_000, clock=lambda: 0, service=service)
    found = []
    for result in answered.results:
        outputs = {output["name"]: output["data"] for output in orjson.loads(result.value)["outputs"]}
        found += outputs["label"]
        assert len(outputs["target_label"]) == len(names)
    assert found == list(TEXTS)
