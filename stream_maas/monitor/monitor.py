"""The monitor as one object: records, ticks and commands in, alert events and journal entries out. Pure.

What it concludes depends on the audit topic, on the journal and on nothing else. The journal holds what the audit
topic cannot tell: where the monitor began, by which rules, when partitions were idle and how far requests had come,
and at which instant a command took effect. `recompute.py` folds both again and must come to the same events.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_maas.monitor.alerts import AlertEvent, Lifecycle
from stream_maas.monitor.commands import Command, Retire, document_of
from stream_maas.monitor.fold import Fold
from stream_maas.monitor.lag import Tick
from stream_maas.monitor.measure import Measurer
from stream_maas.monitor.outcomes import Outcomes
from stream_maas.monitor.rules import HOUR_US, Ruleset
from stream_maas.monitor.series import Series


@dataclass(frozen=True, slots=True)
class Applied:
    """A journal entry to be: something took effect at an instant."""

    instant: int
    document: Mapping[str, Any]
    """{"command": {...}} or {"rules": {...}}."""


@dataclass(slots=True)
class Outputs:
    """What going on has brought about, in order."""

    events: list[AlertEvent] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    instants: int = 0
    """How many instants were evaluated."""


class Monitor:
    """Everything that the monitor knows about one audit topic."""

    def __init__(self, rules: Ruleset, audit_topic: str, offsets: Mapping[int, int], at_us: int) -> None:
        """`offsets`: the first offset of each partition that is looked at; `at_us`: event time to begin with."""
        self.rules = rules
        self.fold = Fold(rules, offsets, at_us)
        self.lifecycle = Lifecycle(audit_topic)
        self._measurer = Measurer(self.fold, rules.time_scale)
        self._queue: list[Command | Ruleset] = []
        self._agenda: dict[int, list[Command | Ruleset]] = {}
        self._hour_steps = max(1, round(HOUR_US * rules.time_scale / rules.timing.step_us))
        self._expect()

    def _expect(self) -> None:
        for per, labels in self.rules.expected:
            self.fold.store.row(Series(per, labels))

    def restored(self, fold: Fold, lifecycle: Lifecycle) -> None:
        """Go on with the state of another process."""
        self.fold, self.lifecycle = fold, lifecycle
        self._measurer = Measurer(fold, self.rules.time_scale)
        self._expect()

    # In -----------------------------------------------------------------------------------------------------------

    def take(self, partition: int, outcomes: Outcomes) -> None:
        """See `Fold.take`."""
        self.fold.take(partition, outcomes)

    def tick(self, tick: Tick) -> None:
        """See `Fold.tick`."""
        self.fold.tick(tick)

    def command(self, command: Command | Ruleset) -> None:
        """Takes effect at the next instant, which is told as `Applied`."""
        self._queue.append(command)

    def schedule(self, instant: int, command: Command | Ruleset) -> None:
        """Takes effect at this instant: how a journal is followed."""
        self._agenda.setdefault(instant, []).append(command)

    # Out ----------------------------------------------------------------------------------------------------------

    def advance(self, *, until: int | None = None) -> Outputs:
        """Evaluate every instant that the watermarks have passed, up to `until`."""
        outputs = Outputs()
        target = self.fold.target if until is None else min(until, self.fold.target)
        while self.fold.instant < target:
            self.fold.show_next()
            outputs.instants += 1
            self._apply_commands(outputs)
            self._evaluate()
            outputs.events += self.lifecycle.tell(self.fold.now_us, self.fold.now_us)
        return outputs

    def _apply_commands(self, outputs: Outputs) -> None:
        instant = self.fold.instant
        commands = [*self._agenda.pop(instant, ()), *self._queue]
        self._queue = []
        for command in commands:
            if isinstance(command, Ruleset):
                self._change_rules(command)
                outputs.applied.append(Applied(instant, {"rules": command.document}))
            else:
                self.lifecycle.apply(command, self.fold.now_us)
                if isinstance(command, Retire):
                    self._retire(command.labels)
                outputs.applied.append(Applied(instant, {"command": document_of(command)}))

    def _retire(self, labels: Mapping[str, str]) -> None:
        for series in sorted(self.fold.store.index):
            if series.labels and labels.items() <= dict(series.labels).items():
                self.fold.gone(series)

    def _change_rules(self, rules: Ruleset) -> None:
        """Rules of the same time scale; another clockwork is another beginning."""
        self.fold.set_limits(rules.latency_limits_us)
        self.rules = rules
        self._expect()
        self.lifecycle.keep_rules(rules.by_id)

    def _evaluate(self) -> None:
        self._measurer.next_instant()
        now_us = self.fold.now_us
        for rule in self.rules.rules:
            readings = self._measurer.readings(rule, self.lifecycle.active(rule))
            self.lifecycle.observe(rule, readings, now_us, self.fold.evidence)
        self.lifecycle.remind(now_us)
        if self.fold.exchange_tenants({series for _, series in self.lifecycle.alerts}):
            self._measurer.next_instant()  # rows have other owners now
        if self.fold.instant % self._hour_steps == 0:
            watched = {series for _, series in self.lifecycle.alerts} | {Series(*one) for one in self.rules.expected}
            for series in self.fold.store.idle(self.fold.instant):
                if series not in watched:
                    self.fold.gone(series)

    def slos(self) -> list[dict[str, Any]]:
        """Burn rates and budgets as they are now: one entry for each rule of an SLO and each of its series."""
        found = []
        for rule in self.rules.rules:
            if not rule.slo:
                continue
            active = self.lifecycle.active(rule)
            for series in self.fold.store.of_kind(rule.per)[0]:
                windows, burn = self._measurer.burn(rule, series)
                found.append(_slo(rule, series, windows, burn, active.get(series)))
        return found


def _slo(rule: Any, series: Series, windows: Any, burn: float, alert: Any) -> dict[str, Any]:
    budget = 1 - rule.objective
    longest = windows[-1]
    enough = windows[0].total >= rule.min_events
    state = ("firing" if alert.firing else "pending") if alert else "ok" if enough else "insufficient_data"
    return {
        "rule": rule.id,
        "slo": rule.slo,
        "labels": dict(series.labels),
        "objective": rule.objective,
        "threshold": rule.threshold,
        "unit": "burn rate",
        "burn_rate": None if math.isnan(burn) else round(burn, 4),
        "windows": [
            {
                "length_ms": window.length_us // 1000,
                "bad": window.bad,
                "total": window.total,
                "burn_rate": round(window.bad / window.total / budget, 4) if window.total else None,
            }
            for window in windows
        ],
        "budget_left_ratio": round(1 - longest.bad / (budget * longest.total), 4) if longest.total else None,
        "state": state,
    }
