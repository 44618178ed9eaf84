"""Keeps which legs a request's way has: how long it waited where, told by what the worker writes anyway.

    python -m benchmarks.timeline [--rate RATE ...] [--seconds SECONDS] [--bootstrap HOST:PORT]

The load of the latency benchmark (`latency.py`), once per rate and contender. A result carries the request's waiting
time and its time in the worker, and its record the moment at which it joined its transaction or, at-least-once, at
which its audit event was acknowledged. One machine's clock, milliseconds; a record's timestamp is a whole number.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from aiokafka import AIOKafkaConsumer
from rich.console import Console
from rich.table import Table

from benchmarks import latency, machine, servers, workload
from benchmarks.cluster import HEAP, STALL_S, Run, topics_of
from stream_maas.brokers import LocalKafka
from stream_maas.inference.catalog import DEFAULT_BUNDLE

LEGS = (
    "due -> sent",
    "sent -> taken up: append, fetch, poll",
    "taken up -> answered: the pass",
    "answered -> joined: the transaction, or the event",
    "joined -> consumed: produce, commit, fetch",
)
CONTENDERS = (servers.BARE, servers.AT_LEAST_ONCE, servers.EXACTLY_ONCE)
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Timeline:
    """One contender at one rate. Milliseconds."""

    contender: servers.Contender
    rate_per_s: float
    legs_ms: np.ndarray
    """[n, len(LEGS)]; two legs, sent and consumed, for a contender that does not tell."""
    cpu_share: float
    meanwhile: machine.Meanwhile


async def measure(contender: servers.Contender, run: Run, *, rate_per_s: float, duration_s: float) -> Timeline:
    """Send at `rate_per_s` for the warm-up plus `duration_s` and follow every answer. Topics must exist."""
    due_s, skipped = latency.due(rate_per_s, duration_s)
    requests = workload.requests(min(len(due_s), 20_000))
    async with servers.started(contender, run) as server, latency.clients(run) as (producer, consumer):
        with machine.Watch() as watch:
            cpu_before_s = server.cpu_s()
            begin_s = time.perf_counter() + 0.05
            epoch_s = time.time() - time.perf_counter()
            collecting = asyncio.create_task(_collect(consumer, len(due_s)))
            sent_ms = await latency.send(producer, run, requests, begin_s + due_s)
            answers = await collecting
            span_s = time.perf_counter() - begin_s
            cpu_share, meanwhile = (server.cpu_s() - cpu_before_s) / span_s, watch.seen()
    # A timestamp is cut to whole milliseconds: half of one is missing on average.
    moments = [
        [due, sent + 0.5, *_in_worker(contender, sent + 0.5, answer), answer.consumed_ms]
        for due, sent, answer in zip(
            ((epoch_s + begin_s + due_s) * 1000).tolist(), sent_ms, (answers[number] for number in range(len(sent_ms))),
            strict=True,
        )
    ]  # fmt: skip
    legs = np.diff(np.array(moments[skipped:]), axis=1)
    return Timeline(contender, rate_per_s, legs, cpu_share, meanwhile)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A result record. Epoch milliseconds."""

    consumed_ms: float
    joined_ms: int
    value: bytes


async def _collect(consumer: AIOKafkaConsumer, count: int) -> dict[int, _Answer]:
    """The first answer of each request, by its number."""
    found: dict[int, _Answer] = {}
    moved_s = time.perf_counter()
    while len(found) < count:
        chunks = await consumer.getmany(timeout_ms=200)
        now_ms = time.time() * 1000
        for records in chunks.values():
            for record in records:
                found.setdefault(int(record.key, 16), _Answer(now_ms, record.timestamp, record.value))
                moved_s = time.perf_counter()
        if time.perf_counter() - moved_s > STALL_S:
            raise TimeoutError(f"{count - len(found)} of {count} requests got no answer")
    return found


def _in_worker(contender: servers.Contender, sent_ms: float, answer: _Answer) -> Sequence[float]:
    """Taken up, answered, joined; epoch milliseconds. Nothing for a contender that does not tell."""
    if not contender.audits:
        return ()
    parameters = orjson.loads(answer.value)["parameters"]
    return (
        sent_ms + parameters["timing_queue_us"] / 1000,
        sent_ms + parameters["timing_total_us"] / 1000,
        answer.joined_ms + 0.5,
    )


def table(timelines: Sequence[Timeline]) -> Table:
    """p50 and p99 of each leg and of the whole; the legs of the slowest 2 % add up to what makes the p99."""
    shown = Table("requests/s", "", "leg", "p50 ms", "p99 ms", "mean of the slowest 2 %")
    for timeline in timelines:
        total = timeline.legs_ms.sum(axis=1)
        slowest = total >= np.percentile(total, 98)
        named = zip(LEGS, timeline.legs_ms.T, strict=True) if timeline.contender.audits else ()
        for name, values in (("due -> consumed", total), *named):
            shown.add_row(
                f"{timeline.rate_per_s:,.0f}" if values is total else "",
                timeline.contender.title if values is total else "",
                name, *(f"{value:.1f}" for value in (*np.percentile(values, (50, 99)), values[slowest].mean())),
            )  # fmt: skip
        stop_ms = timeline.meanwhile.longest_stop_ms
        cpu = f"CPU: {timeline.cpu_share:.2f} of a core; others {timeline.meanwhile.others_cores:.2f}"
        stopped = "" if stop_ms is None else f"machine stopped: {stop_ms:.0f}"
        shown.add_row("", "", cpu, "", "", stopped, end_section=True)
    return shown


async def _measure(bootstrap: str, rates: Sequence[float], duration_s: float) -> list[Timeline]:
    timelines = []
    for rate_per_s in rates:
        for contender in CONTENDERS:
            run = Run(bootstrap, f"bench-{time.time_ns()}-{contender.name}", PARTITIONS, DEFAULT_BUNDLE)
            async with topics_of(run):
                timelines.append(await measure(contender, run, rate_per_s=rate_per_s, duration_s=duration_s))
    return timelines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", help="a cluster that is there; without it one is started")
    parser.add_argument("--rate", type=float, nargs="+", default=[20.0, 1_200.0, 3_700.0], help="requests per second")
    parser.add_argument("--seconds", type=float, default=6.0, help="per rate and contender, after a warm-up of two")
    options = parser.parse_args()
    broker = LocalKafka(heap=HEAP) if options.bootstrap is None else contextlib.nullcontext()
    with broker as started:
        bootstrap = options.bootstrap or started.bootstrap
        timelines = asyncio.run(_measure(bootstrap, options.rate, options.seconds))
    Console(width=120).print(table(timelines))


if __name__ == "__main__":
    main()
