"""Model calls off the event loop: which threads a model has, how many of its calls may wait, and when one is given up.

Each model that is not tiny has threads and a queue of its own in each lane, so a slow one keeps no other from running,
and a full lane no other lane. What does not fit into its queue waits with its chunk; how many chunks there are is
bounded by the transport.

A call whose last deadline passes is ended between two operators. An operator cannot be interrupted, so after a grace
the rows are answered without it; its thread stays taken until the operator is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from stream_maas import pipeline
from stream_maas.inference import Cancellation, Model

GRACE_S = 0.004
"""How long an ended call may take to notice."""
NICENESS = 5
"""Model threads give way to the event loop, which does the work of everybody else (Linux: niceness is per thread)."""


class _Room:
    """One model's threads and queue."""

    def __init__(self, model: Model, threads: int, waiting: int) -> None:
        self.threads = threads
        self.slots = asyncio.Semaphore(threads + waiting)
        self.executor = ThreadPoolExecutor(threads, f"infer-{model.ref.name}", initializer=_give_way)
        self.least_us: dict[pipeline.Batch, int] = {}
        """Calls that are queued or running, oldest first -> how long they take at least."""

    def ahead_us(self) -> int:
        """What is queued behind the calls that run, shared among the threads."""
        return sum(list(self.least_us.values())[self.threads :]) // self.threads


class ModelCalls:
    """Runs the batches of one lane in threads. All methods belong to the event loop."""

    def __init__(self, *, threads: int, waiting: int) -> None:
        """`threads`: concurrent calls per model; `waiting`: calls per model that may queue for them."""
        self._threads, self._waiting = threads, waiting
        self._rooms: dict[Model, _Room] = {}

    def ahead_us(self, model: Model) -> int:
        """Microseconds, at least, before a new call of `model` begins."""
        room = self._rooms.get(model)
        return room.ahead_us() if room is not None else 0

    def waiting_count(self) -> dict[str, int]:
        """Model name -> calls queued or running."""
        counts: dict[str, int] = {}
        for model, room in self._rooms.items():
            counts[model.ref.name] = counts.get(model.ref.name, 0) + len(room.least_us)
        return counts

    async def run(self, batch: pipeline.Batch) -> None:
        """Call the model and settle the batch: with its answers, or as expired once its last deadline has passed."""
        room = self._rooms.get(batch.model)
        if room is None:
            room = self._rooms[batch.model] = _Room(batch.model, self._threads, self._waiting)
        started_ns = time.perf_counter_ns()
        deadline_us = batch.deadline_us
        outcome: pipeline.Outcome | None
        if deadline_us is None:
            await room.slots.acquire()
            outcome = await self._submit(room, batch, None)
        else:
            outcome = await self._run_until(room, batch, deadline_us)
        if outcome is None:
            outcome = pipeline.ended(batch, started_ns, (time.perf_counter_ns() - started_ns) // 1000)
        pipeline.settle(batch, outcome)

    def keep(self, models: Collection[Model]) -> None:
        """Let go of models that are no longer served. What they still have to do is done."""
        for model in set(self._rooms) - set(models):
            if not self._rooms[model].least_us:
                self._rooms.pop(model).executor.shutdown(wait=False)

    def shut_down(self) -> None:
        """Drop what waits; running calls end by themselves."""
        for room in self._rooms.values():
            room.executor.shutdown(wait=False, cancel_futures=True)

    async def _run_until(self, room: _Room, batch: pipeline.Batch, deadline_us: int) -> pipeline.Outcome | None:
        """The outcome, or None when it did not come in time."""
        try:
            async with asyncio.timeout(_left_s(deadline_us)):
                await room.slots.acquire()
        except TimeoutError:
            return None
        cancellation = Cancellation()
        future = self._submit(room, batch, cancellation)
        done, _ = await asyncio.wait({future}, timeout=_left_s(deadline_us))
        if not done:
            cancellation.cancel()
            done, _ = await asyncio.wait({future}, timeout=GRACE_S)
        return future.result() if done else None

    def _submit(
        self, room: _Room, batch: pipeline.Batch, cancellation: Cancellation | None
    ) -> asyncio.Future[pipeline.Outcome]:
        """Into the model's threads. Its slot is free again when the thread is, whoever still waits for it."""
        room.least_us[batch] = sum(batch.model.least_us(item.row) for item in batch.items if item.row is not None)
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(room.executor, pipeline.call, batch, time.perf_counter_ns, cancellation)

        def leave(_: asyncio.Future[pipeline.Outcome]) -> None:
            room.least_us.pop(batch, None)
            room.slots.release()

        future.add_done_callback(leave)
        return future


def _left_s(deadline_us: int) -> float:
    return max(0.0, deadline_us / 1e6 - time.time())


def _give_way() -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
