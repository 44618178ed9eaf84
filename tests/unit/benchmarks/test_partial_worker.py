"""The worker without governance, as the benchmark runs it, answers as the whole one does."""

from __future__ import annotations

import time
from inspect import signature

import orjson

from benchmarks import workload
from benchmarks.peers.partial_worker import BlindRedactor, finish_unaudited
from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.records import Answered, InputRecord, Writer


def service() -> pipeline.Service:
    return pipeline.Service(
        redactor=BlindRedactor(),
        catalog=Catalog.load(RuntimeConfig()),
        limits=Limits(),
        audit=wire.AuditEncoder(Writer("bench", "bench", "bench")),
        source="/stream-maas/bench",
        digest_key=b"k" * 32,
    )


def test_without_audit_the_answers_are_the_same() -> None:
    values = [request.value for request in workload.requests(40)] + [b"{", b'{"inputs": []}']
    records = [
        InputRecord("maas.requests", 0, place, time.time_ns() // 1_000_000, b"k", value)
        for place, value in enumerate(values)
    ]
    bare = service()

    def served(finish: object) -> Answered:
        plan = pipeline.prepare(
            records, lane="default", now_us=time.time_ns() // 1000, clock=time.perf_counter_ns, service=bare
        )
        for batch in plan.batches:
            pipeline.infer(batch, time.perf_counter_ns)
        return finish(plan, clock=time.perf_counter_ns, service=bare)  # type: ignore[operator]

    whole, partial = served(pipeline.finish), served(finish_unaudited)
    assert (len(whole.audits), len(partial.audits), len(partial.dead_letters)) == (len(values), 0, 0)
    assert [timeless(row.value) for row in partial.results] == [timeless(row.value) for row in whole.results]
    assert partial.codes == whole.codes == {"prediction": 40, "undecodable": 1, "invalid_input": 1}


def test_it_takes_what_the_whole_one_takes() -> None:
    """The worker calls it in the place of the other."""
    assert list(signature(finish_unaudited).parameters) == list(signature(pipeline.finish).parameters)


def timeless(value: bytes) -> dict[str, object]:
    document = orjson.loads(value)
    parameters = document.get("parameters", {})
    return document | {"parameters": {name: each for name, each in parameters.items() if "timing" not in name}}
