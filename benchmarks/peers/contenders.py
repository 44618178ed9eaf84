"""Who is measured: names, titles, commands, and what each of them promises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.cluster import Run
from benchmarks.peers.environments import python_of

TRIALS = ("throughput", "latency", "crash", "poison")


@dataclass(frozen=True, slots=True)
class Peer:
    """`contender`: how it is started. `environment`: whose libraries it needs, empty for ours."""

    contender: servers.Contender
    delivery: str
    governance: str
    environment: str = ""
    has_group: bool = True
    """False: it commits nothing and reads from the end of the topic."""
    slow: bool = False
    """Gets a small part of the load; rows per second need no more."""
    model: str = "sentiment-lite"
    trials: tuple[str, ...] = TRIALS
    processes: int = 1
    """Of one group; CPU time and memory are those of all together."""


def _module(module: str, *options: str, environment: str = "") -> Callable[[Run], Sequence[str]]:
    def command(run: Run) -> Sequence[str]:
        python = python_of(environment, lambda line: None) if environment else sys.executable
        return [
            python, "-m", module, "--bootstrap", run.bootstrap, "--prefix", run.prefix, "--group", run.group,
            "--model", str(run.model), *options,
        ]  # fmt: skip

    return command


def _ours(name: str, title: str, *without: str) -> servers.Contender:
    options = [word for thing in without for word in ("--without", thing)]
    return servers.Contender(name, title, _module("benchmarks.peers.partial_worker", *options), audits=not without)


PEERS: tuple[Peer, ...] = (
    Peer(servers.BARE, "at-least-once", "none"),
    Peer(_ours("ours-off", "stream_maas, governance off", "redaction", "audit"), "exactly-once", "none"),
    Peer(_ours("ours-redact", "stream_maas, redaction", "audit"), "exactly-once", "redaction"),
    Peer(servers.EXACTLY_ONCE, "exactly-once", "redaction, audit"),
    Peer(servers.AT_LEAST_ONCE, "at-least-once", "redaction, audit"),
    Peer(
        servers.Contender("two-workers", "two workers, exactly-once", servers.EXACTLY_ONCE.command),
        "exactly-once", "redaction, audit", processes=2, trials=("throughput",),
    ),
    Peer(
        servers.Contender(
            "faststream", "FastStream, batch subscriber",
            _module("benchmarks.peers.faststream_server", environment="faststream"), audits=False,
        ),
        "at-least-once", "none", environment="faststream",
    ),
    Peer(
        servers.Contender(
            "faststream-tuned", "FastStream, bytes in and out",
            _module("benchmarks.peers.faststream_server", "--tuned", environment="faststream"), audits=False,
        ),
        "at-least-once", "none", environment="faststream", trials=("throughput", "latency"),
    ),
    Peer(
        servers.Contender(
            "quix", "Quix Streams, exactly-once", _module("benchmarks.peers.quix_server", environment="quix"),
            audits=False,
        ),
        "exactly-once", "none", environment="quix",
    ),
    Peer(
        servers.Contender(
            "mlserver", "MLServer, Kafka mode", _module("benchmarks.peers.mlserver_server", environment="mlserver"),
            audits=False,
        ),
        "none", "none", environment="mlserver", has_group=False, slow=True,
    ),
    Peer(
        servers.Contender(
            "faststream-presidio", "FastStream, Presidio patterns, audit",
            _module("benchmarks.peers.faststream_server", "--govern", environment="faststream"),
        ),
        "at-least-once", "redaction, audit", environment="faststream", slow=True,
    ),
    Peer(
        servers.Contender(
            "faststream-presidio-tuned", "FastStream, bytes, six recognisers",
            _module("benchmarks.peers.faststream_server", "--govern", "--tuned", environment="faststream"),
        ),
        "at-least-once", "redaction, audit", environment="faststream", slow=True, trials=("throughput", "latency"),
    ),
    Peer(
        servers.Contender("bare-minilm", "bare loop, MiniLM", _module("benchmarks.peers.minilm_loop"), audits=False),
        "at-least-once", "none", slow=True, model="embedder", trials=("throughput",),
    ),
    Peer(
        servers.Contender("ours-minilm", "stream_maas, MiniLM", servers.EXACTLY_ONCE.command),
        "exactly-once", "redaction, audit", slow=True, model="embedder", trials=("throughput",),
    ),
)  # fmt: skip
