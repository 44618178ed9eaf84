"""How the figures are shown, and which ratios are promised of them."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.bars import Bar
from benchmarks.peers.contenders import PEERS

Figures = Mapping[str, Mapping[str, Any]]
"""Contender -> trial -> list of figures, as `run.Benchmark` fills it."""
COLUMNS = (
    "contender", "delivery", "governance", "rows/s", "CPU s per 1,000 rows", "RSS MiB", "p50 ms", "p99 ms",
    "SIGKILL: lost", "doubled", "longest wait s", "lost per poison row",
)  # fmt: skip
RATIOS = (
    ("ours-off", "bare", 0.75),
    ("ours-off", "faststream", 1.8),
    ("exactly-once", "bare", 0.45),
    ("exactly-once", "faststream", 1.0),
    ("exactly-once", "mlserver", 10.0),
    ("exactly-once", "faststream-presidio", 20.0),
    ("exactly-once", "at-least-once", 0.85),
    ("ours-minilm", "bare-minilm", 0.95),
)
"""Contender, base, least ratio of rows per second."""
CPU_RATIOS = (("two-workers", "exactly-once", 1.1),)
"""Contender, base, largest ratio of CPU time per row."""


def markdown(figures: Figures) -> str:
    """The table and the bars, as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|" + "---:|" * (len(COLUMNS) - 3)]
    for peer in PEERS:
        mine = figures.get(peer.contender.name)
        if mine:
            cells = (peer.contender.title, peer.delivery, peer.governance, *_cells(mine))
            lines.append(f"| {' | '.join(cells)} |")
    promised = bars(figures)
    if promised:
        lines += ["", "| bar | limit | this run |", "|---|---|---|"]
        for bar in promised:
            verdict = "met" if bar.passed else "**missed**"
            sign = ">=" if bar.kind == "at least" else "<="
            lines.append(f"| {bar.name} | {sign} {bar.limit:g} | {bar.value:.2f}, {verdict} ({bar.detail}) |")
    return "\n".join(lines)


def bars(figures: Figures) -> list[Bar]:
    """Of every pair that was measured; the second opinion is by CPU time."""
    found = []
    for name, base, limit in RATIOS:
        ours, theirs = (_throughputs(figures, who) for who in (name, base))
        if not ours or not theirs:
            continue
        by_cpu = median(_cpu_per_row(run) for run in theirs) / median(_cpu_per_row(run) for run in ours)
        speed = median(_speed(run) for run in ours) / median(_speed(run) for run in theirs)
        found.append(Bar(f"{name} / {base}", speed, limit, "at least", detail=f"by CPU time {by_cpu:.2f}"))
    for name, base, limit in CPU_RATIOS:
        ours, theirs = (_throughputs(figures, who) for who in (name, base))
        if ours and theirs:
            ratio = median(map(_cpu_per_row, ours)) / median(map(_cpu_per_row, theirs))
            speed = median(map(_speed, ours)) / median(map(_speed, theirs))
            title = f"CPU per row, {name} / {base}"
            found.append(Bar(title, ratio, limit, "at most", detail=f"rows/s {speed:.2f}"))
    return found


def _throughputs(figures: Figures, name: str) -> list[dict[str, float]]:
    runs: list[dict[str, float]] = figures.get(name, {}).get("throughput", [])
    return runs


def _speed(run: Mapping[str, float]) -> float:
    return run["rows"] / run["wall_s"]


def _cpu_per_row(run: Mapping[str, float]) -> float:
    return run["cpu_s"] / run["rows"]


def _cells(mine: Mapping[str, Any]) -> list[str]:
    cells = [""] * 9
    if runs := mine.get("throughput"):
        cells[0] = f"{median(_speed(run) for run in runs):,.0f}"
        cells[1] = f"{median(_cpu_per_row(run) for run in runs) * 1000:.3f}"
        cells[2] = f"{max(run['rss_bytes'] for run in runs) / 2**20:.0f}"
    if runs := mine.get("latency"):
        cells[3] = f"{median(run['p50_ms'] for run in runs):.1f}"
        cells[4] = f"{median(run['p99_ms'] for run in runs):.1f}"
    if runs := mine.get("crash"):
        (crash,) = runs[-1:]
        cells[5] = f"{crash['sent'] - crash['answered']} of {crash['sent']}"
        cells[6] = f"{crash['extra']}"
        cells[7] = f"{crash['slowest_ms'] / 1000:.1f}"
    if runs := mine.get("poison"):
        (poison,) = runs[-1:]
        cells[8] = f"{(poison['sent'] - poison['answered']) / poison['poison']:.1f}"
    return cells
