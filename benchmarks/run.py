"""One command that measures the worker against a bare loop on a real Kafka; README.md says how and why so.

`python -m benchmarks`, or `python benchmarks/run.py`. Exit code 0, with `--check` 1 when a bar is missed, 2 when it
could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from rich.console import Console

if __package__ in (None, ""):  # started by path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import cluster, latency, machine, report, samples, servers, throughput, verify, workload
from stream_maas.brokers import LocalKafka
from stream_maas.errors import BrokerError
from stream_maas.inference.catalog import DEFAULT_BUNDLE

LOAD_SHARE = 0.3
"""Of the worker's own exactly-once throughput: the rate at which latency is taken, the same for everybody."""
SAMPLE_COUNT = 256
EXIT_NOT_MEASURED = 2
FILE_WIDTH = 120
"""Columns where the output goes to a file."""
CONTENDERS = (servers.BARE, servers.AT_LEAST_ONCE, servers.EXACTLY_ONCE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long."""

    requests: int
    partitions: int
    model: Path
    rounds: int
    latency_rounds: int
    latency_s: float


class Benchmark:
    """The order of runs. Contenders take turns, and every round starts with another one."""

    def __init__(self, bootstrap: str, plan: Plan, console: Console, folder: Path) -> None:
        self._bootstrap = bootstrap
        self._plan = plan
        self._console = console
        self._samples = folder / "samples.json"
        self._serial = 0
        self._requests = workload.requests(plan.requests + throughput.WARM_UP)
        sizes = [len(request.value) for request in self._requests]
        self.figures = report.Figures(
            machine.describe(),
            {
                "requests": plan.requests,
                "partitions": plan.partitions,
                "rounds": plan.rounds,
                "mean_request_bytes": round(sum(sizes) / len(sizes)),
                "personal_data_share": workload.PERSONAL_SHARE,
            },
        )

    async def throughputs(self) -> None:
        answers: dict[str, dict[str, verify.Answer]] = {}
        others = (servers.CEILING, servers.path_only(self._samples))
        for number in range(self._plan.rounds):
            for contender in _rotated(CONTENDERS, number):
                run = self._run(contender)
                async with cluster.topics_of(run):
                    await self._throughput(contender, run)
                    if number == 0:
                        answers[contender.name] = await self._verify(contender, run)
            for contender in others:
                run = self._run(contender)
                async with cluster.topics_of(run):
                    await self._throughput(contender, run)
        bare = answers.pop(servers.BARE.name)
        self.figures.label_agreement = min(
            verify.agreement(self._requests, bare, worker) for worker in answers.values()
        )

    async def latencies(self) -> None:
        speeds = [run.rows_per_s for run in self.figures.throughputs if run.contender == servers.EXACTLY_ONCE.name]
        rate = round(LOAD_SHARE * median(speeds), -2) or 100.0
        for number in range(self._plan.latency_rounds):
            for contender in _rotated(CONTENDERS, number):
                run = self._run(contender)
                async with cluster.topics_of(run):
                    figure = await latency.measure(
                        contender, run, self._requests, rate_per_s=rate, duration_s=self._plan.latency_s
                    )
                self.figures.latencies.append(figure)
                self._say(f"{contender.title}: p50 {figure.p50_ms:.1f}  p99 {figure.p99_ms:.1f} ms")

    async def _throughput(self, contender: servers.Contender, run: cluster.Run) -> None:
        figure = await throughput.measure(contender, run, self._requests)
        self.figures.throughputs.append(figure)
        self._say(f"{contender.title}: {figure.rows_per_s:,.0f} rows/s  {figure.cpu_us_per_row:.1f} us CPU/row")

    async def _verify(self, contender: servers.Contender, run: cluster.Run) -> dict[str, verify.Answer]:
        results, audits = await verify.outputs(contender, run, self._requests)
        if contender is servers.EXACTLY_ONCE:
            recorded = samples.of(results[:SAMPLE_COUNT], audits[:SAMPLE_COUNT])
            samples.save(recorded, self._samples)
            self.figures.load["mean_result_bytes"] = _mean_bytes(results)
            self.figures.load["mean_audit_bytes"] = _mean_bytes(audits)
        return verify.answers(contender, results)

    def _run(self, contender: servers.Contender) -> cluster.Run:
        self._serial += 1
        prefix = f"bench-{time.time_ns() // 1_000_000_000}-{self._serial}-{contender.name}"
        return cluster.Run(self._bootstrap, prefix, self._plan.partitions, self._plan.model)

    def _say(self, line: str) -> None:
        self._console.print(f"  {line}", style="dim")


def _rotated(contenders: Sequence[servers.Contender], by: int) -> Sequence[servers.Contender]:
    start = by % len(contenders)
    return [*contenders[start:], *contenders[:start]]


def _mean_bytes(rows: Sequence[ConsumerRecord]) -> int:
    return round(sum(len(row.value) for row in rows) / len(rows))


@contextlib.contextmanager
def _broker(bootstrap: str | None, console: Console) -> Iterator[str]:
    """The given cluster, or a Kafka of our own for as long as it takes."""
    if bootstrap:
        yield bootstrap
        return
    with LocalKafka(None, heap=cluster.HEAP, say=lambda line: console.print(line, style="dim")) as broker:
        yield broker.bootstrap


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--bootstrap", help="HOST:PORT of a Kafka to use; default: one is started on loopback")
    parser.add_argument("--requests", type=int, default=60_000, help="measured requests per run")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--model", type=Path, default=DEFAULT_BUNDLE, help="bundle of a word-bag model")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--quick", action="store_true", help="under 90 seconds, less to be trusted")
    parser.add_argument("--no-latency", action="store_true", help="throughput and CPU only")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    parser.add_argument("--profile", action="store_true", help="us per record of each stage in one process, no broker")
    return parser.parse_args()


def _run(options: argparse.Namespace, plan: Plan, console: Console) -> report.Figures:
    with tempfile.TemporaryDirectory(prefix="stream-maas-bench-") as folder, _broker(options.bootstrap, console) as at:
        benchmark = Benchmark(at, plan, console, Path(folder))
        asyncio.run(_measure(benchmark, with_latency=not options.no_latency))
    return benchmark.figures


async def _measure(benchmark: Benchmark, *, with_latency: bool) -> None:
    await benchmark.throughputs()
    if with_latency:
        await benchmark.latencies()


def main() -> None:
    options = _options()
    console = Console(stderr=options.json, highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    # The first record to a fresh topic may find its leader not ready; aiokafka repeats it and says so in an error.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if options.profile:
        from benchmarks import stages

        stages.main(console, options.model)
        return
    plan = (
        Plan(20_000, options.partitions, options.model, 2, 1, 4.0)
        if options.quick
        else Plan(options.requests, options.partitions, options.model, options.rounds, options.rounds + 2, 6.0)
    )
    try:
        figures = _run(options, plan, console)
    except (BrokerError, KafkaError, servers.ServerError, verify.WrongOutputError, TimeoutError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        sys.exit(EXIT_NOT_MEASURED)
    titles = {
        contender.name: contender.title for contender in (*CONTENDERS, servers.CEILING, servers.path_only(Path()))
    }
    report.show(figures, titles, console)
    if options.json:
        sys.stdout.write(json.dumps(figures.document(), indent=2) + "\n")
    if options.check and not all(bar.passed for bar in figures.bars()):
        sys.exit(1)


if __name__ == "__main__":
    main()
