"""Prometheus metrics of the monitor. Base units, bounded labels."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from stream_maas.worker.follower_metrics import FollowerMetrics


class MonitorMetrics(FollowerMetrics):
    """What every follower has, and what the monitor knows about itself."""

    def __init__(self) -> None:
        super().__init__("monitor")
        registry = self.registry
        self.active = Gauge(
            "stream_maas_monitor_active", "1 while this process evaluates, 0 while it stands by", registry=registry
        )
        self.watermark = Gauge(
            "stream_maas_monitor_watermark_timestamp_seconds", "Event time up to which rules were evaluated",
            registry=registry,
        )  # fmt: skip
        self.heartbeat = Gauge(
            "stream_maas_monitor_heartbeat_timestamp_seconds", "When the last heartbeat was committed",
            registry=registry,
        )  # fmt: skip
        self.evaluations = Counter(
            "stream_maas_monitor_evaluations_total", "Instants at which all rules were evaluated", registry=registry
        )
        self.alert_events = Counter(
            "stream_maas_monitor_alert_events_total", "Alert events committed", ["step", "severity"], registry=registry
        )
        self.alerts = Gauge(
            "stream_maas_monitor_alerts", "Alerts that are not over", ["state", "severity"], registry=registry
        )
        self.series = Gauge("stream_maas_monitor_series", "Series that are kept", registry=registry)
        self.repeats = Gauge(
            "stream_maas_monitor_repeated_events", "Audit events of requests that were audited before",
            registry=registry,
        )  # fmt: skip
        self.snapshots = Gauge("stream_maas_monitor_snapshot_bytes", "Size of the last snapshot", registry=registry)
        self.notification_failures = Counter(
            "stream_maas_monitor_notification_failures_total", "Notifications that were given up", ["target"],
            registry=registry,
        )  # fmt: skip
