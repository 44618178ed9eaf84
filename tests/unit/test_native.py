"""The compiled kernels as such: there where a compiler is, away where the environment says so, each with its stub."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stream_maas import native

KERNELS = sorted((Path(native.__file__).parent).glob("*.pyx"))


def test_every_kernel_was_compiled_where_a_compiler_is() -> None:
    """A suite that silently tests the fallback alone proves nothing about the kernels."""
    if native.IS_OFF:
        assert native.missing() == [path.stem for path in KERNELS]
    elif shutil.which("cc") or os.environ.get("STREAM_MAAS_NATIVE") == "require":
        assert native.missing() == [], "make setup, or python hatch_build.py"
    else:
        pytest.skip("this machine has no C compiler")


@pytest.mark.skipif(not native.load("folding"), reason="nothing was compiled")
def test_a_kernel_of_another_source_is_not_used(tmp_path: Path) -> None:
    """An update of a work tree brings sources, and the Python that goes with them, but no compiled kernels."""
    package = Path(native.__file__).parents[1]
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / package.name / "native" / "folding.pyx").open("a") as source:
        source.write("# changed\n")
    program = "from stream_maas import native; print(native.stale(), native.missing(), native.load('words') is None)"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "['folding'] ['folding'] False\n"


def test_there_is_nothing_where_nothing_is() -> None:
    assert native.load("no_such_kernel") is None


def test_the_environment_turns_them_off() -> None:
    program = "from stream_maas import native; print(native.missing(), native.load('folding'))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "STREAM_MAAS_NATIVE": "off"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == f"{[path.stem for path in KERNELS]} None\n"


@pytest.mark.parametrize("source", [path for path in KERNELS if native.load(path.stem)], ids=lambda path: path.stem)
def test_the_stub_names_what_the_kernel_has(source: Path) -> None:
    kernel = native.load(source.stem)
    stub = ast.parse(source.with_suffix(".pyi").read_text(encoding="utf-8"))
    for node in stub.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            assert hasattr(kernel, node.name), node.name
        if isinstance(node, ast.ClassDef):
            methods = {method.name for method in node.body if isinstance(method, ast.FunctionDef)}
            assert methods <= set(dir(getattr(kernel, node.name))), node.name
