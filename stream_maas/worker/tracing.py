"""OpenTelemetry traces: which spans a pass makes, and how they are tied to the requests' own traces.

Needs the extra `otel`. After OpenTelemetry's semantic conventions for messaging (batch processing):

    process <topic>     one per chunk, CONSUMER, linked to every request that carries a sampled W3C `traceparent`
      infer <model>     one per model call, linked to the requests that shared it
    answer <model>      one per such request, in the request's own trace, linked to its chunk's span

Spans are made when a chunk is answered, from times that were taken anyway, so a pass is not slowed down by them and a
record without a `traceparent` costs nothing. Attributes are names, numbers and codes of ours: never an id, a key, a
tenant or a value of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from stream_maas import __version__, pipeline
from stream_maas.errors import SettingsError

try:
    from opentelemetry import trace
    from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
except ImportError:  # the extra is not installed; `open_tracing` says so when it is asked for
    trace = None

_SAMPLED = 0x01
log = structlog.get_logger()


class Tracing:
    """Makes the spans of answered chunks."""

    def __init__(self, provider: Any, *, group_id: str, on_failure: Callable[[], None]) -> None:
        """`provider`: an OpenTelemetry SDK TracerProvider. `on_failure` is called for every chunk that has no spans."""
        self._provider = provider
        self._on_failure = on_failure
        self._has_failed = False
        self._tracer = provider.get_tracer("stream_maas", __version__)
        self._common = {"messaging.system": "kafka", "messaging.consumer.group.name": group_id}

    def answered(self, topic: str, partition: int, part: pipeline.Plan, ended_ns: int) -> None:
        """Trace one chunk after `pipeline.finish`. `ended_ns`: reading of the clock that the pass was given.

        Never raises: a span that cannot be made, by a sampler or a processor of the SDK for instance, is no reason not
        to answer.
        """
        try:
            self._trace(topic, partition, part, ended_ns)
        except Exception as error:  # noqa: BLE001 - whatever others' code raises
            self._on_failure()
            if not self._has_failed:
                self._has_failed = True
                log.warning("traces: a chunk has no spans; further ones are only counted", error=type(error).__name__)

    def _trace(self, topic: str, partition: int, part: pipeline.Plan, ended_ns: int) -> None:
        moment = part.moment
        # The clock counts from anywhere; the pass says which of its readings was which time of day.
        offset_ns = moment.now_us * 1000 - moment.started_ns
        chunk = self._tracer.start_span(
            f"process {topic}",
            kind=SpanKind.CONSUMER,
            links=_links(part.items),
            start_time=moment.now_us * 1000,
            attributes={
                **self._common,
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(partition),
                "messaging.batch.message_count": len(part.items),
                "stream_maas.lane": moment.lane,
            },
        )
        inside = trace.set_span_in_context(chunk)
        for batch in part.batches:
            self._infer(batch, inside, offset_ns)
        link = Link(chunk.get_span_context())
        for item in part.items:
            context = _context(item)
            if context is not None:
                self._answer(item, context, link, topic, moment.now_us * 1000, ended_ns + offset_ns)
        chunk.end(ended_ns + offset_ns)

    def close(self) -> None:
        """Export what is left; waits for the exporter's own timeout at most."""
        self._provider.shutdown()

    def _infer(self, batch: pipeline.Batch, inside: Any, offset_ns: int) -> None:
        outcome = batch.outcome
        if outcome is None:
            return
        started_ns = outcome.started_ns + offset_ns
        span = self._tracer.start_span(
            f"infer {batch.model.ref.name}",
            context=inside,
            links=_links(batch.items),
            start_time=started_ns,
            attributes={
                "stream_maas.model.name": batch.model.ref.name,
                "stream_maas.model.version": batch.model.ref.version,
                "stream_maas.model.digest": batch.model.ref.digest,
                "messaging.batch.message_count": len(batch.items),
            },
        )
        span.end(started_ns + outcome.infer_us * 1000)

    def _answer(self, item: pipeline.Item, context: Any, link: Any, topic: str, started_ns: int, ended_ns: int) -> None:
        attributes = {
            **self._common,
            "messaging.operation.name": "answer",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(item.record.partition),
            "messaging.kafka.offset": item.record.offset,
            "stream_maas.code": "prediction" if item.error is None else item.error.code,
        }
        name = "answer"
        if item.model is not None:
            name = f"answer {item.model.ref.name}"
            attributes["stream_maas.model.name"] = item.model.ref.name
            attributes["stream_maas.model.version"] = item.model.ref.version
        span = self._tracer.start_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(context)),
            kind=SpanKind.CONSUMER,
            links=[link],
            start_time=started_ns,
            attributes=attributes,
        )
        if item.error is not None:
            span.set_status(Status(StatusCode.ERROR, item.error.code))
            span.set_attribute("error.type", item.error.code)
        span.end(ended_ns)


def open_tracing(service_name: str, instance: str, *, group_id: str, on_failure: Callable[[], None]) -> Tracing:
    """Spans in batches to the OTLP endpoint that the standard OTEL_* variables name.

    Raises `SettingsError` without the extra.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError("worker.traces: needs the extra: pip install 'stream-maas[otel]'") from error
    resource = Resource.create(
        {"service.name": service_name, "service.instance.id": instance, "service.version": __version__}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, group_id=group_id, on_failure=on_failure)


def _links(items: Sequence[pipeline.Item]) -> list[Any]:
    return [Link(context) for item in items if (context := _context(item)) is not None]


def _context(item: pipeline.Item) -> Any | None:
    """The request's own span, if its producer records the trace. The header was checked when it was decoded."""
    traceparent = item.redacted.value.traceparent if item.redacted is not None else None
    if traceparent is None or not int(traceparent[53:55], 16) & _SAMPLED:
        return None
    return SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), True, TraceFlags(_SAMPLED))
