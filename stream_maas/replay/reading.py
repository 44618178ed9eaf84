"""Reading a topic without a consumer group: where its log ends for a read_committed reader, and when that is reached.

Three things make "until the end" harder than it sounds (KIP-98):
1. The end is the high watermark, not the last stable offset. A transaction's markers are written partition by
   partition after it commits, so somebody who has seen a result must wait a moment for the audit event of the same
   transaction; stopping at the last stable offset would miss it. An open transaction ends by itself: the broker
   aborts it after its producer's `transaction_timeout_ms`.
2. The last offsets of a log may be transaction markers or aborted rows, which no reader ever gets (aiokafka#911).
   The consumer's *position* moves past them, the offset of the last record does not; so the position is compared.
3. The high watermark is taken from the first fetch of each partition. ListOffsets with read_committed answers the
   last stable offset, and the embedded broker answers it with the first offset of the last batch + 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from stream_maas.errors import BrokerError, TopicsError
from stream_maas.kafka.reading import partitions_of, reader
from stream_maas.records import KafkaRecord
from stream_maas.settings import KafkaConfig

_POLL_MS = 500
_FETCH_MAX_WAIT_MS = 100
_MARKERS = 64
"""Offsets read before the last N records and as many markers, because transactions may have been aborted."""
# Ten times the default: a reader of a whole log spends its time in round trips, not in memory.
_PARTITION_FETCH_BYTES = 10 << 20


async def read(
    kafka: KafkaConfig,
    topic: str,
    *,
    from_beginning: bool = True,
    offsets: Mapping[int, int] | None = None,
    last: int | None = None,
    until_end: bool = False,
    waiting: Callable[[int], None] | None = None,
    only: Collection[int] | None = None,
) -> AsyncGenerator[KafkaRecord, None]:
    """Yield the committed records of `topic` (its full name) in offset order within each partition.

    Starts at the beginning, or at what is appended from now on. `last` starts with that many records of each
    partition (fewer where they are thinly spread among aborted ones), `offsets` (partition -> first offset) goes
    before all.
    With `until_end` the iteration stops at what the log held when it started, however much is appended meanwhile;
    without, it goes on for ever. `waiting(partitions)` is called when nothing came for a while although that many
    partitions have not been read to their end: an open transaction holds them back. `only`: these partitions.

    Raises `TopicsError` for a topic that does not exist or an offset that is not in the log, `BrokerError` when the
    cluster cannot be read.
    """
    chunks = read_chunks(
        kafka, topic, from_beginning=from_beginning, offsets=offsets, last=last, until_end=until_end, waiting=waiting,
        only=only,
    )  # fmt: skip
    async with aclosing(chunks):
        async for chunk in chunks:
            for record in chunk:
                yield record


async def read_chunks(
    kafka: KafkaConfig,
    topic: str,
    *,
    from_beginning: bool = True,
    offsets: Mapping[int, int] | None = None,
    last: int | None = None,
    until_end: bool = False,
    waiting: Callable[[int], None] | None = None,
    only: Collection[int] | None = None,
) -> AsyncGenerator[Sequence[KafkaRecord], None]:
    """Like `read`, a fetched chunk of one partition at a time (never empty)."""
    partitions = [tp for tp in (await partitions_of(kafka, topic))[topic] if only is None or tp.partition in only]
    # A position that is not in the log is an error: jumping anywhere else would hide that records are missing.
    options = {"fetch_max_wait_ms": _FETCH_MAX_WAIT_MS, "partition_fetch_bytes": _PARTITION_FETCH_BYTES}
    async with reader(kafka, when_lost="none", **options) as consumer, _errors_named(kafka):
        consumer.assign(partitions)
        goals = await _seek(consumer, partitions, from_beginning, last, offsets or {})
        held = {tp: deque[KafkaRecord](maxlen=last) for tp in goals}
        unread, ends = set(partitions), dict[TopicPartition, int]()
        while unread:
            fetched = await consumer.getmany(*unread, timeout_ms=_POLL_MS)
            if until_end:
                ends |= {tp: end for tp in unread - ends.keys() if (end := consumer.highwater(tp)) is not None}
            for tp, records in fetched.items():
                wanted = [record for record in records if record.offset < ends[tp]] if until_end else records
                if tp in held:
                    held[tp].extend(wanted)
                elif wanted:
                    yield wanted
            for tp in [tp for tp in held if await consumer.position(tp) >= goals[tp]]:
                if rows := list(held.pop(tp)):
                    yield rows
            if until_end:
                for tp in [tp for tp in unread & ends.keys() if await consumer.position(tp) >= ends[tp]]:
                    unread.discard(tp)
                    consumer.pause(tp)
                if unread and not fetched and waiting is not None:
                    waiting(len(unread))


@asynccontextmanager
async def _errors_named(kafka: KafkaConfig) -> AsyncIterator[None]:
    try:
        yield
    except OffsetOutOfRangeError as error:
        places = ", ".join(f"{tp.topic}:{tp.partition}:{offset}" for tp, offset in error.args[0].items())
        raise TopicsError(
            f"{places}: not in the log, never written or deleted by retention; next: read from the beginning"
        ) from error
    except KafkaError as error:
        raise BrokerError(
            f"broker {kafka.bootstrap}: reading failed with {type(error).__name__}; next: `stream-maas doctor`"
        ) from error


async def _seek(
    consumer: Any,
    partitions: list[TopicPartition],
    from_beginning: bool,
    last: int | None,
    offsets: Mapping[int, int],
) -> Mapping[TopicPartition, int]:
    """Partitions of which only the last records are wanted -> the offset at which these are known."""
    goals: dict[TopicPartition, int] = {}
    unnamed = [tp for tp in partitions if tp.partition not in offsets]
    if last is not None:
        first, ends = await consumer.beginning_offsets(unnamed), await consumer.end_offsets(unnamed)
        for tp in unnamed:
            goals[tp] = ends[tp]
            consumer.seek(tp, max(first[tp], ends[tp] - 2 * last - _MARKERS))
    elif unnamed:
        await (consumer.seek_to_beginning if from_beginning else consumer.seek_to_end)(*unnamed)
    for tp in partitions:
        if tp.partition in offsets:
            consumer.seek(tp, offsets[tp.partition])
    return goals
