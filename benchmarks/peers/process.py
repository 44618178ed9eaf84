"""How a contender is started so that it can be killed: the same process and environment as everywhere here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import servers
from benchmarks.cluster import Run

_ROOT = Path(__file__).resolve().parents[2]


class Killable(servers.Server):
    """A running contender that may end."""

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None


@contextlib.asynccontextmanager
async def launched(contender: servers.Contender, run: Run) -> AsyncIterator[Killable]:
    """Started and ready; stopped on exit. That it ended meanwhile is no error."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_MAAS_")},
        "STREAM_MAAS_WORKER_APP_ID": run.group,
        "STREAM_MAAS_WORKER_DIGEST_KEY": "benchmark-only-digest-key-of-32-characters",
        "STREAM_MAAS_WORKER_LOG_FORMAT": "json",
        "PYTHONPATH": str(_ROOT),
    }
    with tempfile.NamedTemporaryFile(prefix="stream-maas-peer-", suffix=".log") as log:
        process = await asyncio.create_subprocess_exec(
            *contender.command(run), cwd=_ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        server = Killable(process, Path(log.name))
        # What is printed after the ready line has to go somewhere, or the process would wait for a reader.
        drain: asyncio.Task[None] | None = None
        try:
            await server.ready()
            drain = asyncio.create_task(_drain(process))
            yield server
        finally:
            await server.stop()
            if drain is not None:
                drain.cancel()


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass
