from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from stream_maas.records import InputRecord
from stream_maas.worker.chunks import split


def rows(sizes: list[int | None]) -> list[InputRecord]:
    values = [None if size is None else b"x" * size for size in sizes]
    return [InputRecord("t", 0, offset, 0, None, value) for offset, value in enumerate(values)]


@given(
    st.lists(st.none() | st.integers(0, 50), max_size=40),
    st.integers(1, 10),
    st.integers(1, 120),
)
def test_chunks_are_the_fetched_records_within_both_limits(
    sizes: list[int | None], most_records: int, most_bytes: int
) -> None:
    fetched = rows(sizes)
    options = SimpleNamespace(chunk_max_records=most_records, chunk_max_bytes=most_bytes)
    slices = split(fetched, options)
    assert [row for chunk, _ in slices for row in chunk] == fetched
    for chunk, fill_ratio in slices:
        size_bytes = sum(len(row.value or b"") for row in chunk)
        assert 1 <= len(chunk) <= most_records
        assert len(chunk) == 1 or size_bytes <= most_bytes, "only one record alone may be larger than the limit"
        assert fill_ratio == max(len(chunk) / most_records, size_bytes / most_bytes)
