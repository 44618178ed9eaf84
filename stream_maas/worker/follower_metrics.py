"""Prometheus metrics that every follower has. Base units, bounded labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stream_maas.worker.metrics import STAGE_BOUNDS_S


class FollowerMetrics:
    """Counters and gauges named `stream_maas_ROLE_...`, in a registry of their own."""

    def __init__(self, role: str) -> None:
        registry = self.registry = CollectorRegistry()
        name = f"stream_maas_{role}"
        self.records = Counter(f"{name}_records_total", "Records taken in", registry=registry)
        self.commits = Histogram(
            f"{name}_commit_seconds", "Writing what was concluded together with its offsets",
            buckets=STAGE_BOUNDS_S, registry=registry,
        )  # fmt: skip
        self.recoveries = Counter(
            f"{name}_recoveries_total", "Times it started over from the committed state", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.lag_records = Gauge(
            f"{name}_lag_records", "Records not read yet", ["topic", "partition"], registry=registry
        )

    def exposition(self) -> bytes:
        """The Prometheus text format, version 0.0.4."""
        return generate_latest(self.registry)
