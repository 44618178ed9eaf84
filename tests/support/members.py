"""Members of a workers' group that are no workers: they take partitions away, or stand in for a consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from stream_maas import topics
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.kip447 import GroupMetadata


async def rebalance_twice(bootstrap: str, prefix: str) -> None:
    """A second member joins the workers' group, gets a partition and leaves again."""
    consumer = AIOKafkaConsumer(
        topics.requests(prefix), bootstrap_servers=bootstrap, group_id=prefix, enable_auto_commit=False,
        partition_assignment_strategy=[RoundRobinPartitionAssignor], heartbeat_interval_ms=200,
    )  # fmt: skip
    async with consumer, asyncio.timeout(60):
        while not consumer.assignment():  # noqa: ASYNC110 - aiokafka has no event for it
            await asyncio.sleep(0.02)


@asynccontextmanager
async def group_member(bootstrap: str, group: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A member of the group that owns every partition when the block begins."""
    member = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, group_instance_id="w1", enable_auto_commit=False,
        partition_assignment_strategy=[RoundRobinPartitionAssignor], heartbeat_interval_ms=200,
    )  # fmt: skip
    async with member, asyncio.timeout(120):
        while not member.assignment():  # noqa: ASYNC110 - aiokafka has no event for it
            await asyncio.sleep(0.02)
        yield member


class MemberOnly:
    """What the publisher needs of the chunked consumer, on a bare group member: nothing is fetched or rewound."""

    unfinished_count = 1
    """Something is always on its way, so that the interval waits for `finish`."""

    def __init__(self, member: AIOKafkaConsumer) -> None:
        self._member = member

    def is_current(self, _chunk: Chunk) -> bool:
        return True

    def group_metadata(self) -> GroupMetadata:
        return GroupMetadata.of(self._member)

    def finished(self, chunk: Chunk) -> None: ...

    async def check_membership(self) -> None: ...

    async def rewind(self) -> None: ...

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        raise NotImplementedError
