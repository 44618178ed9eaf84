"""What `worker/follower.py` promises, on Apache Kafka: rows, state and offsets together, one owner, no zombies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from stream_maas import topics
from stream_maas.brokers import LocalKafka
from tests.conftest import Produce, ReadAll
from tests.support.deployment import create_topics
from tests.support.followers import FollowerProcess, copier

pytestmark = pytest.mark.timeout(300)
PARTITIONS = 3


async def until_copied(read_all: ReadAll, kafka: str, prefix: str, count: int) -> list[ConsumerRecord]:
    """The committed copies, once there are `count` of them."""
    async with asyncio.timeout(120):
        while len(copies := await read_all(kafka, topics.alerts(prefix))) < count:  # noqa: ASYNC110 - a broker
            await asyncio.sleep(0.2)
    return copies


def numbers(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def assert_copied_once(copies: Sequence[ConsumerRecord], count: int) -> None:
    assert sorted(int(copy.value) for copy in copies) == list(range(count))


async def test_kill_freeze_and_join_copy_every_record_once(
    kafka: str, prefix: str, tmp_path: Path, produce: Produce, read_all: ReadAll
) -> None:
    """The owner is killed, its successor is frozen past its session, the first one comes back: nothing is lost and
    nothing is there twice, though the frozen one wakes up with rows that it still wants to write."""
    await create_topics(kafka, prefix, PARTITIONS)
    audit = topics.audit(prefix)
    first, second = (copier(kafka, prefix, name, tmp_path / name) for name in ("copier-1", "copier-2"))
    try:
        await asyncio.gather(first.start().ready(), second.start().ready())
        await produce(kafka, audit, numbers(0, 2000), partitions=PARTITIONS)
        await until_copied(read_all, kafka, prefix, 1)
        first.kill()
        await produce(kafka, audit, numbers(2000, 1000), partitions=PARTITIONS)
        await until_copied(read_all, kafka, prefix, 3000)
        second.freeze()
        await produce(kafka, audit, numbers(3000, 1000), partitions=PARTITIONS)
        await first.start().ready()
        await until_copied(read_all, kafka, prefix, 4000)
        second.wake()
        await produce(kafka, audit, numbers(4000, 1000), partitions=PARTITIONS)
        assert_copied_once(await until_copied(read_all, kafka, prefix, 5000), 5000)
        assert await asyncio.gather(first.stop(), second.stop()) == [0, 0]
        assert_copied_once(await read_all(kafka, topics.alerts(prefix)), 5000)
    finally:
        first.close()
        second.close()


async def test_one_member_owns_everything(
    kafka: str, prefix: str, tmp_path: Path, produce: Produce, read_all: ReadAll
) -> None:
    """Two members: one has all partitions and takes in every record, the other stands by and is ready."""
    await create_topics(kafka, prefix, PARTITIONS)
    members: list[FollowerProcess] = [copier(kafka, prefix, f"copier-{n}", tmp_path / str(n)) for n in (1, 2)]
    try:
        for member in members:
            await member.start().ready()
        # The one that came first was alone when it said ready; only its metrics know what it has now.
        await produce(kafka, topics.audit(prefix), numbers(0, 300), partitions=PARTITIONS)
        await until_copied(read_all, kafka, prefix, 300)
        told = [await member.metrics() for member in members]
        assert sorted(metrics["stream_maas_monitor_records_total"] for metrics in told) == [0, 300]
        assert [metrics.get("stream_maas_monitor_lag_records", 0) for metrics in told] == [0, 0]
        assert [await member.stop() for member in members] == [0, 0]
    finally:
        for member in members:
            member.close()


async def test_a_broker_that_dies_while_partitions_are_placed(
    kafka_private: LocalKafka, prefix: str, tmp_path: Path, produce: Produce, read_all: ReadAll
) -> None:
    """The group has given the partitions away and nobody knows yet where they begin: the follower asks until the
    broker is back."""
    bootstrap = kafka_private.bootstrap
    await create_topics(bootstrap, prefix, PARTITIONS)
    follower = copier(bootstrap, prefix, "copier-1", tmp_path / "copier-1")
    try:
        await follower.start().logged("partitions assigned")
        await asyncio.to_thread(kafka_private.kill)
        await asyncio.to_thread(kafka_private.start)
        await follower.ready()
        await produce(bootstrap, topics.audit(prefix), numbers(0, 100), partitions=PARTITIONS)
        assert_copied_once(await until_copied(read_all, bootstrap, prefix, 100), 100)
        assert await follower.stop() == 0
    finally:
        follower.close()
