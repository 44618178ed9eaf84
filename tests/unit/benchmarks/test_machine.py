"""The benchmark tells a machine that stands still from a server that is slow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import bars, machine
from benchmarks.latency import Latency
from benchmarks.report import Figures

ROOT = Path(__file__).parents[3]
STOP_S = 0.2


def real_time_is_allowed() -> bool:
    try:
        policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, policy, parameters)
    except (AttributeError, OSError):
        return False
    return True


def test_a_stop_is_seen() -> None:
    with machine.Watch() as watch:
        os.kill(watch.pid, signal.SIGSTOP)
        time.sleep(STOP_S)
        os.kill(watch.pid, signal.SIGCONT)
        time.sleep(0.05)
        seen = watch.seen()
    if not real_time_is_allowed():  # then it can't tell a stop from a neighbour, and says so
        assert seen == machine.Meanwhile(seen.others_cores, None, None)
        return
    assert seen.longest_stop_ms is not None
    assert seen.longest_stop_ms > STOP_S * 900
    assert seen.stood_still
    assert not seen.is_calm


def test_what_looks_for_stops_leaves_ctrl_c_to_the_benchmark() -> None:
    with machine.Watch() as watch:
        os.kill(watch.pid, signal.SIGINT)
        assert watch.seen().others_cores >= 0


def test_what_looks_for_stops_ends_with_the_benchmark() -> None:
    program = "from benchmarks.machine import Watch\nwith Watch() as watch:\n print(watch.pid, flush=True)\n input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        probe = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    deadline_s = time.monotonic() + 30
    while is_running(probe):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def is_running(process: psutil.Process) -> bool:
    """A zombie has ended; who reaps it is not ours."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def meanwhile(stopped_share: float | None) -> machine.Meanwhile:
    return machine.Meanwhile(0.0, None if stopped_share is None else 20.0, stopped_share)


@pytest.mark.parametrize(
    ("stopped_share", "is_calm", "stood_still"),
    [(0.0, True, False), (0.0049, True, False), (0.005, False, True), (None, False, False)],
)
def test_calm(stopped_share: float | None, is_calm: bool, stood_still: bool) -> None:
    seen = meanwhile(stopped_share)
    assert (seen.is_calm, seen.stood_still) == (is_calm, stood_still)


def latencies(*rounds: tuple[float, float | None, float, float | None]) -> list[Latency]:
    """p99 and share of stops, of the bare loop and of the worker."""
    found = []
    for bare_ms, bare_share, ours_ms, ours_share in rounds:
        for name, p99_ms, share in (("bare", bare_ms, bare_share), ("exactly-once", ours_ms, ours_share)):
            found.append(Latency(name, 100.0, 1, 1.0, 1.0, p99_ms, 0.1, meanwhile(share)))
    return found


def test_the_bar_counts_all_rounds_and_tells_of_the_calm_ones() -> None:
    (bar,) = bars.judge([], latencies((10, 0.0, 30, 0.0), (10, 0.0, 400, 0.2), (10, 0.1, 300, 0.0), (5, 0.0, 26, 0.0)))
    assert bar.value == pytest.approx(155.5)
    assert not bar.passed
    assert bar.detail == "4 rounds, +20 to +390; while the machine was calm +20, 2 rounds, +20 to +21"


@pytest.mark.parametrize("share", [0.3, None])
def test_no_round_known_to_be_calm(share: float | None) -> None:
    (bar,) = bars.judge([], latencies((10, 0.0, 30, share)))
    assert bar.passed
    assert bar.detail == "one round; none known to be calm"


def test_what_is_written_for_programs_says_it_too() -> None:
    figures = Figures({}, {}, latencies=latencies((10, 0.0, 30, 0.3)))
    assert json.loads(json.dumps(figures.document()))["latency"][1]["meanwhile"] == {
        "others_cores": 0.0, "longest_stop_ms": 20.0, "stopped_share": 0.3
    }  # fmt: skip
