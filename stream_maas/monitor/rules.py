"""What a rule is, once everything is filled in and scaled: thresholds, windows, and what one alert may mute.

An SLO is written once and watched by three rules (Google SRE workbook, chapter 5: multi-window, multi-burn-rate): a
budget that would be gone in two days pages within minutes, slower burning pages later or opens a ticket.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

Per = Literal["service", "lane", "model", "tenant", "code", "partition", "monitor"]
Severity = Literal["page", "ticket"]
Measure = Literal[
    "error_burn", "latency_burn",
    "latency_quantile", "queue_quantile", "lag_seconds", "reject_ratio", "code_ratio", "degraded_ratio",
    "redaction_failures", "audit_gap", "late_events", "unreadable_events", "series_overflow",
    "no_requests", "no_results", "monitor_gap",
]  # fmt: skip

UNITS: Mapping[str, str] = {
    "error_burn": "burn rate", "latency_burn": "burn rate",
    "latency_quantile": "seconds", "queue_quantile": "seconds", "lag_seconds": "seconds",
    "reject_ratio": "ratio", "code_ratio": "ratio", "degraded_ratio": "ratio",
    "redaction_failures": "events", "audit_gap": "requests", "late_events": "events", "unreadable_events": "events",
    "series_overflow": "events", "no_requests": "seconds", "no_results": "seconds", "monitor_gap": "seconds",
}  # fmt: skip

BURN_WINDOWS: tuple[tuple[str, float, int, int, Severity], ...] = (
    ("fast", 14.4, HOUR_US, 5 * MINUTE_US, "page"),
    ("slow", 6.0, 6 * HOUR_US, 30 * MINUTE_US, "page"),
    ("budget", 1.0, 3 * DAY_US, 6 * HOUR_US, "ticket"),
)
"""Name, burn rate, long and short window, severity: 2 %, 5 % and 10 % of a budget of 30 days."""
LONGEST_WINDOW_US = 3 * DAY_US


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition on every series of one kind."""

    id: str
    measure: Measure
    per: Per
    severity: Severity
    threshold: float
    windows_us: tuple[int, ...]
    """Lengths of the windows that are looked at, shortest first. A burn rate has two."""
    for_us: int = 0
    """How long a breach must last before it fires."""
    keep_us: int = 0
    """How long it must be clearly over before it is resolved."""
    clear_ratio: float = 0.8
    """It is clearly over below this part of the threshold (hysteresis)."""
    min_bad: int = 0
    min_events: int = 0
    """With less there is not enough data: the rule neither fires nor resolves."""
    objective: float = 0.0
    """Of an SLO: the part of the events that is to be good, 0 to 1."""
    slow: int = -1
    """Of a latency SLO: which of the ruleset's latency limits."""
    quantile: float = 0.0
    expect: Literal["learned", "always"] = "learned"
    repeat_us: int = 0
    """A firing alert that nobody has acknowledged says so again this often; 0 never."""
    escalate_us: int = 0
    """A firing alert that nobody has acknowledged for this long escalates, once; 0 never."""
    muted_by: tuple[str, ...] = ()
    """Rules whose firing alerts with the same labels make this one's events `inhibited`."""
    slo: str = ""
    """The SLO that it belongs to."""
    runbook: str = ""
    revision: str = ""
    """12 hex digits of what it says: another threshold is another rule, and another incident."""

    def revised(self) -> Rule:
        """With its revision filled in."""
        said = {name: getattr(self, name) for name in self.__slots__ if name not in ("revision", "runbook", "muted_by")}
        digest = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return replace(self, revision=digest[:12])


@dataclass(frozen=True, slots=True)
class Timing:
    """The clockwork of the windows, microseconds. Everything is scaled; what follows real machines has a floor."""

    step_us: int = 10 * SECOND_US
    """Length of the smallest bucket; rules are evaluated at its multiples."""
    disorder_us: int = 5 * SECOND_US
    """How much later than the newest event of its partition an event may come and still be on time."""
    grace_us: int = 60 * SECOND_US
    """How much later it may come and still be added to its bucket; after that it is counted and left out."""
    idle_us: int = 5 * SECOND_US
    """A partition that has been read to its end and stays silent this long no longer holds back time."""
    snapshot_us: int = 10 * SECOND_US

    @classmethod
    def scaled(cls, time_scale: float) -> Timing:
        """Floors: events of one moment still take real time to travel."""
        whole = cls()
        return cls(
            step_us=max(1, round(whole.step_us * time_scale)),
            disorder_us=max(SECOND_US, round(whole.disorder_us * time_scale)),
            grace_us=max(10 * SECOND_US, round(whole.grace_us * time_scale)),
            idle_us=max(SECOND_US, round(whole.idle_us * time_scale)),
            snapshot_us=max(SECOND_US, round(whole.snapshot_us * time_scale)),
        )


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything that decides about alerts. Equal documents give equal rulesets."""

    document: Mapping[str, Any]
    """What the file said, as JSON: it is written to the journal, so that a replay decides by the same rules."""
    time_scale: float
    timing: Timing
    rules: tuple[Rule, ...]
    latency_limits_us: tuple[int, ...]
    """Of the latency SLOs; counts of slower answers are kept for each."""
    max_series: int = 1000
    max_tenants: int = 200
    expected: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """Series that a silence rule names: they are watched before their first event."""
    by_id: Mapping[str, Rule] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the document's canonical JSON, hex."""
        return hashlib.sha256(orjson.dumps(self.document, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @property
    def longest_window_us(self) -> int:
        """The longest window that any ruleset of this scale can have."""
        return round(LONGEST_WINDOW_US * self.time_scale)


def burn_rules(base: Rule, time_scale: float, step_us: int) -> list[Rule]:
    """The three rules of an SLO; `base` has everything that they share, and the SLO's id."""
    rules: list[Rule] = []
    for name, rate, long_us, short_us, severity in BURN_WINDOWS:
        windows = (in_steps(short_us * time_scale, step_us), in_steps(long_us * time_scale, step_us))
        rules.append(
            replace(
                base,
                id=f"{base.id}:{name}",
                slo=base.id,
                severity=severity,
                threshold=rate,
                windows_us=windows,
                keep_us=base.keep_us or windows[0],
                muted_by=(*base.muted_by, *(rule.id for rule in rules)),
            )
        )
    return rules


def in_steps(length_us: float, step_us: int) -> int:
    """A window's length as a whole number of buckets, at least one."""
    return max(1, round(length_us / step_us)) * step_us
