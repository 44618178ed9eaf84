"""Instances for contract tests: made from a schema, or by breaking a valid example.

Written for the words of JSON Schema that schemas/ uses, recursion and conditions included: hypothesis-jsonschema
refuses recursive references and does not run on current versions of Hypothesis.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-2, 300) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).filter(lambda item: "Infinity" not in json.dumps(item))
BOUNDARIES: list[Any] = [
    *(0, -1, 1, 1.0, 0.5, 2**53, 2**53 - 1, -(2**53) + 1, 2**31, 2**63, 2**64, 100, 101, 10**400),
    *("", "a" * 256, "a" * 257, "a" * 301, "é" * 256, "a\n", "\x85", "\x7f", "0" * 64, "0" * 64 + "\n", "0" * 32),
    *([], {}, [[]], [[1]], [1, "a"], [[1], 2], [[[[[[[[1]]]]]]]], [[[[[[[[[1]]]]]]]]], True, None),
    *("prediction", "rejection", "shed", "FP32", "BYTES", "INT8", "BOOL", "@sha256:" + "0" * 64, "1.0"),
]
MEMBERS = ["parameters", "redactions_X", "redactions_É", "code", "data_subject", "timeout", "id", "priority"]


def walk(node: Any) -> Iterator[Any]:
    """`node` and everything in it."""
    yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(item)


@st.composite
def mutated(draw: st.DrawFn, examples: list[Path]) -> Any:
    """One of the examples with one to three changes anywhere in it."""
    holder = [json.loads(draw(st.sampled_from(examples)).read_text(encoding="utf-8"))]
    odd = st.one_of(JSON, st.sampled_from(BOUNDARIES))
    for _ in range(draw(st.integers(1, 3))):
        nodes = [node for node in walk(holder) if isinstance(node, dict | list) and node]
        node = nodes[draw(st.integers(0, len(nodes) - 1))]
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = keys[draw(st.integers(0, len(keys) - 1))]
        change = draw(st.sampled_from(["replace", "remove", "add", "move"]))
        if change == "replace":
            node[key] = copy.deepcopy(draw(odd))
        elif change == "move":
            everything = list(walk(holder))
            node[key] = copy.deepcopy(everything[draw(st.integers(0, len(everything) - 1))])
        elif change == "remove" and node is not holder:
            del node[key]
        elif change == "add" and isinstance(node, dict):
            node[draw(st.sampled_from(MEMBERS) | st.text(max_size=4))] = copy.deepcopy(draw(odd))
        elif change == "add" and node is not holder:
            node.append(copy.deepcopy(draw(odd)))
    return holder[0]


@st.composite
def instances(draw: st.DrawFn, root: dict[str, Any], node: Any = None, level: int = 0) -> Any:
    """An instance of the schema `root`, nearly: `not`, conditions and name rules are not looked at."""
    node = root if node is None else node
    if not isinstance(node, dict) or not node.keys() - {"description"}:
        return draw(JSON)
    if "$ref" in node:
        return draw(instances(root, root["$defs"][node["$ref"].removeprefix("#/$defs/")], level))
    for word in ("anyOf", "allOf"):
        if word in node and "type" not in node:
            return draw(instances(root, draw(st.sampled_from(node[word])), level))
    if "const" in node or "enum" in node:
        return draw(st.sampled_from(node.get("enum", [node.get("const")])))
    if "if" in node and "type" not in node:
        return draw(instances(root, draw(st.sampled_from([node["then"], node["else"]])), level))
    kind = node.get("type", "array" if "items" in node else None)
    kind = draw(st.sampled_from(kind)) if isinstance(kind, list) else kind
    if kind == "object":
        return draw(_objects(root, node, level))
    if kind == "array":
        return draw(_arrays(root, node, level))
    return draw(_scalars(kind, node))


@st.composite
def _arrays(draw: st.DrawFn, root: dict[str, Any], node: dict[str, Any], level: int) -> list[Any]:
    items = draw(st.sampled_from([branch["items"] for branch in (node, *node.get("anyOf", [])) if "items" in branch]))
    if "if" in items:  # one branch for all: arrays hold either scalars or arrays
        items = draw(st.sampled_from([items["else"], items["else"], items["then"]]))
    longest = min(node.get("maxItems", 3), 3 if level < 4 else 1 if level < 13 else 0)
    shortest = min(node.get("minItems", 0), longest)
    return draw(st.lists(instances(root, items, level + 1), min_size=shortest, max_size=longest))


@st.composite
def _objects(draw: st.DrawFn, root: dict[str, Any], node: dict[str, Any], level: int) -> dict[str, Any]:
    ascii_names = st.text(st.characters(codec="ascii"), max_size=6)
    names = st.integers(0, 19).flatmap(lambda odd: st.text(max_size=6) if odd == 19 else ascii_names)
    made = {}
    for name, member in node.get("properties", {}).items():
        if name in node.get("required", ()) or draw(st.booleans()):
            made[name] = draw(instances(root, member, level + 1))
    for pattern, member in node.get("patternProperties", {}).items():
        for name in draw(st.lists(_matching(pattern), max_size=2)):
            made[name] = draw(instances(root, member, level + 1))
    if isinstance(node.get("additionalProperties"), dict):
        for name in draw(st.lists(names, min_size=0 if made else node.get("minProperties", 0), max_size=2)):
            made[name] = draw(instances(root, node["additionalProperties"], level + 1))
    for rule in (node, *node.get("allOf", [])):
        if "if" in rule and draw(st.integers(0, 9)):  # now and then a condition is broken
            (name, wanted), *_ = rule["if"]["properties"].items()
            holds = name in made and made[name] in wanted.get("enum", [wanted.get("const")])
            branch = rule["then"] if holds else rule.get("else", {})
            for name, member in branch.get("properties", {}).items():
                if member is False:
                    made.pop(name, None)
                elif name in made:
                    made[name] = draw(instances(root, member, level + 1))
            for name in branch.get("required", ()):
                made.setdefault(name, draw(instances(root, node["properties"][name], level + 1)))
    return made


def _matching(pattern: str) -> st.SearchStrategy[str]:
    """Python's `$` would let a final newline pass; that is what BOUNDARIES is for."""
    ending = pattern.removesuffix("$") + (r"\Z" if pattern.endswith("$") else "")
    return st.from_regex(ending, alphabet=st.characters(exclude_categories=["Cc", "Cs"]))


def _scalars(kind: str | None, node: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = node.get("minimum"), node.get("maximum")
    if kind == "integer":
        whole = st.integers(low, high)
        return whole | whole.filter(lambda item: abs(item) < 2**53).map(float)
    if kind == "number":
        return st.floats(low, high, allow_nan=False, allow_infinity=False) | st.integers(-300, 300)
    if kind == "boolean":
        return st.booleans()
    if kind != "string":
        return JSON
    if node.get("format") == "date-time":
        first, last = datetime(1970, 1, 1), datetime(2999, 12, 31)  # noqa: DTZ001 - the Z is written below
        return st.datetimes(first, last).map(lambda item: f"{item.isoformat(timespec='microseconds')}Z")
    if "pattern" in node:
        return _matching(node["pattern"])
    size = {"min_size": node.get("minLength", 0), "max_size": min(node.get("maxLength", 20), 300)}
    good = st.text(st.characters(exclude_categories=["Cc", "Cs"]), **size)
    return st.one_of(good, good, good, st.text(**size))
