"""Keeps what the figures depend on beside the code: the machine, the versions, who else was using the CPU, and whether
the machine itself stood still."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

import psutil


def describe() -> dict[str, str | int]:
    """Kind of machine and versions, for the head of a report."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "tree": _tree(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("aiokafka", "faust-streaming", "onnxruntime", "msgspec", "orjson")},
    }


def _tree() -> str:
    """Which state of the project was measured: its version, and its commit where git knows."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("stream-maas")
    return f"{version('stream-maas')} at {found}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


CALM_SHARE = 0.005
"""A machine that stands still for more than one percent of the time makes the p99 alone; half of that is calm."""


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    busy_s: float
    ours_s: float


class OtherLoad:
    """Cores' worth of CPU that processes other than the benchmark's own (broker included) used meanwhile.

    A wall-clock figure taken beside a busy neighbour says little; this tells which ones were.
    """

    def __init__(self) -> None:
        self._before = _reading()

    def cores(self) -> float:
        after, before = _reading(), self._before
        foreign_s = (after.busy_s - before.busy_s) - (after.ours_s - before.ours_s)
        return max(0.0, foreign_s / (after.at_s - before.at_s))


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What happened beside a measurement that no contender is the reason of."""

    others_cores: float
    """See `OtherLoad`."""
    longest_stop_ms: float | None
    """The machine stood still for so long (`stops.py`). None where that can't be told: no real-time priority."""
    stopped_share: float | None
    """Of the time, all stops together."""

    @property
    def is_calm(self) -> bool:
        """A p99 taken meanwhile is the server's, as far as the machine goes. False where that can't be told."""
        return self.stopped_share is not None and self.stopped_share < CALM_SHARE

    @property
    def stood_still(self) -> bool:
        """A p99 taken meanwhile may be the machine's."""
        return self.stopped_share is not None and not self.is_calm


class Watch:
    """Context manager over a measurement: other load, and whether the host of a virtual machine took its processors
    away."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.stops"]
        self._probe = subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE)
        assert self._probe.stdout is not None
        self._probe.stdout.readline()
        self._others, self._began_s = OtherLoad(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._probe.kill()
        self._probe.wait()

    @property
    def pid(self) -> int:
        """Of the process that looks for stops."""
        return self._probe.pid

    def seen(self) -> Meanwhile:
        """Since it was entered. Once only: the watch is over with it."""
        others_cores, span_s = self._others.cores(), time.perf_counter() - self._began_s
        self._probe.terminate()
        stops_ms = json.loads(self._probe.communicate()[0])["stops_ms"]
        if stops_ms is None:
            return Meanwhile(others_cores, None, None)
        return Meanwhile(others_cores, max(stops_ms, default=0.0), sum(stops_ms) / 1000 / span_s)


def _reading() -> _Reading:
    total = psutil.cpu_times()
    own = psutil.Process()
    ours_s = 0.0
    for process in (own, *own.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        ours_s += times.user + times.system
    return _Reading(time.perf_counter(), total.user + total.nice + total.system + total.irq + total.softirq, ours_s)
