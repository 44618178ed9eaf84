"""A worker caught in the middle of a transaction, on purpose and without sleeping.

A slow request keeps one chunk in flight, so the open interval may not commit (commit_interval_ms is long in these
tests); quick requests of another partition then join it. Their rows are on the broker, uncommitted, until the slow
one is done: that is the moment in which the tests strike.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from stream_maas import topics
from tests.support.bundles import rounds_per_second, slow_request, write_slow_bundle
from tests.support.deployment import request, send
from tests.support.log_reading import Tap
from tests.support.traffic import Sent
from tests.support.workers import WorkerProcess

QUICK_PARTITION, SLOW_PARTITION = 0, 1
PARTITIONS = 2
QUICK_COUNT = 20
IN_FLIGHT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class SlowModel:
    """The slow bundle and how many of its rounds take a second here."""

    bundle: Path
    rounds_per_s: int

    @classmethod
    def in_folder(cls, folder: Path) -> SlowModel:
        bundle = write_slow_bundle(folder)
        return cls(bundle, rounds_per_second(bundle))

    def request(self, partition: int, request_id: str, seconds: float) -> Sent:
        """A request that takes about so long; longer when other programs want the processor too."""
        return request(partition, slow_request(int(seconds * self.rounds_per_s), request_id), request_id)

    def quick(self, partition: int, request_id: str) -> Sent:
        """A request that takes no time at all."""
        return request(partition, slow_request(0, request_id), request_id)


async def open_transaction(
    bootstrap: str, prefix: str, worker: WorkerProcess, model: SlowModel, uncommitted: Tap, *, seconds: float
) -> list[Sent]:
    """Bring `worker` into an open transaction that holds the answers to `QUICK_COUNT` quick requests.

    `uncommitted` reads the results topic read_uncommitted. Returns all that was sent, the slow request first; it
    takes about `seconds` from now.
    """
    requests = topics.requests(prefix)
    slow = model.request(SLOW_PARTITION, "slow", seconds)
    await send(bootstrap, requests, [slow])
    await in_flight(worker)
    quick = [model.quick(QUICK_PARTITION, f"quick-{number}") for number in range(QUICK_COUNT)]
    await send(bootstrap, requests, quick)
    await uncommitted.until(lambda: len(uncommitted.on(QUICK_PARTITION)) == QUICK_COUNT, "the quick answers")
    assert not uncommitted.on(SLOW_PARTITION), "the slow model was too quick for this test"
    return [slow, *quick]


async def in_flight(worker: WorkerProcess) -> None:
    """Wait until the worker has a chunk in flight."""
    await _metric_reaches(worker, "stream_maas_in_flight_chunks", 1)


async def committed(worker: WorkerProcess, count: int) -> None:
    """Wait until the worker itself has counted so many committed answers."""
    await _metric_reaches(worker, "stream_maas_requests_total", count)


async def recovered(worker: WorkerProcess, count: int = 1) -> None:
    """Wait until the worker has gone back to the committed offsets so many times."""
    await _metric_reaches(worker, "stream_maas_recoveries_total", count)


async def provoke_until_recovered(bootstrap: str, prefix: str, worker: WorkerProcess, model: SlowModel) -> list[Sent]:
    """Quick requests, one by one, until the worker has noticed that its producer is fenced."""
    sent: list[Sent] = []
    waiting = asyncio.create_task(recovered(worker))
    while not waiting.done():
        sent.append(model.quick(QUICK_PARTITION, f"provoke-{len(sent)}"))
        await send(bootstrap, topics.requests(prefix), sent[-1:])
        await asyncio.wait([waiting], timeout=0.1)
    await waiting
    return sent


async def finish_both_runs_of_the_slow_request(bootstrap: str, prefix: str, model: SlowModel, sent: list[Sent]) -> None:
    """The stale run of the slow request may end after the valid one. Chunks of one partition are published in order,
    so once a later request of that partition is answered, the stale run has ended and was dropped or published."""
    last = model.quick(SLOW_PARTITION, "last")
    sent.append(last)
    async with Tap(bootstrap, topics.results(prefix)) as visible:
        await send(bootstrap, topics.requests(prefix), [last])
        await visible.until(len(sent), "the answer behind the slow one")


async def _metric_reaches(worker: WorkerProcess, name: str, value: float) -> None:
    give_up = time.monotonic() + IN_FLIGHT_TIMEOUT_S
    while (now := (await worker.metrics()).get(name, 0.0)) < value:
        assert time.monotonic() < give_up, f"{name} is {now}, not {value}; log of {worker.instance}:\n{worker.tail()}"
        await asyncio.sleep(0.02)
