"""Which offsets a consumer group has committed, asked of its coordinator by somebody who is no member."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import TopicPartition
from aiokafka.errors import for_code
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest

from stream_maas.errors import BrokerError
from stream_maas.kafka.link import Link, bootstrap
from stream_maas.settings import KafkaConfig

_GROUP = 0


async def committed_offsets(
    config: KafkaConfig, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """Next offset to read of each partition that the group has committed one for; see `committed_positions`."""
    found = await committed_positions(config, group, partitions)
    return {tp: offset for tp, (offset, _) in found.items()}


async def committed_positions(
    config: KafkaConfig, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, str]]:
    """(next offset to read, what was noted with it) of each partition that the group has committed one for.

    Needs the right to describe the group and the topics. Raises `BrokerError`, also while the group's coordinator
    moves; ask again then.
    """
    async with bootstrap(config) as link:
        answer = await link.ask(FindCoordinatorRequest(group, _GROUP))
    _refuse(group, answer.error_code)
    names = sorted({tp.topic for tp in partitions})
    wanted = [(name, [tp.partition for tp in partitions if tp.topic == name]) for name in names]
    async with Link.open(config, answer.host, answer.port) as link:
        answer = await link.ask(OffsetFetchRequest(group, wanted))
    _refuse(group, getattr(answer, "error_code", 0))
    found = {}
    for topic, rows in answer.topics:
        for number, offset, metadata, code in rows:
            _refuse(group, code)
            if offset >= 0:
                found[TopicPartition(topic, number)] = (offset, metadata or "")
    return found


def _refuse(group: str, code: int) -> None:
    if code:
        raise BrokerError(f"group {group}: {for_code(code).__name__}")
