"""Real brokers for tests, and the rule for a machine that has none; tests/README.md tells how to use them.

A test that asks for one of these fixtures gets the marker `kafka` or `embedded` by itself. Where no broker can be
had, its tests fail under CI and are skipped elsewhere, and the last lines of the run say so.
"""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

import hypothesis
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_maas.brokers import EmbeddedBroker, LocalKafka

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
FOLDER_MARKS = {
    "embedded": pytest.mark.embedded,
    "kafka": pytest.mark.kafka,
    "training": pytest.mark.training,
    "browser": pytest.mark.browser,
}
"""What stands in these folders may start a broker without a fixture (`stream-maas demo` does) or takes long."""
FIXTURE_MARKS = {
    "kafka": "kafka",
    "kafka_private": "kafka",
    "start_kafka": "kafka",
    "local_kafka_possible": "kafka",
    "embedded_broker": "embedded",
    "start_embedded": "embedded",
}
READ_STALL_MS = 30_000
"""`read_all` gives up when it gets no further for this long."""

# No deadlines: machines are shared, and how long an example takes proves nothing.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=60)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=200, print_blob=True)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


class StartKafka(Protocol):
    """Type of the fixture `start_kafka`; the options are those of `LocalKafka`."""

    def __call__(self, **options: Any) -> LocalKafka: ...


class CreateTopic(Protocol):
    """Type of the fixture `create_topic`."""

    def __call__(
        self, bootstrap: str, topic: str, partitions: int = 4, configs: Mapping[str, str] | None = None
    ) -> Awaitable[str]: ...


class ReadAll(Protocol):
    """Type of the fixture `read_all`."""

    def __call__(
        self, bootstrap: str, *topics: str, isolation_level: str = "read_committed", stable_only: bool = False
    ) -> Awaitable[list[ConsumerRecord]]: ...


class Produce(Protocol):
    """Type of the fixture `produce`."""

    def __call__(
        self, bootstrap: str, topic: str, values: list[bytes], partitions: int = 4, key: bytes | None = None
    ) -> Awaitable[None]: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if mark := FOLDER_MARKS.get(Path(item.path).parent.name):
            item.add_marker(mark)
        for name in getattr(item, "fixturenames", ()):
            if mark := FIXTURE_MARKS.get(name):
                item.add_marker(mark)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line that cannot be overlooked: how many tests did not run, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple))
    for reason, count in reasons.most_common():
        text = f"NOT RUN: {count} test{'s' if count > 1 else ''}: {reason.removeprefix('Skipped: ')}"
        terminalreporter.write_line(text, yellow=True, bold=True)


def _missing(reason: str) -> NoReturn:
    if IN_CI:
        pytest.fail(f"this CI machine must be able to start its brokers: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[str]:
    """`HOST:PORT` of one embedded broker for the whole session."""
    if reason := EmbeddedBroker.unavailable_reason():
        _missing(reason)
    with EmbeddedBroker() as broker:
        yield broker.bootstrap


@pytest.fixture
def start_embedded() -> Iterator[Callable[[], EmbeddedBroker]]:
    """Start embedded brokers of the test's own; they are removed after it."""
    if reason := EmbeddedBroker.unavailable_reason():
        _missing(reason)
    brokers: list[EmbeddedBroker] = []

    def start() -> EmbeddedBroker:
        brokers.append(EmbeddedBroker())
        return brokers[-1].start()

    yield start
    for broker in brokers:
        broker.close()


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """`HOST:PORT[,...]` of an Apache Kafka shared by the session: STREAM_MAAS_TEST_BOOTSTRAP or one of its own.

    Tests share it, so they use `prefix` in the names of topics, groups and transactional ids, and never stop it.
    """
    if bootstrap := os.environ.get("STREAM_MAAS_TEST_BOOTSTRAP"):
        yield bootstrap
        return
    if reason := LocalKafka.unavailable_reason():
        _missing(f"{reason}; or set STREAM_MAAS_TEST_BOOTSTRAP")
    with LocalKafka(say=_say(pytestconfig)) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def local_kafka_possible() -> None:
    """For a fixture with a `LocalKafka` of its own: skips, or fails in CI, where none can be started."""
    if reason := LocalKafka.unavailable_reason():
        _missing(reason)


@pytest.fixture
def start_kafka(local_kafka_possible: None, pytestconfig: pytest.Config) -> Iterator[StartKafka]:
    """Start Apache Kafkas of the test's own, `start_kafka(properties={...})`; they are removed after it."""
    brokers: list[LocalKafka] = []

    def start(**options: Any) -> LocalKafka:
        brokers.append(LocalKafka(say=_say(pytestconfig), **options))
        return brokers[-1].start()

    yield start
    for broker in brokers:
        broker.close()


@pytest.fixture
def kafka_private(start_kafka: StartKafka) -> LocalKafka:
    """A running Apache Kafka of the test's own, to stop, kill, freeze and restart."""
    return start_kafka()


@pytest.fixture
def prefix() -> str:
    """Unique to the test: the start of every topic, group and transactional id that it makes."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def create_topic() -> CreateTopic:
    """`await create_topic(bootstrap, name, partitions, {"retention.ms": "-1"})`; returns the name."""

    async def create(bootstrap: str, topic: str, partitions: int = 4, configs: Mapping[str, str] | None = None) -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            response = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(configs or {}))])
            assert all(error[1] == 0 for error in response.topic_errors), response.topic_errors
        finally:
            await admin.close()
        return topic

    return create


@pytest.fixture
def produce() -> Produce:
    """`await produce(bootstrap, topic, values)`: acknowledged by all, round-robin over the partitions."""

    async def send(
        bootstrap: str, topic: str, values: list[bytes], partitions: int = 4, key: bytes | None = None
    ) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
        await producer.start()
        try:
            sent = [
                await producer.send(topic, value, key=key, partition=index % partitions)
                for index, value in enumerate(values)
            ]
            for future in sent:
                await future
        finally:
            await producer.stop()

    return send


@pytest.fixture
def read_all() -> ReadAll:
    """`await read_all(bootstrap, *topics)`: every record from the first to the present end, by topic and partition.

    The end is the high watermark that the first fetch of a partition tells. Three things that look simpler are
    wrong: the last stable offset lags behind a commit that was already confirmed, because markers are written later
    and partition by partition; markers take up offsets, so the end is reached by position and not by a record's
    offset (aiokafka#911); and the embedded broker answers ListOffsets with the first offset of the last batch + 1.
    With a transaction open it therefore waits until that ends; `stable_only` stops before it instead.
    """

    async def read(
        bootstrap: str, *topics: str, isolation_level: str = "read_committed", stable_only: bool = False
    ) -> list[ConsumerRecord]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level=isolation_level, auto_offset_reset="earliest",
            fetch_max_wait_ms=20, max_partition_fetch_bytes=8 << 20,
        )  # fmt: skip
        await consumer.start()
        try:
            behind = await _assign(consumer, topics)
            end_of = consumer.last_stable_offset if stable_only else consumer.highwater
            ends: dict[TopicPartition, int] = {}
            records: list[ConsumerRecord] = []
            stalled_ms = 0
            while behind:
                fetched = await consumer.getmany(*behind, timeout_ms=100)
                records += [record for batch in fetched.values() for record in batch]
                ends |= {tp: end_of(tp) for tp in behind - ends.keys() if end_of(tp) is not None}
                reached = {tp for tp in behind & ends.keys() if await consumer.position(tp) >= ends[tp]}
                stalled_ms = 0 if fetched or reached else stalled_ms + 100
                assert stalled_ms < READ_STALL_MS, f"{len(behind)} partitions never reached their end"
                behind -= reached
        finally:
            await consumer.stop()
        inside = (r for r in records if r.offset < ends[TopicPartition(r.topic, r.partition)])
        return sorted(inside, key=lambda r: (r.topic, r.partition, r.offset))

    return read


async def _assign(consumer: AIOKafkaConsumer, topics: tuple[str, ...]) -> set[TopicPartition]:
    await consumer._client.set_topics(topics)  # a consumer without subscription knows no partitions yet
    found = {topic: consumer.partitions_for_topic(topic) for topic in topics}
    assert all(found.values()), f"no such topics: {[topic for topic, ids in found.items() if not ids]}"
    partitions = {TopicPartition(topic, number) for topic, ids in found.items() for number in ids or ()}
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    return partitions


def _say(config: pytest.Config) -> Callable[[str], None]:
    """Tell the person at the terminal at once (fetching Kafka takes a while), captured output or not."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")

    def say(line: str) -> None:
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)

    return say
