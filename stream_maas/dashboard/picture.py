"""What the live page draws: audit events folded into short buckets per model and lane. Pure; time is an input.

A bucket belongs to the second at which its events were appended to the audit topic, so the page shows when answers
came out. This is for looking: rules and alerts have their own windows, in event time, in the monitor.
Percentiles come from logarithmic histograms (1 % relative error), which add up exactly; they are never averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np

from stream_maas.monitor.histogram import LogHistogram, bins_of
from stream_maas.monitor.outcomes import CLIENT_FAULTS
from stream_maas.wire import AuditGlance

BUCKET_S = 5
SUMMARY_S = 300
"""What the tiles on top of the page sum up."""
ALL = "all"
OTHER = "other"
MAX_VIEWS = 24
"""Lanes and models shown one by one; whatever comes later is `OTHER`, so that memory and page stay bounded."""
QUANTILES = (0.5, 0.9, 0.99)
STAGES = ("queue", "redact", "infer", "other")
COLUMNS = ("t", "requests", "ok", "degraded", "refused", "failed", "p50", "p90", "p99", "max", *STAGES, "spans")
"""Columns of `Picture.columns`: start (epoch s), counts, latency and mean stage durations (ms), spans redacted."""


@dataclass(slots=True)
class Bucket:
    """Sums over the events of one view in one bucket. Durations in microseconds."""

    requests: int = 0
    ok: int = 0
    degraded: int = 0
    refused: int = 0
    """Rejections that are the caller's to mend."""
    failed: int = 0
    """Rejections that are ours: errors, late and shed requests."""
    latency: LogHistogram = field(default_factory=LogHistogram)
    """End to end."""
    stages_us: list[int] = field(default_factory=lambda: [0] * len(STAGES))
    codes: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    """Redacted entity type -> spans."""

    def add(self, event: AuditGlance, bin_: int) -> None:
        timings = event.timings_us
        total = max(timings.total, 0)
        stages = (max(timings.queue, 0), max(timings.redact, 0), max(timings.infer, 0))
        self.requests += 1
        if event.code is None:
            self.ok += not event.degraded
            self.degraded += event.degraded
        else:
            self.codes[event.code] += 1
            self.refused += event.code in CLIENT_FAULTS
            self.failed += event.code not in CLIENT_FAULTS
        self.latency.add_one(total, bin_)
        sums = self.stages_us
        sums[0] += stages[0]
        sums[1] += stages[1]
        sums[2] += stages[2]
        sums[3] += max(total - sum(stages), 0)
        if event.redaction.counts:
            self.types.update(event.redaction.counts)

    def merge(self, other: Bucket) -> None:
        """Take in another bucket's events; the sums are those of all events together."""
        self.requests += other.requests
        self.ok += other.ok
        self.degraded += other.degraded
        self.refused += other.refused
        self.failed += other.failed
        self.latency.merge(other.latency)
        self.stages_us = [mine + theirs for mine, theirs in zip(self.stages_us, other.stages_us, strict=True)]
        self.codes.update(other.codes)
        self.types.update(other.types)


class Picture:
    """Buckets of the last `history_s` seconds, per view: `ALL`, "lane:NAME" and "model:NAME VERSION"."""

    def __init__(self, history_s: int) -> None:
        self.history_s = history_s
        self.views: dict[str, dict[int, Bucket]] = {ALL: {}}
        """View -> bucket start (epoch s) -> bucket."""
        self._changed: set[tuple[str, int]] = set()

    def add(self, events: Sequence[tuple[int, AuditGlance]]) -> None:
        """Fold (append time in epoch ms, event) pairs, in any order."""
        if not events:
            return
        bins = bins_of(np.array([event.timings_us.total for _, event in events])).tolist()
        # Each event is counted once, under its lane and model; what was counted together goes into every view at once.
        parts: dict[tuple[int, str, str | None, str | None], Bucket] = {}
        for (time_ms, event), bin_ in zip(events, bins, strict=True):
            start = time_ms // 1000 // BUCKET_S * BUCKET_S
            model = event.model
            name, version = (model.name, model.version) if model else (None, None)
            key = (start, event.request.lane, name, version)
            part = parts.get(key)
            if part is None:
                part = parts[key] = Bucket()
            part.add(event, bin_)
        for (start, lane, name, version), part in parts.items():
            for view in self._views_of(lane, f"{name} {version}" if name else None):
                self.views[view].setdefault(start, Bucket()).merge(part)
                self._changed.add((view, start))

    def forget(self, now_s: float) -> None:
        """Drop what is older than the history."""
        oldest = now_s - self.history_s - BUCKET_S
        for buckets in self.views.values():
            for start in [start for start in buckets if start < oldest]:
                del buckets[start]
        self._changed = {(view, start) for view, start in self._changed if start >= oldest}

    def take_changes(self) -> dict[str, list[dict[str, Any]]]:
        """View -> rows (`row`) of the buckets that changed since the last call, oldest first."""
        changed, self._changed = sorted(self._changed), set()
        rows: dict[str, list[dict[str, Any]]] = {}
        for view, start in changed:
            rows.setdefault(view, []).append(row(start, self.views[view][start]))
        return rows

    def columns(self, view: str) -> dict[str, list[Any]]:
        """All rows of a view as one list per name of `COLUMNS`, `codes` and `types`, oldest first; empty for a view
        that does not exist."""
        rows = [row(start, bucket) for start, bucket in sorted(self.views.get(view, {}).items())]
        return {name: [entry[name] for entry in rows] for name in (*COLUMNS, "codes", "types")}

    def summary(self, view: str, now_s: float, length_s: int = SUMMARY_S) -> dict[str, Any]:
        """Sums and exact percentiles (ms) of a view over the last `length_s` seconds."""
        chosen = [bucket for start, bucket in self.views.get(view, {}).items() if start > now_s - length_s - BUCKET_S]
        latency = LogHistogram()
        for bucket in chosen:
            latency.merge(bucket.latency)
        counts = ("requests", "ok", "degraded", "refused", "failed")
        return (
            {name: sum(getattr(bucket, name) for bucket in chosen) for name in counts}
            | dict(zip(("p50", "p90", "p99"), quantiles_ms(latency), strict=True))
            | {"max": latency.max / 1000, "length_s": length_s}
        )

    def _views_of(self, lane: str, model: str | None) -> set[str]:
        wanted = [f"lane:{lane}"] + ([f"model:{model}"] if model is not None else [])
        chosen = {ALL, *(view if view in self.views or len(self.views) < MAX_VIEWS else OTHER for view in wanted)}
        for view in chosen:
            self.views.setdefault(view, {})
        return chosen


def row(start: int, bucket: Bucket) -> dict[str, Any]:
    """One bucket as the page gets it; see `COLUMNS`."""
    count = bucket.requests or 1
    stages = {name: round(us / count / 1000, 3) for name, us in zip(STAGES, bucket.stages_us, strict=True)}
    return {
        "t": start, "requests": bucket.requests, "ok": bucket.ok, "degraded": bucket.degraded,
        "refused": bucket.refused, "failed": bucket.failed,
        **dict(zip(("p50", "p90", "p99"), quantiles_ms(bucket.latency), strict=True)),
        "max": bucket.latency.max / 1000, **stages, "spans": sum(bucket.types.values()),
        "codes": dict(bucket.codes), "types": dict(bucket.types),
    }  # fmt: skip


def quantiles_ms(latency: LogHistogram) -> list[float | None]:
    """`QUANTILES` in milliseconds, each within 1 % of the exact value; None where there is no value."""
    return [None if isnan(value) else round(value / 1000, 3) for value in latency.quantiles(QUANTILES)]
