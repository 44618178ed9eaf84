"""Produce batches hold every row once, in order, as aiokafka's own `BatchBuilder` would have written them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.records import Outgoing
from stream_maas.worker.batches import send_batches

BATCH_BYTES = 400
MOST_BYTES = 700
"""Some records fill a batch alone."""


class Sink:
    """The two methods of a producer that batches go through, with nothing behind them."""

    def __init__(self) -> None:
        self.batches: list[Any] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0, is_transactional=1)

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
        st.lists(st.tuples(st.sampled_from(("ce_id", "é")), st.binary(max_size=30)), max_size=3),
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
