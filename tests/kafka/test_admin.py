"""Topics and capabilities on Apache Kafka, and the life of a local one: what it keeps through stop, kill and freeze."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_maas import kafka as door
from stream_maas import topics
from stream_maas.brokers import LocalKafka, answers
from stream_maas.brokers.installation import java_problem
from stream_maas.errors import BrokerError, TopicsError
from stream_maas.settings import KafkaConfig, TopicsConfig

pytestmark = pytest.mark.kafka


def at(bootstrap: str) -> KafkaConfig:
    return KafkaConfig(bootstrap=bootstrap)


# What it can do ---------------------------------------------------------------------------------------------------


async def test_kafka_can_do_exactly_once(kafka: str, prefix: str) -> None:
    found = await door.probe(at(kafka), transactional_id=f"{prefix}-w1")
    assert found.exactly_once
    assert (found.transactions, found.fenced_offsets, found.stable_fetch) == (True, True, True)
    assert (found.idempotence, found.delete_records, found.reason) == (True, True, "")
    assert " broker" in found.broker


async def test_probe_fences_nobody(kafka: str, prefix: str, create_topic: Any, read_all: Any) -> None:
    """`doctor` may be run beside a live worker, with the worker's own transactional id."""
    topic = await create_topic(kafka, f"{prefix}.t", 1)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{prefix}-w1")
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"before", partition=0)
        assert (await door.probe(at(kafka), transactional_id=f"{prefix}-w1")).exactly_once
        await producer.send_and_wait(topic, b"after", partition=0)
        await producer.commit_transaction()
    finally:
        await producer.stop()
    assert [record.value for record in await read_all(kafka, topic)] == [b"before", b"after"]


async def test_no_transaction_coordinator_is_an_error_and_not_a_lesser_promise(
    start_kafka: Callable[..., LocalKafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here: a replication factor that one broker cannot reach. It could as well be an outage of a minute."""
    monkeypatch.setattr("stream_maas.kafka.capabilities.COORDINATOR_TIMEOUT_S", 1.0)
    broker = start_kafka(properties={"transaction.state.log.replication.factor": "3"})
    with pytest.raises(BrokerError, match=r"transaction\.state\.log\.replication\.factor is larger"):
        await door.probe(at(broker.bootstrap), transactional_id="w1")


async def test_unreachable_advertised_address_is_told(start_kafka: Callable[..., LocalKafka]) -> None:
    """The classic of containers: the bootstrap address works, and then every client hangs."""
    broker = start_kafka(properties={"advertised.listeners": "PLAINTEXT://127.0.0.1:1"})
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1: connection refused\); see advertised\.listeners"):
        await door.describe_cluster(at(broker.bootstrap))


# Topics -----------------------------------------------------------------------------------------------------------


async def test_created_topics_are_as_the_table_says(kafka: str, prefix: str) -> None:
    names = TopicsConfig(prefix=prefix, lanes=("fast",))
    table = topics.table(prefix, names.lanes)
    assert await door.create_topics(at(kafka), table, 3, 1) == ([spec.name for spec in table], [])
    assert await door.check_topics(at(kafka), names) == []
    described = await door.describe_topics(at(kafka), [spec.name for spec in table] + [f"{prefix}.none"])
    assert described.keys() == {spec.name for spec in table}
    for spec in table:
        assert described[spec.name].partitions == (1 if spec.partitions == "one" else 3)
        assert described[spec.name].replication_count == 1
        assert described[spec.name].configs.items() >= spec.configs(1).items()


async def test_creating_again_adds_what_is_missing_and_changes_nothing(kafka: str, prefix: str) -> None:
    table, more = topics.table(prefix), topics.table(prefix, ["late"])
    await door.create_topics(at(kafka), table, 2, 1)
    created, existing = await door.create_topics(at(kafka), more, 5, 1)
    assert created == [f"{prefix}.requests.late"]
    assert set(existing) == {spec.name for spec in table}
    problems = await door.check_topics(at(kafka), TopicsConfig(prefix=prefix, lanes=("late",)))
    assert all("must have 5" in problem for problem in problems)
    assert len(problems) == len([spec for spec in table if spec.partitions == "requests"])


async def test_checks_find_what_somebody_changed(kafka: str, prefix: str) -> None:
    names = TopicsConfig(prefix=prefix)
    await door.create_topics(at(kafka), topics.table(prefix), 2, 1)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        # AlterConfigs sets all of them; the rest goes back to the broker's defaults.
        change = {"retention.ms": "60000", "cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, f"{prefix}.audit", configs=change)])
        await admin.delete_topics([f"{prefix}.alerts"])
        # A broker answers before it has heard from the controller of what it forwarded; the last of it comes last.
        while f"{prefix}.alerts" in await admin.list_topics():  # noqa: ASYNC110 - the broker has no event for it
            await asyncio.sleep(0.01)
    finally:
        await admin.close()
    problems = await door.check_topics(at(kafka), names)
    assert len(problems) == 2
    assert f"topic {prefix}.audit has retention.ms=60000, must have -1" in problems[0]
    assert f"topic {prefix}.alerts does not exist" in problems[1]
    assert await door.check_topics(at(kafka), names, used_by="client") == []


async def test_asking_for_a_topic_does_not_make_it(start_kafka: Callable[..., LocalKafka]) -> None:
    """On a cluster that makes topics for whoever asks, as many do."""
    broker = start_kafka(properties={"auto.create.topics.enable": "true"})
    names = TopicsConfig(prefix="lazy")
    first = await door.check_topics(at(broker.bootstrap), names)
    assert first == await door.check_topics(at(broker.bootstrap), names)
    assert all("does not exist" in problem for problem in first)


async def test_refused_creation_names_the_topic(kafka: str, prefix: str) -> None:
    with pytest.raises(TopicsError, match=rf"^topic {prefix}\.requests: not created \(InvalidReplicationFactorError"):
        await door.create_topics(at(kafka), topics.table(prefix), 1, 99)


# A local Kafka ----------------------------------------------------------------------------------------------------


async def test_acknowledged_records_outlive_stop_kill_and_freeze(
    kafka_private: LocalKafka, create_topic: Any, produce: Any, read_all: Any
) -> None:
    bootstrap = kafka_private.bootstrap
    topic = await create_topic(bootstrap, "kept", 2)
    await produce(bootstrap, topic, [b"first"], partitions=2)
    kafka_private.restart()
    await produce(bootstrap, topic, [b"second"], partitions=2)
    kafka_private.kill()
    assert not kafka_private.running
    assert not answers(kafka_private.port)
    kafka_private.start()
    await produce(bootstrap, topic, [b"third"], partitions=2)
    kafka_private.freeze()
    assert kafka_private.running
    assert not answers(kafka_private.port, timeout_s=0.3)
    kafka_private.thaw()
    assert kafka_private.bootstrap == bootstrap
    assert [record.value for record in await read_all(bootstrap, topic)] == [b"first", b"second", b"third"]


async def test_client_waits_through_a_restart(kafka_private: LocalKafka) -> None:
    kafka_private.kill()
    said: asyncio.Queue[str] = asyncio.Queue()
    waiting = asyncio.create_task(door.wait_for_broker(at(kafka_private.bootstrap), on_wait=said.put_nowait))
    assert "connection refused" in await said.get()
    await asyncio.to_thread(kafka_private.start)
    await asyncio.wait_for(waiting, 60)
    assert (await door.probe(at(kafka_private.bootstrap), transactional_id="w1")).exactly_once


@pytest.mark.usefixtures("local_kafka_possible")
def test_broken_property_is_explained_by_kafkas_own_log() -> None:
    broken = LocalKafka(properties={"num.partitions": "many"})
    with pytest.raises(BrokerError, match=r"(?s)Apache Kafka .* ended; end of its log:.*num\.partitions"), broken:
        pass


@pytest.mark.skipif(java_problem() is not None, reason=f"nothing to fall back to: {java_problem()}")
def test_docker_that_answers_and_cannot_run_is_not_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No registry, no network, a remote engine: whatever it is, this machine's Java does."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 27.0.3\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    said: list[str] = []
    with LocalKafka(say=said.append) as broker:
        assert answers(broker.port)
    assert any("Using the Java of this machine" in line for line in said)


def test_machine_without_java_and_docker_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = LocalKafka.unavailable_reason() or ""
    assert "there is no Docker" in reason
    assert "install a runtime of Java 17 or later, and Maven" in reason
    with pytest.raises(BrokerError, match="no Apache Kafka can be started here"), LocalKafka():
        pass


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'openjdk version \"11.0.2\" 2019-01-15' >&2", "is older than 17"),
        ("echo 'java version \"1.8.0_292\"' >&2", "is older than 17"),
        ("exit 1", "is older than 17"),
        ("echo 'openjdk version \"21\" 2023-09-19' >&2", "there is no Maven"),
    ],
    ids=["11", "8", "broken", "21 without Maven"],
)
def test_java_that_will_not_do_is_told(script: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert says in (LocalKafka.unavailable_reason() or "")


PROGRAM = """
import time
from stream_maas.brokers import LocalKafka
broker = LocalKafka().start()
print(broker.port, flush=True)
time.sleep(600)
"""


@pytest.mark.usefixtures("local_kafka_possible")
def test_kafka_dies_with_a_killed_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        assert answers(port)
    finally:
        owner.kill()
        owner.wait()
    while answers(port, timeout_s=0.2):  # ends, or the test's own timeout does
        pass
