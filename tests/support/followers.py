"""Follower processes for tests: the monitor or the copier, with everything that `WorkerProcess` can do to a process."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.workers import WorkerProcess

ROOT = Path(__file__).parents[2]


class FollowerProcess(WorkerProcess):
    """`python -m MODULE ...` that prints a ready line and keeps a follower's promises."""

    def __init__(
        self, instance: str, folder: Path, command: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__("", "", instance, folder, settings=settings)
        self._command = [sys.executable, "-m", *command]
        # The group of a follower comes from the prefix.
        del self._env["STREAM_MAAS_WORKER_APP_ID"]
        self._env["PYTHONPATH"] = str(ROOT)


def copier(bootstrap: str, prefix: str, instance: str, folder: Path, **settings: str) -> FollowerProcess:
    """A copier, not started."""
    return FollowerProcess(instance, folder, ["tests.support.copier", bootstrap, prefix, instance], settings)


def monitor(
    bootstrap: str, prefix: str, instance: str, folder: Path, *arguments: str, **settings: str
) -> FollowerProcess:
    """A monitor, not started."""
    command = ["stream_maas", "monitor", "--bootstrap", bootstrap, "--prefix", prefix, "--instance", instance, "--json"]
    return FollowerProcess(instance, folder, [*command, *arguments], settings)
