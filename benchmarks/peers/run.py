"""`python -m benchmarks.peers`: every contender through every trial on one broker, and the table of docs/benchmarks.md.

Exit code 0, with `--check` 1 when a bar is missed, 2 when it could not be measured. With `--into FILE` figures are
kept, so that a run may be done in portions (`--trial`, `--only`); the newest figures of each count, or with `--add` all
of them, as if they were rounds of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from rich.console import Console

from benchmarks import cluster, machine, servers, workload
from benchmarks.peers import table, trials
from benchmarks.peers.contenders import PEERS, TRIALS, Peer
from benchmarks.peers.environments import python_of, versions
from stream_maas.brokers import LocalKafka
from stream_maas.errors import BrokerError
from stream_maas.inference import train_model
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.settings import cache_folder

ROWS, SLOW_ROWS, TRANSFORMER_ROWS = 60_000, 4_000, 1_500
RATE_PER_S = 300.0
"""Of the flows: about a third of what the slowest contenders can do."""
CRASH_RATE_PER_S = 2_000.0
"""For those that can: more is in flight when the SIGKILL comes."""
FLOW_S, CRASH_S, POISON_S = 6.0, 6.0, 3.0
POISON_EVERY = 50
ROUNDS = 3


class Benchmark:
    """The order of trials; contenders take turns, so that a slow minute of the machine hits all of them."""

    def __init__(self, bootstrap: str, partitions: int, console: Console, figures: dict[str, Any]) -> None:
        self._bootstrap, self._partitions, self._console = bootstrap, partitions, console
        self.figures = figures
        self._requests = workload.requests(ROWS + trials.WARM_UP_ROWS)
        self._serial = 0

    async def run(self, peers: list[Peer], names: list[str], rounds: int, *, add: bool) -> None:
        """Fills `figures`: contender -> trial -> list of figures."""
        for peer in peers:
            for name in set(names) & set(peer.trials):
                kept = self.figures.setdefault(peer.contender.name, {})
                kept[name] = kept.get(name, []) if add else []
        for name in names:
            for _ in range(rounds if name in ("throughput", "latency") else 1):
                for peer in [peer for peer in peers if name in peer.trials]:
                    figure = await self._trial(peer, name)
                    self.figures[peer.contender.name][name].append(figure)
                    self._console.print(f"  {peer.contender.title}: {name} {figure}", style="dim", markup=False)

    async def _trial(self, peer: Peer, name: str) -> dict[str, Any]:
        self._serial += 1
        prefix = f"bench-{time.time_ns() // 1_000_000_000}-{self._serial}-{peer.contender.name}"
        run = cluster.Run(self._bootstrap, prefix, self._partitions, bundle_of(peer.model, self._console.print))
        rows = TRANSFORMER_ROWS if peer.model != DEFAULT_BUNDLE.name else SLOW_ROWS if peer.slow else ROWS
        rows += trials.WARM_UP_ROWS
        flow: dict[str, Any] = {"rate_per_s": RATE_PER_S}
        async with cluster.topics_of(run):
            if name == "throughput":
                return asdict(await trials.full_load(peer, run, self._requests[:rows]))
            if name == "latency":
                flow |= {"seconds": FLOW_S}
            elif name == "crash":
                flow |= {"seconds": CRASH_S, "kill_at_s": 2.0}
                if not peer.slow:
                    flow["rate_per_s"] = CRASH_RATE_PER_S
            else:
                flow |= {"seconds": POISON_S, "poison_every": POISON_EVERY}
            return asdict(await trials.flow(peer, run, self._requests, **flow))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    names = [peer.contender.name for peer in PEERS]
    parser.add_argument("--bootstrap", help="HOST:PORT of a Kafka to use; default: one is started on loopback")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of throughput and latency each")
    parser.add_argument("--only", action="append", choices=names, help="contender; may be repeated")
    parser.add_argument("--trial", action="append", choices=TRIALS, help="may be repeated; default: all")
    parser.add_argument("--into", type=Path, help="JSON file that figures are added to")
    parser.add_argument("--add", action="store_true", help="keep the figures that --into holds already")
    parser.add_argument("--markdown", action="store_true", help="print the table as it stands in docs/benchmarks.md")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    console = Console(stderr=options.markdown, highlight=False)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    figures = json.loads(options.into.read_text()) if options.into and options.into.is_file() else {}
    peers = [peer for peer in PEERS if not options.only or peer.contender.name in options.only]
    try:
        for environment in sorted({peer.environment for peer in peers} - {""}):
            python_of(environment, console.print)
        with _broker(options.bootstrap, console) as bootstrap:
            benchmark = Benchmark(bootstrap, options.partitions, console, figures.get("figures", {}))
            asyncio.run(benchmark.run(peers, options.trial or list(TRIALS), options.rounds, add=options.add))
    except (BrokerError, KafkaError, servers.ServerError, TimeoutError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        sys.exit(2)
    pinned = {name: versions(name) for name in ("faststream", "quix", "mlserver")}
    figures = {"machine": machine.describe(), "versions": pinned, "figures": benchmark.figures}
    if options.into:
        options.into.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table.markdown(figures["figures"]) + "\n")
    if options.check and not all(bar.passed for bar in table.bars(figures["figures"])):
        sys.exit(1)


def bundle_of(model: str, say: Callable[[str], None]) -> Path:
    """The packaged bundle, or one that is trained at the first call and kept in the user's cache folder."""
    if model == DEFAULT_BUNDLE.name:
        return DEFAULT_BUNDLE
    directory = cache_folder() / "models" / model
    if not (directory / "bundle.yaml").is_file():
        say(f"making {model} ...")
        train_model(model, directory, cache=cache_folder() / "packages")
    return directory


@contextlib.contextmanager
def _broker(bootstrap: str | None, console: Console) -> Iterator[str]:
    if bootstrap:
        yield bootstrap
        return
    with LocalKafka(None, heap=cluster.HEAP, say=lambda line: console.print(line, style="dim")) as broker:
        yield broker.bootstrap


if __name__ == "__main__":
    main()
