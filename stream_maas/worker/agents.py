"""The hot agent: gathers a chunk, calls the pipeline, publishes. It decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import structlog
from aiokafka import TopicPartition

from stream_maas import pipeline
from stream_maas.records import Answered
from stream_maas.worker.publisher import Publisher
from stream_maas.worker.transport import Chunk

log = structlog.get_logger()


class LaneAgent:
    """Serves one request topic. Chunks of one partition are published in order; inference of several may overlap.

    Models that are tiny run on the event loop: a hop to a thread would cost more than their call. All others run
    in `executor`, where ONNX Runtime releases the GIL.
    """

    def __init__(
        self,
        *,
        lane: str,
        service: pipeline.Service,
        publisher: Publisher,
        executor: Executor,
        on_bug: Callable[[Exception], None],
    ) -> None:
        self._lane = lane
        self._service = service
        self._publisher = publisher
        self._executor = executor
        self._on_bug = on_bug
        self._tails: dict[TopicPartition, asyncio.Task[None]] = {}

    async def run(self, stream: Any) -> None:
        """The Faust agent body. How many chunks arrive is bounded by the transport (in_flight_chunks)."""
        async for event in stream.noack().events():
            chunk: Chunk = event.value
            previous = self._tails.get(chunk.tp)
            task = asyncio.create_task(self._handle(chunk, previous), name=f"chunk {chunk.tp}")
            self._tails[chunk.tp] = task
            task.add_done_callback(partial(self._forget, chunk.tp))
            # One turn of the loop between chunks, so that acknowledgements and probes are not kept waiting.
            await asyncio.sleep(0)

    async def _handle(self, chunk: Chunk, previous: asyncio.Task[None] | None) -> None:
        answered = await self._serve(chunk)
        if previous is not None and not previous.done():
            await asyncio.wait([previous])
        self._publisher.publish(chunk, answered)

    async def _serve(self, chunk: Chunk) -> Answered:
        clock = time.perf_counter_ns
        plan = pipeline.prepare(
            chunk.records, lane=self._lane, now_us=time.time_ns() // 1000, clock=clock, service=self._service
        )
        heavy = [batch for batch in plan.batches if not batch.model.tiny]
        loop = asyncio.get_running_loop()
        running = [loop.run_in_executor(self._executor, pipeline.infer, batch, clock) for batch in heavy]
        for batch in plan.batches:
            if batch.model.tiny:
                pipeline.infer(batch, clock)
        if running:
            await asyncio.gather(*running)
        return pipeline.finish(plan, clock=clock, service=self._service)

    def _forget(self, tp: TopicPartition, task: asyncio.Task[None]) -> None:
        if self._tails.get(tp) is task:
            del self._tails[tp]
        if not task.cancelled() and (error := task.exception()) is not None:
            # The pipeline answers every record's problem itself, so this is a defect of ours: stop un-acknowledged
            # rather than lose the chunk.
            self._on_bug(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
