"""How the finds of one record are treated: what the policy says of each, what is written, what is counted, and what
one find teaches about the rest of the record.

Rules of this file:
1. A value that only its surroundings gave away ("my name is ...", a field name, a path rule) is personal wherever
   else it stands in the record. Numbers are remembered as digits (detect.py), everything else as text.
2. A replacement that is a token is never treated again; what else an operator leaves is looked at until nothing
   changes any more (redactor.py asks `unsettled`).
3. Counts are of finds replaced, so they equal what stands in the published payload. Finds kept by the policy are
   counted apart.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from stream_maas import native
from stream_maas.privacy.chunks import CHUNK_CHARS, find_in_chunks
from stream_maas.privacy.detect import Detector, learn
from stream_maas.privacy.fold import Folded, fold
from stream_maas.privacy.forced import is_nothing
from stream_maas.privacy.keys import PseudonymKey
from stream_maas.privacy.operators import Writing
from stream_maas.privacy.plan import Plan, State
from stream_maas.privacy.runs import FEWEST_DIGITS, RUN
from stream_maas.privacy.spans import Known, Span, resolve
from stream_maas.privacy.transform import PLACEHOLDER, TOKEN, before, substitute, view
from stream_maas.records import RedactionReport

_KERNEL: Final = native.load("writing")
SUBJECT: Final = "DATA_SUBJECT"
TEXT: Final = "text"
"""What a text by itself is called where finds are counted by their place."""
KNOWN_VALUE: Final = "known_value"
"""Recognizer of values that were found elsewhere in the record."""
FIELD_NAME: Final = "field_name"
"""Recognizer of values that the name of their field gives away."""
MODEL: Final = "ner_model"
"""Recognizer of what a model of names found."""
_MODEL_SCORE: Final = 50
_MOST_TEXTS_FOR_MODEL: Final = 64
"""Texts of one record that a model is asked about; with the time that each may take this bounds a record's."""
PATH_RULE: Final = "path_rule"
"""Recognizer of values that the policy says are personal."""
NUMBER: Final = "json_number"
"""Recognizer of JSON numbers: a field name, a checksum or a known number."""
_KNOWN_SCORE: Final = 1
_SURE: Final = 100
_ANY_NUMBER: Final = "0" * FEWEST_DIGITS
_FEWEST_CHARS: Final = 4
"""Shorter values are everywhere; of other scripts two characters can be a name."""
_FEWEST_WIDE_CHARS: Final = 2
_MOST_VALUES: Final = 256
"""Values looked for by text. A record that names more has them replaced where they were announced."""


class Engine(Struct, frozen=True):
    """A detector and what its table says beside finding."""

    detector: Detector
    announced: frozenset[str]
    """Recognizers whose finds depend on what stands around them."""
    calling_codes: Mapping[str, str]
    """Recognizer of telephone numbers in national form -> country calling code."""
    shadow: Detector | None = None
    """Finds only what is on trial."""


class NameModel(Protocol):
    """A model that reads names and addresses. The caller brings it: this room starts nothing and waits for nobody."""

    def find(self, text: str) -> Sequence[tuple[int, int, str]]:
        """(start, end, entity type) of each find, in code points. Raises whatever it likes, within a bounded time, when
        it cannot say: then the record is rejected."""
        ...


Looked = tuple[list[Span], str, Known]
"""What a search brought up before there was a treatment: finds, the rest (see `Detector.search`), known numbers."""


class Find(Struct, frozen=True):
    """One find as `explain` tells of it. Offsets in the text as it was handed to this pass."""

    start: int
    end: int
    entity_type: str
    score: int
    recognizer: str
    operator: str
    rule: str
    written: str


class Treatment:
    """State of one record. Not for several records, not for several threads."""

    __slots__ = (
        "counts",
        "engine",
        "folded",
        "is_settled",
        "kept",
        "known",
        "listener",
        "model",
        "model_texts",
        "nowhere",
        "operators",
        "place",
        "places",
        "seen",
        "shadow",
        "state",
        "subject",
        "unsettled",
        "values",
        "writing",
    )  # fmt: skip

    def __init__(self, plan: Plan, engine: Engine, ask_key: Callable[[], PseudonymKey]) -> None:
        self.engine = engine
        self.state: State = plan.root
        self.nowhere: State = plan.nowhere
        self.place = TEXT
        """Part of the record that the walk is in, for the counts."""
        self.writing = Writing(ask_key)
        self.known: Known = {}
        self.values: dict[str, str] = {}
        """Folded text -> entity type, of values that were announced somewhere."""
        self.subject: str | None = None
        self.counts: dict[str, int] = {}
        self.operators: dict[str, int] = {}
        self.places: dict[str, dict[str, int]] = {}
        self.shadow: dict[str, int] = {}
        self.kept = 0
        self.folded = False
        self.unsettled = False
        self.is_settled = False
        """The last pass left nothing that its operators may be asked about again: only what it learned is new."""
        self.model: NameModel | None = None
        self.model_texts = 0
        self.seen: list[tuple[str, int, int]] = []
        """Of each text of this pass: what was left of it, and how many known numbers and values it was searched for."""
        self.listener: Callable[[Find], None] | None = None
        """Told of every find, for `explain`."""

    def saw_number(self) -> None:
        """A JSON number was looked at that could turn out to be a known one."""
        self.seen.append((_ANY_NUMBER, len(self.known), len(self.values)))

    def is_stale(self) -> bool:
        """Whether something was learned in this pass that stands where it was not looked for yet."""
        numbers, values = len(self.known), len(self.values)
        if len(self.seen) == 1:  # as of most records
            _, known, valued = self.seen[0]
            if known == numbers and valued == values:
                return False
        return any(
            (known < numbers and RUN.search(rest)) or (valued < values and any(value in rest for value in self.values))
            for rest, known, valued in self.seen
        )

    def start_again(self) -> None:
        """Begin another pass over what the last one left."""
        self.seen = []
        self.kept = 0
        self.is_settled = not self.unsettled
        self.unsettled = False

    def report(self, ruleset: str, engine: str) -> RedactionReport:
        """What the audit event says."""
        operators = {**self.operators, "keep": self.kept} if self.kept else self.operators
        return RedactionReport(ruleset, engine, operators, self.places, self.shadow, self.folded)

    def learn_subject(self, subject: str) -> None:
        """The data subject of the record: its name is personal in every field."""
        self.subject = fold(subject).text.strip()
        self._remember(subject, SUBJECT)

    def is_subject(self, text: str) -> bool:
        return self.subject is not None and fold(text).text.strip() == self.subject

    # Texts --------------------------------------------------------------------------------------------------------

    def text(self, text: str, hint: str | None) -> str:
        """`text` with its finds treated; the same object if nothing changed."""
        shown, edits = view(text)
        detector = self.engine.detector
        folded = fold(shown)
        spans: list[Span] = []
        if self.is_settled and not RUN.search(folded.text):
            rest = folded.text  # what was learned meanwhile is numbers, and values that are looked for below
        elif len(shown) <= CHUNK_CHARS:
            spans, rest = detector.search(folded, hint, self.known)
        else:
            spans, rest = find_in_chunks(detector, shown, hint, self.known), folded.text
        if self.values and (known := self._known_values(folded)):
            spans = resolve([*spans, *known])
            rest = folded.text
        return self._treated(text, before(spans, edits) if edits else spans, rest, hint)

    def treated(self, text: str, looked: Looked) -> str:
        """`text`, which was searched before there was a treatment, with its finds treated."""
        spans, rest, self.known = looked
        return self._treated(text, spans, rest, None)

    def _treated(self, text: str, spans: list[Span], rest: str, hint: str | None) -> str:
        """`text` with its finds treated. `rest`: what was left of it when it was searched."""
        self.seen.append((rest, len(self.known), len(self.values)))
        result = self._written(text, spans, hint) if spans else text
        if self.engine.shadow is not None:
            for span in self.engine.shadow.find(view(result)[0], hint=hint):
                self._on_trial(span.entity_type)
        return result

    def again(self, text: str) -> str:
        """`text` changed, and a model is asked about it in the next pass: what it is shown holds nothing that is known
        to be personal."""
        self.unsettled = True
        return text

    def by_model(self, text: str) -> str:
        """`text`, in which recognizers find nothing, with what the model finds in it treated. It is asked until it
        finds nothing any more, so that a second redaction changes nothing."""
        if is_nothing(text):
            return text
        self.model_texts += 1
        if self.model is None or self.model_texts > _MOST_TEXTS_FOR_MODEL:
            raise RuntimeError("no model of names, or too much for it")
        taken = [match.span() for match in TOKEN.finditer(text)]
        spans = [
            Span(start, end, entity_type, MODEL, _MODEL_SCORE)
            for start, end, entity_type in self.model.find(text)
            if not any(start < last and first < end for first, last in taken)
        ]
        self.unsettled = self.unsettled or bool(spans)
        return self._written(text, resolve(spans), None) if spans else text

    def whole(self, text: str, entity_type: str, recognizer: str) -> str:
        """All of `text` is one value of this type."""
        self._remember(text, entity_type)
        return self._written(text, [Span(0, len(text), entity_type, recognizer, _SURE)], None)

    def number(self, number: float, entity_type: str, *, zero: bool = False) -> str | float | None:
        """A JSON number of this type, treated: a text, a coarser number, None where it is removed. `zero`: in a
        numeric tensor, which stays one: 0 stands for whatever was personal."""
        action = self.state.action(entity_type)
        name = action.operator.name
        if name == "keep":
            self._count(entity_type, name, shadow=action.shadow, kept=True)
            return number
        self._count(entity_type, name, shadow=action.shadow)
        text = str(int(number)) if math.isfinite(number) and number == int(number) else repr(number)
        if self.listener is not None:
            self.listener(Find(0, len(text), entity_type, _SURE, NUMBER, name, action.rule, text))
        if zero:
            return type(number)(0)
        if name == "remove":
            return None
        if name == "generalise" and isinstance(number, float):
            return round(number, 1)
        self.unsettled = self.unsettled or not action.operator.settled
        return action.operator.write(entity_type, text, self.writing)

    def on_trial(self) -> None:
        """A value here would be personal by a rule on trial."""
        if self.state.shadow_type is not None:
            self._on_trial(self.state.shadow_type)

    def _written(self, text: str, spans: list[Span], hint: str | None) -> str:
        if _WRITE is None or self.listener is not None:
            return self.written_in_python(text, spans, hint)
        return _WRITE(self, text, spans, hint)

    def written_in_python(self, text: str, spans: list[Span], hint: str | None) -> str:
        """`text` with `spans` treated, without the kernel, and each of them told."""
        replacements = []
        is_changed = False
        announced, calling_codes = self.engine.announced, self.engine.calling_codes
        for start, end, entity_type, recognizer, score in spans:
            value = text[start:end]
            if (value[0] == "[" or "_" in value or "/" in value) and TOKEN.fullmatch(value):
                continue
            action = self.state.action(entity_type)
            operator = action.operator
            written = operator.write(entity_type, value, self.writing, calling_codes.get(recognizer, ""))
            if not operator.settled:
                self.unsettled = True
            if recognizer in announced or recognizer == MODEL or hint == entity_type:
                self._remember(value, entity_type)
            if written != value or operator.name == "keep":
                self._count(entity_type, operator.name, shadow=action.shadow, kept=written == value)
                if not self.folded and not value.isascii():
                    self.folded = fold(value).text != value
            if self.listener is not None:
                self.listener(Find(start, end, entity_type, score, recognizer, operator.name, action.rule, written))
            is_changed = is_changed or written != value
            replacements.append((start, end, written))
        return substitute(text, replacements) if is_changed else text

    # Known values -------------------------------------------------------------------------------------------------

    def _remember(self, value: str, entity_type: str) -> None:
        folded = fold(value).text.strip()
        digits = folded.translate(_SEPARATORS)
        if digits.isdigit() and len(digits) >= FEWEST_DIGITS:
            learn(self.known, digits, entity_type)
            return
        fewest = _FEWEST_CHARS if folded.isascii() else _FEWEST_WIDE_CHARS
        if len(folded) >= fewest and len(self.values) < _MOST_VALUES and not TOKEN.search(folded):
            self.values.setdefault(folded, entity_type)

    def _known_values(self, folded: Folded) -> list[Span]:
        """Where values stand that were announced elsewhere in the record, in offsets of the original."""
        found = [
            Span(start, end, entity_type, KNOWN_VALUE, _KNOWN_SCORE)
            for value, entity_type in self.values.items()
            for start, end in _occurrences(folded.text, value)
        ]
        if found and (origins := folded.origins) is not None:
            return [span._replace(start=origins[span.start], end=origins[span.end]) for span in found]
        return found

    # Counts -------------------------------------------------------------------------------------------------------

    def _count(self, entity_type: str, operator: str, *, shadow: bool, kept: bool = False) -> None:
        if kept:
            self.kept += 1
        else:
            self.counts[entity_type] = self.counts.get(entity_type, 0) + 1
            self.operators[operator] = self.operators.get(operator, 0) + 1
            place = self.places.get(self.place)
            if place is None:
                place = self.places[self.place] = {}
            place[entity_type] = place.get(entity_type, 0) + 1
        if shadow:
            self._on_trial(entity_type)

    def _on_trial(self, entity_type: str) -> None:
        self.shadow[entity_type] = self.shadow.get(entity_type, 0) + 1


_WRITE: Final[Callable[[Treatment, str, list[Span], str | None], str] | None] = (
    _KERNEL.Writer(TOKEN.fullmatch, fold, Treatment._remember, Treatment._on_trial, MODEL, "keep").write
    if _KERNEL
    else None
)
_SEPARATORS: Final = str.maketrans("", "", " -./()")


def _occurrences(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Where `value` stands as a word of its own and outside of placeholders. In scripts that put no spaces between
    words, anywhere."""
    start = text.find(value)
    if start < 0:
        return
    taken = [match.span() for match in PLACEHOLDER.finditer(text)] if "[" in text else []
    ends = [last for _, last in taken]
    while start >= 0:
        end = start + len(value)
        glued = _joins(text[start - 1 : start], value[0]) or _joins(value[-1], text[end : end + 1])
        if not glued:
            at = bisect_right(ends, start)  # the first placeholder that is not over yet
            if at == len(taken) or taken[at][0] >= end:
                yield start, end
        start = text.find(value, start + 1)


def _joins(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    return left.isalnum() and right.isalnum() and not (_is_unspaced(left) or _is_unspaced(right))


def _is_unspaced(character: str) -> bool:
    return "\u0e00" <= character <= "\u0eff" or "\u3000" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3"
