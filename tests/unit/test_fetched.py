"""Records read out of the bytes that a broker would send, whatever their headers are called and whoever reads them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.legacy_records import _LegacyRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c_py

from stream_maas import native
from stream_maas.kafka import fetched
from stream_maas.kafka.fetched import FetchedBatches, FetchedRecords
from stream_maas.records import InputRecord

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


def read(data: bytes, *, start: int = 0) -> FetchedRecords:
    return FetchedRecords(
        TopicPartition("t", 0), FetchedBatches(data), [], start, None, None, True, 1  # read_committed
    )  # fmt: skip


@pytest.fixture(params=["kernel", "python"])
def _reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(fetched, "_KERNEL", None)
    elif native.load("fetched") is None:
        pytest.skip("no kernel was compiled: test_native.py")


pytestmark = pytest.mark.usefixtures("_reader")


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


def test_a_cut_off_batch_is_left_for_the_next_fetch() -> None:
    whole, cut = batch(0, ["a", "b"]), batch(2, ["c"])
    for size in (0, 5, 11, 12, 60, len(cut) - 1):
        records = read(whole + cut[:size])
        assert [record.offset for record in records] == [0, 1]
        assert records.next_fetch_offset == 2
    assert not FetchedBatches(cut[:-1]).has_next()
    assert FetchedBatches(cut[:-1]).size_in_bytes() == len(cut) - 1


def test_a_checksum_that_is_wrong_is_found() -> None:
    data = bytearray(batch(0, ["a", "b"]))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        list(read(bytes(data)))


def test_what_is_taken_at_once_begins_behind_what_was_taken_singly() -> None:
    records = read(batch(0, ["a", "b", "c"]) + batch(3, ["d"]))
    assert next(records).offset == 0
    assert [record.offset for record in records.rest()] == [1, 2, 3]
    assert records.next_fetch_offset == 4
    assert records.rest() == []


def test_aborted_and_control_batches_are_passed_over() -> None:
    def of(producer_id: int, first: int, flags: int, data: bytes) -> bytes:
        changed = bytearray(data)
        struct.pack_into(">q", changed, 0, first)
        struct.pack_into(">h", changed, 21, flags)
        struct.pack_into(">q", changed, 43, producer_id)
        struct.pack_into(">I", changed, 17, calc_crc32c_py(bytes(changed[21:])))
        return bytes(changed)

    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, 7, 0, -1, 1 << 20)
    builder.append(0, 0, struct.pack(">hh", 0, 0), b"", [])  # an abort marker
    abort = bytes(builder.build())
    data = (
        of(7, 0, 0b10000, batch(0, ["aborted", "aborted"]))
        + of(8, 2, 0b10000, batch(0, ["committed"]))
        + of(7, 3, 0b110000, abort)
        + of(7, 4, 0b10000, batch(0, ["committed later"]))
    )
    records = FetchedRecords(TopicPartition("t", 0), FetchedBatches(data), [(7, 0)], 0, None, None, True, 1)
    assert [record.headers[0][0] for record in records] == ["committed", "committed later"]
    assert records.next_fetch_offset == 5


def test_a_time_that_the_broker_set_is_that_of_every_record() -> None:
    data = bytearray(batch(0, ["a", "b"]))
    struct.pack_into(">h", data, 21, 0b1000)
    struct.pack_into(">q", data, 35, 99)
    struct.pack_into(">I", data, 17, calc_crc32c_py(bytes(data[21:])))
    assert [record.timestamp for record in read(bytes(data))] == [99, 99]


def test_the_format_before_headers_is_read_as_well() -> None:
    builder = _LegacyRecordBatchBuilderPy(1, 0, 1 << 20)
    builder.append(0, timestamp=5, key=b"k", value=b"v")
    records = read(bytes(builder.build()))
    assert list(records) == [InputRecord("t", 0, 0, 5, b"k", b"v", ())]
