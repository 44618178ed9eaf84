"""How a payload is walked: every text, key and number of a JSON value, with what its field name says about it.

Rules of this file:
1. A field name that announces a type (hints.py) forces it on short values, even if no checksum holds: a mistyped
   number is still somebody's. Longer values are texts that happen to sit in such a field: they are searched, and
   numbers of that type need no announcing word there.
2. Text that is JSON is walked as JSON. It is written anew only if something changed; a repeated name, which would
   hide the earlier value from the walk, counts as a change.
3. What did not change is returned as the same object.
4. A limit reached or a value that cannot be walked raises: nothing is skipped.
5. Places name positions, and field names only if they are this package's own: a key may be personal data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stream_maas.privacy.config import RedactionConfig
from stream_maas.privacy.detect import Detector, learn
from stream_maas.privacy.fold import fold
from stream_maas.privacy.hints import hint_for
from stream_maas.privacy.runs import FEWEST_DIGITS
from stream_maas.privacy.spans import Known
from stream_maas.privacy.transform import PLACEHOLDER, cut, placeholder

_SMALLEST_PERSONAL_INTEGER: Final = 10**10
"""No number with fewer than 11 digits is personal by itself."""
_SMALLEST_KNOWN_INTEGER: Final = 10 ** (FEWEST_DIGITS - 1)
"""No number below can be one that was found elsewhere in the record."""
_LARGEST_INTEGER: Final = 10**19
_HINTED_TEXT_CHARS: Final = 64
"""A value in a field like "phone" is that field's value as a whole up to this length; longer, it is a text."""
_HINTED_TEXT_DIGITS: Final = 4
"""Digits that a text needs to be forced to a type made of digits: "home" and "n/a" in a field "phone" may stay."""
_HINTED_NUMBER_DIGITS: Final = 6
"""The same for a JSON number, where four digits are more often a count or a category."""
_SUBJECT: Final = "DATA_SUBJECT"
_ADDRESS_CHARS: Final = 320
_NOTHING: Final = frozenset(
    ("", "-", "--", "n/a", "na", "none", "null", "nil", "unknown", "true", "false", "yes", "no")
)
_MAY_OPEN_JSON: Final = frozenset("{[ \t\r\n\ufeff")
_NOT_ONE_WORD: Final = re.compile(r"[\s\u0e00-\u0eff\u3000-\u9fff\uac00-\ud7a3]")
"""A field "email" may hold the message instead of the address; where words are not spaced, so may one "word"."""

_NAME_KEYS: Final = ("name", "key", "field", "type", "system", "label")
_VALUE_KEYS: Final = frozenset(("value", "values", "data", "content", "contents"))
"""{"name": "phone", "value": ...}: the value of one announces the other, as in a tensor."""
_OWN_NAMES: Final = frozenset(
    ("inputs", "outputs", "parameters", "data", "name", "id", "shape", "datatype", "model_name", "model_version")
)
"""Field names of the Open Inference Protocol: the only ones that may stand in an error message."""


class LimitError(Exception):
    """A limit of RedactionConfig is reached; the argument names it ("depth")."""


class Walk:
    """Passes over one record: what they counted, and the numbers they found."""

    __slots__ = ("_nodes", "config", "counts", "detector", "known", "trail")

    def __init__(self, detector: Detector, config: RedactionConfig) -> None:
        self.detector = detector
        self.config = config
        self._nodes = 0
        self.counts: dict[str, int] = {}
        """Entity type -> finds replaced."""
        self.known: Known = {}
        self.trail: list[str | int] = []
        """Where the walk is: field names and indices. It stays as it is when something is raised."""

    def place(self) -> str:
        """The trail as messages write it: "inputs[0].data[3]"."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.trail).lstrip(".")

    def smallest_personal(self) -> int:
        """No number below, in a field whose name announces nothing, is personal."""
        return _SMALLEST_KNOWN_INTEGER if self.known else _SMALLEST_PERSONAL_INTEGER

    def start_again(self) -> None:
        """Begin another pass over the same record."""
        self._nodes = 0

    def text(self, text: str, hint: str | None = None, depth: int = 0) -> str:
        """`text` with its finds replaced; the same object if there are none."""
        self._enter(1)
        if len(text) > self.config.max_text_chars:
            raise LimitError("length")
        if text and text[0] in _MAY_OPEN_JSON:
            redacted = self._json(text, hint, depth)
            if redacted is not None:
                return redacted
        if hint is not None and _is_forced(text, hint):
            learn(self.known, fold(text).text, hint)
            return self._replaced(hint)
        spans = self.detector.find(text, hint=hint, known=self.known)
        if not spans:
            return text
        for span in spans:
            self._count(span.entity_type)
        return cut(text, spans)

    def value(self, value: Any, hint: str | None = None, depth: int = 0) -> Any:
        """Any JSON value. `hint`: the entity type that the name of the field it stands in announces."""
        if isinstance(value, str):
            return self.text(value, hint, depth)
        if value is None or isinstance(value, bool):
            self._enter(1)
            return value
        if isinstance(value, int | float):
            self._enter(1)
            entity_type = self._type_of_number(value, hint)
            return value if entity_type is None else self._replaced(entity_type)
        if isinstance(value, Mapping):
            return self.mapping(value, hint, depth)
        if isinstance(value, list | tuple):
            return self._sequence(value, hint, depth)
        raise TypeError("not a JSON value")

    def mapping(self, mapping: Mapping[str, Any], hint: str | None = None, depth: int = 0) -> Mapping[str, Any]:
        """Keys and values. Keys that become equal are numbered, so that no value is lost."""
        self._enter_container(depth)
        sibling = _named_by_sibling(mapping)
        items: list[tuple[str, Any]] = []
        changed = False
        self.trail.append("")
        for index, (key, value) in enumerate(mapping.items()):
            self.trail[-1] = key if key in _OWN_NAMES else f"#{index}"
            new_key = self.text(key, None, depth + 1)
            announced = hint_for(key) or (sibling if key in _VALUE_KEYS else None) or hint
            new_value = self.value(value, announced, depth + 1)
            changed = changed or new_key is not key or new_value is not value
            items.append((new_key, new_value))
        self.trail.pop()
        return _with_distinct_keys(items) if changed else mapping

    def numbers(self, data: Any, hint: str | None = None, depth: int = 0) -> Any:
        """The data of a numeric tensor, flat or nested: a personal number becomes 0, so that the tensor keeps its
        datatype and shape. Only numbers that verify by a checksum, or that the tensor's name announces, are
        personal: eleven digits that might be a telephone number are far more often a quantity."""
        if isinstance(data, list | tuple):
            if hint is None and are_small(data, self.smallest_personal()):
                self._enter(len(data))
                return data
            return self._sequence(data, hint, depth, numeric=True)
        if isinstance(data, int | float) and not isinstance(data, bool):
            self._enter(1)
            entity_type = self._type_of_number(data, hint, strong_only=True)
            if entity_type is None:
                return data
            self._count(entity_type)
            return type(data)(0)
        return self.value(data, hint, depth)

    def _sequence(self, items: Sequence[Any], hint: str | None, depth: int, *, numeric: bool = False) -> Sequence[Any]:
        self._enter_container(depth)
        visit = self.numbers if numeric else self.value
        result: list[Any] | None = None
        self.trail.append(0)
        for index, item in enumerate(items):
            self.trail[-1] = index
            new = visit(item, hint, depth + 1)
            if new is not item:
                if result is None:
                    result = list(items)
                result[index] = new
        self.trail.pop()
        if result is None:
            return items
        return result if isinstance(items, list) else tuple(result)

    def _json(self, text: str, hint: str | None, depth: int) -> str | None:
        """`text` walked as JSON; None if it is none."""
        stripped = text.strip(" \t\r\n\ufeff")
        if not stripped or stripped[0] + stripped[-1] not in ("{}", "[]"):
            return None
        repeated = False

        def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            nonlocal repeated
            fields = dict(pairs)
            repeated = repeated or len(fields) < len(pairs)
            return fields

        try:
            document = json.loads(stripped, object_pairs_hook=without_repeats)
        except RecursionError:
            raise LimitError("depth") from None
        except ValueError:
            return None
        redacted = self.value(document, hint, depth + 1)
        if redacted is document and not repeated:
            return text
        compact = json.dumps(redacted, ensure_ascii=False, separators=(",", ":"))
        try:
            compact.encode()
        except UnicodeEncodeError:  # a lone surrogate, which only an escape can write
            return json.dumps(redacted, separators=(",", ":"))
        return compact

    def _type_of_number(self, number: float, hint: str | None, *, strong_only: bool = False) -> str | None:
        """The entity type of a number, None if it is not personal."""
        if hint is None and -self.smallest_personal() < number < self.smallest_personal():
            return None
        if number != number or not -_LARGEST_INTEGER < number < _LARGEST_INTEGER or number != int(number):
            return None
        digits = str(abs(int(number)))
        if hint == _SUBJECT or (hint is not None and len(digits) >= _HINTED_NUMBER_DIGITS):
            learn(self.known, digits, hint)
            return hint
        if digits in self.known:
            return self.known[digits]
        if strong_only:
            return self.detector.strong_integer(digits)
        spans = self.detector.find(digits, hint=hint, known=self.known)
        return spans[0].entity_type if spans else None

    def _enter(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self.config.max_nodes:
            raise LimitError("nodes")

    def _enter_container(self, depth: int) -> None:
        self._enter(1)
        if depth > self.config.max_depth:
            raise LimitError("depth")

    def _count(self, entity_type: str) -> None:
        self.counts[entity_type] = self.counts.get(entity_type, 0) + 1

    def _replaced(self, entity_type: str) -> str:
        self._count(entity_type)
        return placeholder(entity_type)


def _is_forced(text: str, hint: str) -> bool:
    """Whether a field name makes the whole of `text` personal."""
    bare = text.strip()
    if bare.lower() in _NOTHING or PLACEHOLDER.fullmatch(bare):
        return False
    if hint == _SUBJECT:
        return True
    if hint == "EMAIL":
        return len(bare) <= _ADDRESS_CHARS and not _NOT_ONE_WORD.search(bare)
    return len(bare) <= _HINTED_TEXT_CHARS and sum(map(str.isdigit, bare)) >= _HINTED_TEXT_DIGITS


def _named_by_sibling(mapping: Mapping[str, Any]) -> str | None:
    for key in _NAME_KEYS:
        name = mapping.get(key)
        if isinstance(name, str) and (hint := hint_for(name)):
            return hint
    return None


def _with_distinct_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in items:
        distinct, number = key, 1
        while distinct in result:
            number += 1
            distinct = f"{key}_{number}"
        result[distinct] = value
    return result


def are_small(data: Sequence[Any], bound: int) -> bool:
    """Whether all of `data` are numbers below `bound`. NaN and anything but numbers make it False."""
    try:
        return not data or bool(max(data) < bound and min(data) > -bound)
    except TypeError:
        return False
