"""Worker processes for tests: started as a user starts them, killed, frozen, woken, stopped, and never left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

READY_TIMEOUT_S = 120.0
EXIT_TIMEOUT_S = 60.0
_POLL_S = 0.02

QUICK_GROUP = {
    "STREAM_MAAS_WORKER_SESSION_TIMEOUT_MS": "6000",
    "STREAM_MAAS_WORKER_HEARTBEAT_INTERVAL_MS": "1000",
    "STREAM_MAAS_WORKER_REBALANCE_TIMEOUT_MS": "6000",
}
"""A group that misses a silent member after 6 s; Kafka's own defaults only make tests wait longer."""


class WorkerProcess:
    """One `stream-maas worker --json` in a process of its own.

    `settings` are environment variables without their common start: {"WORKER_COMMIT_INTERVAL_MS": "1000"}.
    Standard output and standard error go to files in `folder`, one pair per start, so that nothing can block on a
    full pipe and `logs` can be searched afterwards.
    """

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        instance: str,
        folder: Path,
        *,
        models: Sequence[Path] = (),
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.instance = instance
        self._folder = folder
        self._command = [
            sys.executable, "-m", "stream_maas", "worker", "--bootstrap", bootstrap, "--prefix", prefix,
            "--instance", instance, "--json", *arguments,
        ]  # fmt: skip
        for model in models:
            self._command += ["--models", str(model)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_MAAS_")}
        self._env = inherited | QUICK_GROUP
        # The consumer group and the transactional id come from the application id: unique to the test, like topics.
        self._env["STREAM_MAAS_WORKER_APP_ID"] = prefix
        self._env["STREAM_MAAS_WORKER_LOG_FORMAT"] = "json"
        # Key stores and the like: nothing of a test stays in the home of whoever runs it.
        self._env["XDG_STATE_HOME"] = str(folder / "state")
        self._env |= {f"STREAM_MAAS_{name}": value for name, value in (settings or {}).items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.facts: Mapping[str, Any] = {}
        """The document of the ready line."""

    def start(self) -> Self:
        """Start, or start again under the same instance name."""
        assert not self.running, f"{self.instance} already runs"
        self._forget()
        self._starts += 1
        self.facts = {}
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        # The guard waits for the end of a pipe that only this process holds: the kernel closes it on SIGKILL too.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -9 "$1"', "guard", str(self._process.pid)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        return self

    async def ready(self) -> Self:
        """Wait for the ready line."""
        await self._until(lambda: self._find_ready() is not None, "never said that it is ready", READY_TIMEOUT_S)
        self.facts = self._find_ready() or {}
        return self

    async def logged(self, text: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until this run's log has `text`; the process must be running meanwhile."""
        await self._until(lambda: text in self._stderr.read_text(), f"never logged {text!r}", timeout_s)

    async def exit(self, timeout_s: float = EXIT_TIMEOUT_S) -> int:
        """Wait for the process to end by itself; its exit code, negative for a signal."""
        give_up = time.monotonic() + timeout_s
        while self.running:
            assert time.monotonic() < give_up, f"{self.instance} did not end; its log:\n{self.tail()}"
            await asyncio.sleep(_POLL_S)
        assert self._process is not None
        return self._process.returncode

    async def stop(self) -> int:
        """SIGTERM, as an orchestrator does; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.exit()

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(EXIT_TIMEOUT_S)

    def freeze(self) -> None:
        """SIGSTOP: a long pause of the machine, seen from inside."""
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.instance} was never started"
        self._process.send_signal(number)

    @property
    def running(self) -> bool:
        """Whether the process is there; a frozen one is."""
        return self._process is not None and self._process.poll() is None

    async def metrics(self) -> dict[str, float]:
        """The worker's /metrics: `name` -> value summed over labels, and `name{label}` for single-label samples."""
        _, page = await self.page("/metrics")
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
                if len(sample.labels) == 1:
                    values[f"{sample.name}{{{next(iter(sample.labels.values()))}}}"] = sample.value
        return values

    def logs(self) -> str:
        """Everything that every run has written, both streams."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob(f"{self.instance}.*")))

    def tail(self, lines: int = 30) -> str:
        """The end of this run's log."""
        return "\n".join(self._stderr.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        """Gone for good, whatever state it is in."""
        if self.running:
            self.kill()
        self._forget()

    async def page(self, path: str) -> tuple[int, str]:
        """Status and text of one of the worker's web pages."""
        url = f"http://127.0.0.1:{self.facts['web_port']}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    @property
    def _stdout(self) -> Path:
        return self._folder / f"{self.instance}.{self._starts}.out"

    @property
    def _stderr(self) -> Path:
        return self._folder / f"{self.instance}.{self._starts}.log"

    def _find_ready(self) -> Mapping[str, Any] | None:
        for line in self._stdout.read_text().splitlines(keepends=True):
            if line.endswith("\n") and (document := json.loads(line)).get("status") == "ready":
                return dict(document)
        return None

    async def _until(self, holds: Any, complaint: str, timeout_s: float) -> None:
        give_up = time.monotonic() + timeout_s
        while not holds():
            assert self.running, f"{self.instance} ended; its log:\n{self.tail()}"
            assert time.monotonic() < give_up, f"{self.instance} {complaint}; its log:\n{self.tail()}"
            await asyncio.sleep(_POLL_S)

    def _forget(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            self._guard.wait()
            self._guard = None


class Fleet:
    """The workers of one deployment: same broker, prefix, models and settings. A context manager."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        folder: Path,
        *,
        models: Sequence[Path] = (),
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self._common = (bootstrap, prefix)
        self._folder = folder
        self._options: dict[str, Any] = {"models": models, "settings": settings, "arguments": arguments}
        self._workers: list[WorkerProcess] = []

    def start(self, instance: str, *, models: Sequence[Path] | None = None, **different: str) -> WorkerProcess:
        """A started worker; `models` and `different` settings go before the deployment's."""
        folder = self._folder / f"{len(self._workers)}-{instance}"
        folder.mkdir(parents=True)
        options = self._options | {"settings": (self._options["settings"] or {}) | different}
        if models is not None:
            options["models"] = models
        self._workers.append(WorkerProcess(*self._common, instance, folder, **options))
        return self._workers[-1].start()

    def logs(self) -> str:
        """Everything that any worker has written."""
        return "\n".join(worker.logs() for worker in self._workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()


async def first_to_end(*workers: WorkerProcess) -> tuple[WorkerProcess, WorkerProcess]:
    """Of two workers (the one that ended, the other)."""
    async with asyncio.timeout(120):
        while all(worker.running for worker in workers):  # noqa: ASYNC110 - processes
            await asyncio.sleep(0.02)
    one, two = sorted(workers, key=lambda worker: worker.running)
    return one, two
