"""What moves together: an interval's chunks, offsets and deliveries, and where its rows go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import TopicPartition

from stream_maas.records import Answered, Outgoing
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.kip447 import GroupMetadata


class Consumer(Protocol):
    """What the publisher needs of the chunked consumer."""

    @property
    def unfinished_count(self) -> int: ...
    def is_current(self, chunk: Chunk) -> bool: ...
    def group_metadata(self) -> GroupMetadata: ...
    def finished(self, chunk: Chunk) -> None: ...
    def poll_now(self) -> None: ...
    async def check_membership(self) -> None: ...
    async def rewind(self) -> None: ...
    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None: ...


@dataclass(frozen=True, slots=True)
class OutputTopics:
    """Full names of the topics a worker writes."""

    results: str
    audit: str
    dead_letters: str
    boxes: str


@dataclass(slots=True)
class Interval:
    """Chunks that commit together. All state that must go back on an abort lives here and nowhere else."""

    began_s: float
    """When it was opened, then when the first chunk joined; monotonic."""
    group: GroupMetadata | None = None
    """Read when the first chunk joins."""
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    deliveries: list[asyncio.Future[Any]] = field(default_factory=list)
    """Of everything but audit events."""
    audits: list[asyncio.Future[Any]] = field(default_factory=list)
    later: dict[tuple[str, int], list[Outgoing]] = field(default_factory=dict)
    """Rows that go out after the audit events (at-least-once)."""
    frame: int = 0
    """Last frame of the spool that belongs to it."""
    chunks: list[tuple[Chunk, Answered]] = field(default_factory=list)
