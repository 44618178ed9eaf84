"""No prediction without its audit event: while the audit topic takes nothing, nothing is answered and nothing lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_maas import topics, wire
from tests.support.conservation import assert_answered_once, assert_audited_once, match_requests
from tests.support.deployment import ReadAll, create_topics, read_deployment, request, send
from tests.support.log_reading import Tap
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(240)

PARTITIONS = 2
COUNT = 60


async def need_replicas(bootstrap: str, topic: str, count: int) -> None:
    """With one broker, 2 means that the topic can be read and not written."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        configs = topics_configs(topic) | {"min.insync.replicas": str(count)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
    finally:
        await admin.close()


def topics_configs(topic: str) -> dict[str, str]:
    """AlterConfigs replaces all of a topic's settings."""
    return next(spec.configs(1) for spec in topics.table(topic.removesuffix(".audit")) if spec.name == topic)


async def test_while_the_audit_topic_is_away_nothing_is_answered(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    await create_topics(kafka, prefix, PARTITIONS)
    with Fleet(kafka, prefix, tmp_path) as fleet:
        worker = await fleet.start("w1").ready()
        sent = [
            request(number % PARTITIONS, wire.encode_request("fine", request_id=f"r-{number}"), f"r-{number}")
            for number in range(COUNT)
        ]
        await need_replicas(kafka, topics.audit(prefix), 2)
        await send(kafka, topics.requests(prefix), sent)
        while (await worker.metrics())["stream_maas_in_flight_chunks"] == 0:  # noqa: ASYNC110 - until it has tried
            await asyncio.sleep(0.05)
        assert await read_all(kafka, topics.results(prefix)) == []
        await need_replicas(kafka, topics.audit(prefix), 1)
        async with Tap(kafka, topics.results(prefix)) as tap:
            await tap.until(COUNT, "all answers, once the audit topic is back")
        assert await worker.stop() == 0
    logged = await read_deployment(read_all, kafka, prefix)
    expected = match_requests(sent, logged.requests)
    assert_answered_once(expected, logged.results)
    assert_audited_once(expected, logged.results, logged.audits)
