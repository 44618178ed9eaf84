"""Keeps how figures are shown: tables for people, one JSON document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import bars, machine
from benchmarks.latency import Latency
from benchmarks.throughput import Throughput

BUSY_CORES = 0.15
"""Other processes using more than this while we measured make wall-clock figures doubtful."""


@dataclass(slots=True)
class Figures:
    """Everything one run of the benchmark measured."""

    machine: dict[str, str | int]
    load: dict[str, int | float]
    throughputs: list[Throughput] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    label_agreement: float | None = None

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "machine": self.machine,
            "load": self.load,
            "throughput": [
                {**asdict(run), "rows_per_s": run.rows_per_s, "cpu_us_per_row": run.cpu_us_per_row}
                for run in self.throughputs
            ],
            "latency": [asdict(run) for run in self.latencies],
            "label_agreement": self.label_agreement,
            "bars": [{**asdict(bar), "passed": bar.passed} for bar in self.bars()],
        }

    def bars(self) -> list[bars.Bar]:
        return bars.judge(self.throughputs, self.latencies)


def show(figures: Figures, titles: dict[str, str], console: Console) -> None:
    """Print tables and bars."""
    console.print("  ".join(f"{name} {value}" for name, value in figures.machine.items()), style="dim")
    console.print("  ".join(f"{name} {value}" for name, value in figures.load.items()), style="dim")
    console.print(_throughput_table(figures.throughputs, titles))
    if figures.latencies:
        console.print(_latency_table(figures.latencies, titles))
    if figures.label_agreement is not None:
        console.print(
            f"labels: equal with the bare loop in {figures.label_agreement:.2%} of all requests, and in every one "
            "that holds no personal data"
        )
    for bar in figures.bars():
        word = "[green]PASS[/]" if bar.passed else "[red]MISS[/]"
        console.print(
            f"{word}  {bar.name}: [bold]{bar.value:.2f}[/] {bar.unit} ({bar.kind} {bar.limit:g})"
            + (f"; {bar.detail}" if bar.detail else "")
        )
    _doubt([run.meanwhile for run in (*figures.throughputs, *figures.latencies)], console)


def _doubt(meanwhile: Sequence[machine.Meanwhile], console: Console) -> None:
    busiest = max((seen.others_cores for seen in meanwhile), default=0.0)
    if busiest > BUSY_CORES:
        console.print(
            f"Other processes used up to {busiest:.2f} cores meanwhile: trust CPU and ratios, not the clock.",
            style="yellow",
        )
    stopped = [seen for seen in meanwhile if seen.stood_still]
    if stopped:
        longest_ms = max(seen.longest_stop_ms or 0.0 for seen in stopped)
        console.print(
            f"The machine itself stood still in {len(stopped)} of {len(meanwhile)} measurements, for up to "
            f"{longest_ms:.0f} ms, whoever was running: a p99 from there may be its own.",
            style="yellow",
        )


def _throughput_table(runs: Sequence[Throughput], titles: dict[str, str]) -> Table:
    columns = ("rows/s", "lowest", "highest", "CPU us/row", "CPU cores", "RSS MiB", "others' cores", "stopped")
    table = _table("Throughput, median of rounds", *columns)
    for name, title in titles.items():
        mine = [run for run in runs if run.contender == name]
        if mine:
            speeds = [run.rows_per_s for run in mine]
            table.add_row(
                title,
                f"{median(speeds):,.0f}",
                f"{min(speeds):,.0f}",
                f"{max(speeds):,.0f}",
                f"{median(run.cpu_us_per_row for run in mine):.1f}",
                f"{median(run.cpu_s / run.wall_s for run in mine):.2f}",
                f"{max(run.rss_bytes for run in mine) / 2**20:.0f}",
                *_neighbours([run.meanwhile for run in mine]),
            )
    return table


def _latency_table(runs: Sequence[Latency], titles: dict[str, str]) -> Table:
    rate = runs[0].rate_per_s
    columns = ("p50 ms", "p95 ms", "p99 ms", "added p99", "CPU cores", "others' cores", "stopped")
    table = _table(f"Latency at {rate:,.0f} requests/s, median of rounds", *columns)
    for name, title in titles.items():
        mine = [run for run in runs if run.contender == name]
        if mine:
            added = bars.added_p99_ms(runs, name)
            table.add_row(
                title,
                f"{median(run.p50_ms for run in mine):.1f}",
                f"{median(run.p95_ms for run in mine):.1f}",
                f"{median(run.p99_ms for run in mine):.1f}",
                "" if name == "bare" or added is None else f"{added:+.1f}",
                f"{median(run.cpu_share for run in mine):.2f}",
                *_neighbours([run.meanwhile for run in mine]),
            )
    return table


def _neighbours(meanwhile: Sequence[machine.Meanwhile]) -> tuple[str, str]:
    """Cores of others, and which share of the time the machine stood still; empty where that can't be told."""
    shares = [seen.stopped_share for seen in meanwhile if seen.stopped_share is not None]
    cores = median(seen.others_cores for seen in meanwhile)
    return f"{cores:.2f}", f"{median(shares):.1%}" if shares else ""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table
