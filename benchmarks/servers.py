"""Keeps what is measured: how each contender is started, when it is ready, and what CPU time it has used."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cluster import Run

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 25.0
_LOG_TAIL_CHARS = 2_000
_ROOT = Path(__file__).resolve().parent.parent


class ServerError(Exception):
    """The measured process did not start or ended by itself; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of serving the requests."""

    name: str
    title: str
    command: Callable[[Run], Sequence[str]]
    audits: bool = True
    """Whether it writes audit events."""


def _worker(delivery: str) -> Callable[[Run], Sequence[str]]:
    def command(run: Run) -> Sequence[str]:
        return [
            sys.executable, "-m", "stream_maas", "worker", "--bootstrap", run.bootstrap, "--prefix", run.prefix,
            "--instance", run.instance, "--delivery", delivery, "--models", str(run.model), "--json",
        ]  # fmt: skip

    return command


def _module(module: str, *options: str) -> Callable[[Run], Sequence[str]]:
    def command(run: Run) -> Sequence[str]:
        return [
            sys.executable, "-m", module, "--bootstrap", run.bootstrap, "--prefix", run.prefix, "--group", run.group,
            "--model", str(run.model), *options,
        ]  # fmt: skip

    return command


BARE = Contender("bare", "bare loop", _module("benchmarks.bare_loop"), audits=False)
CEILING = Contender(
    "ceiling", "bare loop, worker's featuriser", _module("benchmarks.bare_loop", "--terms", "worker"), audits=False
)
AT_LEAST_ONCE = Contender("at-least-once", "worker, at-least-once", _worker("at-least-once"))
EXACTLY_ONCE = Contender("exactly-once", "worker, exactly-once", _worker("exactly-once"))


def path_only(samples: Path) -> Contender:
    """Transport, decoding and publishing alone; `samples`: file with the outputs of typical size."""
    return Contender(
        "path-only", "transport + decode + publish", _module("benchmarks.path_only", "--samples", str(samples))
    )


class Server:
    """A running contender."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._stats = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        """User and system seconds of all its threads so far."""
        times = self._stats.cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        return int(self._stats.memory_info().rss)

    def log_tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARS:]

    async def ready(self) -> dict[str, Any]:
        """Wait for the JSON line on standard output that says so."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                async for line in self._process.stdout:
                    with contextlib.suppress(ValueError):
                        facts = json.loads(line)
                        if isinstance(facts, dict) and facts.get("status") == "ready":
                            return facts
        except TimeoutError:
            raise ServerError(f"not ready after {READY_TIMEOUT_S:.0f} s:\n{self.log_tail()}") from None
        raise ServerError(f"ended before it was ready:\n{self.log_tail()}")

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


@contextlib.asynccontextmanager
async def started(contender: Contender, run: Run) -> AsyncIterator[Server]:
    """Start the contender and wait until it is ready; it is stopped on exit."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_MAAS_")},
        "STREAM_MAAS_WORKER_APP_ID": run.group,
        "STREAM_MAAS_WORKER_DIGEST_KEY": "benchmark-only-digest-key-of-32-characters",
        "STREAM_MAAS_WORKER_LOG_FORMAT": "json",
    }
    with tempfile.NamedTemporaryFile(prefix="stream-maas-bench-", suffix=".log") as log:
        process = await asyncio.create_subprocess_exec(
            *contender.command(run), cwd=_ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        server = Server(process, Path(log.name))
        try:
            await server.ready()
            yield server
            if process.returncode is not None:
                raise ServerError(f"ended with {process.returncode}:\n{server.log_tail()}")
        finally:
            await server.stop()
