"""What a policy document may say, and what is wrong with one that says something else.

A policy is YAML (docs/privacy.md shows one). It is read strictly: no unknown member, no repeated name, no alias; every
problem is reported with its place ("rules[2].for"). The digest covers what the document says, not how it is written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from msgspec import Struct

from stream_maas.errors import SettingsError
from stream_maas.privacy.hints import ALIASES
from stream_maas.privacy.operators import GENERALISERS, MOST_CHARS_KEPT, OPERATORS, Operator, Replace
from stream_maas.privacy.recognizers import ENTITY_TYPES, PACKS

_MOST_BYTES: Final = 1_000_000
_MOST_RULES: Final = 500
_DIGEST_CHARS: Final = 12
_NAME: Final = re.compile("[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_VERSION: Final = re.compile("[0-9A-Za-z](?:[0-9A-Za-z.-]{0,14}[0-9A-Za-z])?")
_TYPE: Final = re.compile("[A-Z](?:[A-Z_]{0,30}[A-Z])?")
_SCOPE_MEMBERS: Final = ("packs", "shadow_packs", "purpose", "default", "rules")
KNOWN_TYPES: Final = frozenset((*ENTITY_TYPES, *ALIASES, *GENERALISERS))


class Rule(Struct, frozen=True):
    """One rule. `types`: what it is about, None for everything; `paths`: where, empty for everywhere."""

    place: str
    """Where it stands in the document, for `--explain`: "rules[2]"."""
    operator: Operator
    types: frozenset[str] | None = None
    paths: tuple[tuple[str, ...], ...] = ()
    treat_as: str | None = None
    """Entity type that every value at the paths is, whatever it looks like."""
    shadow: bool = False
    asks_model: bool = False
    """At the paths a model looks for names as well; the rule decides nothing."""


class Scope(Struct, frozen=True):
    """What holds for one tenant, or for those that the policy does not name. The first rule that fits decides."""

    rules: tuple[Rule, ...] = ()
    default: Operator = Replace()
    packs: frozenset[str] = frozenset()
    shadow_packs: frozenset[str] = frozenset()
    purpose: str | None = None
    """Purpose that keys of pseudonyms are bound to; None takes the request's own."""


class Policy(Struct, frozen=True):
    """A checked policy. `id`, as in `acme-3/0f1e2d3c4b5a`, names it in audit events."""

    id: str
    common: Scope = Scope()
    tenants: Mapping[str, Scope] = {}
    mode: Literal["enforce", "shadow"] = "enforce"
    """shadow: everything is replaced by type, and what this policy would have done differently is counted."""

    @property
    def needs_key(self) -> bool:
        """Whether a pseudonym may be made. A policy on trial makes none."""
        scopes = (self.common, *self.tenants.values())
        operators = [operator for scope in scopes for operator in (scope.default, *(r.operator for r in scope.rules))]
        return self.mode == "enforce" and any(operator.name == "pseudonym" for operator in operators)

    @property
    def needs_model(self) -> bool:
        """Whether a model of names may be asked."""
        return any(rule.asks_model for scope in (self.common, *self.tenants.values()) for rule in scope.rules)

    @staticmethod
    def load(path: str | Path) -> Policy:
        """Raises SettingsError that lists every problem, each with its place."""
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise SettingsError(f"policy {path}: cannot be read ({type(error).__name__})") from None
        return Policy.parse(content, name=str(path))

    @staticmethod
    def parse(content: bytes | str, name: str = "policy") -> Policy:
        """Raises SettingsError that lists every problem, each with its place. `name` stands in the messages."""
        if len(content) > _MOST_BYTES:
            raise SettingsError(f"{name}: above {_MOST_BYTES} bytes")
        try:
            document = yaml.load(content, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that refuses more
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            at = f" in line {mark.line + 1}" if mark is not None else ""
            told = f": {error.problem}" if isinstance(error, _StrictError) else ""
            raise SettingsError(f"{name}: cannot be read as YAML{at}{told}") from None
        reading = _Reading()
        policy = reading.policy(document)
        if reading.problems:
            raise SettingsError("\n".join(f"{name}: {problem}" for problem in reading.problems))
        return policy


class _StrictError(yaml.constructor.ConstructorError):
    pass


class _StrictLoader(yaml.SafeLoader):
    """A repeated name would hide a rule, and aliases can make a small file a huge document."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise _StrictError(None, None, "an alias", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise _StrictError(None, None, "a repeated name", key.start_mark)
            seen.add(str(key.value))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _Reading:
    """One pass over a document; collects problems instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._rule_count = 0
        self._types = set(KNOWN_TYPES)

    def wrong(self, place: str, message: str) -> None:
        self.problems.append(f"{place}: {message}")

    def policy(self, document: Any) -> Policy:
        if not isinstance(document, dict):
            self.wrong("document", "expected a mapping with name, version and rules")
            return Policy("")
        self._members("", document, ("name", "version", "mode", "tenants", *_SCOPE_MEMBERS))
        name, version = document.get("name"), document.get("version")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.wrong("name", "expected up to 32 of a-z, 0-9 and hyphens")
        if isinstance(version, date):
            version = version.isoformat()
        if isinstance(version, bool) or not isinstance(version, int | str) or not _VERSION.fullmatch(str(version)):
            self.wrong("version", "expected a number, a date or up to 16 of letters, digits, dots and hyphens")
        mode = document.get("mode", "enforce")
        if mode not in ("enforce", "shadow"):
            self.wrong("mode", "expected enforce or shadow")
        tenants = document.get("tenants", {})
        if not isinstance(tenants, dict) or not all(isinstance(tenant, str) for tenant in tenants):
            self.wrong("tenants", "expected a mapping of tenant names")
            tenants = {}
        self._learn_types(document, *tenants.values())
        common = self._scope("", document, None)
        scopes = {tenant: self._tenant(tenant, scope, common) for tenant, scope in tenants.items()}
        digest = hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
        return Policy(f"{name}-{version}/{digest[:_DIGEST_CHARS]}", common, scopes, mode)

    def _learn_types(self, *scopes: Any) -> None:
        """Types of the operator's own, which rules may then be about."""
        for scope in scopes:
            rules = scope.get("rules", ()) if isinstance(scope, dict) else ()
            for rule in rules if isinstance(rules, list) else ():
                own = rule.get("treat_as") if isinstance(rule, dict) else None
                if isinstance(own, str) and _TYPE.fullmatch(own):
                    self._types.add(own)

    def _tenant(self, tenant: str, document: Any, common: Scope) -> Scope:
        place = f"tenants.{tenant}"
        if not isinstance(document, dict):
            self.wrong(place, "expected a mapping")
            return common
        self._members(f"{place}.", document, _SCOPE_MEMBERS)
        return self._scope(f"{place}.", document, common)

    def _scope(self, prefix: str, document: Mapping[str, Any], common: Scope | None) -> Scope:
        common = common or Scope()
        rules = document.get("rules", [])
        if not isinstance(rules, list):
            self.wrong(f"{prefix}rules", "expected a list")
            rules = []
        self._rule_count += len(rules)
        if self._rule_count > _MOST_RULES:
            self.wrong(f"{prefix}rules", f"above {_MOST_RULES} rules")
            return common
        own = [self._rule(f"{prefix}rules[{index}]", rule) for index, rule in enumerate(rules)]
        default = common.default
        if "default" in document:
            default = self._operator(f"{prefix}default", document["default"], None)
        purpose = document.get("purpose", common.purpose)
        if purpose is not None and not isinstance(purpose, str):
            self.wrong(f"{prefix}purpose", "expected text")
        return Scope(
            (*own, *common.rules),
            default,
            self._packs(f"{prefix}packs", document.get("packs"), common.packs),
            self._packs(f"{prefix}shadow_packs", document.get("shadow_packs"), common.shadow_packs),
            purpose,
        )

    def _rule(self, place: str, document: Any) -> Rule:
        if not isinstance(document, dict):
            self.wrong(place, "expected a mapping")
            return Rule(place, Replace())
        if "ner" in document:
            return self._model_rule(place, document)
        self._members(f"{place}.", document, ("for", "at", "treat_as", "do", "shadow", "ner"))
        treat_as, shadow = document.get("treat_as"), document.get("shadow", False)
        types = self._types_of(f"{place}.for", document["for"]) if "for" in document else None
        if treat_as is not None:
            if not isinstance(treat_as, str) or not _TYPE.fullmatch(treat_as):
                self.wrong(f"{place}.treat_as", "expected an entity type: A-Z and underscores")
            elif types is not None:
                self.wrong(f"{place}.for", "stands beside treat_as, which says the type already")
            if "at" not in document:
                self.wrong(f"{place}.treat_as", "needs `at`: which values are meant")
            types = frozenset((treat_as,)) if isinstance(treat_as, str) else None
        if not isinstance(shadow, bool):
            self.wrong(f"{place}.shadow", "expected true or false")
        operator: Operator = Replace()
        if "do" in document:
            operator = self._operator(f"{place}.do", document["do"], types)
        elif treat_as is None:
            self.wrong(f"{place}.do", "is missing")
        paths = self._paths(f"{place}.at", document["at"]) if "at" in document else ()
        return Rule(place, operator, types, paths, treat_as if isinstance(treat_as, str) else None, shadow is True)

    def _model_rule(self, place: str, document: Mapping[str, Any]) -> Rule:
        self._members(f"{place}.", document, ("at", "ner"))
        if document["ner"] is not True:
            self.wrong(f"{place}.ner", "expected true")
        paths = self._paths(f"{place}.at", document["at"]) if "at" in document else ()
        return Rule(place, Replace(), paths=paths, asks_model=True)

    def _types_of(self, place: str, value: Any) -> frozenset[str] | None:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            self.wrong(place, "expected an entity type or a list of them")
            return None
        for index, name in enumerate(names):
            if name not in self._types:
                at = place if isinstance(value, str) else f"{place}[{index}]"
                self.wrong(at, "no such entity type; `stream-maas redact --list` prints them")
        return frozenset(names)

    def _paths(self, place: str, value: Any) -> tuple[tuple[str, ...], ...]:
        paths = [value] if isinstance(value, str) else value
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
            self.wrong(place, "expected a path such as inputs.note.customer, or a list of paths")
            return ()
        read = []
        for index, path in enumerate(paths):
            segments = tuple(path.split("."))
            at = place if isinstance(value, str) else f"{place}[{index}]"
            if "" in segments:
                self.wrong(at, "has an empty name between two dots")
            if any("*" in segment and segment not in ("*", "**") for segment in segments):
                self.wrong(at, "a * stands for a whole name, ** for any number of names")
            read.append(segments)
        return tuple(read)

    def _packs(self, place: str, value: Any, inherited: frozenset[str]) -> frozenset[str]:
        if value is None:
            return inherited
        if not isinstance(value, list) or not all(isinstance(pack, str) for pack in value):
            self.wrong(place, "expected a list of jurisdictions")
            return inherited
        for index, pack in enumerate(value):
            if pack not in PACKS:
                self.wrong(f"{place}[{index}]", f"no such jurisdiction; there are {', '.join(sorted(PACKS))}")
        return frozenset(value)

    def _operator(self, place: str, value: Any, types: frozenset[str] | None) -> Operator:
        parameters = value if isinstance(value, dict) else {"operator": value}
        name = parameters.get("operator")
        made = OPERATORS.get(name) if isinstance(name, str) else None
        if made is None:
            self.wrong(place, f"expected one of {', '.join(OPERATORS)}")
            return Replace()
        allowed = [field for field in made.__struct_fields__ if field not in ("name", "settled")]
        self._members(f"{place}.", parameters, ("operator", *allowed))
        if name == "generalise" and (types is None or not types <= GENERALISERS.keys()):
            self.wrong(place, f"generalise is for {', '.join(GENERALISERS)}")
        given = {
            field: item for field, item in parameters.items() if field in allowed and self._fits(place, field, item)
        }
        operator: Operator = made(**given)
        return operator

    def _fits(self, place: str, field: str, value: Any) -> bool:
        if field == "numbered":
            good, wanted = isinstance(value, bool), "true or false"
        elif field == "char":
            good, wanted = value in ("*", "#", "x", "X", "•"), "one of * # x X •"
        else:
            good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_CHARS_KEPT
            wanted = f"a number from 0 to {MOST_CHARS_KEPT}"
        if not good:
            self.wrong(f"{place}.{field}", f"expected {wanted}")
        return good

    def _members(self, prefix: str, document: Mapping[Any, Any], allowed: Sequence[str]) -> None:
        for position, name in enumerate(document):
            if name not in allowed:
                shown = name if isinstance(name, str) and name.isascii() and name.isprintable() else f"#{position}"
                self.wrong(f"{prefix}{shown}", f"no such member; there are {', '.join(allowed)}")


DEFAULT_POLICY: Final = Policy.parse("{name: default, version: 1}")
"""Every find is replaced by its type."""
