"""Records whose header names are not UTF-8, read out of the bytes that a broker would send."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c_py

from stream_maas.kafka.header_names import LenientPartitionRecords, LenientRecords

MARK, NO_TEXT = b"@@@@", b"\xff\xfe\xc3("
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch(first: int, names: Sequence[str], *, codec: int = 0) -> bytes:
    """A batch of one record for each header name; MARK stands for bytes that are no text."""

    class Odd(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]
        def _maybe_compress(self) -> bool:
            self._buffer[:] = self._buffer.replace(MARK, NO_TEXT)
            return bool(super()._maybe_compress())

    builder = Odd(2, codec, 0, -1, -1, -1, 1 << 20)
    for place, name in enumerate(names):
        headers = [(name, b"v"), ("x", None)]
        assert builder.append(place, 1000 + place, b"k", b"value %d" % (first + place), headers) is not None
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, first)
    struct.pack_into(">I", data, 17, calc_crc32c_py(bytes(data[21:])))
    return bytes(data)


def read(data: bytes, *, start: int = 0) -> LenientPartitionRecords:
    return LenientPartitionRecords(
        TopicPartition("t", 0), LenientRecords(data), [], start, None, None, True, 1  # read_committed
    )  # fmt: skip


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_every_record_is_read_once_whatever_its_header_is_called(codec: int) -> None:
    mark = MARK.decode()
    data = batch(0, ["a", "b"]) + batch(2, ["c", f"n{mark}", "d", mark], codec=codec) + batch(6, ["é"], codec=codec)
    records = read(data)
    found = list(records)
    assert [record.offset for record in found] == list(range(7))
    assert [record.value for record in found] == [b"value %d" % offset for offset in range(7)]
    assert [record.timestamp for record in found] == [1000, 1001, 1000, 1001, 1002, 1003, 1000]
    assert [record.headers[0] for record in found] == [
        (name, b"v") for name in ("a", "b", "c", "n\ufffd\ufffd\ufffd(", "d", "\ufffd\ufffd\ufffd(", "é")
    ]
    assert {record.headers[1] for record in found} == {("x", None)}
    assert records.next_fetch_offset == 7


@pytest.mark.parametrize("odd", ["d", MARK.decode()], ids=["all are text", "one is no text"])
def test_whoever_breaks_off_goes_on_behind_the_last_record(odd: str) -> None:
    records = read(batch(0, ["a", "b", "c"]) + batch(3, [odd, "e"]))
    found = []
    for _ in range(5):
        for record in records:
            found.append(record.offset)
            assert records.next_fetch_offset == record.offset + 1
            break
    assert found == [0, 1, 2, 3, 4]
    assert list(records) == []
    assert records.next_fetch_offset == 5


def test_a_fetch_that_begins_inside_the_batch_gives_what_is_behind_its_start() -> None:
    data = batch(0, ["a", MARK.decode(), "b", MARK.decode()])
    assert [record.offset for record in read(data, start=2)] == [2, 3]


def test_a_batch_that_is_corrupt_stays_corrupt() -> None:
    data = bytearray(batch(0, ["a", "b"]))
    data[61] ^= 1  # the length of the first record
    struct.pack_into(">I", data, 17, calc_crc32c_py(bytes(data[21:])))
    with pytest.raises(CorruptRecordException):
        list(read(bytes(data)))
