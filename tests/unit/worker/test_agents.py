"""The agent between a stream and a publisher, both played by lists; pipeline, model and threads are real."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from aiokafka import TopicPartition

from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.errors import KeyStoreError
from stream_maas.inference import Catalog
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.inference.config import RuntimeConfig
from stream_maas.privacy import Redactor
from stream_maas.records import Answered, InputRecord, Writer
from stream_maas.worker.agents import LaneAgent
from stream_maas.worker.calls import ModelCalls
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.metrics import Metrics
from stream_maas.worker.swap import Serving

GOOD = json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["fine"]}]}).encode()
BAD = b"{"


class Published(list[tuple[Chunk, Answered]]):
    """A publisher that keeps what it is given."""

    announced = 0
    postponed = 0

    def announce(self, chunk: Chunk) -> None:
        self.announced += 1

    def nothing_yet(self) -> None:
        self.postponed += 1

    def publish(self, chunk: Chunk, answered: Answered) -> None:
        self.append((chunk, answered))

    @property
    def places(self) -> list[tuple[int, int]]:
        """Partition and first offset of each chunk, in order of publication."""
        return [(chunk.tp.partition, chunk.records[0].offset) for chunk, _ in self]


class Stream:
    """Hands out chunks as Faust does, `turns` of the event loop apart, then stays open."""

    def __init__(self, chunks: list[Chunk], turns: int = 0) -> None:
        self._chunks, self._turns = chunks, turns

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        for chunk in self._chunks:
            yield SimpleNamespace(value=chunk)
            for _ in range(self._turns):
                await asyncio.sleep(0)
        await asyncio.Event().wait()


def chunk(partition: int, offset: int, values: list[bytes]) -> Chunk:
    tp = TopicPartition("maas.requests", partition)
    records = [
        InputRecord("maas.requests", partition, offset + place, 0, None, value) for place, value in enumerate(values)
    ]
    return Chunk(tp, records, era=0, generation=1)


@pytest.fixture
def service() -> pipeline.Service:
    return make_service(Catalog.load(RuntimeConfig()))


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
    calls = ModelCalls(threads=1, waiting=4)
    yield calls
    calls.shut_down()


async def published_by(
    agent_chunks: list[Chunk], service: pipeline.Service, calls: ModelCalls, *, max_records: int = 8, turns: int = 0
) -> tuple[Published, asyncio.Task[None]]:
    published = Published()
    untaken = list(agent_chunks)
    bugs: list[Exception] = []
    agent = LaneAgent(
        lane="default", serving=Serving(service, RuntimeConfig(), Metrics()), publisher=published, calls=calls,  # type: ignore[arg-type]
        max_records=max_records, on_taken=lambda chunks: [untaken.remove(chunk) for chunk in chunks],
        untaken_count=lambda topic: len(untaken), on_bug=bugs.append,
    )  # fmt: skip
    running = asyncio.create_task(agent.run(Stream(agent_chunks, turns)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert bugs == []
    return published, running


async def test_a_chunk_waits_for_the_one_before_it_and_for_no_other(
    service: pipeline.Service, calls: ModelCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    model = service.catalog.models[0]
    run = model.run

    def run_behind_the_gate(*arguments: Any) -> Any:
        gate.wait()
        return run(*arguments)

    model.tiny = False
    monkeypatch.setattr(model, "run", run_behind_the_gate)
    chunks = [chunk(0, 0, [GOOD]), chunk(0, 1, [BAD]), chunk(1, 0, [BAD])]
    published, running = await published_by(chunks, service, calls)
    assert published.places == [(1, 0)]
    gate.set()
    async with asyncio.timeout(30):
        while len(published) < 3:  # noqa: ASYNC110 - the list has no event
            await asyncio.sleep(0.01)
    assert published.places == [(1, 0), (0, 0), (0, 1)]
    assert [list(answered.codes) for _, answered in published] == [["undecodable"], ["prediction"], ["undecodable"]]
    running.cancel()


async def test_small_chunks_share_a_model_call(service: pipeline.Service, calls: ModelCalls) -> None:
    chunks = [chunk(0, 0, [GOOD]), chunk(1, 0, [GOOD, BAD]), chunk(2, 0, [GOOD])]
    published, running = await published_by(chunks, service, calls)
    assert published.places == [(0, 0), (1, 0), (2, 0)]
    assert [size for _, answered in published for size in answered.batch_sizes] == [3]
    assert [len(answered.audits) for _, answered in published] == [1, 2, 1]
    running.cancel()


async def test_what_one_poll_brought_shares_a_pass_though_it_arrives_bit_by_bit(
    service: pipeline.Service, calls: ModelCalls
) -> None:
    chunks = [chunk(partition, 0, [GOOD]) for partition in range(4)]
    published, running = await published_by(chunks, service, calls, turns=4)
    assert [size for _, answered in published for size in answered.batch_sizes] == [4]
    running.cancel()


async def test_what_needs_no_model_is_not_overtaken_by_what_needs_one(
    service: pipeline.Service, calls: ModelCalls
) -> None:
    service.catalog.models[0].tiny = False
    chunks = [chunk(0, 0, [BAD]), chunk(0, 1, [GOOD]), chunk(0, 2, [BAD])]
    published, running = await published_by(chunks, service, calls)
    async with asyncio.timeout(30):
        while len(published) < 3:  # noqa: ASYNC110 - the list has no event
            await asyncio.sleep(0.01)
    assert published.places == [(0, 0), (0, 1), (0, 2)]
    running.cancel()


async def test_a_tiny_model_that_is_called_record_by_record_gives_way_after_each(
    tmp_path: Path, calls: ModelCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(DEFAULT_BUNDLE, alone)
    manifest = yaml.safe_load((alone / "bundle.yaml").read_text()) | {"batching": "alone"}
    (alone / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    service = make_service(Catalog.load(RuntimeConfig(models=(str(alone),))))
    model = service.catalog.models[0]
    run, turns, others = model.run, [], itertools.count()

    def run_noting_the_turn(*arguments: Any) -> Any:
        turns.append(turn)
        return run(*arguments)

    async def somebody_else() -> None:
        nonlocal turn
        while True:
            turn = next(others)
            await asyncio.sleep(0)

    turn = 0
    monkeypatch.setattr(model, "run", run_noting_the_turn)
    else_ = asyncio.create_task(somebody_else())
    published, running = await published_by([chunk(0, 0, [GOOD] * 8)], service, calls)
    assert [size for _, answered in published for size in answered.batch_sizes] == [1] * 8
    assert len(set(turns)) == 8, "two calls without a turn for others between them"
    running.cancel()
    else_.cancel()


async def test_a_pass_is_bounded(service: pipeline.Service, calls: ModelCalls) -> None:
    chunks = [chunk(partition, 0, [GOOD] * 3) for partition in range(4)]
    published, running = await published_by(chunks, service, calls, max_records=6)
    assert [size for _, answered in published for size in answered.batch_sizes] == [6, 6]
    running.cancel()


async def test_a_defect_of_ours_is_reported_and_loses_nothing_silently(
    service: pipeline.Service, calls: ModelCalls
) -> None:
    bugs: list[Exception] = []

    class Broken(Published):
        def publish(self, chunk: Chunk, answered: Answered) -> None:
            raise RuntimeError("defect")

    agent = LaneAgent(
        lane="default", serving=Serving(service, RuntimeConfig(), Metrics()), publisher=Broken(), calls=calls,  # type: ignore[arg-type]
        max_records=8, on_taken=lambda chunks: None, untaken_count=lambda topic: 0, on_bug=bugs.append,
    )  # fmt: skip
    running = asyncio.create_task(agent.run(Stream([chunk(0, 0, [GOOD])])))
    for _ in range(100):
        await asyncio.sleep(0)
    assert [type(bug) for bug in bugs] == [RuntimeError]
    running.cancel()


@pytest.mark.parametrize("tiny", [True, False])
async def test_nothing_is_published_behind_a_chunk_that_a_defect_lost(
    service: pipeline.Service, calls: ModelCalls, monkeypatch: pytest.MonkeyPatch, tiny: bool
) -> None:
    """Its offset would be committed, and the records of the lost chunk would never be answered."""
    bugs: list[Exception] = []
    later = asyncio.Event()
    finish = pipeline.finish

    def finish_unless_second(part: pipeline.Plan, **rest: Any) -> Answered:
        if part.items[0].record.offset == 1:
            raise KeyStoreError("key store: OperationalError")
        return finish(part, **rest)

    class Late(Stream):
        async def events(self) -> AsyncIterator[Any]:
            for each in self._chunks[:-1]:
                yield SimpleNamespace(value=each)
            await later.wait()
            yield SimpleNamespace(value=self._chunks[-1])
            await asyncio.Event().wait()

    monkeypatch.setattr(pipeline, "finish", finish_unless_second)
    service.catalog.models[0].tiny = tiny
    published = Published()
    agent = LaneAgent(
        lane="default", serving=Serving(service, RuntimeConfig(), Metrics()), publisher=published, calls=calls,  # type: ignore[arg-type]
        max_records=8, on_taken=lambda chunks: None, untaken_count=lambda topic: 0, on_bug=bugs.append,
    )  # fmt: skip
    running = asyncio.create_task(agent.run(Late([chunk(0, offset, [GOOD]) for offset in range(4)])))
    async with asyncio.timeout(30):
        while not bugs:  # noqa: ASYNC110 - the list has no event
            await asyncio.sleep(0.01)
    later.set()
    await asyncio.sleep(0.05)
    assert published.places == ([] if tiny else [(0, 0)]), "a pass is published as a whole"
    assert [type(bug) for bug in bugs] == [KeyStoreError]
    running.cancel()
