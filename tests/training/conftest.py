"""Each model is trained once per test run, from the real packages; they are kept in the user's cache folder.

Where a package cannot be had, its tests fail under CI and are skipped elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from stream_maas.errors import ServiceError
from stream_maas.inference import Catalog, Model, RuntimeConfig, train_model
from stream_maas.inference.train.packages import Package, Shelf
from stream_maas.settings import cache_folder

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
PACKAGES = cache_folder() / "packages"


@dataclass(frozen=True)
class Trained:
    """`said`: every call of the progress function."""

    name: str
    directory: Path
    metrics: dict[str, Any]
    said: list[tuple[str, int, int]]

    @cached_property
    def model(self) -> Model:
        """Opened once: its test at load costs seconds."""
        return Catalog.load(RuntimeConfig(models=(str(self.directory),))).resolve(self.name, None)


@pytest.fixture(scope="session")
def shelf() -> Shelf:
    return Shelf(PACKAGES)


@pytest.fixture(scope="session")
def need(shelf: Shelf) -> Callable[..., None]:
    """`need(PACKAGE, ...)`: fetched, or the test is skipped or fails by the rule above."""

    def fetch(*packages: Package) -> None:
        for package in packages:
            try:
                shelf.path(package)
            except ServiceError as error:
                if IN_CI:
                    raise
                pytest.skip(str(error))

    return fetch


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """`trained(NAME)`: made at the first call of the run."""
    made: dict[str, Trained] = {}

    def make(name: str) -> Trained:
        if name not in made:
            directory = tmp_path_factory.mktemp("models") / name
            said: list[tuple[str, int, int]] = []
            metrics = train_model(name, directory, cache=PACKAGES, progress=lambda *call: said.append(call))
            made[name] = Trained(name, directory, metrics, said)
        return made[name]

    return make
