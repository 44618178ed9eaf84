"""Reading a log to its end on a broker with transactions: markers, aborted rows, transactions still open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream_maas.errors import TopicsError
from stream_maas.replay import read
from stream_maas.settings import KafkaConfig


@asynccontextmanager
async def transactions(bootstrap: str, name: str) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(producer: Any, topic: str, values: list[bytes], *, partition: int = 0, commit: bool = True) -> None:
    await producer.begin_transaction()
    for value in values:
        await producer.send_and_wait(topic, value, partition=partition)
    await (producer.commit_transaction() if commit else producer.abort_transaction())


async def values(bootstrap: str, topic: str, **options: Any) -> list[bytes]:
    return [record.value or b"" async for record in read(KafkaConfig(bootstrap), topic, until_end=True, **options)]


@pytest.fixture
async def topic(kafka: str, prefix: str, create_topic: Any) -> str:
    name: str = await create_topic(kafka, f"{prefix}.log", 2)
    return name


async def test_a_log_that_ends_in_markers_is_read_to_its_end(kafka: str, topic: str) -> None:
    async with transactions(kafka, topic) as producer:
        await write(producer, topic, [b"1", b"2"])
        await write(producer, topic, [b"3"])
        await write(producer, topic, [b"4"], partition=1)
    assert sorted(await values(kafka, topic)) == [b"1", b"2", b"3", b"4"]


async def test_a_log_that_ends_in_aborted_rows_is_read_to_its_end(kafka: str, topic: str) -> None:
    async with transactions(kafka, topic) as producer:
        await write(producer, topic, [b"kept"])
        await write(producer, topic, [b"aborted"] * 3, commit=False)
        await write(producer, topic, [b"aborted"], partition=1, commit=False)
    assert await values(kafka, topic) == [b"kept"]


@pytest.mark.parametrize("commit", [True, False])
async def test_the_end_waits_for_a_transaction_that_was_open_at_the_start(kafka: str, topic: str, commit: bool) -> None:
    """What was in the log when reading began is decided before reading ends: its rows come, or never will."""
    async with transactions(kafka, topic) as producer:
        await write(producer, topic, [b"before"])
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"pending", partition=0)
        held_back = asyncio.Event()
        reading = asyncio.create_task(values(kafka, topic, waiting=lambda partitions: held_back.set()))
        waiting = asyncio.create_task(held_back.wait())
        await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert not reading.done()
        await (producer.commit_transaction() if commit else producer.abort_transaction())
        assert await reading == ([b"before", b"pending"] if commit else [b"before"])


async def test_what_is_appended_while_reading_is_not_waited_for(kafka: str, topic: str) -> None:
    async with transactions(kafka, topic) as producer:
        await write(producer, topic, [b"1", b"2"])
        seen = []
        async for record in read(KafkaConfig(kafka), topic, until_end=True):
            seen.append(record.value)
            await write(producer, topic, [b"later"])
    assert seen == [b"1", b"2"]


async def test_start_in_the_middle(kafka: str, topic: str) -> None:
    async with transactions(kafka, topic) as producer:
        await write(producer, topic, [b"%d" % number for number in range(6)])
        await write(producer, topic, [b"other"], partition=1)
    assert await values(kafka, topic, offsets={0: 4, 1: 1}) == [b"4", b"5"]
    # Records are counted: the marker behind them is none.
    assert sorted(await values(kafka, topic, last=3)) == [b"3", b"4", b"5", b"other"]


async def test_an_offset_that_is_not_in_the_log_is_an_error(kafka: str, topic: str) -> None:
    """Going on somewhere else would hide from an auditor that records are missing."""
    async with transactions(kafka, topic) as producer:
        await write(producer, topic, [b"1", b"2"])
    with pytest.raises(TopicsError, match=f"{topic}:0:9: not in the log"):
        await values(kafka, topic, offsets={0: 9, 1: 0})


async def test_from_now_on(kafka: str, topic: str) -> None:
    async with transactions(kafka, topic) as producer:
        await write(producer, topic, [b"old"])
        records = read(KafkaConfig(kafka), topic, from_beginning=False)
        first = asyncio.create_task(anext(records))
        number = 0
        while not first.done():  # nothing says when the reader stands at the end, so write until it has got one
            await write(producer, topic, [b"new %d" % (number := number + 1)])
            await asyncio.sleep(0.05)
        assert (await first).value.startswith(b"new")
        await records.aclose()


async def test_a_topic_that_does_not_exist_is_named_and_not_created(kafka: str, prefix: str) -> None:
    for _ in range(2):
        with pytest.raises(TopicsError, match=f"{prefix}.nothing"):
            await values(kafka, f"{prefix}.nothing")
