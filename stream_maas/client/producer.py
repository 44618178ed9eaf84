"""Producing requests: which guarantees the cluster can give, and when a producer has to be replaced by a new one.

A retried request must not become two: where the broker knows idempotent producers (KIP-98), one is used. Where it
does not, a retry after a lost acknowledgement may send a request twice; both copies are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)

from stream_maas.errors import BrokerError, TooLargeError
from stream_maas.kafka import connection, probe
from stream_maas.settings import KafkaConfig

# aiokafka counts sequence numbers per partition past 2**31, which the protocol does not have (it wraps to 0).
_RECORDS_PER_PRODUCER = 1 << 30
# aiokafka sends one batch per partition and broker round trip: large batches are what makes it fast.
_BATCH_BYTES = 256 << 10
_MAX_REQUEST_BYTES = 4 << 20
_STOP_S = 10.0
# After these aiokafka's producer never sends again (aiokafka#1017).
_SPENT = (OutOfOrderSequenceNumber, ProducerFenced, UnknownProducerId)


class RequestProducer:
    """A producer for one topic with acknowledgement by all in-sync replicas."""

    def __init__(self, kafka: KafkaConfig, topic: str, *, linger_ms: int) -> None:
        self._kafka, self._topic, self._linger_ms = kafka, topic, linger_ms
        self._producer: Any = None
        self._renewal: asyncio.Task[None] | None = None
        self._sent = 0
        self.idempotent = False

    async def start(self) -> None:
        """Connect. Raises `BrokerError` or aiokafka's errors; nothing is left open then."""
        self.idempotent = (await probe(self._kafka)).idempotence
        self._producer = await self._new(idempotent=self.idempotent)

    async def stop(self) -> None:
        """Send what is buffered, then close; what no broker takes within `_STOP_S` is given up."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        if self._producer is None:
            return
        stopping = asyncio.create_task(self._producer.stop())
        await asyncio.wait([stopping], timeout=_STOP_S)
        if not stopping.done():
            # An idempotent producer never gives a batch up; without its sender task it has nothing to wait for.
            self._producer._sender.sender_task.cancel()
        await stopping

    async def send(
        self, value: bytes, key: bytes | None, headers: Sequence[tuple[str, bytes]], *, patience_s: float
    ) -> asyncio.Future[Any]:
        """Hand one record over; the future is its acknowledgement (aiokafka's RecordMetadata).

        Waits while the buffer is full, which it is when the broker is away. Raises `BrokerError` when that lasts
        longer than `patience_s`, and `TooLargeError` for a record that no broker with usual limits would take.
        """
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    if self._renewal is not None:
                        await self._renewal
                    try:
                        future: asyncio.Future[Any] = await self._producer.send(
                            self._topic, value, key=key, headers=headers
                        )
                    except KafkaTimeoutError:
                        continue
                    except _SPENT:
                        self._renew()
                        continue
                    break
        except MessageSizeTooLargeError:
            raise TooLargeError(f"value: {len(value)} bytes are more than a Kafka record may have") from None
        except TimeoutError:
            raise BrokerError(
                f"broker {self._kafka.bootstrap}: took no request for {patience_s:g} s; next: `stream-maas doctor`"
            ) from None
        self._sent += 1
        if self._sent >= _RECORDS_PER_PRODUCER:
            self._renew()
        return future

    def acknowledged_with(self, error: BaseException) -> None:
        """Tell the producer how an acknowledgement failed, so that it can replace itself where it must."""
        if isinstance(error, _SPENT):
            self._renew()

    def _renew(self) -> None:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._replace())

    async def _replace(self) -> None:
        try:
            old, self._producer = self._producer, await self._new(idempotent=self.idempotent)
            self._sent = 0
            await old.stop()
        finally:
            self._renewal = None

    async def _new(self, *, idempotent: bool) -> Any:
        producer = AIOKafkaProducer(
            **connection(self._kafka),
            acks="all",
            enable_idempotence=idempotent,
            linger_ms=self._linger_ms,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_MAX_REQUEST_BYTES,
        )
        try:
            await producer.start()
            await producer.partitions_for(self._topic)  # else the first send would have to wait for it
        except BaseException:
            await producer.stop()
            raise
        return producer
