"""The monitor on Apache Kafka: it fires once whoever dies, resolves nothing because of silence, and can be replayed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from stream_maas import topics
from tests.conftest import ReadAll
from tests.support.deployment import create_topics, request, send
from tests.support.followers import monitor
from tests.support.log_reading import Tap
from tests.support.outage import AuditFeed, alert_event, fed, sent
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(400)
PARTITIONS = 3
FAST = "errors:fast"
QUICK = ("--time-scale", "0.02")


async def replay(bootstrap: str, prefix: str, *options: str) -> tuple[int, Mapping[str, Any]]:
    """`stream-maas replay alerts --json`: exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_maas", "replay", "alerts", "--bootstrap", bootstrap, "--prefix", prefix,
        "--json", *options, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out) if out else {}


async def test_killed_and_rebalanced_while_firing_it_fires_once_and_replays_without_difference(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """Two monitors. The active one is killed right after it fired, the other goes on, the first comes back and takes
    everything over again, is killed once more; then the service recovers."""
    await create_topics(kafka, prefix, PARTITIONS)
    first, second = (monitor(kafka, prefix, name, tmp_path / name, *QUICK) for name in ("monitor-1", "monitor-2"))
    feed = AuditFeed(kafka, prefix, PARTITIONS)
    try:
        async with fed(feed), Tap(kafka, topics.alerts(prefix)) as tap:
            await first.start().ready()
            second.start()
            await asyncio.gather(second.ready(), sent(feed, 300))
            feed.failing = True
            fired = await alert_event(tap, "firing", FAST)
            first.kill()
            await second.logged('"event": "active"')
            first.start()
            await asyncio.gather(first.ready(), sent(feed, feed.sent + 300))
            await first.logged('"event": "active"')
            await sent(feed, feed.sent + 300)
            first.kill()
            feed.failing = False
            resolved = await alert_event(tap, "resolved", FAST)
            assert resolved["incident_id"] == fired["incident_id"]
            assert resolved["reason"] == "recovered"
            feed.skipped = 4
            gap = await alert_event(tap, "firing", "audit-gap")
            assert gap["value"] % 4 == 0  # in each partition that has told of it so far
            assert gap["evidence"]
        assert await second.stop() == 0
    finally:
        first.close()
        second.close()
    events = [json.loads(record.value)["data"] for record in await read_all(kafka, topics.alerts(prefix))]
    assert max(Counter(event["event_id"] for event in events).values()) == 1
    assert [event["event"] for event in events if event["rule"] == FAST].count("firing") == 1
    code, said = await replay(kafka, prefix)
    assert (code, said["status"]) == (0, "same"), said
    assert said["published"] == said["recomputed"] == len(events)
    code, said = await replay(kafka, prefix, "--from", str(fired["at_us"] // 1000 + 1), "--purpose", "a test")
    assert code == 0
    assert 0 < said["published"] < len(events)
    written = [json.loads(record.value)["data"] for record in await read_all(kafka, topics.audit(prefix))]
    acts = [event["replayed"] for event in written if "replayed" in event]
    assert [(act["what"], act.get("purpose")) for act in acts] == [("alerts", None), ("alerts", "a test")]


async def test_requests_without_a_worker_are_told_and_its_return_ends_it(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    """A real worker answers, is killed while requests go on, and comes back. The monitor never reads a request."""
    await create_topics(kafka, prefix, 1)
    watching = monitor(kafka, prefix, "monitor-1", tmp_path / "monitor-1", *QUICK)
    numbers = iter(range(1_000))

    async def ask(count: int) -> None:
        values = [(number, b'{"text": "fine", "model_name": "sentiment-lite"}') for number in islice(numbers, count)]
        await send(kafka, topics.requests(prefix), [request(0, value, str(number)) for number, value in values])

    try:
        with Fleet(kafka, prefix, tmp_path) as fleet:
            async with Tap(kafka, topics.alerts(prefix)) as tap, Tap(kafka, topics.results(prefix)) as answered:
                worker = fleet.start("w1")
                await asyncio.gather(worker.ready(), watching.start().ready())
                await ask(20)
                await answered.until(20, "answers")
                worker.kill()
                await ask(20)
                fired = await alert_event(tap, "firing", "no-results")
                assert fired["severity"] == "page"
                assert fired["labels"] == {"topic": topics.requests(prefix)}
                await worker.start().ready()
                resolved = await alert_event(tap, "resolved", "no-results")
                assert resolved["incident_id"] == fired["incident_id"]
                told = {json.loads(record.value)["data"]["rule"] for record in tap.records}
                # A killed worker's session has no end; that is no gap.
                assert told.isdisjoint({"audit-gap", "unreadable-audit"})
        assert await watching.stop() == 0
    finally:
        watching.close()
    code, said = await replay(kafka, prefix)
    assert (code, said["status"]) == (0, "same"), said
