"""Command lines in processes of their own that need not import everything first: forked from one that has.

A command takes two seconds of CPU to import what it uses, and a test that runs dozens of them takes minutes for that.
The server is a fresh interpreter (multiprocessing's forkserver), not the test process: no state of a test gets in.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["stream_maas.cli.app", "stream_maas.cli.audit", "stream_maas.replay.verification", "stream_maas.kafka.reading"]
)


def run_command(
    arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """`stream-maas ARGUMENTS`: what it printed and how it ended. Raises `subprocess.TimeoutExpired`."""
    with tempfile.NamedTemporaryFile("w+") as out, tempfile.NamedTemporaryFile("w+") as err:
        process = _SERVER.Process(
            target=_command, args=(list(arguments), dict(environment), str(folder), out.name, err.name)
        )
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        return subprocess.CompletedProcess(
            list(arguments), process.exitcode, Path(out.name).read_text(), Path(err.name).read_text()
        )


def _command(arguments: list[str], environment: dict[str, str], folder: str, out: str, err: str) -> None:
    """In the forked process."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY), stream.fileno())

    from stream_maas.cli import main

    main(arguments)
