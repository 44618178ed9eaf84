"""No SDK: a bare JSON body to the request topic, the answer from the results topic. Any Kafka client can do this.

An answer stands in the partition of its request and names the request's coordinates in the header `maas-audit-id`
(and the request's id in `ce_correlationid`). Read committed records only.
"""

import asyncio
import json
import os

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

BOOTSTRAP = os.environ.get("STREAM_MAAS_BOOTSTRAP", "127.0.0.1:9092")
PREFIX = os.environ.get("STREAM_MAAS_PREFIX", "maas")
BODY = {
    "model_name": "sentiment-lite",
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["What a lovely film."]}],
}


async def main() -> None:
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=BOOTSTRAP,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await producer.start()
    await consumer.start()
    try:
        sent = await producer.send_and_wait(f"{PREFIX}.requests", json.dumps(BODY).encode())
        place = f"{sent.topic}:{sent.partition}:{sent.offset}".encode()
        consumer.assign([TopicPartition(f"{PREFIX}.results", sent.partition)])
        async for record in consumer:
            if dict(record.headers).get("maas-audit-id") == place:
                print(json.dumps(json.loads(record.value), indent=2))
                return
    finally:
        await consumer.stop()
        await producer.stop()


asyncio.run(main())
