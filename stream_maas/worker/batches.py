"""How rows become produce batches: whole ones, closed before they are sent, one after the other per partition."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from stream_maas.errors import BrokerError
from stream_maas.records import Outgoing
from stream_maas.topics import BATCH_BYTES
from stream_maas.worker.producers import read_error

Rows = Mapping[tuple[str, int], Sequence[Outgoing]]
"""(topic, partition) -> records."""


async def send_batches(producer: Any, rows: Rows, deliveries: list[asyncio.Future[Any]]) -> None:
    """Hand rows to an `AIOKafkaProducer`; what is to be acknowledged is added to `deliveries`."""
    for (topic, partition), outgoing in rows.items():
        for delivery in await _send(producer, topic, partition, outgoing):
            delivery.add_done_callback(read_error)
            deliveries.append(delivery)


async def _send(producer: Any, topic: str, partition: int, rows: Sequence[Outgoing]) -> list[asyncio.Future[Any]]:
    """A row that does not fit closes the batch and opens the next one."""
    deliveries = []
    batch = None
    for row in rows:
        if batch is not None and batch.append(key=row.key, value=row.value, timestamp=None, headers=row.headers):
            continue
        if batch is not None:
            batch.close()
            deliveries.append(await producer.send_batch(batch, topic, partition=partition))
        batch = producer.create_batch()
        if not batch.append(key=row.key, value=row.value, timestamp=None, headers=row.headers):
            raise BrokerError(f"topic {topic}: a record is larger than the produce batch ({BATCH_BYTES} bytes)")
    if batch is not None:
        batch.close()
        deliveries.append(await producer.send_batch(batch, topic, partition=partition))
    return deliveries
