"""The SDK on a broker that goes away, comes back, and grows. Answers come from a responder of a few lines that uses
the real wire format, so that only the client is tried here; tests/embedded/test_client.py has a real worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from stream_maas import Client, errors, kafka, topics, wire
from stream_maas.brokers import LocalKafka
from stream_maas.client import Call
from stream_maas.client import producer as producer_module
from stream_maas.records import ModelRef, Prediction, Tensor
from stream_maas.settings import KafkaConfig

MODEL = ModelRef("echo", "1", "0" * 64, "Apache-2.0")


async def make_topics(bootstrap: str, prefix: str, partitions: int = 3) -> None:
    await kafka.create_topics(KafkaConfig(bootstrap), topics.table(prefix), partitions, 1)


@asynccontextmanager
async def responder(bootstrap: str, prefix: str, partitions: int = 3) -> AsyncIterator[None]:
    """Answers every request with its own text as the label, into the same partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    sender = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await consumer.start()
    await sender.start()

    async def respond() -> None:
        consumer.assign([TopicPartition(topics.requests(prefix), number) for number in range(partitions)])
        async for record in consumer:
            request = wire.decode_request(record)
            place = wire.audit_id(record.topic, record.partition, record.offset)
            outputs = (Tensor("label", "BYTES", (1,), request.inputs[0].data),)
            value = wire.encode_prediction(Prediction(id=request.id, model=MODEL, outputs=outputs))
            headers = wire.answer_headers(
                "prediction", request_id=request.id, audit_id=place, source="/test", traceparent=None
            )
            await sender.send(topics.results(prefix), value, partition=record.partition, headers=headers)

    task = asyncio.create_task(respond())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.stop()
        await consumer.stop()


async def test_calls_go_on_through_a_restart_of_the_broker(kafka_private: LocalKafka, prefix: str) -> None:
    bootstrap = kafka_private.bootstrap
    await make_topics(bootstrap, prefix)
    texts = [f"text {number}" for number in range(6_000)]
    async with responder(bootstrap, prefix), Client(bootstrap, prefix=prefix) as client:
        work = asyncio.create_task(client.predict_many("echo", texts, in_flight=200, timeout=120))
        while client._producer._sent < 1_000:  # noqa: ASYNC110 - in the middle of it
            await asyncio.sleep(0.01)
        await asyncio.to_thread(kafka_private.kill)
        await asyncio.to_thread(kafka_private.start)
        predictions = await work
    assert [prediction.label for prediction in predictions] == texts


async def test_a_request_whose_acknowledgement_was_lost_is_not_doubled(kafka_private: LocalKafka, prefix: str) -> None:
    """The frozen broker has the requests in its buffers, the client gives up waiting and sends them again."""
    bootstrap = kafka_private.bootstrap
    await make_topics(bootstrap, prefix)
    impatient = KafkaConfig(bootstrap, request_timeout_ms=1_000)
    async with responder(bootstrap, prefix), Client(kafka=impatient, prefix=prefix) as client:
        await client.predict("echo", "connections are open")
        kafka_private.freeze()
        work = asyncio.create_task(client.predict_many("echo", [f"text {number}" for number in range(50)], timeout=60))
        await asyncio.sleep(2.5)  # two request timeouts
        kafka_private.thaw()
        await work
        assert await _count(bootstrap, topics.requests(prefix)) == 51


async def test_requests_to_a_partition_that_was_added_are_answered(kafka: str, prefix: str) -> None:
    await make_topics(kafka, prefix, partitions=1)
    async with Client(kafka, prefix=prefix) as client:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        names = (topics.requests(prefix), topics.results(prefix))
        await admin.create_partitions({name: NewPartitions(3) for name in names})
        await admin.close()
        # aiokafka would learn of it at its next refresh, which is minutes away.
        while len(await client._producer._producer.partitions_for(names[0])) < 3:
            await client._producer._producer.client.force_metadata_update()
        async with responder(kafka, prefix):
            texts = [f"text {number}" for number in range(30)]
            predictions = await client.predict_many("echo", texts)
        assert [prediction.label for prediction in predictions] == texts
        assert len(client._started_at) == 3


async def test_a_client_closes_although_the_broker_is_gone(
    kafka_private: LocalKafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "_STOP_S", 0.2)
    await make_topics(kafka_private.bootstrap, prefix)
    client = Client(kafka_private.bootstrap, prefix=prefix)
    await client.start()
    await asyncio.to_thread(kafka_private.kill)
    pending = await client.begin(Call("echo", "never sent"))
    await client.close()
    with pytest.raises(errors.BrokerError, match="closed"):
        await pending.answer


async def test_a_producer_that_is_spent_is_replaced(kafka: str, prefix: str) -> None:
    """aiokafka counts sequence numbers past what the protocol has; long before that a new producer takes over."""
    await make_topics(kafka, prefix)
    async with responder(kafka, prefix), Client(kafka, prefix=prefix) as client:
        first = client._producer._producer
        client._producer._sent = producer_module._RECORDS_PER_PRODUCER - 50
        texts = [f"text {number}" for number in range(500)]
        predictions = await client.predict_many("echo", texts)
        assert [prediction.label for prediction in predictions] == texts
        assert client._producer._producer is not first
        assert client._producer.idempotent


async def _count(bootstrap: str, topic: str) -> int:
    """Records of a topic that has no transactions, so that offsets count."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(3)])
        return sum(ends.values())
    finally:
        await consumer.stop()
