"""Compiles the kernels of stream_maas/native/ when a wheel or an editable installation is built.

    python hatch_build.py      # in place, after a change to a kernel

They are optional: where no C compiler is, the wheel is pure Python, after a warning. STREAM_MAAS_NATIVE=require makes
that an error, STREAM_MAAS_NATIVE=off leaves them out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
KERNELS = ROOT / "stream_maas" / "native"
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": True,  # texts are hostile: an index that is wrong raises and never reads what lies beyond
    "wraparound": False,
    "initializedcheck": False,
    "binding": False,
}
FLAGS = ["-O2", "-g0"]


def compile_kernels(folder: Path) -> list[Path]:
    """Compile every kernel into `folder`; the extension modules made. Raises whatever Cython or the compiler raises."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        # Relative paths: what is compiled holds the names of its sources.
        package = KERNELS.relative_to(ROOT)
        package.mkdir(parents=True)
        extensions = cythonize(
            [
                Extension(
                    f"stream_maas.native.{source.stem}", [str(_stamped(source, package))], extra_compile_args=FLAGS
                )
                for source in sorted(KERNELS.glob("*.pyx"))
            ],
            compiler_directives=DIRECTIVES,
            quiet=True,
        )
        command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp, command.parallel = str(Path(scratch, "lib")), scratch, os.cpu_count()
        command.ensure_finalized()
        command.run()
        return [_placed(made, folder) for made in map(Path, command.get_outputs())]


def _stamped(source: Path, folder: Path) -> Path:
    """A copy that tells what it was made of: an installation that runs in a work tree does not follow its changes."""
    content = source.read_bytes()
    stamp = f'\n\nSOURCE_SHA256 = "{hashlib.sha256(content).hexdigest()}"\n'
    copy = folder / source.name
    copy.write_bytes(content + stamp.encode())
    return copy


def _placed(made: Path, folder: Path) -> Path:
    """Copied beside its place and moved there: a process that runs keeps the module that it has mapped, and lives."""
    beside = Path(shutil.copy2(made, folder / f"{made.name}.new"))
    return beside.replace(folder / made.name)


class Kernels(BuildHookInterface[Any]):
    """Adds the kernels to a wheel. An editable installation finds them in the work tree."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("STREAM_MAAS_NATIVE", "auto")
        if self.target_name != "wheel" or wanted == "off":
            return
        self._scratch = tempfile.TemporaryDirectory()
        folder = KERNELS if version == "editable" else Path(self._scratch.name)
        try:
            made = compile_kernels(folder)
        except Exception as error:
            if wanted == "require":
                raise
            self.app.display_warning(f"kernels are not compiled, Python does their work, slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version != "editable":
            build_data["force_include"].update({str(path): f"stream_maas/native/{path.name}" for path in made})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if scratch := getattr(self, "_scratch", None):
            scratch.cleanup()


if __name__ == "__main__":
    for path in compile_kernels(KERNELS):
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
