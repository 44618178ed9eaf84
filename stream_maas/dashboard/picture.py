"""What the live page draws: audit events folded into short buckets per model and lane. Pure; time is an input.

A bucket belongs to the second at which its events were appended to the audit topic, so the page shows when answers
came out. This is for looking: rules and alerts have their own windows, in event time, in the monitor.
Percentiles come from logarithmic histograms (1 % relative error), which add up exactly; they are never averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_maas.wire import AuditGlance

BUCKET_S = 5
SUMMARY_S = 300
"""What the tiles on top of the page sum up."""
ALL = "all"
OTHER = "other"
MAX_VIEWS = 24
"""Lanes and models shown one by one; whatever comes later is `OTHER`, so that memory and page stay bounded."""
_GAMMA_LOG = np.log(1.01 / 0.99)
"""Log of the ratio of neighbouring histogram bounds: what stands for a bin is within 1 % of its values (DDSketch)."""
QUANTILES = (0.5, 0.9, 0.99)
CALLER_FAULTS = frozenset(
    {"undecodable", "invalid_input", "unknown_model", "unknown_tenant", "too_large", "quota"}
)  # fmt: skip
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
    max_us: int = 0
    stages_us: list[int] = field(default_factory=lambda: [0] * len(STAGES))
    bins: Counter[int] = field(default_factory=Counter)
    """Histogram of end-to-end latency: bin -> count."""
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
            self.refused += event.code in CALLER_FAULTS
            self.failed += event.code not in CALLER_FAULTS
        self.max_us = max(self.max_us, total)
        sums = self.stages_us
        sums[0] += stages[0]
        sums[1] += stages[1]
        sums[2] += stages[2]
        sums[3] += max(total - sum(stages), 0)
        self.bins[bin_] += 1
        if event.redaction.counts:
            self.types.update(event.redaction.counts)

    def merge(self, other: Bucket) -> None:
        """Take in another bucket's events; the sums are those of all events together."""
        self.requests += other.requests
        self.ok += other.ok
        self.degraded += other.degraded
        self.refused += other.refused
        self.failed += other.failed
        self.max_us = max(self.max_us, other.max_us)
        self.stages_us = [mine + theirs for mine, theirs in zip(self.stages_us, other.stages_us, strict=True)]
        self.bins.update(other.bins)
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
        totals_us = np.array([event.timings_us.total for _, event in events], dtype=np.float64)
        bins = np.ceil(np.log(np.maximum(totals_us, 1.0)) / _GAMMA_LOG).astype(np.int64).tolist()
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
        bins: Counter[int] = Counter()
        for bucket in chosen:
            bins.update(bucket.bins)
        counts = ("requests", "ok", "degraded", "refused", "failed")
        return (
            {name: sum(getattr(bucket, name) for bucket in chosen) for name in counts}
            | dict(zip(("p50", "p90", "p99"), quantiles_ms(bins), strict=True))
            | {"max": max((bucket.max_us for bucket in chosen), default=0) / 1000, "length_s": length_s}
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
        **dict(zip(("p50", "p90", "p99"), quantiles_ms(bucket.bins), strict=True)),
        "max": bucket.max_us / 1000, **stages, "spans": sum(bucket.types.values()),
        "codes": dict(bucket.codes), "types": dict(bucket.types),
    }  # fmt: skip


def quantiles_ms(bins: Mapping[int, int]) -> list[float | None]:
    """`QUANTILES` in milliseconds, each within 1 % of the exact value; None where there is no value."""
    if not bins:
        return [None] * len(QUANTILES)
    keys = np.array(sorted(bins), dtype=np.int64)
    below = np.cumsum([bins[key] for key in keys.tolist()])
    # The value of rank floor(q * (n - 1)), as numpy's "lower" has it.
    places = np.searchsorted(below, np.floor(np.array(QUANTILES) * (below[-1] - 1)), side="right")
    middle_us = 2 * np.exp(keys[places] * _GAMMA_LOG) / (1 + np.exp(_GAMMA_LOG))
    return [round(float(value) / 1000, 3) for value in middle_us]
