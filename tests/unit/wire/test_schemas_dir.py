"""The schema files are found in a wheel, in a working copy, and missed aloud."""

from __future__ import annotations

import importlib.util
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from stream_maas import wire
from stream_maas.wire import schemas

ROOT = Path(__file__).parents[3]


@pytest.fixture
def installed(tmp_path: Path) -> ModuleType:
    """The module as it stands in site-packages, without schemas."""
    place = tmp_path / "stream_maas" / "wire" / "schemas.py"
    place.parent.mkdir(parents=True)
    shutil.copy(schemas.__file__, place)
    spec = importlib.util.spec_from_file_location("installed_schemas", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_working_copy() -> None:
    assert wire.schemas_dir() == ROOT / "schemas"


def test_wheel(installed: ModuleType, tmp_path: Path) -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    inside = built["targets"]["wheel"]["force-include"]["schemas"]
    shutil.copytree(ROOT / "schemas", tmp_path / inside)
    assert installed.schemas_dir() == tmp_path / inside
    assert all((installed.schemas_dir() / f"{name}.schema.json").is_file() for name in wire.SCHEMA_NAMES)


def test_neither(installed: ModuleType) -> None:
    with pytest.raises(FileNotFoundError):
        installed.schemas_dir()
