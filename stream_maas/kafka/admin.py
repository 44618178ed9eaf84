"""Creating, describing and checking topics on a cluster; what they must be like is topics.py's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import (
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream_maas import topics
from stream_maas.errors import BrokerError, TopicsError
from stream_maas.kafka.arguments import connection
from stream_maas.kafka.link import FIRST_WAIT_S, Link, bootstrap
from stream_maas.settings import KafkaConfig, TopicsConfig
from stream_maas.topics import ActualTopic, TopicSpec

_TOPIC_RESOURCE = 2


async def create_topics(
    config: KafkaConfig, specs: Sequence[TopicSpec], partitions: int, replication_count: int
) -> tuple[list[str], list[str]]:
    """Create what does not exist; return the names that were created and those that were there.

    Existing topics are left as they are (`check_topics` says whether that is right). Returns when every broker asked
    knows the new ones. Raises `TopicsError` naming the first topic that the cluster refuses.
    """
    wanted: list[tuple[str, int, int, list[object], list[tuple[str, str]]]] = [
        (
            spec.name,
            1 if spec.partitions == "one" else partitions,
            replication_count,
            [],
            list(spec.configs(replication_count).items()),
        )
        for spec in specs
    ]
    async with bootstrap(config) as link:
        cluster = await link.cluster()
    host, port = cluster.brokers.get(cluster.controller_id) or next(iter(cluster.brokers.values()))
    created, existing = [], []
    async with Link.open(config, host, port) as link:
        answer = await link.ask(
            CreateTopicsRequest(create_topic_requests=wanted, timeout=config.request_timeout_ms, validate_only=False)
        )
        for name, code, *detail in answer.topic_errors:
            error = for_code(code)
            if error is TopicAlreadyExistsError:
                existing.append(name)
            elif error is NoError:
                created.append(name)
            else:
                raise TopicsError(f"topic {name}: not created ({error.__name__}: {detail[0] if detail else ''})")
    await _wait_until_known(config, created)
    return created, existing


async def _wait_until_known(config: KafkaConfig, names: Sequence[str]) -> None:
    give_up = time.monotonic() + config.request_timeout_ms / 1000
    while names and len(await describe_topics(config, names)) < len(names):
        if time.monotonic() > give_up:
            raise TopicsError(
                "topics were created, but are not known to the brokers yet; next: `stream-maas topics check`"
            )
        await asyncio.sleep(FIRST_WAIT_S)


async def describe_topics(config: KafkaConfig, names: Iterable[str]) -> dict[str, ActualTopic]:
    """The topics of `names` that exist (or may not be described), with what the broker tells about them."""
    names = list(names)
    found: dict[str, ActualTopic] = {}
    async with bootstrap(config) as link:
        # By name, so that a missing right can be told from a missing topic; never so that asking creates one.
        answer = await link.ask(MetadataRequest(names, allow_auto_topic_creation=False))
        for code, name, _, partitions in answer.topics:
            error = for_code(code)
            if error is TopicAuthorizationFailedError:
                found[name] = ActualTopic(name, 0, forbidden=True)
            elif error is NoError and partitions:
                replicas = min(len(partition[3]) for partition in partitions)
                found[name] = ActualTopic(name, len(partitions), replicas)
            elif error not in (NoError, UnknownTopicOrPartitionError):
                raise BrokerError(f"{link.address}: topic {name}: {error.__name__}")
        known = [name for name, topic in found.items() if not topic.forbidden]
        if known:
            # All settings: the embedded broker closes the connection when it is asked for some.
            resources = [(_TOPIC_RESOURCE, name, None) for name in known]
            answer = await link.ask(DescribeConfigsRequest(resources, False))
            for _, _, _, name, entries in answer.resources:
                configs = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
                found[name] = ActualTopic(name, found[name].partitions, found[name].replication_count, configs)
    return found


async def check_topics(config: KafkaConfig, names: TopicsConfig, *, used_by: topics.Role | None = None) -> list[str]:
    """Problems of this deployment's topics as sentences (`topics.compare`); of those that `used_by` needs, or all."""
    table = topics.table(names.prefix, names.lanes)
    specs = [spec for spec in table if used_by is None or spec.used_by(used_by)]
    return topics.compare(specs, await describe_topics(config, [spec.name for spec in specs]))


async def delete_front(config: KafkaConfig, topic: str, partition: int, offset: int) -> int:
    """Delete the records of a partition before `offset`; the offset at which it begins now.

    Raises aiokafka's `KafkaError`, for example without the right to Delete.
    """
    admin = AIOKafkaAdminClient(**connection(config))
    await admin.start()
    try:
        place = TopicPartition(topic, partition)
        low = await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
        return int(low[place])
    finally:
        await admin.close()
