"""How rows become produce batches: whole ones, closed before they are sent, one after the other per partition.

aiokafka's own builder takes a call per row. Where `native/batches.pyx` was compiled, it writes all rows of a batch at
once, and what is left of a builder, head and compression, is done here (tests/unit/worker/test_batches.py: the same
bytes).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka import codec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from stream_maas import native
from stream_maas.errors import BrokerError
from stream_maas.records import Outgoing
from stream_maas.topics import BATCH_BYTES
from stream_maas.worker.producers import read_error

_KERNEL = native.load("batches")
_HEAD = struct.Struct(">qiibIhiqqqhii")
_CRC = struct.Struct(">I")
_CRC_AT = 17
"""The checksum covers what comes behind it."""
_AFTER_LENGTH = 12
"""Where the bytes begin that the length counts."""
_MAGIC = 2
_CODEC, _TRANSACTIONAL = 0b111, 0b10000
"""Bits of a batch's attributes."""
_ENCODERS = {1: codec.gzip_encode, 2: codec.snappy_encode, 3: codec.lz4_encode, 4: codec.zstd_encode}

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
        return [await producer.send_batch(batch, topic, partition=partition) for batch in filled(producer, topic, rows)]
    except AssertionError:  # what aiokafka makes of a partition that it does not know
        if partition in await producer.partitions_for(topic):
            raise
        raise BrokerError(
            f"topic {topic}: has no partition {partition}, as the request topic has; next: `stream-maas topics check`"
        ) from None


def filled(producer: Any, topic: str, rows: Sequence[Outgoing]) -> Iterator[BatchBuilder]:
    """Closed batches with all rows; one that does not fit closes the batch and opens the next one."""
    now_ms = time.time_ns() // 1_000_000
    return _filled_in_python(producer, topic, rows, now_ms) if _KERNEL is None else _written(producer, rows, now_ms)


def _filled_in_python(producer: Any, topic: str, rows: Sequence[Outgoing], now_ms: int) -> Iterator[BatchBuilder]:
    """`BatchBuilder.append` costs more around the compiled builder than in it, and reads the clock for each row."""
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


def _written(producer: Any, rows: Sequence[Outgoing], now_ms: int) -> Iterator[BatchBuilder]:
    assert _KERNEL is not None
    accumulator = producer._message_accumulator
    transactions = accumulator._txn_manager
    attributes = accumulator._compression_type
    if transactions is not None and transactions.transactional_id is not None:
        attributes |= _TRANSACTIONAL
    rows = list(rows)
    start = 0
    while start < len(rows):
        data, count = _KERNEL.fill(rows, start, _HEAD.size, accumulator._batch_size)
        yield WrittenBatch(data, count, attributes, now_ms)
        start += count


class WrittenBatch(BatchBuilder):  # type: ignore[misc]
    """A closed batch whose records are written already."""

    def __init__(self, data: bytearray, count: int, attributes: int, now_ms: int) -> None:
        """`data`: the records behind room for the head. `attributes`: codec and flags of the batch."""
        self._data = data
        self._relative_offset = count
        self._attributes = attributes
        self._now_ms = now_ms
        self._producer = (-1, -1, 0)
        self._buffer: bytearray | None = None
        self._closed = True

    def append(self, **row: Any) -> None:
        """Nothing is added to it any more."""

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def size(self) -> int:
        return len(self._data)

    def _build(self) -> bytearray:
        if self._buffer is None:
            self._compress()
            self._write_head()
            self._buffer = self._data
        return self._data

    def _compress(self) -> None:
        """What does not become smaller stays as it is."""
        codec = self._attributes & _CODEC
        if not codec:
            return
        compressed = _ENCODERS[codec](bytes(memoryview(self._data)[_HEAD.size :]))
        if len(compressed) < len(self._data):  # aiokafka's builder counts the head in as well
            self._data[_HEAD.size :] = compressed
        else:
            self._attributes &= ~_CODEC

    def _write_head(self) -> None:
        """KIP-98, "Message Format". The broker sets the base offset and the epoch of its leader."""
        count, now_ms, data = self._relative_offset, self._now_ms, self._data
        _HEAD.pack_into(
            data, 0, 0, len(data) - _AFTER_LENGTH, -1, _MAGIC, 0, self._attributes, count - 1, now_ms, now_ms,
            *self._producer, count,
        )  # fmt: skip
        _CRC.pack_into(data, _CRC_AT, calc_crc32c(memoryview(data)[_CRC_AT + _CRC.size :]))
