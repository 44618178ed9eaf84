"""The redactor, and the labelled data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_maas.privacy import Redactor

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def redactor() -> Redactor:
    return Redactor()


@pytest.fixture(scope="session")
def labelled() -> Callable[[str], list[dict[str, Any]]]:
    """`labelled(name)`: the lines of tests/data/pii_<name>.jsonl."""

    def read(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (DATA / f"pii_{name}.jsonl").read_text("utf-8").splitlines()]

    return read
