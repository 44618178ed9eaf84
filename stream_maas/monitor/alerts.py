"""The life of an alert: which steps it takes, when, and under which ids.

Ids are digests of what decided: `series_id` of rule and labels, `incident_id` of series, event time of the first breach
and revision of the rule, `event_id` of the incident and a number. Whoever folds the same records gets the same ids,
so a step that is published twice can be told from two steps.

Missing data never resolves anything: only a reading that is clearly well, for long enough, does; or the end of
the rule, or somebody who says that the model is retired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from stream_maas.monitor.commands import Acknowledge, Command, Retire, Silence, Unsilence
from stream_maas.monitor.measure import Reading
from stream_maas.monitor.rules import UNITS, Rule
from stream_maas.monitor.series import Series, labels_of

Step = Literal["pending", "firing", "escalated", "repeat", "acknowledged", "resolved"]
Reason = Literal["recovered", "rule_removed", "model_retired"]


@dataclass(slots=True)
class Alert:
    """One incident that is not over."""

    rule: Rule
    series: Series
    started_us: int
    """End of the first breaching window."""
    reading: Reading
    """The last one that told something."""
    firing: bool = False
    fired_us: int = 0
    sequence: int = 0
    """Of the next event."""
    clear_since_us: int | None = None
    repeated_us: int = 0
    escalated: bool = False
    acknowledged: bool = False
    inhibited: bool = False
    """When it last told something."""
    evidence: tuple[tuple[int, int], ...] = ()
    """(partition, offset) in the audit topic."""

    @property
    def series_id(self) -> str:
        return series_id(self.rule.id, self.series)

    @property
    def incident_id(self) -> str:
        return _digest([self.series_id, self.started_us, self.rule.revision])


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One step, as it is published."""

    step: Step
    alert: Alert
    data: Mapping[str, Any]
    """schemas/alert.schema.json."""

    @property
    def id(self) -> str:
        return str(self.data["event_id"])


@dataclass(slots=True)
class _Draft:
    step: Step
    alert: Alert
    reason: Reason | None = None


@dataclass(slots=True)
class Lifecycle:
    """All alerts and silences, and what is known about them at an instant."""

    audit_topic: str
    alerts: dict[tuple[str, Series], Alert] = field(default_factory=dict)
    silences: dict[str, Silence] = field(default_factory=dict)
    _drafts: list[_Draft] = field(default_factory=list)

    def active(self, rule: Rule) -> dict[Series, Alert]:
        """Pending and firing alerts of a rule."""
        if not self.alerts:
            return {}
        return {series: alert for (rule_id, series), alert in self.alerts.items() if rule_id == rule.id}

    # Steps --------------------------------------------------------------------------------------------------------

    def observe(
        self, rule: Rule, readings: Iterable[Reading], now_us: int, evidence: Mapping[tuple[Series, int], Any]
    ) -> None:
        """Take in the readings of one rule at one instant."""
        for reading in readings:
            alert = self.alerts.get((rule.id, reading.series))
            if reading.state == "breach":
                if alert is None:
                    alert = self.alerts[rule.id, reading.series] = Alert(rule, reading.series, now_us, reading)
                    if rule.for_us > 0:
                        self._drafts.append(_Draft("pending", alert))
                alert.reading, alert.clear_since_us = reading, None
                newest = evidence.get((reading.series, reading.counter), ())
                alert.evidence = tuple((partition, offset) for _, partition, offset in newest)
                if not alert.firing and now_us - alert.started_us >= rule.for_us:
                    alert.firing, alert.fired_us, alert.repeated_us = True, now_us, now_us
                    self._drafts.append(_Draft("firing", alert))
            elif alert is not None:
                self._recover(alert, reading, now_us)

    def _recover(self, alert: Alert, reading: Reading, now_us: int) -> None:
        if reading.state == "insufficient_data":
            return
        alert.reading = reading
        if reading.state != "clear":
            # A pending alert must breach without a break; a firing one is not over until it is clearly over.
            if not alert.firing:
                self._end(alert, "recovered")
            alert.clear_since_us = None
            return
        if alert.clear_since_us is None:
            alert.clear_since_us = now_us
        if not alert.firing or now_us - alert.clear_since_us >= alert.rule.keep_us:
            self._end(alert, "recovered")

    def remind(self, now_us: int) -> None:
        """Escalations and repetitions that are due."""
        for alert in self._in_order():
            # Nobody is woken again for what is about to be over.
            if not alert.firing or alert.acknowledged or alert.clear_since_us is not None:
                continue
            rule = alert.rule
            if rule.escalate_us and not alert.escalated and now_us - alert.fired_us >= rule.escalate_us:
                alert.escalated, alert.repeated_us = True, now_us
                self._drafts.append(_Draft("escalated", alert))
            elif rule.repeat_us and now_us - alert.repeated_us >= rule.repeat_us:
                self._repeat(alert, now_us)
            elif alert.inhibited and not self._inhibitor(alert):
                # Whoever was not told because of another alert is told now that the other one is over.
                self._repeat(alert, now_us)

    def _repeat(self, alert: Alert, now_us: int) -> None:
        alert.repeated_us = now_us
        self._drafts.append(_Draft("repeat", alert))

    def apply(self, command: Command, now_us: int) -> None:
        """What an operator has said."""
        if isinstance(command, Silence):
            self.silences[command.command_id] = command
        elif isinstance(command, Unsilence):
            self.silences.pop(command.silence_id, None)
        elif isinstance(command, Acknowledge):
            for alert in self._in_order():
                if alert.incident_id == command.incident_id and alert.firing and not alert.acknowledged:
                    alert.acknowledged = True
                    self._drafts.append(_Draft("acknowledged", alert))
        elif isinstance(command, Retire):
            for alert in self._in_order():
                if command.labels.items() <= labels_of(alert.series).items():
                    self._end(alert, "model_retired")
        self.silences = {key: one for key, one in self.silences.items() if one.ends_at_us > now_us}

    def keep_rules(self, rules: Mapping[str, Rule]) -> None:
        """Resolve what belongs to rules that are gone or say something else now."""
        for alert in self._in_order():
            now = rules.get(alert.rule.id)
            if now is None or now.revision != alert.rule.revision:
                self._end(alert, "rule_removed")
            else:
                alert.rule = now

    def _end(self, alert: Alert, reason: Reason) -> None:
        del self.alerts[alert.rule.id, alert.series]
        self._drafts.append(_Draft("resolved", alert, reason))

    def _in_order(self) -> list[Alert]:
        return [self.alerts[key] for key in sorted(self.alerts)]

    # Telling ------------------------------------------------------------------------------------------------------

    def tell(self, now_us: int, watermark_us: int) -> list[AlertEvent]:
        """The steps since the last call, in order, silences and inhibitions as they are now."""
        drafts, self._drafts = self._drafts, []
        return [self._event(draft, now_us, watermark_us) for draft in drafts]

    def silenced(self, alert: Alert, now_us: int) -> bool:
        """Whether a silence covers it."""
        labels = {"rule": alert.rule.id, "severity": alert.rule.severity, **labels_of(alert.series)}
        return any(
            one.starts_at_us <= now_us < one.ends_at_us and one.matchers.items() <= labels.items()
            for one in self.silences.values()
        )

    def _inhibitor(self, alert: Alert) -> str:
        """The first rule that mutes it now: a firing alert of which every label that both have is the same."""
        labels = labels_of(alert.series)
        for rule_id in alert.rule.muted_by:
            for (other_id, series), other in self.alerts.items():
                theirs = labels_of(series)
                if other_id == rule_id and other.firing and all(labels.get(n, v) == v for n, v in theirs.items()):
                    return rule_id
        return ""

    def _event(self, draft: _Draft, now_us: int, watermark_us: int) -> AlertEvent:
        alert, rule, reading = draft.alert, draft.alert.rule, draft.alert.reading
        inhibitor = self._inhibitor(alert)
        alert.inhibited = bool(inhibitor)
        data: dict[str, Any] = {
            "event": draft.step,
            "event_id": f"{alert.incident_id}:{alert.sequence}",
            "incident_id": alert.incident_id,
            "series_id": alert.series_id,
            "sequence": alert.sequence,
            "rule": rule.id,
            "rule_revision": rule.revision,
            "severity": rule.severity,
            "labels": labels_of(alert.series),
            "value": round(float(reading.value), 6),
            "threshold": rule.threshold,
            "unit": UNITS[rule.measure],
            "windows": [
                {"length_ms": window.length_us // 1000, "bad": window.bad, "total": window.total}
                for window in reading.windows
            ],
            "started_at_us": alert.started_us,
            "at_us": now_us,
            "watermark_us": watermark_us,
            "silenced": self.silenced(alert, now_us),
            "evidence": [
                {"topic": self.audit_topic, "partition": partition, "offset": offset}
                for partition, offset in alert.evidence
            ],
            "summary": summary(rule, alert.series, reading, draft.step),
        }
        if draft.reason is not None:
            data["reason"] = draft.reason
        if inhibitor:
            data["inhibited_by"] = inhibitor
        if rule.runbook:
            data["runbook"] = rule.runbook
        alert.sequence += 1
        return AlertEvent(draft.step, alert, data)


def series_id(rule_id: str, series: Series) -> str:
    """SHA-256 hex of a rule and the labels of a series."""
    return _digest([rule_id, series.per, labels_of(series)])


def _digest(members: Sequence[Any]) -> str:
    return hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).hexdigest()


def summary(rule: Rule, series: Series, reading: Reading, step: Step) -> str:
    """One sentence for people, made of labels and numbers only."""
    who = " ".join(value for _, value in series.labels) or {"monitor": "the monitor"}.get(series.per, "the service")
    if series.per in ("lane", "tenant") and rule.measure != "no_results":
        who = f"{series.per} {who}"  # a bare "default" tells nobody what it is
    if step == "resolved":
        return f"{rule.id} is over for {who}."
    window = reading.windows[0] if reading.windows else None
    counted = f" ({window.bad} of {window.total} in {duration(window.length_us)})" if window else ""
    value = f"{reading.value:.3g}" if reading.value < 999.5 else f"{reading.value:,.0f}"
    said = {
        "error_burn": f"uses up its error budget {value} times too fast",
        "latency_burn": f"uses up its latency budget {value} times too fast",
        "latency_quantile": f"answers {rule.quantile:.3g} of its requests within {value} s, limit {rule.threshold:g} s",
        "queue_quantile": f"keeps requests waiting, {rule.quantile:.3g} of them up to {value} s",
        "lag_seconds": f"has requests that wait {value} s for an answer",
        "reject_ratio": f"rejects {reading.value:.0%} of its requests as faults of callers",
        "code_ratio": f"is {reading.value:.0%} of all answers",
        "degraded_ratio": f"answers {reading.value:.0%} in degraded mode",
        "redaction_failures": "could not redact requests",
        "audit_gap": "has requests without an audit event, or audit events that are gone",
        "late_events": "left out audit events that came too late",
        "unreadable_events": "found records in the audit topic that it cannot read",
        "series_overflow": "has more series than it may keep",
        "no_requests": f"had no requests for {duration(round(reading.value * 1e6))}",
        "no_results": f"has had requests but no answer for {value} s",
        "monitor_gap": f"was away for {value} s",
    }[rule.measure]
    return f"{who} {said}{counted}."


def duration(length_us: int) -> str:
    """3600000000 -> "1 h"."""
    for size_us, unit in ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s")):
        if length_us >= size_us and length_us % size_us == 0:
            return f"{length_us // size_us} {unit}"
    return f"{length_us / 1e6:g} s"
