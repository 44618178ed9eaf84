"""Where the peers' libraries live: one virtual environment per peer, because their dependencies collide with ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stream_maas.settings import cache_folder

_HERE = Path(__file__).parent


def python_of(peer: str, say: Callable[[str], None]) -> str:
    """The interpreter of the environment of `peer`, made and filled at the first call (a minute or two).

    Raises `subprocess.CalledProcessError` with pip's own words when something cannot be installed.
    """
    requirements = _HERE / f"requirements-{peer}.txt"
    folder = cache_folder() / "peers" / peer
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if installed.is_file() and installed.read_text(encoding="utf-8") == wanted:
        return str(python)
    say(f"installing {peer} into {folder} ...")
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    subprocess.run(command, check=True)
    installed.write_text(wanted, encoding="utf-8")
    return str(python)


def versions(peer: str) -> dict[str, str]:
    """What is pinned: name -> version."""
    lines = (_HERE / f"requirements-{peer}.txt").read_text(encoding="utf-8").split()
    return {name.partition("[")[0]: version for name, _, version in (line.partition("==") for line in lines)}
