"""Promise 1 on a broker without transactions: nothing is lost, and what is answered twice is the same answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from stream_maas import topics
from stream_maas.brokers import EmbeddedBroker
from tests.support.conservation import about, assert_no_planted, match_requests, stable_audit, stable_result
from tests.support.deployment import ReadAll, create_topics, read_deployment
from tests.support.log_reading import Tap
from tests.support.traffic import MAX_RECORD_BYTES, Feeder, make_traffic
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 4
COUNT = 3_000
SETTINGS = {
    "ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES),
    "WORKER_CHUNK_MAX_RECORDS": "16",
    "WORKER_FETCH_MAX_WAIT_MS": "10",
}


async def test_a_killed_worker_loses_nothing_and_repeats_itself_exactly(
    start_embedded: Callable[[], EmbeddedBroker], prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    bootstrap = start_embedded().bootstrap
    traffic = make_traffic(COUNT, partitions=PARTITIONS, seed=7)
    await create_topics(bootstrap, prefix, PARTITIONS)
    with Fleet(bootstrap, prefix, tmp_path, settings=SETTINGS) as fleet:
        worker = await fleet.start("w1").ready()
        assert worker.facts["delivery"] == "at-least-once"
        async with (
            Tap(bootstrap, topics.results(prefix)) as tap,
            Feeder(
                bootstrap, topics.requests(prefix), traffic, answered=lambda: distinct(tap), idempotent=False
            ) as feeder,
        ):
            for mark in (500, 1_500):
                await tap.until(lambda mark=mark: distinct(tap) >= mark, "the next crash")
                await feeder.ahead()
                worker.kill()
                worker.start()
            await tap.until(lambda: distinct(tap) == COUNT, "all answers")
            await feeder.done()
        await worker.ready()
        assert await worker.stop() == 0

    logged = await read_deployment(read_all, bootstrap, prefix)
    expected = match_requests(traffic.records, logged.requests)
    results, audits = defaultdict(list), defaultdict(list)
    for result in logged.results:
        results[about(result)].append(stable_result(result))
    for audit in logged.audits:
        audits[orjson.loads(audit.value)["id"]].append(stable_audit(audit))
    assert results.keys() == expected.keys()
    assert audits.keys() == expected.keys()
    for name in expected:
        assert len(set(results[name])) == 1, f"{name}: answered in two ways"
        assert len(set(audits[name])) == 1, f"{name}: audited in two ways"
    assert_no_planted(traffic.planted, logged.written, fleet.logs())


def distinct(tap: Tap) -> int:
    """Requests that have an answer, however many times."""
    return len({about(record) for record in tap.records})
