"""How fetched batches become records: all records of a batch at once, small ones, whatever their headers are called.

aiokafka makes an object of eleven members of each record, in four calls and through two generators. Here a batch is
to aiokafka one record, which becomes a list: `native/fetched.pyx` reads it in one call and makes what the worker needs
of a record and nothing more. So what aiokafka knows of batches (control records, aborted transactions, where to fetch
next) stays its own. Where the kernel was not compiled, and in formats before KIP-98, aiokafka's classes read the batch.

On a header name that is no text aiokafka fails for the whole batch, at every attempt. Brokers look at no header, and
producers exist that let any bytes be a name. To a consumer such a record would be the end: every worker that is given
its partition would fail on it. Here its names are read with U+FFFD in place of what is no text, so that the record can
be answered; nobody looks for a name that has one.

`install` replaces three names in aiokafka 0.14's fetcher (tests/contract/test_private_api.py holds them).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record import default_records, memory_records
from aiokafka.record.util import decode_varint_py

from stream_maas import native
from stream_maas.kafka.checksum import crc32c
from stream_maas.records import InputRecord

_KERNEL = native.load("fetched")
_HEAD = struct.Struct(">qiibIhiqqqhii")
"""KIP-98, "Message Format": base offset, length, leader epoch, magic, checksum, attributes, last offset delta, first
and largest timestamp, producer id, its epoch, base sequence, count of records."""
_LENGTH = struct.Struct(">8xi")
_LENGTH_COVERS_FROM, _MAGIC_AT, _CHECKSUM_COVERS_FROM = 12, 16, 21
_MAGIC = 2
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0b111, 0b1000, 0b10000, 0b100000
"""Bits of a batch's attributes."""
_DECODERS: dict[int, Callable[[bytes], bytes]] = {
    1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode
}  # fmt: skip
_DECODING_FAILED = (UnicodeDecodeError, CorruptRecordException)
"""What aiokafka's compiled and its Python code make of a name that is no text."""


def install() -> None:
    """Every consumer of this process reads such records from now on."""
    fetcher.MemoryRecords = FetchedBatches
    fetcher.PartitionRecords = FetchedRecords
    fetcher.FetchResult = FetchResult


class FetchedBatches:
    """The batches of one fetched partition. The last one may be cut off, and is fetched again then."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0
        self._end = self._end_of_batch()

    def size_in_bytes(self) -> int:
        return len(self._data)

    def has_next(self) -> bool:
        return self._end <= len(self._data)

    def next_batch(self) -> Any:
        """One of ours where it is of records in today's format, else aiokafka's own, which is read record by record."""
        start, end = self._start, self._end
        self._start, self._end = end, self._end_of_batch(end)
        if end - start >= _HEAD.size and self._data[start + _MAGIC_AT] == _MAGIC:
            batch = Batch(self._data, start, end)
            if not batch.is_control_batch:
                return batch
        return memory_records.MemoryRecords(self._data[start:end]).next_batch()

    def _end_of_batch(self, start: int = 0) -> int:
        """Behind the data where not even its length is there."""
        if start + _LENGTH_COVERS_FROM > len(self._data):
            return len(self._data) + 1
        length: int = _LENGTH.unpack_from(self._data, start)[0]
        return start + _LENGTH_COVERS_FROM + max(0, length)


class Batch:
    """A batch of records as aiokafka's fetcher sees it: with a single record, itself."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        (
            self.base_offset, _, _, _, self._crc, self._attributes, last_delta,
            self._first_ms, self._largest_ms, self.producer_id, _, _, self._count,
        ) = _HEAD.unpack_from(data, start)  # fmt: skip
        self.next_offset = self.base_offset + last_delta + 1
        self.offset = self.next_offset - 1
        self._data, self._start, self._end = data, start, end

    @property
    def is_control_batch(self) -> bool:
        return bool(self._attributes & _CONTROL)

    @property
    def is_transactional(self) -> bool:
        return bool(self._attributes & _TRANSACTIONAL)

    def validate_crc(self) -> bool:
        return crc32c(self._data[self._start + _CHECKSUM_COVERS_FROM : self._end]) == int(self._crc)

    def __iter__(self) -> Iterator[Batch]:
        yield self

    def records(self, topic: str, partition: int, least_offset: int) -> list[InputRecord]:
        """Those from `least_offset` on. Raises `CorruptRecordException` or `UnsupportedCodecError`."""
        if _KERNEL is None:
            return self._records_in_python(topic, partition, least_offset)
        data, start, stop = self._uncompressed()
        has_deltas = not self._attributes & _APPEND_TIME
        first_ms = self._first_ms if has_deltas else self._largest_ms
        try:
            records: list[InputRecord] = _KERNEL.read(
                data, start, stop, self._count, InputRecord, topic, partition,
                self.base_offset, first_ms, has_deltas, least_offset,
            )  # fmt: skip
        except ValueError as error:
            raise CorruptRecordException(f"offset {self.base_offset}: {error}") from None
        return records

    def _uncompressed(self) -> tuple[bytes, int, int]:
        """Data, and where in it the records begin and end."""
        number = self._attributes & _CODEC
        start = self._start + _HEAD.size
        if number:
            if number not in _DECODERS:
                raise UnsupportedCodecError(f"offset {self.base_offset}: codec {number}")
            records = bytes(_DECODERS[number](self._data[start : self._end]))
            return records, 0, len(records)
        return self._data, start, self._end

    def _records_in_python(self, topic: str, partition: int, least_offset: int) -> list[InputRecord]:
        """By aiokafka's compiled code, and by its slower Python where that fails on a name."""
        data = self._data[self._start : self._end]
        try:
            found = [_small(topic, partition, record) for record in default_records.DefaultRecordBatch(data)]
        except _DECODING_FAILED:
            found = [_small(topic, partition, record) for record in LenientBatch(data)]
        return [record for record in found if record.offset >= least_offset]


def _small(topic: str, partition: int, record: Any) -> InputRecord:
    headers = tuple(record.headers)
    return InputRecord(topic, partition, record.offset, record.timestamp, record.key, record.value, headers)


class FetchedRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's way from batches to records, where what stands for a record is a list of them."""

    _records_iterator: Iterator[list[InputRecord]] | None
    _left: Iterator[InputRecord] = iter(())
    """Of the last list."""

    def __next__(self) -> InputRecord:
        while (record := next(self._left, None)) is None:
            self._left = iter(super().__next__())
        self.next_fetch_offset = record.offset + 1
        return record

    def rest(self) -> list[InputRecord]:
        """All that is left, without a call per record."""
        records = list(self._left)
        for some in self._records_iterator or ():
            records += some
        return records

    def _consumer_record(self, tp: Any, record: Any) -> list[InputRecord]:
        if isinstance(record, Batch):
            return record.records(tp.topic, tp.partition, self.next_fetch_offset)
        return [_small(tp.topic, tp.partition, record)]


class FetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """aiokafka's own, which can be taken as a whole."""

    _partition_records: FetchedRecords | None

    def getall(self, max_records: int | None = None) -> Iterable[InputRecord]:
        if max_records is not None:
            return cast("list[InputRecord]", super().getall(max_records))
        if not self.check_assignment(self._topic_partition) or self._partition_records is None:
            return []
        records = self._partition_records.rest()
        self._update_position()
        self._partition_records = None
        return records


class LenientBatch(default_records._DefaultRecordBatchPy):  # type: ignore[misc]
    """aiokafka's Python, without the compiled function that it reads numbers with: behind the end of a batch that one
    goes on reading, whatever is there."""

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg(decode_varint_py)
        except (IndexError, ValueError) as error:  # ValueError: a number of more than 64 bits
            raise CorruptRecordException(f"a record that is cut off ({type(error).__name__})") from None

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _LenientText(self._buffer)


class _LenientText(bytearray):
    """Of the bytes of a batch, header names are the only ones that are decoded."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _LenientText(cast("bytearray", found)) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, "replace")
