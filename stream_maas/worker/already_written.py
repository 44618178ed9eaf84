"""Which spooled audit events are in the audit topic already, where no transaction says so: the topic's end is read.

A step of the mover that was cut short may have written a part of its events. They are there byte for byte, and behind
the time at which the outage began. Two gaps stay: a worker that may not read the audit topic (deploy/acls.sh lets it
only write), and a broker that cannot find records by time (the embedded one). Events may be written again there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from stream_maas.kafka.reading import reader
from stream_maas.settings import KafkaConfig

log = structlog.get_logger()

_CLOCKS_MS = 600_000
"""How far the clocks of worker and broker may be apart."""
_POLL_MS = 500


def digest(value: bytes) -> bytes:
    """What an event is recognised by: SHA-256, 32 bytes."""
    return hashlib.sha256(value).digest()


async def find_written(
    config: KafkaConfig, topic: str, wanted: Mapping[int, Collection[bytes]], *, since_ms: int, stall_s: float
) -> set[bytes]:
    """Those of the `wanted` digests (by partition) whose events are in the topic, written since `since_ms`.

    Empty where the topic may not be read. Raises `BrokerError`, aiokafka's `KafkaError`, and `TimeoutError` when
    nothing more could be read for `stall_s`.
    """
    found: set[bytes] = set()
    try:
        async with reader(config, when_lost="earliest", fetch_max_wait_ms=100) as consumer:
            places = {TopicPartition(topic, partition): since_ms - _CLOCKS_MS for partition in wanted}
            starts = {tp: at.offset for tp, at in (await consumer.offsets_for_times(places)).items() if at is not None}
            consumer.assign(list(starts))
            for tp, offset in starts.items():
                consumer.seek(tp, offset)
            await _read(consumer, set(starts), wanted, found, stall_s)
    except TopicAuthorizationFailedError:
        log.warning("the audit topic may not be read, so spooled events that are there already are written again")
    return found


async def _read(
    consumer: Any,
    unread: set[TopicPartition],
    wanted: Mapping[int, Collection[bytes]],
    found: set[bytes],
    stall_s: float,
) -> None:
    ends: dict[TopicPartition, int] = {}
    give_up_s = time.monotonic() + stall_s
    while unread:
        fetched = await consumer.getmany(*unread, timeout_ms=_POLL_MS)
        for tp, records in fetched.items():
            found.update(known for record in records if (known := digest(record.value or b"")) in wanted[tp.partition])
        ends |= {tp: end for tp in unread - ends.keys() if (end := consumer.highwater(tp)) is not None}
        done = {tp for tp in unread & ends.keys() if await consumer.position(tp) >= ends[tp]}
        consumer.pause(*done)
        unread -= done
        if fetched or done:
            give_up_s = time.monotonic() + stall_s
        elif time.monotonic() > give_up_s:
            raise TimeoutError("the end of the audit topic cannot be read")
