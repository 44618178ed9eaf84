"""How rows become produce batches: whole ones, closed before they are sent, one after the other per partition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
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
    try:
        return [
            await producer.send_batch(batch, topic, partition=partition) for batch in _filled(producer, topic, rows)
        ]
    except AssertionError:  # what aiokafka makes of a partition that it does not know
        if partition in await producer.partitions_for(topic):
            raise
        raise BrokerError(
            f"topic {topic}: has no partition {partition}, as the request topic has; next: `stream-maas topics check`"
        ) from None


def _filled(producer: Any, topic: str, rows: Sequence[Outgoing]) -> Iterator[Any]:
    """Closed batches with all rows; one that does not fit closes the batch and opens the next one.

    `BatchBuilder.append` costs more around the compiled builder than in it, and reads the clock for each row.
    """
    now_ms = time.time_ns() // 1_000_000
    left = iter(rows)
    row = next(left, None)
    while row is not None:
        batch = producer.create_batch()
        append, count = batch._builder.append, 0
        while row is not None and append(count, now_ms, row.key, row.value, row.headers) is not None:
            count += 1
            row = next(left, None)
        if not count:
            raise BrokerError(f"topic {topic}: a record is larger than the produce batch ({BATCH_BYTES} bytes)")
        batch._relative_offset = count
        batch.close()
        yield batch
