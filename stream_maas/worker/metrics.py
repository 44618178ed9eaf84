"""Prometheus metrics of a worker. Base units, bounded labels: never an id, a tenant or any text of a request."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily

from stream_maas.inference import Catalog
from stream_maas.records import Answered
from stream_maas.worker.spool import Spool

LATENCY_BOUNDS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
STAGE_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
SIZE_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


_FEW = 16
"""Values below which NumPy costs more than it saves."""


class BulkHistogram:
    """A histogram that takes a whole chunk's values at once (prometheus_client locks and loops per value)."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._steps = [float(bound) for bound in bounds]
        self._bounds = np.asarray(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: Sequence[float] | np.ndarray) -> None:
        """Add values, shape (n,), any real dtype, in the metric's unit. A value equal to a bound counts below it."""
        if len(values) <= _FEW:
            for value in values:
                self._counts[bisect_left(self._steps, value)] += 1
                self._sum += float(value)
        else:
            array = np.asarray(values, dtype=np.float64)
            places = np.searchsorted(self._bounds, array, side="left")
            self._counts += np.bincount(places, minlength=len(self._counts))
            self._sum += float(array.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        cumulative = np.cumsum(self._counts)
        labels = [str(float(bound)) for bound in self._bounds] + ["+Inf"]
        buckets = [(label, float(count)) for label, count in zip(labels, cumulative, strict=True)]
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


class Metrics:
    """All metrics of one worker, in a registry of its own. docs/operations.md lists them; a test compares."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._deferred = 0
        self.info = Gauge(
            "stream_maas_worker_info", "Always 1; what this worker is", ["version", "delivery", "redaction_policy"],
            registry=registry,
        )  # fmt: skip
        self.requests = Counter(
            "stream_maas_requests_total", "Records answered and committed", ["lane"], registry=registry
        )
        self.answers = Counter(
            "stream_maas_answers_total", "Answers committed; code is prediction or a rejection code", ["code"],
            registry=registry,
        )  # fmt: skip
        self.model_answers = Counter(
            "stream_maas_model_answers_total", "Answers committed, by loaded model", ["model", "version", "code"],
            registry=registry,
        )  # fmt: skip
        self.redactions = Counter(
            "stream_maas_redactions_total", "Spans of personal data replaced", ["entity_type"], registry=registry
        )
        self.dead_letters = Counter("stream_maas_dead_letters_total", "Dead letters committed", registry=registry)
        self.queue = BulkHistogram(
            "stream_maas_queue_seconds", "From a record's timestamp to its dequeue", LATENCY_BOUNDS_S, registry
        )
        self.latency = BulkHistogram(
            "stream_maas_answer_seconds",
            "From a record's timestamp to its answer being built",
            LATENCY_BOUNDS_S,
            registry,
        )
        self.batch_rows = BulkHistogram("stream_maas_batch_rows", "Records in one model call", SIZE_BOUNDS, registry)
        self.chunk_records = BulkHistogram(
            "stream_maas_chunk_records", "Records served in one go", SIZE_BOUNDS, registry
        )
        self.stages = Histogram(
            "stream_maas_stage_seconds", "Time of one stage for one chunk", ["stage"], buckets=STAGE_BOUNDS_S,
            registry=registry,
        )  # fmt: skip
        self.commits = Histogram(
            "stream_maas_commit_seconds", "Waiting for acknowledgements and committing one interval",
            buckets=STAGE_BOUNDS_S, registry=registry,
        )  # fmt: skip
        self.recoveries = Counter(
            "stream_maas_recoveries_total", "Intervals dropped and repeated from the committed offsets", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.trace_failures = Counter(
            "stream_maas_trace_failures_total", "Chunks answered without spans, because making them failed",
            registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "stream_maas_in_flight_chunks", "Chunks fetched and not yet published", registry=registry
        )
        self.lag_records = Gauge(
            "stream_maas_lag_records", "Records behind the end of an assigned partition", ["topic", "partition"],
            registry=registry,
        )  # fmt: skip
        self.lag_seconds = Gauge(
            "stream_maas_lag_seconds", "Age of the last committed record while records wait behind it, else 0",
            ["topic", "partition"], registry=registry,
        )  # fmt: skip
        self.models = Gauge("stream_maas_models", "Bundles by state", ["state"], registry=registry)
        self.model_load = Gauge(
            "stream_maas_model_load_seconds", "Reading, checking and trying a bundle took so long",
            ["model", "version"], registry=registry,
        )  # fmt: skip
        self.model_memory = Gauge(
            "stream_maas_model_memory_bytes", "Growth of resident memory while a model was loaded",
            ["model", "version"], registry=registry,
        )  # fmt: skip
        self.model_calls = Gauge(
            "stream_maas_model_calls", "Calls of a model that is not tiny, queued or running", ["model"],
            registry=registry,
        )  # fmt: skip
        self.reloads = Counter(
            "stream_maas_model_reloads_total", "Changes of bundles that were taken up; failed: one could not be",
            ["outcome"], registry=registry,
        )  # fmt: skip

        self.audit_outage = Gauge(
            "stream_maas_audit_outage", "1 while the audit topic cannot be written", registry=registry
        )
        self.spool_events = Gauge(
            "stream_maas_audit_spool_events", "Audit events that wait in the spool", registry=registry
        )
        self.spool_bytes = Gauge("stream_maas_audit_spool_bytes", "Size of the spool", registry=registry)
        self.deferred = Counter(
            "stream_maas_audit_deferred_total", "Audit events moved from the spool to the topic", registry=registry
        )

    def outage(self, active: bool, spool: Spool | None, deferred_count: int) -> None:
        """How it is with the audit topic; `deferred_count`: since the start."""
        self.audit_outage.set(active)
        self.spool_events.set(spool.events if spool is not None else 0)
        self.spool_bytes.set(spool.size_bytes if spool is not None else 0)
        self.deferred.inc(deferred_count - self._deferred)
        self._deferred = deferred_count

    def serves(self, catalog: Catalog) -> None:
        """From now on these models are served."""
        self.models.labels("loaded").set(len(catalog.models))
        self.models.labels("failed").set(len(catalog.failures))
        for gauge in (self.model_load, self.model_memory, self.model_calls):
            gauge.clear()
        for loaded in catalog.loaded.values():
            ref = loaded.model.ref
            self.model_load.labels(ref.name, ref.version).set(loaded.load_us / 1e6)
            self.model_memory.labels(ref.name, ref.version).set(loaded.memory_bytes)

    def lags(self, partitions: Mapping[tuple[str, int], tuple[int, float]]) -> None:
        """(topic, partition) -> records and seconds. Those that another worker has now are gone from here: their last
        figures would stand for ever."""
        self.lag_records.clear()
        self.lag_seconds.clear()
        for place, (records, age_s) in partitions.items():
            self.lag_records.labels(*place).set(records)
            self.lag_seconds.labels(*place).set(age_s)

    def committed(self, lane: str, answered: Answered) -> None:
        """Count one chunk. Called after its commit only, so an aborted chunk is never counted twice."""
        self.requests.labels(lane).inc(len(answered.audits))
        for code, count in answered.codes.items():
            self.answers.labels(code).inc(count)
        for (model, version, code), count in answered.models.items():
            self.model_answers.labels(model, version, code).inc(count)
        for entity_type, count in answered.redactions.items():
            self.redactions.labels(entity_type).inc(count)
        self.dead_letters.inc(len(answered.dead_letters))
        self.queue.observe(_seconds(answered.queue_us))
        self.latency.observe(_seconds(answered.total_us))
        self.batch_rows.observe(answered.batch_sizes)
        self.chunk_records.observe([len(answered.audits)])
        for stage, duration_us in answered.stages_us.items():
            self.stages.labels(stage).observe(duration_us / 1e6)

    def exposition(self) -> bytes:
        """The Prometheus text format, version 0.0.4."""
        return generate_latest(self.registry)


def _seconds(values_us: Sequence[int]) -> Sequence[float] | np.ndarray:
    return [value / 1e6 for value in values_us] if len(values_us) <= _FEW else np.asarray(values_us) / 1e6
