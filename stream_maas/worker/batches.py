"""How rows become produce batches: whole ones, closed before they are sent, one after the other per partition.

aiokafka's own builder takes a call per row. Where `native/batches.pyx` was compiled, it writes all rows of a batch at
once, and what is left of a builder, head and compression, is done here (tests/unit/worker/test_batches.py: the same
bytes, but for larger blocks of Snappy).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cramjam
from aiokafka import codec
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_maas import native
from stream_maas.errors import BrokerError
from stream_maas.kafka.checksum import crc32c
from stream_maas.records import Outgoing
from stream_maas.topics import BATCH_BYTES
from stream_maas.worker.producers import read_error

_KERNEL = native.load("batches")
_HEAD = struct.Struct(">qiibI")
_CHECKED_HEAD = struct.Struct(">hiqqqhii")
"""What the checksum covers of a batch's head; the records follow."""
_HEAD_BYTES = _HEAD.size + _CHECKED_HEAD.size
_AFTER_LENGTH = 12
"""Where the bytes begin that the length counts."""
_MAGIC = 2
_CODEC, _TRANSACTIONAL = 0b111, 0b10000
"""Bits of a batch's attributes."""

_SNAPPY_HEAD = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
"""Of the stream of blocks that Java's library made the form of Snappy in Kafka (xerial/snappy-java)."""
_SNAPPY_BLOCK_BYTES = 1 << 16
"""As far as Snappy looks back. Half of it, which is usual, costs more and saves less."""


def _snappy_blocks(records: bytearray) -> bytes:
    most = min(len(records), _SNAPPY_BLOCK_BYTES)
    block = memoryview(bytearray(32 + most + most // 6))  # snappy.cc, MaxCompressedLength
    pieces = [_SNAPPY_HEAD]
    with memoryview(records) as view:
        for start in range(0, len(view), _SNAPPY_BLOCK_BYTES):
            size = cramjam.snappy.compress_raw_into(view[start : start + _SNAPPY_BLOCK_BYTES], block)
            pieces += (size.to_bytes(4, "big"), bytes(block[:size]))
    return b"".join(pieces)


_ENCODERS: dict[int, Callable[[bytearray], bytes]] = {
    1: codec.gzip_encode,
    2: _snappy_blocks,
    3: lambda records: codec.lz4_encode(bytes(records)),
    4: lambda records: codec.zstd_encode(bytes(records)),
}

Rows = Mapping[tuple[str, int], Sequence[Outgoing]]
"""(topic, partition) -> records."""


async def send_batches(producer: Any, rows: Rows, deliveries: list[asyncio.Future[Any]]) -> None:
    """Hand rows to an `AIOKafkaProducer`; what is to be acknowledged is added to `deliveries`."""
    for (topic, partition), outgoing in rows.items():
        deliveries += [await _send(producer, batch, topic, partition) for batch in filled(producer, topic, outgoing)]


async def send_in_order(producer: Any, rows: Rows) -> None:
    """The same, one batch after the other, each acknowledged: without idempotence, where the first is refused and the
    next one is not, records would stand in the log before those that came before them."""
    for (topic, partition), outgoing in rows.items():
        for batch in filled(producer, topic, outgoing):
            await (await _send(producer, batch, topic, partition))


async def _send(producer: Any, batch: BatchBuilder, topic: str, partition: int) -> asyncio.Future[Any]:
    try:
        delivery: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)
    except AssertionError:  # what aiokafka makes of a partition that it does not know
        if partition in await producer.partitions_for(topic):
            raise
        raise BrokerError(
            f"topic {topic}: has no partition {partition}, as the request topic has; next: `stream-maas topics check`"
        ) from None
    delivery.add_done_callback(read_error)
    return delivery


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
        data, count = _KERNEL.fill(rows, start, _HEAD_BYTES, accumulator._batch_size)
        yield WrittenBatch(data, count, attributes, now_ms)
        start += count


class WrittenBatch(BatchBuilder):  # type: ignore[misc]
    """A closed batch whose records are written already."""

    def __init__(self, records: bytearray, count: int, attributes: int, now_ms: int) -> None:
        """`attributes`: codec and flags of the batch. It is compressed here, where what was written is near."""
        self._records, self._attributes = _compressed(records, attributes)
        self._relative_offset = count
        self._now_ms = now_ms
        self._producer = (-1, -1, 0)
        self._buffer: bytes | None = None
        self._closed = True

    def append(self, **row: Any) -> None:
        """Nothing is added to it any more."""

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def size(self) -> int:
        return _HEAD_BYTES + len(self._records)

    def _build(self) -> bytes:
        if self._buffer is None:
            self._buffer = self._head() + self._records
        return self._buffer

    def _head(self) -> bytes:
        """KIP-98, "Message Format". The broker sets the base offset and the epoch of its leader."""
        count, now_ms = self._relative_offset, self._now_ms
        checked = _CHECKED_HEAD.pack(self._attributes, count - 1, now_ms, now_ms, *self._producer, count)
        length = _HEAD_BYTES - _AFTER_LENGTH + len(self._records)
        return _HEAD.pack(0, length, -1, _MAGIC, crc32c(checked, self._records)) + checked


def _compressed(records: bytearray, attributes: int) -> tuple[bytes, int]:
    """The records as they are sent, and their attributes. What does not become smaller stays as it is."""
    if number := attributes & _CODEC:
        compressed = _ENCODERS[number](records)
        if len(compressed) < len(records) + _HEAD_BYTES:  # aiokafka's builder counts the head in as well
            return compressed, attributes
    return bytes(records), attributes & ~_CODEC
