"""The rules file: YAML -> a checked `Ruleset`. A message names the place (`rules[2].for`), never the value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, cast

import yaml

from stream_maas.errors import RulesError
from stream_maas.monitor.rules import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    UNITS,
    Measure,
    Per,
    Rule,
    Ruleset,
    Severity,
    Timing,
    burn_rules,
    in_steps,
)

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_UNIT_US = {"ms": 1000, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
MIN_TIME_SCALE, MAX_TIME_SCALE = 0.02, 1.0
_MAX_RULES = 200

_PERS: Mapping[str, tuple[Per, ...]] = {
    "error_burn": ("model", "lane", "service", "tenant"),
    "latency_burn": ("model", "lane", "service", "tenant"),
    "latency_quantile": ("model", "lane", "service"),
    "queue_quantile": ("lane", "service"),
    "lag_seconds": ("partition",),
    "reject_ratio": ("lane", "service", "tenant"),
    "code_ratio": ("code",),
    "degraded_ratio": ("model", "lane", "service"),
    "redaction_failures": ("service", "lane"),
    "audit_gap": ("service",),
    "late_events": ("monitor",),
    "unreadable_events": ("monitor",),
    "series_overflow": ("monitor",),
    "no_requests": ("service", "lane", "model"),
    "no_results": ("lane",),
    "monitor_gap": ("monitor",),
}
_SILENCES = ("no_requests", "no_results", "monitor_gap")
_SLOS: Mapping[str, Measure] = {"errors": "error_burn", "latency": "latency_burn"}
_THRESHOLDS = tuple(name for name in _PERS if name not in _SILENCES and name not in _SLOS.values())
_QUANTILES = ("latency_quantile", "queue_quantile")
_RATIOS = ("reject_ratio", "code_ratio", "degraded_ratio")


def default_text() -> str:
    """The packaged rules, as a file to start from."""
    return files("stream_maas.monitor").joinpath("default_rules.yaml").read_text(encoding="utf-8")


def parse_rules(text: str, *, time_scale: float | None = None) -> Ruleset:
    """The rules in a YAML document. `time_scale` goes before the file's own.

    Raises `RulesError` that names the place for anything unknown, missing, contradictory or out of range.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark is not None else "somewhere"
        raise RulesError(f"rules: not YAML, {where}") from None
    return ruleset_of(document, time_scale=time_scale)


def ruleset_of(document: Any, *, time_scale: float | None = None) -> Ruleset:
    """Like `parse_rules`, from the document itself."""
    top = _Place("", document)
    if top.integer("version", 1, low=1) != 1:
        raise RulesError("version: this program reads version 1")
    scale = top.number("time_scale", 1.0, low=MIN_TIME_SCALE, high=MAX_TIME_SCALE)
    if time_scale is not None:
        if not MIN_TIME_SCALE <= time_scale <= MAX_TIME_SCALE:
            raise RulesError(f"time_scale: expected {MIN_TIME_SCALE:g} to {MAX_TIME_SCALE:g}")
        scale = time_scale
    timing = Timing.scaled(scale)
    max_series = top.integer("max_series", 1000, low=10, high=20_000)
    max_tenants = top.integer("max_tenants", 200, low=0, high=max_series)
    entries = top.sequence("rules")
    top.nothing_else()
    reader = _Rules(scale, timing)
    for index, entry in enumerate(entries):
        reader.read(_Place(f"rules[{index}].", entry))
    rules = tuple(rule.revised() for rule in reader.rules)
    by_id = {rule.id: rule for rule in rules}
    reader.check_names(by_id)
    return Ruleset(
        document={**document, "time_scale": scale},
        time_scale=scale,
        timing=timing,
        rules=rules,
        latency_limits_us=tuple(reader.limits_us),
        max_series=max_series,
        max_tenants=max_tenants,
        expected=tuple(reader.expected),
        by_id=by_id,
    )


class _Rules:
    """Reads entries one after the other."""

    def __init__(self, time_scale: float, timing: Timing) -> None:
        self._scale = time_scale
        self._step_us = timing.step_us
        self.rules: list[Rule] = []
        self.limits_us: list[int] = []
        self.expected: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        self._ids: set[str] = set()
        self._muters: list[tuple[str, tuple[str, ...]]] = []

    def read(self, place: _Place) -> None:
        name = place.text("id", pattern=_ID)
        if name in self._ids:
            raise RulesError(f"{place.at('id')}: occurs twice")
        self._ids.add(name)
        kinds = [kind for kind in ("slo", "measure", "silence") if place.has(kind)]
        if len(kinds) != 1:
            raise RulesError(f"{place.at('id')[:-3].rstrip('.')}: expected exactly one of slo, measure, silence")
        muted_by = tuple(place.texts("muted_by"))
        self._muters.append((place.at("muted_by"), muted_by))
        if kinds == ["slo"]:
            self._read_slo(place, name, muted_by)
        else:
            self._read_condition(place, name, muted_by, kinds[0])
        place.nothing_else()

    def check_names(self, by_id: Mapping[str, Rule]) -> None:
        """Every rule that is said to mute another one exists; an SLO's id stands for its two pages."""
        for where, names in self._muters:
            for name in names:
                if name not in by_id:
                    raise RulesError(f"{where}: names no rule; those of an SLO are ID:fast, ID:slow, ID:budget")

    def _read_slo(self, place: _Place, name: str, muted_by: tuple[str, ...]) -> None:
        measure = _SLOS[place.choice("slo", tuple(_SLOS))]
        slow = -1
        if measure == "latency_burn":
            limit_us = place.duration("below", None)
            if limit_us not in self.limits_us:
                self.limits_us.append(limit_us)
            slow = self.limits_us.index(limit_us)
        base = Rule(
            id=name,
            measure=measure,
            per=self._per(place, measure),
            severity="page",
            threshold=0.0,
            windows_us=(),
            keep_us=self._scaled(place.duration("keep_firing_for", 0)),
            clear_ratio=place.ratio("clear_ratio", 0.8),
            min_bad=place.integer("min_bad", 3, low=1),
            min_events=place.integer("min_events", 30, low=1),
            objective=place.ratio("objective", None),
            slow=slow,
            repeat_us=self._scaled(place.duration("repeat_every", 4 * HOUR_US)),
            escalate_us=self._scaled(place.duration("escalate_after", 0)),
            muted_by=muted_by,
            runbook=place.text("runbook", ""),
        )
        if not 0.5 <= base.objective < 1:
            raise RulesError(f"{place.at('objective')}: expected at least 50% and less than 100%")
        self.rules += burn_rules(base, self._scale, self._step_us)

    def _read_condition(self, place: _Place, name: str, muted_by: tuple[str, ...], kind: str) -> None:
        allowed = _SILENCES if kind == "silence" else _THRESHOLDS
        measure = cast(Measure, place.choice(kind, allowed))
        per = self._per(place, measure)
        over_us = self._window(place, "over", 5 * MINUTE_US)
        quantile, least = 0.0, 1
        if measure in _QUANTILES:
            quantile = place.ratio("quantile", 0.99)
            # A quantile with fewer than three values above it is an anecdote.
            least = math.ceil(3 / (1 - quantile)) if quantile < 1 else 1
            if over_us > in_steps(HOUR_US * self._scale, self._step_us):
                raise RulesError(f"{place.at('over')}: at most one hour for a quantile")
        elif measure in _RATIOS:
            least = 30
        expect = "learned"
        if measure == "no_requests":
            expect = place.choice("expect", ("learned", "always"))
            self._read_expected(place, per, expect)
        self.rules.append(
            Rule(
                id=name,
                measure=measure,
                per=per,
                severity=cast(Severity, place.choice("severity", ("page", "ticket"))),
                threshold=self._threshold(place, measure, over_us),
                windows_us=(over_us,),
                for_us=self._scaled(place.duration("for", 0)),
                keep_us=self._scaled(place.duration("keep_firing_for", 5 * MINUTE_US)),
                clear_ratio=place.ratio("clear_ratio", 0.8),
                min_events=place.integer("min_events", least, low=1),
                quantile=quantile,
                expect="always" if expect == "always" else "learned",
                repeat_us=self._scaled(place.duration("repeat_every", 4 * HOUR_US)),
                escalate_us=self._scaled(place.duration("escalate_after", 0)),
                muted_by=muted_by,
                runbook=place.text("runbook", ""),
            )
        )

    def _threshold(self, place: _Place, measure: str, over_us: int) -> float:
        """`above`, in the measure's unit. Limits on durations of requests are real time and never scaled."""
        if measure in ("no_requests", "no_results"):
            return over_us / SECOND_US
        if UNITS[measure] == "seconds":
            return place.duration("above", None) / SECOND_US
        if measure in _RATIOS:
            return place.ratio("above", None)
        return place.number("above", 0.0, low=0)

    def _read_expected(self, place: _Place, per: str, expect: str) -> None:
        for index, labels in enumerate(place.sequence("series", ())):
            entry = _Place(f"{place.at('series')}[{index}].", labels)
            names = {"service": (), "lane": ("lane",), "model": ("model", "version")}[per]
            self.expected.append((per, tuple((name, entry.text(name)) for name in names)))
            entry.nothing_else()
        if expect == "always" and per != "service" and not self.expected:
            raise RulesError(f"{place.at('series')}: is needed by expect: always, to know what to wait for")

    def _per(self, place: _Place, measure: str) -> Per:
        allowed = _PERS[measure]
        return cast(Per, place.choice("per", allowed) if place.has("per") else allowed[0])

    def _window(self, place: _Place, name: str, default_us: int) -> int:
        length_us = place.duration(name, default_us)
        if not SECOND_US <= length_us <= 3 * DAY_US:
            raise RulesError(f"{place.at(name)}: expected 1s to 3d")
        return in_steps(length_us * self._scale, self._step_us)

    def _scaled(self, length_us: int) -> int:
        return round(length_us * self._scale)


class _Place:
    """A mapping of the document, and where it stands. Members are taken out; what is left over is unknown."""

    def __init__(self, path: str, document: Any) -> None:
        self._path = path
        if not isinstance(document, Mapping) or not all(isinstance(name, str) for name in document):
            raise RulesError(f"{path.rstrip('.') or 'rules'}: expected a mapping of names")
        self._left = dict(document)

    def at(self, name: str) -> str:
        return f"{self._path}{name}"

    def has(self, name: str) -> bool:
        return name in self._left

    def nothing_else(self) -> None:
        for name in self._left:
            known = name if _ID.fullmatch(name.replace("_", "-")) else "a member"
            raise RulesError(f"{self.at(known)}: is not known here")

    def text(self, name: str, default: str | None = None, *, pattern: re.Pattern[str] | None = None) -> str:
        raw = self._left.pop(name, default)
        if not isinstance(raw, str):
            raise RulesError(f"{self.at(name)}: {'is missing' if raw is None else 'expected text'}")
        if pattern is not None and not pattern.fullmatch(raw):
            raise RulesError(f"{self.at(name)}: expected a-z, 0-9 and -, beginning with a letter")
        return raw

    def texts(self, name: str) -> list[str]:
        raw = self.sequence(name, ())
        if not all(isinstance(item, str) for item in raw):
            raise RulesError(f"{self.at(name)}: expected a list of texts")
        return list(raw)

    def sequence(self, name: str, default: Sequence[Any] | None = None) -> Sequence[Any]:
        raw = self._left.pop(name, default)
        if not isinstance(raw, list | tuple):
            raise RulesError(f"{self.at(name)}: {'is missing' if raw is None else 'expected a list'}")
        if len(raw) > _MAX_RULES:
            raise RulesError(f"{self.at(name)}: has more than {_MAX_RULES} entries")
        return raw

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        raw = self._left.pop(name, None)
        if raw is None and name in ("severity", "expect"):
            return {"severity": "ticket", "expect": "learned"}[name]
        if raw not in allowed:
            raise RulesError(f"{self.at(name)}: expected one of {', '.join(allowed)}")
        return str(raw)

    def number(self, name: str, default: float, *, low: float, high: float = math.inf) -> float:
        raw = self._left.pop(name, default)
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not low <= raw <= high:
            bounds = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            raise RulesError(f"{self.at(name)}: expected a number, {bounds}")
        return float(raw)

    def integer(self, name: str, default: int, *, low: int, high: int = 1_000_000_000) -> int:
        raw = self._left.pop(name, default)
        if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
            raise RulesError(f"{self.at(name)}: expected a whole number, at least {low}")
        return raw

    def ratio(self, name: str, default: float | None) -> float:
        """0 to 1, or a percentage in text such as "99.9%"."""
        raw = self._left.pop(name, default)
        if raw is None:
            raise RulesError(f"{self.at(name)}: is missing")
        if isinstance(raw, str) and raw.endswith("%"):
            try:
                # 99.9 % is 0.999 and not 0.9990000000000001: budgets are its distance from one.
                raw = round(float(raw[:-1]) / 100, 12)
            except ValueError:
                raw = None
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= 1:
            raise RulesError(f"{self.at(name)}: expected 0 to 1, or a percentage such as 99.9%")
        return float(raw)

    def duration(self, name: str, default: int | None) -> int:
        """Microseconds of "30s", "5m", "1.5h", "3d"; 0 is 0."""
        raw = self._left.pop(name, default)
        if raw is None:
            raise RulesError(f"{self.at(name)}: is missing")
        if raw is default or raw == 0:
            return int(raw)
        match = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            raise RulesError(f"{self.at(name)}: expected a duration such as 30s, 5m, 6h or 3d")
        return round(float(match[1]) * _UNIT_US[match[2]])
