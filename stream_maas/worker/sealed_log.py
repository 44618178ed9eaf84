"""What a sealer holds the topic against before it goes on: that the events it sealed last are still where they were.

A broker that was replaced, a topic that was made anew or cut, and a folder of another deployment all look alike from
an offset: reading would go on somewhere. So the newest block of 256 events is read again and compared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from stream_maas.errors import LedgerError
from stream_maas.kafka.reading import reader
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.sealing import LogSealer
from stream_maas.settings import KafkaConfig

_POLL_MS = 200
_GIVE_UP_S = 10.0
_END_TRIES = 5
"""A broker that has just come back may tell an end that is too low for a moment."""
_NEXT = (
    "nothing is sealed; next: `stream-maas audit verify --anchor FILE` says what was changed; a topic that was made "
    "anew on purpose needs a new ledger.origin"
)


async def contradictions(
    config: KafkaConfig, logs: Mapping[TopicPartition, LogSealer]
) -> dict[TopicPartition, LedgerError]:
    """Logs whose topic does not hold what was sealed, as far as the newest block shows. `logs`: just loaded.

    Raises `BrokerError`, aiokafka's `KafkaError`, `TimeoutError` when the topic cannot be read."""
    found = {}
    async with reader(config, when_lost="none", fetch_max_wait_ms=100) as consumer:
        beginnings = await consumer.beginning_offsets(list(logs))
        for tp, sealer in logs.items():
            try:
                await _compare(consumer, tp, sealer, beginnings[tp])
            except LedgerError as error:
                found[tp] = error
    return found


async def _compare(consumer: Any, tp: TopicPartition, sealer: LogSealer, beginning: int) -> None:
    if sealer.next_offset < beginning:
        raise LedgerError(
            f"{sealer.origin}: the topic begins at offset {beginning}, but sealing goes on at {sealer.next_offset}: "
            "events were deleted, or the sealer's folder is not the one it had"
        )
    first = sealer.newest_block()
    if first is None:
        return
    for _ in range(_END_TRIES):
        end = (await consumer.end_offsets([tp]))[tp]
        if end >= sealer.next_offset:
            break
        await asyncio.sleep(_POLL_MS / 1000)
    else:
        raise LedgerError(
            f"{sealer.origin}: the topic ends at offset {end}, but {sealer.size} events up to {sealer.next_offset} "
            f"were sealed: it was made anew, or its end was cut off; {_NEXT}"
        )
    if not sealer.holds(await _read(consumer, tp, max(first, beginning), sealer.next_offset)):
        raise LedgerError(
            f"{sealer.origin}: the topic does not hold the events that were sealed from offset {first} on: it was made "
            f"anew, or changed; {_NEXT}"
        )


async def _read(consumer: Any, tp: TopicPartition, start: int, end: int) -> list[bytes]:
    """Leaf hashes of the records from `start` up to `end`."""
    leaves: list[bytes] = []
    consumer.assign([tp])
    consumer.seek(tp, start)
    give_up_s = time.monotonic() + _GIVE_UP_S
    while await consumer.position(tp) < end:
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"the topic cannot be read from offset {start} on")
        for records in (await consumer.getmany(tp, timeout_ms=_POLL_MS)).values():
            leaves += leaf_hashes(record.value or b"" for record in records if record.offset < end)
    return leaves
