"""How fetched batches become records: small ones, and even where a header name is not UTF-8.

aiokafka makes an object of eleven members of each record, in four calls; here it is one of seven, in two.

On a header name that is no text aiokafka fails for the whole batch, at every attempt. Brokers look at no header, and
producers exist that let any bytes be a name. To a consumer such a record would be the end: every worker that is given
its partition would fail on it. Here its names are read with U+FFFD in place of what is no text, so that the record can
be answered; nobody looks for a name that has one. The first reading stays aiokafka's own; only a batch on which that
fails is read a second time, by aiokafka's slower Python code.

`install` replaces two names in aiokafka 0.14's fetcher (tests/contract/test_private_api.py holds them).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, memory_records

from stream_maas.records import InputRecord

_LENGTH = slice(8, 12)
"""Where a batch says how many bytes follow that place (KIP-98, "Message Format")."""
_DECODING_FAILED = (UnicodeDecodeError, CorruptRecordException)
"""What aiokafka's compiled and its Python code make of such a name."""


def install() -> None:
    """Every consumer of this process reads such records from now on."""
    fetcher.MemoryRecords = LenientRecords
    fetcher.PartitionRecords = LenientPartitionRecords


class LenientRecords:
    """The batches of one fetched partition; the last one that was handed out can be had once more, read leniently."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._records = memory_records.MemoryRecords(data)
        self._start = self._end = 0
        self._again: LenientBatch | None = None
        self._repeated_at = -1

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return self._again is not None or bool(self._records.has_next())

    def next_batch(self) -> Any:
        if self._again is not None:
            batch, self._again = self._again, None
            return batch
        self._start = self._end
        head = self._data[self._start : self._start + _LENGTH.stop]
        self._end = self._start + _LENGTH.stop + int.from_bytes(head[_LENGTH], "big")
        return self._records.next_batch()

    def repeat(self) -> bool:
        """Hand out the last batch once more; False when that was done already."""
        if self._repeated_at == self._start:
            return False
        self._repeated_at = self._start
        self._again = LenientBatch(self._data[self._start : self._end])
        return True


class LenientPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's way from batches to records. A batch that is repeated goes on behind the last record that was read."""

    _records_iterator: Iterator[InputRecord] | None

    def __iter__(self) -> Iterator[InputRecord]:
        """Without a call per record. Whoever breaks off may go on later."""
        while self._records_iterator is not None:
            try:
                # No `yield from`: breaking off would close the inner generator too.
                for record in self._records_iterator:  # noqa: UP028
                    yield record
            except _DECODING_FAILED:
                if not self._records.repeat():
                    raise
                self._records_iterator = self._unpack_records()
            else:
                self._records_iterator = None

    def __next__(self) -> Any:
        for record in self:
            return record
        raise StopIteration

    def _consumer_record(self, tp: Any, record: Any) -> InputRecord:
        return InputRecord(
            tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
        )


class LenientBatch(default_records._DefaultRecordBatchPy):  # type: ignore[misc]
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
