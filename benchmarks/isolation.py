"""Does a slow model disturb a quick one, and how late does a deadline end a call? On a real Kafka with a real worker.

    python -m benchmarks.isolation

Two models of the same graph (a loop of matrix products, as long as a request asks for), one worker, exactly-once. The
quick model's requests of about 1 ms go to one partition, 40 a second; first alone, then while the other model is kept
busy with calls of about 2 s on another partition. Then requests with 5 ms to live go to calls of about 50 ms: first of
the slow model, whose calls may be short, so that they are begun and ended; then of a model that never takes less, which
the worker knows from its loading, so that they are not begun. How late their `expired` was built stands in the audit
events, how late it was consumed includes sending the request and committing the answer.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks import servers
from benchmarks.cluster import Run, topics_of
from stream_maas.brokers import LocalKafka
from tests.support.bundles import rounds_per_second, slow_request, write_slow_bundle

QUICK_MS, SLOW_MS, LATE_MS, TIMEOUT_MS = 1.0, 2_000.0, 50.0, 5
RATE_PER_S, COUNT, DEADLINES = 40, 400, 60
SLOW_PARTITION, QUICK_PARTITION = 0, 1
WAIT_S = 60.0


class Traffic:
    """Sends requests of a known duration and notes when their answers are consumed."""

    def __init__(self, run: Run, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, rounds_per_s: int) -> None:
        self._run, self._producer, self._consumer, self._rounds_per_s = run, producer, consumer, rounds_per_s
        self.sent_s: dict[str, float] = {}
        self.answered_s: dict[str, float] = {}
        self.audited: dict[str, dict[str, Any]] = {}

    async def send(self, model: str, partition: int, name: str, duration_ms: float, **parameters: int) -> None:
        document = orjson.loads(slow_request(int(self._rounds_per_s * duration_ms / 1000), name, **parameters))
        value = orjson.dumps(document | {"model_name": model})
        self.sent_s[name] = time.perf_counter()
        await self._producer.send_and_wait(self._run.requests, value, partition=partition)

    async def collect(self) -> None:
        """Runs until cancelled."""
        async for record in self._consumer:
            document = orjson.loads(record.value)
            if record.topic == self._run.audit:
                if "request" in document["data"]:
                    self.audited[document["data"]["request"]["id"]] = document["data"]
            else:
                self.answered_s[document["id"]] = time.perf_counter()

    async def wait_for(self, names: Sequence[str]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not all(name in self.answered_s for name in names):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def quick(self, label: str) -> np.ndarray:
        """Milliseconds [COUNT] from sending a quick request to consuming its answer."""
        names = [f"{label}-{number}" for number in range(COUNT)]
        begin_s = time.perf_counter()
        for number, name in enumerate(names):
            await asyncio.sleep(max(0.0, begin_s + number / RATE_PER_S - time.perf_counter()))
            await self.send("quick", QUICK_PARTITION, name, QUICK_MS)
        await self.wait_for(names)
        return np.array([self.answered_s[name] - self.sent_s[name] for name in names]) * 1000

    async def keep_busy(self) -> None:
        """Always two slow requests on their way; runs until cancelled."""
        number = 0
        while True:
            names = [f"slow-{number + step}" for step in range(2)]
            for name in names:
                await self.send("slow", SLOW_PARTITION, name, SLOW_MS)
            await self.wait_for(names)
            number += 2

    async def deadlines(self, model: str, duration_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """Milliseconds [DEADLINES] beyond its time to live after which `expired` was built, and after which it was
        consumed."""
        names = [f"deadline-{model}-{number}" for number in range(DEADLINES)]
        for name in names:
            await self.send(model, SLOW_PARTITION, name, duration_ms, timeout=TIMEOUT_MS * 1000)
            await self.wait_for([name])
        async with asyncio.timeout(WAIT_S):
            while not all(name in self.audited for name in names):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        if {self.audited[name].get("code") for name in names} != {"expired"}:
            raise ValueError("a call of 50 ms was answered within 5 ms")
        built = [self.audited[name]["timings_us"]["total"] / 1000 for name in names]
        consumed = [(self.answered_s[name] - self.sent_s[name]) * 1000 for name in names]
        return np.array(built) - TIMEOUT_MS, np.array(consumed) - TIMEOUT_MS


async def measure(bootstrap: str, models: Path, rounds_per_s: int) -> dict[str, np.ndarray]:
    run = Run(bootstrap, f"isolation{time.time_ns() % 10**9}", 2, models)
    found: dict[str, np.ndarray] = {}
    async with topics_of(run), servers.started(servers.EXACTLY_ONCE, run):
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await producer.start()
        await consumer.start()
        consumer.assign([TopicPartition(topic, number) for topic in (run.results, run.audit) for number in range(2)])
        traffic = Traffic(run, producer, consumer, rounds_per_s)
        collecting = asyncio.create_task(traffic.collect())
        try:
            await traffic.quick("warm-up")
            found["quick model alone"] = await traffic.quick("alone")
            busy = asyncio.create_task(traffic.keep_busy())
            await asyncio.sleep(0.5)
            found["quick model beside a slow one"] = await traffic.quick("beside")
            busy.cancel()
            await traffic.wait_for([name for name in traffic.sent_s if name.startswith("slow")])
            for model, duration_ms, what in (("slow", LATE_MS, "ended"), ("late", 0.0, "not begun")):
                built, consumed = await traffic.deadlines(model, duration_ms)
                found[f"after the deadline, call {what}: expired, consumed"] = consumed
                found[f"after the deadline, call {what}: expired, built"] = built
        finally:
            collecting.cancel()
            await consumer.stop()
            await producer.stop()
    return found


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="stream-maas-bench-") as folder, LocalKafka() as broker:
        models = Path(folder)
        slow = write_slow_bundle(models)
        shutil.copytree(slow, models / "quick")
        manifest = yaml.safe_load((slow / "bundle.yaml").read_text())
        (models / "quick" / "bundle.yaml").write_text(yaml.safe_dump(manifest | {"name": "quick"}))
        rounds_per_s = rounds_per_second(slow)
        write_slow_bundle(models, "late", least_rounds=int(rounds_per_s * LATE_MS / 1000))
        found = asyncio.run(measure(broker.bootstrap, models, rounds_per_s))
    table = Table("milliseconds, send to consume", "p50", "p99", "max")
    for name, values_ms in found.items():
        table.add_row(name, *(f"{value:.1f}" for value in (*np.percentile(values_ms, (50, 99)), values_ms.max())))
    Console(width=100).print(table)
    alone, beside, *_ = (np.percentile(values_ms, 99) for values_ms in found.values())
    built_ms = max(np.percentile(values, 99) for name, values in found.items() if name.endswith("built"))
    consumed_ms = max(np.percentile(values, 50) for name, values in found.items() if name.endswith("consumed"))
    print(
        f"p99 beside / alone: {beside / alone:.2f} (bar: below 3); `expired` beyond the deadline: built p99 "
        f"{built_ms:.1f} ms, consumed p50 {consumed_ms:.1f} ms (bar: 10)"
    )
    return int(beside >= 3 * alone or built_ms > 10 or consumed_ms > 10)


if __name__ == "__main__":
    sys.exit(main())
