"""How the demo runs its worker, monitor and page: child processes from their ready line to their clean end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from stream_maas.errors import ServiceError

READY_S = 90.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """A process that has said `ready`: what it said, and the file with everything on its standard error."""

    name: str
    facts: Mapping[str, Any]
    log: Path
    process: asyncio.subprocess.Process

    def freeze(self) -> None:
        """Stop it in mid-flight, as a machine that hangs does."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def running(name: str, arguments: Sequence[str], folder: Path) -> AsyncIterator[Running]:
    """`stream-maas NAME ARGUMENTS --json` for as long as the block lasts.

    Raises `ServiceError` when it does not get ready or does not end with 0, with the last line that it wrote.
    """
    log = folder / f"{name}.log"
    command = [sys.executable, "-m", "stream_maas", name, "--json", *arguments]
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=sink)
    try:
        yield Running(name, await _ready(name, process, log), log, process)
        process.terminate()
        async with asyncio.timeout(STOP_S):
            code = await process.wait()
        if code != 0:
            raise ServiceError(f"the {name} ended with {code}: {_last_line(log)}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(name: str, process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            async for line in process.stdout:
                document: dict[str, Any] = orjson.loads(line)
                if document.get("status") == "ready":
                    return document
    except TimeoutError:
        raise ServiceError(f"the {name} was not ready within {READY_S:g} s: {_last_line(log)}") from None
    raise ServiceError(f"the {name} ended before it was ready: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"
