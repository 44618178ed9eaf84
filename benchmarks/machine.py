"""Keeps what the figures depend on beside the code: the machine, the versions, and who else was using the CPU."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

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
