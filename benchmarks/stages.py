"""Where the time of one request goes inside the pipeline: each stage alone, in one process, without a broker.

Real chunks are served, one after the other, while every call of a stage is written down; then each stage's calls are
repeated with the same arguments until the fastest of many repetitions stands. There are more records than the
processor's caches hold, as in a worker: one chunk that is served again and again seems a fifth cheaper. What the stages
leave of the whole is the pipeline's own work, and so is never zero.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from rich.console import Console
from rich.table import Table

from benchmarks import workload
from stream_maas import __version__, pipeline, wire
from stream_maas.admission import Limits
from stream_maas.inference import Catalog
from stream_maas.inference.config import RuntimeConfig
from stream_maas.ledger import chain
from stream_maas.privacy import Redactor
from stream_maas.privacy.config import RedactionConfig
from stream_maas.records import Answered, InputRecord, Outgoing, Writer
from stream_maas.settings import WorkerConfig
from stream_maas.topics import BATCH_BYTES
from stream_maas.worker import batches

CHUNK_ROWS = WorkerConfig().chunk_max_records
"""As many as a worker serves in one go."""
CHUNKS = 4
REPEATS = 12
CODECS = {"none": 0, "snappy": 2, "lz4": 3, "zstd": 4}
"""Attribute bits of a record batch (Kafka protocol, record batch format)."""
_FORM = {"_batch_size": BATCH_BYTES, "_compression_type": CODECS[WorkerConfig().compression], "_txn_manager": None}
_PRODUCER = SimpleNamespace(
    _message_accumulator=SimpleNamespace(**_FORM), create_batch=lambda: BatchBuilder(*list(_FORM.values())[:2])
)
"""As much of a producer as batches are made with."""
_NOW_US = 1_800_000_000_000_000


@dataclass(slots=True)
class Stage:
    """A function that the pipeline calls, found where the pipeline looks it up."""

    name: str
    holder: Any
    attribute: str


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds per record, fastest repetition."""

    name: str
    us: float
    calls: int


def make_service(model: Path) -> pipeline.Service:
    """The worker's service with default settings and this bundle."""
    catalog = Catalog.load(RuntimeConfig(models=(str(model),)))
    for loaded in catalog.models:
        loaded.warm_up()
    writer = Writer(app="stream-maas", instance="bench", build=__version__, runtime=catalog.runtime)
    return pipeline.Service(
        redactor=Redactor(RedactionConfig()),
        catalog=catalog,
        limits=Limits(),
        audit=wire.AuditEncoder(writer),
        source=wire.service_source("stream-maas"),
        digest_key=b"k" * 32,
    )


def make_chunks() -> list[list[InputRecord]]:
    """Records as a consumer would hand them over, no two alike."""
    records = [
        InputRecord("maas.requests", 0, offset, _NOW_US // 1000 - 5, request.key, request.value)
        for offset, request in enumerate(workload.requests(CHUNKS * CHUNK_ROWS))
    ]
    return [records[start : start + CHUNK_ROWS] for start in range(0, len(records), CHUNK_ROWS)]


def serve(service: pipeline.Service, chunk: Sequence[Any]) -> Answered:
    return pipeline.serve(chunk, lane="default", now_us=_NOW_US, clock=time.perf_counter_ns, service=service)


def stages_of(service: pipeline.Service) -> list[Stage]:
    model = service.catalog.models[0]
    return [
        Stage("decode request", wire, "decode_request"),
        Stage("redact", type(service.redactor), "redact_request"),
        Stage("prepare row", type(model), "prepare"),
        Stage("infer", type(model), "run"),
        Stage("encode result and its digest", wire, "encode_prediction_and_digest"),
        Stage("encode audit event", type(service.audit), "encode"),
        Stage("digest of input", pipeline, "_input_digest"),
        Stage("headers of result", wire, "answer_headers"),
    ]


def measure(service: pipeline.Service, chunks: Sequence[Sequence[Any]]) -> list[Cost]:
    """Costs of the stages, of the pipeline around them, of both together, and of filling produce batches."""
    calls = {}
    for stage in stages_of(service):
        with _recorded(stage) as made:
            for chunk in chunks:
                serve(service, chunk)
        calls[stage.name] = (getattr(stage.holder, stage.attribute), made)
    answered = [serve(service, chunk) for chunk in chunks]
    rows = sum(map(len, chunks))
    gc.collect()
    gc.disable()
    try:
        costs = [
            Cost(name, fastest_us(partial(_repeat, function, made)) / rows, len(made))
            for name, (function, made) in calls.items()
        ]
        whole_us = serve_us(service, chunks)
        costs.append(Cost("pipeline around the stages", whole_us - sum(cost.us for cost in costs), len(chunks)))
        costs.append(Cost("whole pipeline.serve", whole_us, len(chunks)))
        costs.append(
            Cost("link audit events", fastest_us(lambda: [_link(each) for each in answered]) / rows, len(chunks))
        )
        linked = [_link(each) for each in answered]
        pairs = list(zip(answered, linked, strict=True))
        costs.append(
            Cost("fill produce batches", fastest_us(lambda: [_fill(*pair) for pair in pairs]) / rows, 2 * rows)
        )
    finally:
        gc.enable()
    return costs


def serve_us(service: pipeline.Service, chunks: Sequence[Sequence[Any]]) -> float:
    """CPU microseconds per record of all that the pipeline does, fastest repetition."""
    us = fastest_us(lambda: [len(serve(service, chunk).audits) for chunk in chunks])
    return us / sum(map(len, chunks))


@contextlib.contextmanager
def _recorded(stage: Stage) -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Put a stand-in that writes its arguments down before it calls the function it stands for."""
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    original = getattr(stage.holder, stage.attribute)

    def recorder(*args: Any, **kwargs: Any) -> Any:
        made.append((args, kwargs))
        return original(*args, **kwargs)

    setattr(stage.holder, stage.attribute, recorder)
    try:
        yield made
    finally:
        setattr(stage.holder, stage.attribute, original)


def _repeat(function: Callable[..., Any], calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    for args, kwargs in calls:
        function(*args, **kwargs)


def _link(answered: Answered) -> list[Outgoing]:
    """What makes the events a chain and gives each result its receipt (taken away again)."""
    linked, _ = chain.link(answered.audits, "0" * 32, chain.Head(1, "0" * 64))
    for result in answered.results:
        result.headers.pop()
    return linked


def _fill(answered: Answered, linked: Sequence[Outgoing]) -> None:
    """What the publisher does with the rows before they go to the network."""
    for rows in (linked, answered.results, answered.dead_letters):
        for batch in batches.filled(_PRODUCER, "topic", rows):
            batch._build()


def fastest_us(function: Callable[[], object]) -> float:
    """CPU microseconds of this thread for one call."""
    # CPU time, not the clock: other processes may take turns with us.
    best_ns = min(_timed_ns(function) for _ in range(REPEATS))
    return best_ns / 1000


def _timed_ns(function: Callable[[], object]) -> int:
    started_ns = time.thread_time_ns()
    function()
    return time.thread_time_ns() - started_ns


def main(console: Console, model: Path) -> None:
    """Print the table."""
    costs = measure(make_service(model), make_chunks())
    whole = next(cost.us for cost in costs if cost.name == "whole pipeline.serve")
    table = Table(
        title=f"CPU us per record, {CHUNKS} chunks of {CHUNK_ROWS}, fastest of {REPEATS}", title_justify="left"
    )
    for column in ("stage", "us", "share", "calls"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for cost in costs:
        table.add_row(cost.name, f"{cost.us:.2f}", f"{cost.us / whole:.0%}", str(cost.calls))
    console.print(table)
