"""Promise 1 under chaos: every request record gets exactly one result and one audit event, and nothing personal.

Faults happen when a number of committed answers has been seen, never after a sleep, and the feeder keeps a backlog
waiting, so that each of them hits workers in the middle of their work.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stream_maas import topics
from stream_maas.brokers import LocalKafka
from tests.support.conservation import (
    assert_answered_once,
    assert_audited_once,
    assert_dead_lettered_once,
    assert_no_planted,
    match_requests,
)
from tests.support.deployment import ReadAll, create_topics, read_deployment
from tests.support.log_reading import Tap
from tests.support.traffic import MAX_RECORD_BYTES, Feeder, Traffic, make_traffic
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 8
COUNT = 20_000
SETTINGS = {
    "ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES),
    # Small chunks make many transactions, and so many moments at which a fault can hit one.
    "WORKER_CHUNK_MAX_RECORDS": "32",
    "WORKER_IN_FLIGHT_CHUNKS": "2",
}


async def test_crashes_a_rebalance_and_a_broker_restart(
    kafka_private: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    bootstrap = kafka_private.bootstrap
    traffic = make_traffic(COUNT, partitions=PARTITIONS, seed=1)
    await create_topics(bootstrap, prefix, PARTITIONS)
    with Fleet(bootstrap, prefix, tmp_path, settings=SETTINGS) as fleet:
        victim, steady = fleet.start("w1"), fleet.start("w2")
        await asyncio.gather(victim.ready(), steady.ready())
        async with (
            Tap(bootstrap, topics.results(prefix)) as tap,
            Feeder(bootstrap, topics.requests(prefix), traffic, answered=lambda: tap.count) as feeder,
        ):
            feeder.limit = 8_000
            await tap.until(2_000, "the first crash")
            await feeder.ahead()
            victim.kill()
            victim.start()

            await tap.until(5_000, "the third worker")
            joiner = await fleet.start("w3").ready()
            feeder.limit = 12_000
            await tap.until(tap.count + 2_000, "the third worker to work")
            assert await joiner.stop() == 0

            await tap.until(10_000, "the broker's restart")
            feeder.limit = 16_000
            await feeder.ahead()
            await asyncio.to_thread(kafka_private.restart)

            await tap.until(14_000, "the second crash")
            feeder.limit = COUNT
            await feeder.ahead()
            victim.kill()
            victim.start()

            await tap.until(COUNT, "all answers")
            await feeder.done()
        await victim.ready()
        assert [await victim.stop(), await steady.stop()] == [0, 0]
        await assert_conserved(bootstrap, prefix, traffic, fleet, read_all)


async def test_a_worker_frozen_past_its_session_and_woken_again(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    traffic = make_traffic(COUNT, partitions=PARTITIONS, seed=2)
    await create_topics(kafka, prefix, PARTITIONS)
    with Fleet(kafka, prefix, tmp_path, settings=SETTINGS) as fleet:
        frozen, steady = fleet.start("w1"), fleet.start("w2")
        await asyncio.gather(frozen.ready(), steady.ready())
        async with (
            Tap(kafka, topics.results(prefix)) as tap,
            Feeder(kafka, topics.requests(prefix), traffic, answered=lambda: tap.count) as feeder,
        ):
            await tap.until(4_000, "the freeze")
            await feeder.ahead()
            frozen.freeze()
            # Every partition goes on only after the group has given the frozen worker's partitions away.
            marks = {partition: len(tap.on(partition)) + 500 for partition in range(PARTITIONS)}
            await tap.until(
                lambda: all(len(tap.on(partition)) >= mark for partition, mark in marks.items()),
                "the other worker to take over every partition",
            )
            await feeder.ahead()
            frozen.wake()
            await tap.until(COUNT, "all answers")
            await feeder.done()
        assert [await frozen.stop(), await steady.stop()] == [0, 0]
        await assert_conserved(kafka, prefix, traffic, fleet, read_all)


async def assert_conserved(bootstrap: str, prefix: str, traffic: Traffic, fleet: Fleet, read_all: ReadAll) -> None:
    logged = await read_deployment(read_all, bootstrap, prefix)
    expected = match_requests(traffic.records, logged.requests)
    assert len(expected) == COUNT
    assert_answered_once(expected, logged.results)
    assert_audited_once(expected, logged.results, logged.audits)
    assert_dead_lettered_once(expected, logged.dead_letters)
    assert_no_planted(traffic.planted, logged.written, fleet.logs())
