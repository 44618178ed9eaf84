"""The hot agent: gathers chunks, calls the pipeline, hands the answers to the publisher. It decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from aiokafka import TopicPartition

from stream_maas import pipeline
from stream_maas.records import Answered
from stream_maas.worker.calls import ModelCalls
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.publisher import Publisher
from stream_maas.worker.swap import Serving
from stream_maas.worker.tracing import Tracing

_GATHERING_TURNS = 32
"""More than Faust needs for the partitions of a poll; whatever is not there by then is served next."""


class LaneAgent:
    """Serves one request topic. Chunks of one partition are published in order, different partitions independently.

    Small chunks that wait at the same time go through the pipeline together, because a pass costs as much as a dozen
    records. Models that are tiny run on the event loop: a hop to a thread would cost more than their call, and so would
    a thread for the whole pass (the interpreter has one lock). All others run in threads of their own (`calls`), where
    ONNX Runtime releases it, and only the chunks that need them wait.
    """

    def __init__(
        self,
        *,
        lane: str,
        serving: Serving,
        publisher: Publisher,
        calls: ModelCalls,
        max_records: int,
        on_taken: Callable[[Sequence[Chunk]], None],
        untaken_count: Callable[[str], int],
        on_bug: Callable[[Exception], None],
        tracing: Tracing | None = None,
    ) -> None:
        self._lane = lane
        self._serving = serving
        self._publisher = publisher
        self._calls = calls
        self._max_records = max_records
        self._on_taken = on_taken
        self._untaken_count = untaken_count
        self._on_bug = on_bug
        self._tracing = tracing
        self._waiting: deque[Chunk] = deque()
        self._server: asyncio.Task[None] | None = None
        self._tails: dict[TopicPartition, asyncio.Task[None]] = {}
        self._broken = False

    async def run(self, stream: Any) -> None:
        """The Faust agent body. How many chunks arrive is bounded by the transport (in_flight_chunks)."""
        async for event in stream.noack().events():
            self._waiting.append(event.value)
            self._publisher.announce(event.value)
            if self._server is None or self._server.done():
                self._server = asyncio.create_task(self._serve_waiting(), name=f"serve {self._lane}")
                self._server.add_done_callback(self._check)

    async def _serve_waiting(self) -> None:
        with self._breaking():
            while self._waiting:
                await self._gather()
                await self._serve(self._take())

    async def _gather(self) -> None:
        """Faust hands over what one poll brought chunk by chunk, each in some turns of the loop."""
        for _ in range(_GATHERING_TURNS):
            await asyncio.sleep(0)
            if len(self._waiting) >= self._untaken_count(self._waiting[0].tp.topic):
                return

    def _take(self) -> list[Chunk]:
        """The oldest waiting chunks, together at most `max_records` records; one at least."""
        chunks = [self._waiting.popleft()]
        size = len(chunks[0].records)
        while self._waiting and size + len(self._waiting[0].records) <= self._max_records:
            size += len(self._waiting[0].records)
            chunks.append(self._waiting.popleft())
        self._on_taken(chunks)
        return chunks

    async def _serve(self, chunks: Sequence[Chunk]) -> None:
        """One pass, step by step: a commit under way gets its turn between the steps of a pass."""
        clock = time.perf_counter_ns
        records = [record for chunk in chunks for record in chunk.records]
        service = self._serving.service
        steps = pipeline.preparing(
            records,
            lane=self._lane,
            now_us=time.time_ns() // 1000,
            clock=clock,
            service=service,
            ahead_us=self._calls.ahead_us,
        )
        while (plan := next(steps)) is None:  # noqa: ASYNC110 - gives way, does not wait
            await asyncio.sleep(0)
        running = {batch: asyncio.create_task(self._calls.run(batch)) for batch in plan.batches if not batch.model.tiny}
        for batch in plan.batches:
            if batch.model.tiny:
                pipeline.infer(batch, clock)
                await asyncio.sleep(0)
        ready: list[tuple[Chunk, Answered]] = []
        answering = {item: task for batch, task in running.items() for item in batch.items}
        for chunk, part in zip(chunks, plan.split([len(chunk.records) for chunk in chunks]), strict=True):
            needed = {answering[item] for item in part.items if item in answering} if running else None
            previous = self._tails.get(chunk.tp)
            if not needed and previous is None:
                ready.append((chunk, self._answer(chunk, part, service)))
                await asyncio.sleep(0)
            else:
                self._publish(ready)  # what is behind it in its partition may be ready before it
                task = asyncio.create_task(self._publish_later(chunk, part, service, needed, previous))
                self._tails[chunk.tp] = task
                task.add_done_callback(partial(self._forget, chunk.tp))
        # Together, so that one transaction takes them all: the first of them would leave the others behind.
        self._publish(ready)
        if all(chunk.tp in self._tails for chunk in chunks):
            self._publisher.nothing_yet()

    def _publish(self, ready: list[tuple[Chunk, Answered]]) -> None:
        """Hands over what is ready, and forgets it."""
        for chunk, answered in ready if not self._broken else ():
            self._publisher.publish(chunk, answered)
        ready.clear()

    async def _publish_later(
        self,
        chunk: Chunk,
        part: pipeline.Plan,
        service: pipeline.Service,
        needed: Collection[asyncio.Task[None]] | None,
        previous: asyncio.Task[None] | None,
    ) -> None:
        """After the model calls that the chunk needs and after the chunk before it in its partition."""
        with self._breaking():
            if needed:
                await asyncio.gather(*needed)
            if previous is not None:
                await asyncio.wait([previous])
            self._publish([(chunk, self._answer(chunk, part, service))])

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        """A defect of ours ends the process soon; until then nothing is published any more. A chunk that comes after
        the one that was lost would be committed past it."""
        try:
            yield
        except Exception:
            self._broken = True
            raise

    def _answer(self, chunk: Chunk, part: pipeline.Plan, service: pipeline.Service) -> Answered:
        answered = pipeline.finish(part, clock=time.perf_counter_ns, service=service, attempt=chunk.attempt)
        if self._tracing is not None:
            self._tracing.answered(chunk.tp.topic, chunk.tp.partition, part, time.perf_counter_ns())
        return answered

    def _forget(self, tp: TopicPartition, task: asyncio.Task[None]) -> None:
        if self._tails.get(tp) is task:
            del self._tails[tp]
        self._check(task)

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # The pipeline answers every record's problem itself, so this is a defect of ours: stop un-acknowledged
            # rather than lose the chunk.
            self._on_bug(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
