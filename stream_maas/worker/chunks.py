"""What a chunk is, and how the records of a fetch are cut into chunks: by count and by size, none ever empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka.structs import TopicPartition


class ChunkLimits(Protocol):
    """How large a chunk may be."""

    @property
    def chunk_max_records(self) -> int: ...
    @property
    def chunk_max_bytes(self) -> int: ...


class Chunk:
    """Consecutive records of one partition, as one Faust event value."""

    __slots__ = ("attempt", "era", "fill_ratio", "generation", "records", "taken", "tp")

    def __init__(
        self,
        tp: TopicPartition,
        records: Sequence[Any],
        era: int,
        generation: int,
        fill_ratio: float = 1.0,
        attempt: int = 1,
    ) -> None:
        self.tp = tp
        self.records = records
        self.era = era
        self.generation = generation
        self.fill_ratio = fill_ratio
        """How full it is, 0 to 1 (one oversized record: above 1), by records or bytes, whichever is more."""
        self.attempt = attempt
        """How often this process has taken up each of its records, this time included."""
        self.taken = False
        """Whether an agent has begun to serve it."""

    @property
    def next_offset(self) -> int:
        """The offset to commit once this chunk is answered."""
        return int(self.records[-1].offset) + 1


def split(rows: Sequence[Any], options: ChunkLimits) -> list[tuple[Sequence[Any], float]]:
    """Slices of at most `chunk_max_records` records and `chunk_max_bytes` value bytes (one record at least), each with
    how full it is."""
    most, most_bytes = options.chunk_max_records, options.chunk_max_bytes
    slices: list[tuple[Sequence[Any], float]] = []
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        size_bytes = _value_bytes(part)
        parts = [part] if size_bytes <= most_bytes else _split_by_size(part, most_bytes)
        for slice_ in parts:
            slice_bytes = size_bytes if slice_ is part else _value_bytes(slice_)
            slices.append((slice_, max(len(slice_) / most, slice_bytes / most_bytes)))
    return slices


def _value_bytes(rows: Sequence[Any]) -> int:
    return sum([len(row.value) for row in rows if row.value is not None])


def _split_by_size(rows: Sequence[Any], most_bytes: int) -> list[list[Any]]:
    slices: list[list[Any]] = [[]]
    size_bytes = 0
    for row in rows:
        row_bytes = len(row.value) if row.value is not None else 0
        if slices[-1] and size_bytes + row_bytes > most_bytes:
            slices.append([])
            size_bytes = 0
        slices[-1].append(row)
        size_bytes += row_bytes
    return slices
