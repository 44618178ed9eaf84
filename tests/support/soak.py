"""Weeks of a service in virtual time, healthy or not, and what the monitor makes of them.

`python -m tests.support.soak --days 30` prints the table of docs/operations.md. Every model has a rate and a seed of
its own; all of them run through one monitor by the packaged rules at full scale. Beside it a plain rule looks at the
same counts: errors / requests over five minutes above 14.4 times the budget, whatever the number of requests.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_maas.monitor.lag import Tick
from stream_maas.monitor.monitor import Monitor
from stream_maas.monitor.outcomes import Outcome
from stream_maas.monitor.rules import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from stream_maas.monitor.rules_file import default_text, parse_rules
from stream_maas.monitor.series import BAD, CLIENT, TOTAL
from tests.unit.monitor.histories import AUDIT, START_US, columns

RATES_PER_S = (0.02, 0.2, 2.0)
PARTITIONS = 2
ERROR_RATIO = 0.0002
"""A fifth of the budget of 99.9 %."""
CLIENT_FAULT_RATIO = 0.01
SLOW_RATIO = 0.001
OUTAGE_RATIO = 0.2
OUTAGE_US = 60 * MINUTE_US
SHORT_US = 5 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Simulated:
    """One model of the simulation."""

    rate_per_s: float
    seed: int

    @property
    def name(self) -> str:
        return f"m-{self.rate_per_s:g}-{self.seed}"


@dataclass
class Plain:
    """The plain-ratio rule on the same data: when each model's began to fire."""

    fired_us: dict[str, list[int]] = field(default_factory=dict)
    _firing: set[str] = field(default_factory=set)

    def look(self, monitor: Monitor) -> None:
        store = monitor.fold.store
        series, rows = store.of_kind("model")
        window = store.window(SHORT_US // monitor.fold.timing.step_us, monitor.fold.instant)[rows].astype(np.int64)
        valid = window[:, TOTAL] - window[:, CLIENT]
        above = window[:, BAD] > 14.4 * 0.001 * valid
        for place, one in enumerate(series):
            name = dict(one.labels)["model"]
            if above[place] and name not in self._firing:
                self.fired_us.setdefault(name, []).append(monitor.fold.now_us)
            (self._firing.add if above[place] else self._firing.discard)(name)


@dataclass
class Soak:
    """What happened."""

    days: int
    models: Sequence[Simulated]
    events: int = 0
    steps: list[tuple[str, str, str, int]] = field(default_factory=list)
    """(step, rule, model or lane, at_us) of pages and tickets that fired."""
    plain: Plain = field(default_factory=Plain)

    def fired(self, severity_of: dict[str, str], severity: str, model: str | None = None) -> list[tuple[str, int]]:
        return [
            (rule, at_us)
            for step, rule, who, at_us in self.steps
            if step == "firing" and severity_of[rule] == severity and model in (None, who)
        ]


RULES = parse_rules(default_text())
SEVERITY = {rule.id: rule.severity for rule in RULES.rules}


def soak(models: Sequence[Simulated], days: float, *, outage_at_us: int | None = None, plain: bool = True) -> Soak:
    """Run `days` of traffic. `outage_at_us`: since the start; a fifth of all answers fail for an hour then."""
    monitor = Monitor(RULES, AUDIT, dict.fromkeys(range(PARTITIONS), 0), START_US)
    result = Soak(round(days), models)
    offsets = dict.fromkeys(range(PARTITIONS), 0)
    end_us = round(days * DAY_US)
    for begin_us in range(0, end_us, HOUR_US):
        outage = None if outage_at_us is None else (outage_at_us, outage_at_us + OUTAGE_US)
        for partition, (kinds, kind, event_us, total_us) in enumerate(_hour(models, begin_us, outage)):
            outcomes = columns(kinds, kind, event_us, total_us, offsets[partition], partition=partition)
            monitor.take(partition, outcomes)
            offsets[partition] += len(kind)
            result.events += len(kind)
        # Nothing is in flight at the end of an hour: everybody is idle then.
        clock_us = START_US + begin_us + HOUR_US + RULES.timing.disorder_us
        monitor.tick(Tick(clock_us, {p: (offset, clock_us) for p, offset in offsets.items()}))
        _advance(monitor, result, plain)
    return result


def _advance(monitor: Monitor, result: Soak, plain: bool) -> None:
    while monitor.fold.instant < monitor.fold.target:
        for event in monitor.advance(until=monitor.fold.instant + 1).events:
            labels = dict(event.alert.series.labels)
            who = labels.get("model", labels.get("lane", ""))
            result.steps.append((event.step, event.data["rule"], who, event.data["at_us"]))
        if plain:
            result.plain.look(monitor)


Hour = tuple[list[Outcome], np.ndarray, np.ndarray, np.ndarray]


def _hour(models: Sequence[Simulated], begin_us: int, outage: tuple[int, int] | None) -> Iterator[Hour]:
    """One hour's events of each partition: kinds, kind, event time and duration, in the order of time."""
    # Twice as much by day as by night.
    daily = 1 + np.sin(2 * np.pi * begin_us / DAY_US) / 3
    parts = []
    for number, model in enumerate(models):
        chance = np.random.default_rng([model.seed, round(model.rate_per_s * 1000), begin_us // HOUR_US])
        count = chance.poisson(model.rate_per_s * daily * 3600)
        at_us = np.sort(chance.integers(begin_us, begin_us + HOUR_US, count))
        ratio = np.full(count, ERROR_RATIO)
        if outage is not None:
            ratio[(at_us >= outage[0]) & (at_us < outage[1])] = OUTAGE_RATIO
        code = np.where(chance.random(count) < CLIENT_FAULT_RATIO, 2, 0)
        code = np.where(chance.random(count) < ratio, 1, code)
        total_us = (chance.lognormal(np.log(40_000), 0.5, count)).astype(np.int64)
        total_us = np.where(chance.random(count) < SLOW_RATIO, 3 * SECOND_US, total_us)
        parts.append((at_us, 3 * number + code, total_us, chance.integers(0, PARTITIONS, count)))
    at_us, kind, total_us, partition = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(at_us, kind="stable")
    kinds = [
        Outcome(f"lane-{model.rate_per_s:g}", model.name, "1", code, "", False)
        for model in models
        for code in ("", "model_error", "invalid_input")
    ]
    for number in range(PARTITIONS):
        mine = order[partition[order] == number]
        yield kinds, kind[mine], START_US + at_us[mine], total_us[mine]


def detection(rate_per_s: float, seeds: Sequence[int], healthy_hours: int = 26) -> tuple[list[float], list[float]]:
    """Seconds from the begin of the outage to the first page of each seed, of our rules and of the plain one."""
    models = [Simulated(rate_per_s, seed) for seed in seeds]
    at_us = healthy_hours * HOUR_US + 7 * MINUTE_US
    result = soak(models, (healthy_hours + 2) / 24, outage_at_us=at_us)
    ours, plain = [], []
    for model in models:
        pages = [when for _, when in result.fired(SEVERITY, "page", model.name) if when >= START_US + at_us]
        ours.append((min(pages) - START_US - at_us) / SECOND_US if pages else float("inf"))
        theirs = [when for when in result.plain.fired_us.get(model.name, []) if when >= START_US + at_us]
        plain.append((min(theirs) - START_US - at_us) / SECOND_US if theirs else float("inf"))
    return ours, plain


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    seeds = range(1, options.seeds + 1)
    models = [Simulated(rate, seed) for rate in RATES_PER_S for seed in seeds]
    healthy = soak(models, options.days)
    print(f"{options.days} days, {len(seeds)} seeds for each rate, {healthy.events} events")
    print("| requests | pages | tickets | false alarms of the plain ratio | 20 % outage paged after, median (slowest) "
          "| plain ratio |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for rate in RATES_PER_S:
        names = [model.name for model in models if model.rate_per_s == rate]
        pages = sum(len(healthy.fired(SEVERITY, "page", name)) for name in [*names, f"lane-{rate:g}"])
        tickets = sum(len(healthy.fired(SEVERITY, "ticket", name)) for name in [*names, f"lane-{rate:g}"])
        false = sum(len(healthy.plain.fired_us.get(name, [])) for name in names)
        ours, plain = detection(rate, seeds)
        print(f"| {rate * 60:g} / min | {pages} | {tickets} | {false} | "
              f"{statistics.median(ours):.0f} s ({max(ours):.0f} s) | {statistics.median(plain):.0f} s "
              f"({max(plain):.0f} s) |")  # fmt: skip


if __name__ == "__main__":
    main()
