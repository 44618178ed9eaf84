"""How a policy is compiled: for one tenant, flat look-ups from a place in the record to what is done there.

Path rules become an automaton whose input are field names. A walk holds one of its states and takes a step per field;
each state knows, per entity type, the one rule that decides there. A policy without path rules has one state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from stream_maas.privacy.operators import Operator, Replace
from stream_maas.privacy.policy import Policy, Rule, Scope
from stream_maas.privacy.transform import placeholder

DEFAULT_RULE: Final = "default"
_ENFORCED: Final = Replace()
_ANY: Final = "*"
_ANY_NUMBER: Final = "**"


class Action(Struct, frozen=True):
    """What is done to finds of one type at one place. `rule`: the place in the policy that says so.
    `shadow`: whether a rule on trial would have done something else."""

    operator: Operator
    rule: str
    shadow: bool = False
    fixed: str | None = None
    """What is written whatever the value was, None if that depends on it."""


class _Position(NamedTuple):
    """How far a path pattern of a rule has been matched."""

    rule: int
    pattern: tuple[str, ...]
    matched: int


class State:
    """Where a walk is, as far as the policy cares."""

    __slots__ = (
        "_automaton", "_next", "_positions", "actions", "asks_model", "leads_on", "shadow_type", "treat_as",
        "treated_by",
    )  # fmt: skip

    def __init__(self, automaton: _Automaton, positions: frozenset[_Position]) -> None:
        self._automaton = automaton
        self._positions = positions
        self._next: dict[str, State] = {}
        self.actions: dict[str, Action] = {}
        """What `action` was asked for by now."""
        self.leads_on = bool(positions)
        """Whether a step can lead to another state at all."""
        self.treat_as: str | None = None
        """Entity type of every value here, whatever it looks like."""
        self.shadow_type: str | None = None
        """The same by a rule on trial."""
        self.treated_by = ""
        self.asks_model = any(rule.asks_model for rule in automaton.rules_at(positions))
        """Whether a model looks for names here as well."""
        for rule in automaton.rules_at(positions):
            if rule.treat_as is None:
                continue
            if rule.shadow or automaton.is_trial:
                self.shadow_type = self.shadow_type or rule.treat_as
            elif self.treat_as is None:
                self.treat_as, self.treated_by = rule.treat_as, rule.place

    def step(self, name: str) -> State:
        """The state of the field `name` in here. Elements of a list are where their list is."""
        if not self.leads_on:
            return self
        if name not in self._automaton.alphabet:
            name = ""
        found = self._next.get(name)
        if found is None:
            found = self._next[name] = self._automaton.state(self._after(name))
        return found

    def action(self, entity_type: str) -> Action:
        """What is done to finds of this type here."""
        found = self.actions.get(entity_type)
        if found is None:
            found = self.actions[entity_type] = self._automaton.decide(self._positions, entity_type)
        return found

    def _after(self, name: str) -> frozenset[_Position]:
        after = set()
        for position in self._positions:
            pattern, matched = position.pattern, position.matched
            if matched == len(pattern):
                after.add(position)  # a rule for a field is a rule for what is in it
                continue
            if pattern[matched] == _ANY_NUMBER:
                after.add(position)
            elif pattern[matched] in (_ANY, name):
                after.add(position._replace(matched=matched + 1))
        return _closure(after)


class _Automaton:
    """The rules of one scope and the states reached so far."""

    def __init__(self, scope: Scope, *, is_trial: bool) -> None:
        self.is_trial = is_trial
        """The whole policy is on trial: what it says is counted, and everything is replaced by type."""
        self._scope = scope
        self._states: dict[frozenset[_Position], State] = {}
        self.alphabet = frozenset(name for rule in scope.rules for path in rule.paths for name in path)

    def start(self) -> State:
        positions = {_Position(index, path, 0) for index, rule in enumerate(self._scope.rules) for path in rule.paths}
        return self.state(_closure(positions))

    def state(self, positions: frozenset[_Position]) -> State:
        found = self._states.get(positions)
        if found is None:
            found = self._states[positions] = State(self, positions)
        return found

    def rules_at(self, positions: frozenset[_Position]) -> Sequence[Rule]:
        """Rules that hold at these positions, in the order of the policy."""
        reached = {position.rule for position in positions if position.matched == len(position.pattern)}
        return [rule for index, rule in enumerate(self._scope.rules) if not rule.paths or index in reached]

    def decide(self, positions: frozenset[_Position], entity_type: str) -> Action:
        operator, place, on_trial = self._scope.default, DEFAULT_RULE, False
        for rule in self.rules_at(positions):
            if rule.asks_model or (rule.types is not None and entity_type not in rule.types):
                continue
            if rule.shadow:
                on_trial = True
                continue
            operator, place = rule.operator, rule.place
            break
        if self.is_trial:
            on_trial = on_trial or operator.name != _ENFORCED.name
            operator, place = _ENFORCED, DEFAULT_RULE
        is_fixed = isinstance(operator, Replace) and not operator.numbered
        return Action(operator, place, on_trial, placeholder(entity_type) if is_fixed else None)


class Plan(Struct, frozen=True):
    """A policy compiled for one tenant. Compare it by identity."""

    root: State
    nowhere: State
    """Outside of every path: what holds for names and shapes."""
    packs: frozenset[str]
    """Jurisdictions whose weak types are looked for."""
    shadow_packs: frozenset[str]
    """Jurisdictions whose weak types are looked for and counted only."""
    purpose: str | None
    is_plain: bool
    """Whether a text in which nothing is found cannot be touched: no value is personal by its place alone, and
    nothing is on trial."""


def compile_plan(policy: Policy, tenant: str | None) -> Plan:
    """The plan for a tenant of the policy, or for those that it does not name."""
    scope = policy.tenants.get(tenant, policy.common) if tenant is not None else policy.common
    is_trial = policy.mode == "shadow"
    shadow_packs = scope.shadow_packs | scope.packs if is_trial else scope.shadow_packs - scope.packs
    return _plan(scope, scope.packs if not is_trial else frozenset(), shadow_packs, is_trial=is_trial)


def strict_plan(policy: Policy) -> Plan:
    """For what belongs to nobody yet: a record that does not decode, a line of a log. Whatever is personal to any
    tenant is replaced by type."""
    scopes = (policy.common, *policy.tenants.values())
    # The rules of the policy's common part stand in every tenant's scope as well.
    forced = tuple(
        dict.fromkeys(
            Rule(rule.place, Replace(), rule.types, rule.paths, rule.treat_as)
            for scope in scopes
            for rule in scope.rules
            if rule.treat_as is not None
        )
    )
    packs = frozenset(pack for scope in scopes for pack in scope.packs)
    return _plan(Scope(forced), packs, frozenset(), is_trial=False)


def _plan(scope: Scope, packs: frozenset[str], shadow_packs: frozenset[str], *, is_trial: bool) -> Plan:
    forces = any(rule.treat_as is not None or rule.asks_model for rule in scope.rules)
    automaton = _Automaton(scope, is_trial=is_trial)
    return Plan(
        automaton.start(),
        automaton.state(frozenset()),
        packs,
        shadow_packs,
        scope.purpose,
        not forces and not shadow_packs,
    )


def _closure(positions: set[_Position]) -> frozenset[_Position]:
    """`**` may stand for no name at all."""
    todo, closed = list(positions), set(positions)
    while todo:
        position = todo.pop()
        if position.matched < len(position.pattern) and position.pattern[position.matched] == _ANY_NUMBER:
            skipped = position._replace(matched=position.matched + 1)
            if skipped not in closed:
                closed.add(skipped)
                todo.append(skipped)
    return frozenset(closed)
