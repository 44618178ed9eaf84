"""Reading without a consumer group: whose partitions, committed records only, and a stop that always ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_maas.errors import BrokerError, TopicsError
from stream_maas.kafka import fetched
from stream_maas.kafka.admin import describe_topics
from stream_maas.kafka.arguments import connection
from stream_maas.settings import KafkaConfig


async def partitions_of(config: KafkaConfig, *names: str) -> dict[str, list[TopicPartition]]:
    """Topic -> its partitions. Raises `TopicsError` for the first one that does not exist or may not be seen."""
    found = await describe_topics(config, names)
    for name in names:
        if name not in found:
            raise TopicsError(f"topic {name}: does not exist; next: `stream-maas topics create`, or check the prefix")
        if found[name].forbidden:
            raise TopicsError(f"topic {name}: this user may not use it; next: grant its role, see deploy/acls.sh")
    return {name: [TopicPartition(name, number) for number in range(found[name].partitions)] for name in names}


async def start_reader(
    config: KafkaConfig,
    *,
    when_lost: Literal["earliest", "none"],
    fetch_max_wait_ms: int,
    partition_fetch_bytes: int = 1 << 20,
) -> Any:
    """A started `AIOKafkaConsumer` of committed records that belongs to no group and has no partitions yet.

    `when_lost`: what to do when a position is not in the log (any more): go on with the oldest record that is left,
    or fail. Raises `BrokerError`; nothing is left open then. End it with `stop_reader`.
    """
    fetched.install()
    consumer = AIOKafkaConsumer(
        **connection(config),
        enable_auto_commit=False,
        auto_offset_reset=when_lost,
        isolation_level="read_committed",
        fetch_max_wait_ms=fetch_max_wait_ms,
        max_partition_fetch_bytes=partition_fetch_bytes,
        client_rack=config.client_rack or None,
    )
    try:
        await consumer.start()
        # aiokafka 0.14 cannot stop a consumer in the very tick in which it was started.
        await asyncio.sleep(0)
    except BaseException as error:
        await stop_reader(consumer)
        if isinstance(error, KafkaError):
            raise BrokerError(f"broker {config.bootstrap}: {type(error).__name__}") from error
        raise
    return consumer


async def stop_reader(consumer: Any) -> None:
    """Stop it, whatever state the brokers are in.

    aiokafka 0.14 lets the cancellation of a fetch that waits to be tried again out of `stop`, as if the caller had been
    cancelled, and then leaves its connections open.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping])
    if stopping.cancelled():
        await consumer._client.close()
    else:
        stopping.result()


@asynccontextmanager
async def reader(
    config: KafkaConfig,
    *,
    when_lost: Literal["earliest", "none"],
    fetch_max_wait_ms: int,
    partition_fetch_bytes: int = 1 << 20,
) -> AsyncIterator[Any]:
    """`start_reader` and `stop_reader` around a block."""
    consumer = await start_reader(
        config,
        when_lost=when_lost,
        fetch_max_wait_ms=fetch_max_wait_ms,
        partition_fetch_bytes=partition_fetch_bytes,
    )
    try:
        yield consumer
    finally:
        await stop_reader(consumer)
