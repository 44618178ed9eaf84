"""What is done to workers and their transactions from outside, with nothing but Kafka's own protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_maas.worker.kip447 import FencedProducer, GroupMetadata
from tests.support.log_reading import end_offsets


async def abort_transaction_of(bootstrap: str, prefix: str, instance: str) -> None:
    """InitProducerId with the worker's transactional id: the broker aborts what is open and fences its epoch."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{prefix}-{instance}")
    await producer.start()
    await producer.stop()


@asynccontextmanager
async def pending_offsets(
    bootstrap: str, group: str, offsets: dict[TopicPartition, int]
) -> AsyncIterator[FencedProducer]:
    """Offsets of a group that has no members yet, in a transaction that stays open."""
    producer = FencedProducer(
        bootstrap_servers=bootstrap, transactional_id=f"{group}-before", transaction_timeout_ms=600_000
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_offsets(offsets, group, GroupMetadata(-1, "", None))
        yield producer
    finally:
        await producer.stop()


async def until_no_transaction_is_open(bootstrap: str, topic: str) -> None:
    """Until the last stable offset is the high watermark on every partition."""
    stable, end = {}, None
    async with asyncio.timeout(120):
        while stable != end:
            stable = await end_offsets(bootstrap, topic, "read_committed")
            end = await end_offsets(bootstrap, topic, "read_uncommitted")


async def _topic_config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for _, _, _, _, entries in answer.resources for entry in entries}


async def set_topic_config(bootstrap: str, topic: str, configs: dict[str, str]) -> None:
    """Returns when the broker says so itself: it applies a change after it has acknowledged it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
        async with asyncio.timeout(30):
            while not configs.items() <= (await _topic_config(admin, topic)).items():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await admin.close()
