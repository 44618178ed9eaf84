"""docs/bring-your-own-model.md is done as it is written: each section's blocks in order, down to the served answer.

Only the embedder is not made anew: the one that this run has trained for its own test takes its place.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from stream_maas import kafka, topics
from stream_maas.cli.app import run
from stream_maas.inference.train.packages import MINILM, SENTIMENT_TEXTS
from stream_maas.settings import KafkaConfig
from tests.support.workers import Fleet

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(900)]
PAGE = Path(__file__).parents[2] / "docs" / "bring-your-own-model.md"
WORKER = ["stream-maas", "worker"]
TRAIN = ["stream-maas", "model", "train"]


@dataclass(frozen=True)
class Step:
    language: str
    text: str


def steps(title: str) -> list[Step]:
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert section, f"no section {title}"
    return [Step(*block) for block in re.findall(r"^```(python|sh)\n(.*?)^```$", section[1], re.M | re.S)]


@pytest.mark.parametrize(
    ("title", "labels"),
    [
        ("A scikit-learn pipeline", ["class_0"]),
        ("A LightGBM model", ["malignant"]),
        ("A transformer", ["delivery", "account"]),
    ],
)
def test_a_section_is_done_as_written(
    title: str,
    labels: list[str],
    embedded_broker: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if title == "A transformer":
        request.getfixturevalue("need")(MINILM, SENTIMENT_TEXTS)
    prefix = f"own-{uuid.uuid4().hex[:8]}"
    asyncio.run(kafka.create_topics(KafkaConfig(embedded_broker), topics.table(prefix), 2, 1))
    environment = os.environ | {
        "STREAM_MAAS_PREFIX": prefix,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    printed = ""
    with Fleet(embedded_broker, prefix, tmp_path) as fleet:
        for step in steps(title):
            text = step.text.replace("127.0.0.1:9092", embedded_broker)
            commands = [[sys.executable, "-c", text]] if step.language == "python" else shell(text)
            for command in commands:
                if command[:3] == TRAIN:
                    folder = tmp_path / command[command.index("--out") + 1]
                    shutil.copytree(request.getfixturevalue("trained")(command[3]).directory, folder)
                    continue
                if command[:2] == WORKER:
                    folder = tmp_path / command[command.index("--models") + 1]
                    asyncio.run(fleet.start("w1", models=[folder]).ready())
                    continue
                if command[0] == "stream-maas":
                    assert run(command[1:]) == 0, command
                    continue
                done = subprocess.run(
                    command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
                printed += done.stdout
    answered = re.findall(r"^answer (\w+) ([\d.]+)$", printed, re.M)
    assert [label for label, _ in answered] == labels
    assert all(0.4 < float(score) <= 1 for _, score in answered)


def shell(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.strip()]
