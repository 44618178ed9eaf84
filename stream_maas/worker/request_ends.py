"""How far the request topics have come: their end offsets, asked for without reading a single request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from stream_maas import kafka, topics
from stream_maas.errors import ServiceError
from stream_maas.kafka.reading import partitions_of, stop_reader
from stream_maas.settings import Settings

log = structlog.get_logger()

PERIOD_S = 1.0
TIMEOUT_S = 5.0


class RequestEnds:
    """Asks once a second in the background. A broker that does not answer is asked again; nothing is made up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._newest: Mapping[tuple[str, int], int] = {}

    async def start(self) -> None:
        await self.stop()
        self._task = asyncio.create_task(self._ask_for_ever(), name="request ends")

    async def stop(self) -> None:
        task, self._task, self._newest = self._task, None, {}
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def take(self) -> Mapping[tuple[str, int], int]:
        """(topic, partition) -> end offset, as told since the last call; empty when nothing was."""
        newest, self._newest = self._newest, {}
        return newest

    async def _ask_for_ever(self) -> None:
        while True:
            try:
                await self._ask_until_it_fails()
            except (KafkaError, ServiceError, OSError, TimeoutError) as error:
                log.warning("end offsets of requests are not known", reason=type(error).__name__)
            await asyncio.sleep(PERIOD_S)

    async def _ask_until_it_fails(self) -> None:
        prefix, lanes = self._settings.topics.prefix, self._settings.topics.lanes
        names = [topics.requests(prefix, lane) for lane in ("", *lanes)]
        consumer = AIOKafkaConsumer(
            **kafka.connection(self._settings.kafka), enable_auto_commit=False, isolation_level="read_uncommitted"
        )
        try:
            async with asyncio.timeout(4 * TIMEOUT_S):
                await consumer.start()
                found = await partitions_of(self._settings.kafka, *names)
            partitions = [tp for tps in found.values() for tp in tps]
            while True:
                async with asyncio.timeout(TIMEOUT_S):
                    ends = await consumer.end_offsets(partitions)
                self._newest = {(tp.topic, tp.partition): end for tp, end in ends.items()}
                await asyncio.sleep(PERIOD_S)
        finally:
            await stop_reader(consumer)
