"""Keeps how throughput and CPU time per request are taken: a held-back load, released to an idle, warm server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import cluster, machine, servers
from benchmarks.cluster import Run
from benchmarks.workload import Request

WARM_UP = 2_000
"""Requests that are served before the clock starts: lazy imports, allocator, caches."""
SETTLE_S = 0.3
"""After the warm-up and after the last commit, so that work that trails belongs to the right side."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """One measured run of one contender."""

    contender: str
    rows: int
    wall_s: float
    """From the release of the load to the commit behind its last request."""
    cpu_s: float
    """Of the server process, all threads, over the same span plus the settling."""
    rss_bytes: int
    meanwhile: machine.Meanwhile

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.wall_s

    @property
    def cpu_us_per_row(self) -> float:
        return self.cpu_s / self.rows * 1e6


async def measure(contender: servers.Contender, run: Run, requests: Sequence[Request]) -> Throughput:
    """Serve `requests` (the first `WARM_UP` of them before the clock starts). The run's topics must exist."""
    warm_up, load = requests[:WARM_UP], requests[WARM_UP:]
    warm_offsets = await cluster.write(run, warm_up)
    async with (
        cluster.hold(run, load) as held,
        cluster.Progress(run) as progress,
        servers.started(contender, run) as server,
    ):
        await progress.reach(warm_offsets)
        await asyncio.sleep(SETTLE_S)
        with machine.Watch() as watch:
            cpu_before_s = server.cpu_s()
            released_s = await held.release()
            done_s = await progress.reach(held.next_offsets)
            await asyncio.sleep(SETTLE_S)
            return Throughput(
                contender=contender.name,
                rows=len(load),
                wall_s=done_s - released_s,
                cpu_s=server.cpu_s() - cpu_before_s,
                rss_bytes=server.rss_bytes(),
                meanwhile=watch.seen(),
            )
