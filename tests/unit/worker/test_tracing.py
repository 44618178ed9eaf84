"""Spans of a pass, in the SDK's own in-memory exporter: how they hang together, and that they say nothing private."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.errors import SettingsError
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.privacy import Redactor
from stream_maas.records import InputRecord, Writer
from stream_maas.worker import tracing as tracing_module
from stream_maas.worker.tracing import Tracing, open_tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CANARY = "zoe.canary@example.org"
NOW_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def service() -> pipeline.Service:
    return pipeline.Service(
        redactor=Redactor(),
        catalog=Catalog.load(RuntimeConfig()),
        limits=Limits(),
        audit=wire.AuditEncoder(Writer("app", "w1", "test")),
        source="/maas/app",
        digest_key=b"k" * 32,
    )


def record(offset: int, text: Any, traceparent: str | None) -> InputRecord:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    value = orjson.dumps({"id": f"id-{CANARY}", "parameters": {"tenant": "secret-tenant"}, "inputs": [tensor]})
    headers = [("traceparent", traceparent.encode())] if traceparent else []
    return InputRecord("maas.requests", 3, offset, NOW_MS, CANARY.encode(), value, headers)


def spans_of(service: pipeline.Service, *records: InputRecord) -> dict[str, list[ReadableSpan]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    plan = pipeline.prepare(records, lane="default", now_us=NOW_MS * 1000, clock=time.perf_counter_ns, service=service)
    for batch in plan.batches:
        pipeline.infer(batch, time.perf_counter_ns)
    pipeline.finish(plan, clock=time.perf_counter_ns, service=service)
    tracing = Tracing(provider, group_id="group", on_failure=lambda: pytest.fail("no spans"))
    tracing.answered("maas.requests", 3, plan, time.perf_counter_ns())
    tracing.close()
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def test_a_batch_is_linked_to_its_requests_and_they_to_it(service: pipeline.Service) -> None:
    other = "1" * 32
    spans = spans_of(
        service,
        record(0, "fine", f"00-{TRACE}-{SPAN}-01"),
        record(1, "fine", None),
        record(2, "fine", f"00-{other}-{SPAN}-01"),
        record(3, "fine", f"00-{TRACE}-{SPAN}-00"),
    )
    (process,) = spans["process maas.requests"]
    (infer,) = spans["infer sentiment-lite"]
    answers = spans["answer sentiment-lite"]
    sampled = {(int(TRACE, 16), int(SPAN, 16)), (int(other, 16), int(SPAN, 16))}
    for span in (process, infer):
        assert {(link.context.trace_id, link.context.span_id) for link in span.links} == sampled
    assert process.kind is SpanKind.CONSUMER
    assert process.parent is None
    assert infer.parent is not None
    assert infer.parent.span_id == process.context.span_id
    assert {(span.parent.trace_id, span.parent.span_id) for span in answers if span.parent} == sampled
    assert all(span.links[0].context.span_id == process.context.span_id for span in answers)
    assert dict(process.attributes or {})["messaging.batch.message_count"] == 4
    assert dict(infer.attributes or {})["stream_maas.model.version"] == "1.0.0"


class _FailingProcessor(SpanProcessor):
    """What a defect of the SDK or of somebody's processor looks like."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError(CANARY)


def test_a_defect_of_tracing_is_counted_and_says_nothing_private(
    service: pipeline.Service, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(_FailingProcessor())
    failures: list[int] = []
    tracing = Tracing(provider, group_id="group", on_failure=lambda: failures.append(1))
    plan = pipeline.prepare(
        [record(0, "fine", None)], lane="default", now_us=NOW_MS * 1000, clock=time.perf_counter_ns, service=service
    )
    for _ in range(2):
        tracing.answered("maas.requests", 3, plan, time.perf_counter_ns())
    tracing.close()
    assert failures == [1, 1]
    said = capsys.readouterr()
    assert (said.out + said.err).count("RuntimeError") == 1
    assert CANARY not in said.out + said.err


def test_times_are_of_the_day_and_nest(service: pipeline.Service) -> None:
    spans = spans_of(service, record(0, "fine", f"00-{TRACE}-{SPAN}-01"))
    (process,), (infer,), (answer,) = spans.values() if len(spans) == 3 else pytest.fail(str(list(spans)))
    by_name = {span.name.split()[0]: span for span in (process, infer, answer)}
    assert by_name["process"].start_time == NOW_MS * 1_000_000
    for inner in ("infer", "answer"):
        assert by_name["process"].start_time <= by_name[inner].start_time <= by_name[inner].end_time
        assert by_name[inner].end_time <= by_name["process"].end_time


def test_a_rejection_is_an_error_with_its_code(service: pipeline.Service) -> None:
    spans = spans_of(service, record(0, 7, f"00-{TRACE}-{SPAN}-01"), record(1, 7, None))
    # What could not be decoded has no trace that could be trusted.
    assert list(spans) == ["process maas.requests"]
    unknown = orjson.dumps(orjson.loads(record(0, "fine", None).value) | {"model_name": "nobody"})
    asked = InputRecord(
        "maas.requests", 3, 0, NOW_MS, None, unknown, [("traceparent", f"00-{TRACE}-{SPAN}-01".encode())]
    )
    (answer,) = spans_of(service, asked)["answer"]
    assert answer.status.status_code is StatusCode.ERROR
    assert dict(answer.attributes or {})["error.type"] == "unknown_model"


def test_no_span_says_anything_of_a_request(service: pipeline.Service) -> None:
    spans = spans_of(service, record(0, f"write to {CANARY}", f"00-{TRACE}-{SPAN}-01"), record(1, "rare-word", None))
    everything = "".join(span.to_json() for group in spans.values() for span in group)
    for secret in (CANARY, "canary", "secret-tenant", "rare-word", "EMAIL"):
        assert secret not in everything


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"stream-maas\[otel\]"):
        open_tracing("app", "w1", group_id="app", on_failure=lambda: None)
    assert tracing_module.trace is not None
