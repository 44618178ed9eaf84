"""Keeps the bars: which ratios and figures the project promises, and how they follow from the measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.latency import Latency
from benchmarks.throughput import Throughput

WORKER_RATIO = 0.45
EXACTLY_ONCE_RATIO = 0.85
PATH_CPU_US = 12.0
ADDED_P99_MS = {"at-least-once": 15.0, "exactly-once": 30.0}


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise and what came of it."""

    name: str
    value: float
    limit: float
    kind: Literal["at least", "at most"]
    unit: str = ""
    detail: str = ""
    """A second opinion, or how the rounds differed; for information."""

    @property
    def passed(self) -> bool:
        return self.value >= self.limit if self.kind == "at least" else self.value <= self.limit


def judge(throughputs: Sequence[Throughput], latencies: Sequence[Latency]) -> list[Bar]:
    """All bars whose contenders were measured."""
    bars: list[Bar] = []
    names = {run.contender for run in throughputs}
    if {"at-least-once", "exactly-once"} <= names:
        bars.append(_ratio_bar(throughputs, "exactly-once", "at-least-once", EXACTLY_ONCE_RATIO))
    for contender in ("at-least-once", "exactly-once"):
        if {contender, "bare"} <= names:
            bars.append(_ratio_bar(throughputs, contender, "bare", WORKER_RATIO))
    if "path-only" in names:
        cost_us = median(run.cpu_us_per_row for run in throughputs if run.contender == "path-only")
        bars.append(Bar("transport + decode + publish", cost_us, PATH_CPU_US, "at most", "us CPU/record"))
    for contender, limit_ms in ADDED_P99_MS.items():
        each = added_p99s_ms(latencies, contender)
        if each:
            calm = added_p99s_ms(latencies, contender, calm_only=True)
            told = (
                f"while the machine was calm {median(calm):+.0f}, {_rounds(calm)}" if calm else "none known to be calm"
            )
            detail = f"{_rounds(each)}; {told}"
            bars.append(Bar(f"added p99 at 30 % load, {contender}", median(each), limit_ms, "at most", "ms", detail))
    return bars


def _rounds(each: Sequence[float]) -> str:
    return f"{len(each)} rounds, {min(each):+.0f} to {max(each):+.0f}" if len(each) > 1 else "one round"


def _ratio_bar(runs: Sequence[Throughput], contender: str, base: str, limit: float) -> Bar:
    """By the clock. CPU time tells what a process would do that has a core to itself, whoever else is busy."""
    costs_us = {name: median(run.cpu_us_per_row for run in runs if run.contender == name) for name in (contender, base)}
    by_cpu = costs_us[base] / costs_us[contender]
    return Bar(
        f"throughput, {contender} / {base}",
        speed_ratio(runs, contender, base),
        limit,
        "at least",
        detail=f"by CPU time {by_cpu:.2f}",
    )


def speed_ratio(runs: Sequence[Throughput], contender: str, base: str) -> float:
    """Median over rounds of the ratio of two neighbours in time: a slow minute of the machine hits both."""
    ours = [run.rows_per_s for run in runs if run.contender == contender]
    theirs = [run.rows_per_s for run in runs if run.contender == base]
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def added_p99_ms(runs: Sequence[Latency], contender: str) -> float | None:
    """Median over rounds of p99 minus the bare loop's next to it in time; None when one of the two was not measured."""
    each = added_p99s_ms(runs, contender)
    return median(each) if each else None


def added_p99s_ms(runs: Sequence[Latency], contender: str, *, calm_only: bool = False) -> list[float]:
    """The same, each round for itself; none when one of the two was not measured. `calm_only`: of the rounds in which
    the machine did not stand still for either of the two."""
    ours = [run for run in runs if run.contender == contender]
    bare = [run for run in runs if run.contender == "bare"]
    if not ours or not bare:
        return []
    pairs = zip(ours, bare, strict=True)
    return [
        a.p99_ms - b.p99_ms for a, b in pairs if not calm_only or (a.meanwhile.is_calm and b.meanwhile.is_calm)
    ]  # fmt: skip
