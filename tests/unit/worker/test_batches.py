"""Produce batches hold every row once, in order, as aiokafka's own `BatchBuilder` would have written them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import codec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_maas.records import Outgoing
from stream_maas.worker import batches
from stream_maas.worker.batches import send_batches

BATCH_BYTES = 400
MOST_BYTES = 700
"""Some records fill a batch alone."""


class Sink:
    """The two methods of a producer that batches go through, with nothing behind them."""

    def __init__(self, codec: int = 0) -> None:
        self.batches: list[Any] = []
        manager = SimpleNamespace(transactional_id="t")
        self._message_accumulator = SimpleNamespace(
            _batch_size=BATCH_BYTES, _compression_type=codec, _txn_manager=manager
        )

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, self._message_accumulator._compression_type, is_transactional=1)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[None]:
        assert batch.closed()
        assert (topic, partition) == ("t", 3)
        self.batches.append(batch)
        return asyncio.get_running_loop().create_future()


rows = st.lists(
    st.builds(
        Outgoing,
        st.none() | st.binary(max_size=20),
        st.binary(max_size=MOST_BYTES),
        st.lists(st.tuples(st.sampled_from(("ce_id", "é", "")), st.none() | st.binary(max_size=200)), max_size=3),
    ),
    max_size=30,
)


@given(rows)
def test_every_row_is_in_one_batch_and_in_order(outgoing: list[Outgoing]) -> None:
    sink, deliveries = Sink(), []
    asyncio.run(send_batches(sink, {("t", 3): outgoing}, deliveries))
    assert len(deliveries) == len(sink.batches)
    read = []
    for batch in sink.batches:
        count = batch.record_count()
        records = list(MemoryRecords(bytes(batch._build())).next_batch())
        assert [record.offset for record in records] == list(range(count))
        assert len({record.timestamp for record in records}) == 1
        read += [Outgoing(record.key, record.value, record.headers) for record in records]
    assert read == outgoing


@given(rows)
def test_batches_are_cut_where_the_builder_itself_would_cut_them(outgoing: list[Outgoing]) -> None:
    sink = Sink()
    asyncio.run(send_batches(sink, {("t", 3): outgoing}, []))
    expected: list[int] = []
    builder = None
    for row in outgoing:
        if builder is None or builder.append(timestamp=0, key=row.key, value=row.value, headers=row.headers) is None:
            builder = sink.create_batch()
            assert builder.append(timestamp=0, key=row.key, value=row.value, headers=row.headers) is not None
            expected.append(0)
        expected[-1] += 1
    assert [batch.record_count() for batch in sink.batches] == expected


@pytest.mark.skipif(batches.native.load("batches") is None, reason="no kernel was compiled: test_native.py")
@pytest.mark.parametrize("codec", [0, 2, 3, 4], ids=["none", "snappy", "lz4", "zstd"])
@given(rows)
@example([Outgoing(b"k", b"", [("é", b"v")] * 300)])
@example([Outgoing(None, bytes(BATCH_BYTES + number), []) for number in range(-70, 70)])
@example([Outgoing(None, b"", [])] * 200)
def test_the_kernel_writes_the_bytes_of_the_builder(codec: int, outgoing: list[Outgoing]) -> None:
    sink, now_ms = Sink(codec), 1_800_000_000_000
    expected = list(batches._filled_in_python(sink, "t", outgoing, now_ms))
    written = list(batches._written(sink, outgoing, now_ms))
    assert [batch.record_count() for batch in written] == [batch.record_count() for batch in expected]
    for ours, theirs in zip(written, expected, strict=True):
        assert ours.closed()
        assert ours.append(timestamp=0, key=None, value=b"") is None
        for batch in (ours, theirs):
            batch._set_producer_state(7, 1, 1234)
        built = bytes(ours._build())
        assert built == bytes(theirs._build())
        assert ours.size() == len(built)
        assert MemoryRecords(built).next_batch().validate_crc()


@pytest.mark.skipif(batches.native.load("batches") is None, reason="no kernel was compiled: test_native.py")
@settings(max_examples=20)
@given(st.integers(4, 300_000), st.integers(1, 3000))
def test_snappy_of_many_blocks_is_read_by_others(size: int, words: int) -> None:
    records = bytearray(b"".join(b"%d " % (number * number % words) for number in range(size // 4)))
    assert codec.snappy_decode(batches._snappy_blocks(records)) == records


@pytest.mark.skipif(batches.native.load("batches") is None, reason="no kernel was compiled: test_native.py")
def test_what_is_no_row_is_refused() -> None:
    for row in (
        SimpleNamespace(key="text", value=b"", headers=[]),
        SimpleNamespace(key=None, value=b"", headers=()),
        SimpleNamespace(key=None, value=b"", headers=[("name",)]),
        SimpleNamespace(key=None, value=b"", headers=[(b"name", b"")]),
    ):
        with pytest.raises(TypeError):
            list(batches._written(Sink(), [row], 0))  # type: ignore[list-item]
