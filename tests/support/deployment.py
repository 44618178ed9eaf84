"""What every delivery test needs around its workers: topics, requests sent by hand, and the last reading of it all."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, ConsumerRecord

from stream_maas import kafka as kafka_room
from stream_maas import topics, wire
from stream_maas.settings import KafkaConfig
from tests.support.traffic import PREDICTED, Sent, send_all

ReadAll = Callable[..., Awaitable[list[ConsumerRecord]]]
"""The fixture `read_all`."""


async def create_topics(bootstrap: str, prefix: str, partitions: int, lanes: Sequence[str] = ()) -> None:
    """The topics of one deployment, as `stream-maas topics create` makes them."""
    await kafka_room.create_topics(KafkaConfig(bootstrap), topics.table(prefix, lanes), partitions, 1)


def request(partition: int, value: bytes, request_id: str, *, code: str = PREDICTED) -> Sent:
    """One record to send by hand; keyed by its partition."""
    return Sent(partition, f"key-{partition}".encode(), value, (), time.time_ns() // 1_000_000, code, request_id)


async def send(bootstrap: str, topic: str, records: Sequence[Sent]) -> None:
    """Send and wait for every acknowledgement."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=1 << 18)
    await producer.start()
    try:
        await send_all(producer, topic, records)
    finally:
        await producer.stop()


@dataclass(frozen=True, slots=True)
class Logged:
    """What stands in the topics of a deployment when nobody writes any more, as a read_committed reader sees it."""

    requests: list[ConsumerRecord]
    results: list[ConsumerRecord]
    audits: list[ConsumerRecord]
    """Decisions: the audit events about requests."""
    dead_letters: list[ConsumerRecord]
    service_events: list[ConsumerRecord]
    """The other audit events: sessions of writers, loaded models."""

    @property
    def written(self) -> list[ConsumerRecord]:
        """Everything that workers wrote."""
        return [*self.results, *self.audits, *self.dead_letters, *self.service_events]


async def read_deployment(read_all: ReadAll, bootstrap: str, prefix: str, lanes: Sequence[str] = ()) -> Logged:
    """Read every topic from the first record to its present end."""
    requests = await read_all(bootstrap, *(topics.requests(prefix, lane) for lane in ("", *lanes)))
    audit = await read_all(bootstrap, topics.audit(prefix))
    return Logged(
        requests,
        await read_all(bootstrap, topics.results(prefix)),
        [record for record in audit if wire.is_decision(record.value)],
        await read_all(bootstrap, topics.dead_letters(prefix)),
        [record for record in audit if not wire.is_decision(record.value)],
    )
