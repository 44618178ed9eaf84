"""How a payload is walked: every text, key and number of a JSON value, with what its place and name say about it.

Rules of this file:
1. What makes a value personal is asked in this order: the policy's rules for its path, the name of its field
   (hints.py), what it looks like.
2. Text that is JSON is walked as JSON, base64 of text as what it says. It is written anew only if something changed; a
   repeated name, which would hide the earlier value from the walk, counts as a change.
3. What did not change is returned as the same object.
4. A limit reached or a value that cannot be walked raises: nothing is skipped.
5. Places name positions, and field names only if they are this package's own: a key may be personal data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stream_maas.privacy import encoded
from stream_maas.privacy.config import RedactionConfig
from stream_maas.privacy.detect import learn
from stream_maas.privacy.forced import (
    FEWEST_DIGITS_OF_NUMBER,
    NATIONAL_ID,
    OF_ONE_COUNTRY,
    SUBJECT,
    is_forced,
    is_nothing,
)
from stream_maas.privacy.hints import hint_beside, hint_for
from stream_maas.privacy.runs import FEWEST_DIGITS
from stream_maas.privacy.transform import view
from stream_maas.privacy.treatment import FIELD_NAME, PATH_RULE, Treatment

SMALLEST_PERSONAL_INTEGER: Final = 10**9
"""No number with fewer than 10 digits is personal by itself."""
_SMALLEST_KNOWN_INTEGER: Final = 10 ** (FEWEST_DIGITS - 1)
"""No number below can be one that was found elsewhere in the record."""
_LARGEST_INTEGER: Final = 10**19
_GPS: Final = "GPS"
_LARGEST_DEGREE: Final = 180
_MAY_OPEN_JSON: Final = frozenset("{[ \t\r\n\ufeff")

_NAME_KEYS: Final = ("name", "key", "field", "type", "system", "label")
_VALUE_KEYS: Final = frozenset(("value", "values", "data", "content", "contents"))
"""{"name": "phone", "value": ...}: the value of one announces the other, as in a tensor."""
_TENSOR_KEYS: Final = frozenset(("name", "datatype", "shape", "data"))
_OWN_NAMES: Final = frozenset(
    ("inputs", "outputs", "parameters", "data", "name", "id", "shape", "datatype", "model_name", "model_version")
)
"""Field names of the Open Inference Protocol: the only ones that may stand in an error message."""


class LimitError(Exception):
    """A limit of RedactionConfig is reached; the argument names it ("depth")."""


class Walk:
    """Passes over one record: where they are, and how far they may go."""

    __slots__ = ("_inside", "_nodes", "config", "leaf", "nesting", "trail", "treatment")

    def __init__(self, treatment: Treatment, config: RedactionConfig) -> None:
        self.treatment = treatment
        self.config = config
        self._nodes = 0
        self._inside = ""
        """Name of the field whose value is being walked, "" outside of objects."""
        self.leaf = -1
        """Number of the value of a JSON text that is being looked at, -1 outside of JSON texts."""
        self.nesting = 0
        """How many texts (JSON, base64) inside of each other the walk is in."""
        self.trail: list[str | int] = []
        """Where the walk is: field names and indices. It stays as it is when something is raised."""

    def place(self) -> str:
        """The trail as messages write it: "inputs[0].data[3]"."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.trail).lstrip(".")

    def start_again(self) -> None:
        """Begin another pass over the same record."""
        self._nodes = 0
        self._inside = ""
        self.leaf = -1
        self.treatment.start_again()

    def text(self, text: str, hint: str | None = None, depth: int = 0) -> str:
        """`text` with its finds treated; the same object if there are none."""
        self._enter(1)
        if self.nesting == 1:
            self.leaf += 1
        if len(text) > self.config.max_text_chars:
            raise LimitError("length")
        treatment = self.treatment
        state = treatment.state
        if state.treat_as is not None and not is_nothing(text):
            return treatment.whole(text, state.treat_as, PATH_RULE)
        if state.shadow_type is not None and not is_nothing(text):
            treatment.on_trial()
        if treatment.subject is not None and treatment.is_subject(text) and not is_nothing(text):
            return treatment.whole(text, SUBJECT, FIELD_NAME)
        if text and text[0] in _MAY_OPEN_JSON:
            redacted = self._json(text, hint, depth)
            if redacted is not None:
                return redacted
        if hint is not None and is_forced(text, hint):
            return treatment.whole(text, self._told_apart(text, hint), FIELD_NAME)
        if len(text) >= encoded.FEWEST_CHARS and (inner := encoded.decode(text)) is not None:
            if depth >= self.config.max_depth:
                raise LimitError("depth")
            self.nesting += 2
            redacted = self.text(inner.text, None, depth + 1)
            self.nesting -= 2
            if redacted is not inner.text:
                treatment.unsettled = treatment.unsettled or hint is not None
                return inner.again(redacted)
        treated = treatment.text(text, hint)
        if hint is not None and treated is not text:
            treatment.unsettled = True  # what is left may be short enough to be forced
        if state.asks_model:
            return treatment.by_model(treated) if treated is text else treatment.again(treated)
        return treated

    def _told_apart(self, text: str, hint: str) -> str:
        """A field "dni" or "id_card" may hold that of several countries: what verifies as one of them is that one, as
        it would be in running text."""
        if hint != NATIONAL_ID:
            return hint
        bare = text.strip()
        spans = self.treatment.engine.detector.find(bare)
        whole = len(spans) == 1 and (spans[0].start, spans[0].end) == (0, len(bare))
        return spans[0].entity_type if whole and spans[0].entity_type in OF_ONE_COUNTRY else hint

    def value(self, value: Any, hint: str | None = None, depth: int = 0) -> Any:
        """Any JSON value. `hint`: the entity type that the name of the field it stands in announces."""
        if isinstance(value, str):
            return self.text(value, hint, depth)
        if value is None or isinstance(value, bool):
            self._enter(1)
            return value
        if isinstance(value, int | float):
            self._enter(1)
            if self.nesting == 1:
                self.leaf += 1
            entity_type = self._type_of_number(value, hint)
            return value if entity_type is None else self.treatment.number(value, entity_type)
        if isinstance(value, Mapping):
            return self.mapping(value, hint, depth)
        if isinstance(value, list | tuple):
            return self._sequence(value, hint, depth)
        raise TypeError("not a JSON value")

    def mapping(self, mapping: Mapping[str, Any], hint: str | None = None, depth: int = 0) -> Mapping[str, Any]:
        """Keys and values. Keys that become equal are numbered, so that no value is lost."""
        self._enter_container(depth)
        sibling = _named_by_sibling(mapping)
        parent = self._inside
        items: list[tuple[str, Any]] = []
        changed = False
        treatment = self.treatment
        here = treatment.state
        tensor = mapping["name"] if mapping.keys() >= _TENSOR_KEYS and isinstance(mapping["name"], str) else None
        self.trail.append("")
        for index, (key, value) in enumerate(mapping.items()):
            self.trail[-1] = key if key in _OWN_NAMES else f"#{index}"
            new_key = self._key(key, depth)
            announced = (
                hint_for(key)
                or (sibling if key in _VALUE_KEYS else None)
                or hint
                or hint_beside(key, value, parent, mapping)
            )
            if here.leads_on:
                # The data of a tensor is where the tensor is: rules name it by the tensor's name.
                treatment.state = here.step(tensor if tensor is not None and key == "data" else key)
            self._inside = key
            new_value = self.value(value, announced, depth + 1)
            treatment.state = here
            changed = changed or new_key is not key or new_value is not value
            items.append((new_key, new_value))
        self.trail.pop()
        self._inside = parent
        return _with_distinct_keys(items) if changed else mapping

    def numbers(self, data: Any, hint: str | None = None, depth: int = 0) -> Any:
        """The data of a numeric tensor, flat or nested: a personal number becomes 0, so that the tensor keeps its
        datatype and shape. Only numbers that verify by a checksum, or that the tensor's name or the policy announces,
        are personal: eleven digits that might be a telephone number are far more often a quantity."""
        treat_as = self.treatment.state.treat_as
        if isinstance(data, list | tuple):
            smallest = self._smallest_personal()
            if hint is None and treat_as is None and are_small(data, smallest):
                # Compared at once, so they count as one: an image has more values than a record may have texts.
                self._enter(1)
                if smallest > _SMALLEST_KNOWN_INTEGER and not are_small(data, _SMALLEST_KNOWN_INTEGER):
                    self.treatment.saw_number()
                return data
            return self._sequence(data, hint, depth, numeric=True)
        if isinstance(data, int | float) and not isinstance(data, bool):
            self._enter(1)
            entity_type = self._type_of_number(data, hint, strong_only=True)
            if entity_type is None or data == 0:
                return data
            return self.treatment.number(data, entity_type, zero=True)
        return self.value(data, hint, depth)

    def _key(self, key: str, depth: int) -> str:
        """A name, which no rule for values is about."""
        state = self.treatment.state
        if state.treat_as is None and state.shadow_type is None:
            return self.text(key, None, depth + 1)
        self._enter(1)
        if self.nesting == 1:
            self.leaf += 1
        if len(key) > self.config.max_text_chars:
            raise LimitError("length")
        return self.treatment.text(key, None)

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
        self.nesting += 1
        redacted = self.value(document, hint, depth + 1)
        self.nesting -= 1
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
        treatment = self.treatment
        if treatment.state.treat_as is not None:
            return treatment.state.treat_as
        treatment.on_trial()
        if hint == _GPS and type(number) is float and -_LARGEST_DEGREE <= number <= _LARGEST_DEGREE:
            return None if number == round(number, 1) else _GPS
        if not -_SMALLEST_KNOWN_INTEGER < number < _SMALLEST_KNOWN_INTEGER:
            treatment.saw_number()
        smallest = self._smallest_personal()
        if hint is None and -smallest < number < smallest:
            return None
        if number != number or not -_LARGEST_INTEGER < number < _LARGEST_INTEGER or number != int(number):
            return None
        digits = str(abs(int(number)))
        if hint == SUBJECT or (hint is not None and len(digits) >= FEWEST_DIGITS_OF_NUMBER):
            learn(treatment.known, digits, hint)
            return hint
        if digits in treatment.known:
            return treatment.known[digits]
        detector = treatment.engine.detector
        if strong_only:
            return detector.strong_integer(digits)
        spans = detector.find(digits, hint=hint, known=treatment.known)
        return spans[0].entity_type if spans else None

    def _smallest_personal(self) -> int:
        """No number below, in a field whose name announces nothing, is personal."""
        return _SMALLEST_KNOWN_INTEGER if self.treatment.known else SMALLEST_PERSONAL_INTEGER

    def _enter(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self.config.max_nodes:
            raise LimitError("nodes")

    def _enter_container(self, depth: int) -> None:
        self._enter(1)
        if depth > self.config.max_depth:
            raise LimitError("depth")


def is_prose(text: str, most_chars: int) -> bool:
    """Whether there is nothing to a text but what stands in it: no JSON, no base64, no token of an earlier redaction,
    and it has no more than `most_chars`. False says nothing."""
    if not 0 < len(text) <= most_chars or text[0] in _MAY_OPEN_JSON or " " not in text.rstrip():
        return False
    return ("_" not in text and "/" not in text) or not view(text)[1]


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
