"""Model calls in threads: a slow model stalls no other, its queue is bounded, and a deadline ends what runs.

Models are real ones; where a call has to hang, it hangs on an event before ONNX Runtime is reached.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.errors import ExpiredError
from stream_maas.inference import Catalog, Model, RuntimeConfig
from stream_maas.privacy import Redactor
from stream_maas.records import InputRecord, Writer
from stream_maas.worker.calls import ModelCalls
from tests.support.bundles import lookup_request, slow_request, write_lookup_bundle, write_slow_bundle

FOR_EVER = 2**40
"""Rounds of the slow model: weeks."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Service:
    folder = tmp_path_factory.mktemp("models")
    bundles = (write_slow_bundle(folder), write_lookup_bundle(folder))
    return make_service(Catalog.load(RuntimeConfig(models=tuple(map(str, bundles)))))


def make_service(catalog: Catalog) -> pipeline.Service:
    return pipeline.Service(
        redactor=Redactor(),
        catalog=catalog,
        limits=Limits(),
        audit=wire.AuditEncoder(Writer("app", "w1", "test")),
        source="/maas/app",
        digest_key=b"k" * 32,
    )


@pytest.fixture
def calls() -> Iterator[ModelCalls]:
    calls = ModelCalls(threads=1, waiting=2)
    yield calls
    calls.shut_down()


@pytest.fixture
def gate(service: pipeline.Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The slow model hangs until it is set."""
    gate = threading.Event()
    model = service.catalog.resolve("slow", None)
    run = model.run

    def run_behind_the_gate(*arguments: Any) -> Any:
        gate.wait()
        return run(*arguments)

    monkeypatch.setattr(model, "run", run_behind_the_gate)
    yield gate
    gate.set()


def plan(service: pipeline.Service, *values: bytes, ahead_us: Callable[[Model], int] = lambda _: 0) -> pipeline.Plan:
    """Plan records that were produced this very moment."""
    now_us = time.time_ns() // 1000
    records = [
        InputRecord("maas.requests", 0, place, now_us // 1000, None, value) for place, value in enumerate(values)
    ]
    return pipeline.prepare(
        records, lane="default", now_us=now_us, clock=time.perf_counter_ns, service=service, ahead_us=ahead_us
    )


def codes(plan: pipeline.Plan, service: pipeline.Service) -> dict[str, int]:
    return dict(pipeline.finish(plan, clock=time.perf_counter_ns, service=service).codes)


async def test_a_deadline_ends_the_call_and_the_model_goes_on(service: pipeline.Service, calls: ModelCalls) -> None:
    endless = plan(service, slow_request(FOR_EVER, "endless", timeout=50_000))
    await calls.run(*endless.batches)
    assert codes(endless, service) == {"expired": 1}
    after = plan(service, slow_request(3, "after"))
    await calls.run(*after.batches)
    assert codes(after, service) == {"prediction": 1}
    assert calls.waiting_count() == {"slow": 0}


async def test_who_waits_longer_keeps_the_call_alive(service: pipeline.Service, gate: threading.Event) -> None:
    """One call, two rows, one deadline: the call goes on for the other row, and the late row is told so."""
    calls = ModelCalls(threads=1, waiting=2)
    both = plan(service, slow_request(1, "patient"), slow_request(1, "hurried", timeout=20_000))
    batch = pipeline.Batch(both.batches[0].model, both.items)
    running = asyncio.create_task(calls.run(batch))
    done, _ = await asyncio.wait([running], timeout=0.05)
    assert not done
    gate.set()
    await running
    assert codes(both, service) == {"prediction": 1, "expired": 1}
    calls.shut_down()


async def test_nobody_waits_for_a_thread_that_cannot_be_ended(
    service: pipeline.Service, calls: ModelCalls, gate: threading.Event
) -> None:
    stuck = plan(service, slow_request(1, "stuck", timeout=20_000))
    await calls.run(*stuck.batches)
    assert codes(stuck, service) == {"expired": 1}
    assert calls.waiting_count() == {"slow": 1}, "its thread is still taken"
    behind = plan(service, slow_request(1, "behind", timeout=20_000))
    await calls.run(*behind.batches)
    assert codes(behind, service) == {"expired": 1}
    gate.set()
    free = plan(service, slow_request(1, "free"))
    await calls.run(*free.batches)
    assert codes(free, service) == {"prediction": 1}


async def test_a_slow_model_stalls_no_other(
    service: pipeline.Service, calls: ModelCalls, gate: threading.Event
) -> None:
    slow = [asyncio.create_task(calls.run(*plan(service, slow_request(1, "slow")).batches)) for _ in range(5)]
    quick = plan(service, lookup_request(3, "quick"))
    await calls.run(*quick.batches)
    assert codes(quick, service) == {"prediction": 1}
    assert not any(task.done() for task in slow)
    gate.set()
    await asyncio.gather(*slow)


async def test_the_queue_is_bounded(service: pipeline.Service, calls: ModelCalls, gate: threading.Event) -> None:
    running = [asyncio.create_task(calls.run(*plan(service, slow_request(1, "n")).batches)) for _ in range(9)]
    await asyncio.sleep(0)
    assert calls.waiting_count() == {"slow": 3}, "one thread, two that wait"
    gate.set()
    await asyncio.gather(*running)
    assert calls.waiting_count() == {"slow": 0}


async def test_what_cannot_be_in_time_is_not_begun(
    service: pipeline.Service, calls: ModelCalls, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls of a second each wait for one thread: 1.5 s are not enough for a third, 10 s are."""
    model = service.catalog.resolve("slow", None)
    monkeypatch.setattr(model, "least_us", lambda row: 1_000_000)
    running = [asyncio.create_task(calls.run(*plan(service, slow_request(1, "n")).batches)) for _ in range(2)]
    await asyncio.sleep(0)
    assert calls.ahead_us(model) == 1_000_000
    both = plan(
        service, slow_request(1, "short", timeout=1_500_000), slow_request(1, "long", timeout=10_000_000),
        ahead_us=calls.ahead_us,
    )  # fmt: skip
    short, long = both.items
    assert isinstance(short.error, ExpiredError)
    assert str(short.error) == "parameters.timeout: shorter than the model and the calls before it need"
    assert long.error is None
    gate.set()
    await asyncio.gather(*running)


def test_a_call_known_to_be_too_long_is_answered_without_it(tmp_path: Path) -> None:
    """50 ms by the clock that watched it load: 5 ms are not enough for it, 60 ms are, and nobody has waited."""
    ticks = itertools.count(step=50_000_000)
    config = RuntimeConfig(models=(str(write_slow_bundle(tmp_path)),))
    watched = make_service(Catalog.load(config, meter=lambda: (next(ticks), 0)))
    made = plan(watched, slow_request(1, "short", timeout=5_000), slow_request(1, "long", timeout=60_000))
    short, long = made.items
    assert isinstance(short.error, ExpiredError)
    assert [item for batch in made.batches for item in batch.items] == [long]


async def test_a_model_that_is_gone_leaves_no_thread(service: pipeline.Service, calls: ModelCalls) -> None:
    await calls.run(*plan(service, slow_request(1, "n")).batches)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("infer-slow")]
    calls.keep([])
    assert calls.waiting_count() == {}
    calls.keep([])


def test_the_slow_bundle_is_not_tiny(tmp_path: Path) -> None:
    model = Catalog.load(RuntimeConfig(models=(str(write_slow_bundle(tmp_path)),))).models[0]
    assert not model.tiny
