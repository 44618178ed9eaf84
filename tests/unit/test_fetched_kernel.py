"""What the kernel reads out of a batch, held against what aiokafka reads; and the checksum against its definition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c_py
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.kafka.checksum import crc32c
from stream_maas.kafka.fetched import Batch, LenientBatch
from stream_maas.records import InputRecord

Row = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
HEAD_BYTES = 61


def _written(rows: Sequence[Row]) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1 << 20)
    for offset, timestamp, key, value, headers in rows:
        builder.append(offset, timestamp, key, value, headers)
    return bytes(builder.build())


def _gaps(offsets: list[int]) -> Iterator[int]:
    offset = -1
    for step in offsets:
        offset += step
        yield offset


short = st.none() | st.binary(max_size=200)
row = st.tuples(
    st.integers(1, 300),
    st.integers(0, 2**42),
    short,
    short,
    st.lists(st.tuples(st.text(max_size=3), short), max_size=3),
)


@pytest.mark.skipif(native.load("fetched") is None, reason="no kernel was compiled: test_native.py")
@given(
    st.lists(row, min_size=1, max_size=20),
    st.integers(0, 2000),
    st.lists(st.integers(0, 10_000), max_size=3),
    st.data(),
)
def test_kernel_and_python_read_alike(
    rows: list[Row],
    least_offset: int,
    broken: list[int],
    data: st.DataObject,
) -> None:
    """The same records of a batch, compacted or not; the same verdict on one that is damaged.

    The damaged ones are read by Python alone: aiokafka's compiled code looks for numbers behind the end of a batch.
    """
    offsets = _gaps([step for step, *_ in rows])
    content = bytearray(_written([(offset, *rest) for offset, (_, *rest) in zip(offsets, rows, strict=True)]))
    for place in broken:
        content[HEAD_BYTES + place % (len(content) - HEAD_BYTES)] = data.draw(st.integers(0, 255))
    batch = Batch(bytes(content), 0, len(content))
    expected = _read_slowly(bytes(content), least_offset) if broken else batch._records_in_python("t", 3, least_offset)
    try:
        found = batch.records("t", 3, least_offset)
    except CorruptRecordException:
        found = []
        assert broken
    assert found == expected


def _read_slowly(content: bytes, least_offset: int) -> list[InputRecord]:
    try:
        records = list(LenientBatch(content))
    except CorruptRecordException:
        return []
    rows = [
        InputRecord("t", 3, _int64(row.offset), _int64(row.timestamp), row.key, row.value, tuple(row.headers))
        for row in records
    ]
    return [row for row in rows if row.offset >= least_offset]


def _int64(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_the_checksum_is_that_of_all_pieces(pieces: list[bytes]) -> None:
    assert crc32c(*pieces) == calc_crc32c_py(b"".join(pieces))
