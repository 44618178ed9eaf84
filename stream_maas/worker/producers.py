"""Giving up a producer, and how often and how long to try again: the one answer of publisher and followers."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from stream_maas.errors import StreamMaasError

log = structlog.get_logger()

MAX_FAILURES = 8
"""Failures in a row, without one commit between them. A broker that restarts or moves a coordinator causes one or
two; a process that is fenced again and again has a twin and must give way. A broker that is away is waited for
without end and counts once."""

MAX_BACKOFF_S = 5.0
_FIRST_BACKOFF_S = 0.1
_STOP_S = 3.0


def backoff_s(attempt: int) -> float:
    """Seconds to wait after failed attempt number `attempt`, which counts from 0: twice as long each time."""
    # The exponent is bounded because a broker may be away for hours, and 2.0**1024 overflows.
    return min(MAX_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(attempt, 16))


async def close_producer(producer: Any) -> None:
    """Throw an `AIOKafkaProducer` away. Never waits for deliveries: what was not committed is repeated."""
    sender_task = producer._sender.sender_task
    # `producer.stop()` would flush first, and a flush to a broker that is away never ends.
    producer._closed = True
    if producer._txn_manager is not None and (waiter := producer._txn_manager.wait_for_transaction_end()):
        waiter.add_done_callback(read_error)
    if sender_task is not None:
        sender_task.cancel()
    try:
        async with asyncio.timeout(_STOP_S):
            await producer.client.close()
            if sender_task is not None:
                await asyncio.wait([sender_task])
    except Exception as error:  # noqa: BLE001 - it is being thrown away
        log.debug("old producer did not stop cleanly", reason=type(error).__name__)


def reason_of(error: BaseException) -> str:
    """For logs: what our own errors say, of others the type alone, since their texts may quote a record."""
    return str(error) if isinstance(error, StreamMaasError) else type(error).__name__


def read_error(future: asyncio.Future[Any]) -> None:
    """A future that failed together with its interval is never awaited; asyncio would complain at exit."""
    if not future.cancelled():
        future.exception()


def is_cancelled() -> bool:
    """Whether the running task itself was cancelled, and not what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
