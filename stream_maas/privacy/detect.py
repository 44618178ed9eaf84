"""Where personal data lies in one text: gate -> candidates -> resolution, until nothing is left.

Rules of this file:
1. The gate names the rows that can match; only those look for candidates. Most texts end here.
2. Candidates that overlap are resolved in a total order (spans.py).
3. What is found is masked and the rest is read again, until nothing more is found. So redacting twice changes
   nothing, and what a stronger find had hidden is found too. Every round takes a digit or an at sign away, so it ends.
4. A number found once is remembered in `known`, and found wherever else it stands in the record: without the word or
   field name that gave it away, between other numbers, as a number.
5. Work is linear in the text: each run of characters is read once, windows in it are bounded by the layouts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

from stream_maas import native
from stream_maas.privacy import encoded, rows, shapes
from stream_maas.privacy.codes import CodeFinder
from stream_maas.privacy.cues import CueIndex
from stream_maas.privacy.fold import Folded, fold
from stream_maas.privacy.gate import Engine, Part, compile_gate
from stream_maas.privacy.looks import Left, is_open_ended, is_plain, left
from stream_maas.privacy.numbers import KNOWN_RECOGNIZER, NumberFinder
from stream_maas.privacy.phones import with_extension
from stream_maas.privacy.rows import Anchored, Code, Located, MadeOf, Number, Recognizer
from stream_maas.privacy.runs import FEWEST_DIGITS, RUN_PATTERN
from stream_maas.privacy.spans import Known, Span, resolve
from stream_maas.privacy.transform import PLACEHOLDER, cut, placeholder

_KERNEL: Final = native.load("searching")
_MOST_ROUNDS: Final = 32
"""Ordinary texts need two. Text made to need more is refused, since every round reads all of it."""
_NO_DIGITS: Final = bytes(code for code in range(256) if not 48 <= code < 58)
_PHONE: Final = "PHONE"


def learn(known: Known, digits: str, entity_type: str) -> None:
    """Remember that the number written `digits` (other characters are dropped) is personal, if it is long enough.

    With and without leading zeros, which a JSON number loses.
    """
    number = digits
    if not (digits.isdigit() and digits.isascii()):
        number = digits.encode("ascii", "replace").translate(None, _NO_DIGITS).decode("ascii")
    if len(number) >= FEWEST_DIGITS:
        known[number] = entity_type
        if number[0] == "0" and len(bare := number.lstrip("0")) >= FEWEST_DIGITS:
            known[bare] = entity_type


class _Asked(NamedTuple):
    """A finder, and what the gate asks for on its behalf. `is_plain`, `is_open_ended`: see looks.py."""

    pattern: str
    find: Callable[[str, str | None, Known], Iterable[Span]]
    is_plain: bool
    is_open_ended: bool = False


class Detector:
    """Finds spans in one text after another. Keeps nothing of them; may be used from several threads."""

    search: Callable[[Folded, str | None, Known], tuple[list[Span], str]]
    """`find` for a text that is folded already, and the folded text with its finds masked: in that, nothing is found
    any more as long as the known numbers do not grow. (text, hint, known numbers)."""

    def __init__(self, recognizers: Sequence[Recognizer], engine: Engine, kernel: ModuleType | None = _KERNEL) -> None:
        """`kernel`: the compiled twin of the search, None for Python."""
        cues = CueIndex()
        numbers = NumberFinder([row for row in recognizers if isinstance(row, Number)], cues)
        codes = CodeFinder([row for row in recognizers if isinstance(row, Code)], cues)
        shaped = [row for row in recognizers if not isinstance(row, Number | Code)]
        parts: dict[MadeOf, list[_Asked]] = {kind: [] for kind in rows.FEWEST_DIGITS}
        find_encoded = encoded.finder(lambda text, known: self.find(text, known=known))
        parts["marks"].append(_Asked(encoded.GATE_PATTERN, find_encoded, False))
        loose: dict[MadeOf, _Asked] = {
            "digits": _Asked(RUN_PATTERN, numbers.find, True),
            "letters": _Asked(codes.gate_pattern(), codes.find, True),
        }
        self._always: list[shapes.Finder] = []
        for row in shaped:
            find = shapes.finder(row, cues)
            if shapes.is_always_asked(row):
                self._always.append(find)
            else:
                parts[row.made_of].append(_Asked(shapes.gate_pattern(row), find, is_plain(row), is_open_ended(row)))
        cues.close()
        every: list[_Asked] = []
        gate_parts: list[Part] = []
        for kind, asked in parts.items():
            if kind in loose:
                every.append(loose[kind])
                gate_parts.append(Part((loose[kind].pattern,), rows.FEWEST_DIGITS[kind], is_loose=True))
            every += asked
            gate_parts.append(Part(tuple(one.pattern for one in asked), rows.FEWEST_DIGITS[kind]))
        self._gate = compile_gate(engine, gate_parts)
        self._finders = [one.find for one in every]
        self._plain = frozenset(index for index, one in enumerate(every) if one.is_plain)
        """Finders whose finds a second look need not follow."""
        self._open_ended = frozenset(index for index, one in enumerate(every) if one.is_open_ended)
        """Finders that may find something in front of a mask which reached into it before."""
        self._number_rows = frozenset(row.name for row in recognizers if isinstance(row, Number))
        self.strong_integer = numbers.strong_integer
        self.announced = frozenset(row.name for row in recognizers if _is_announced(row))
        """Names of the recognizers whose finds depend on what stands around them."""
        self.search = self.search_in_python if kernel is None else self._compiled(kernel).search

    def _compiled(self, kernel: ModuleType) -> Any:
        kinds = [(index in self._plain) + 2 * (index in self._open_ended) for index in range(len(self._finders))]
        seldom = _beside_placeholders, _without_parts, resolve, _with_extensions, _before_masking, _in_original
        rows_and_types = self._number_rows, KNOWN_RECOGNIZER, _PHONE
        looks = left, Left.NOTHING, Left.NAMES
        limits = _MOST_ROUNDS, FEWEST_DIGITS
        return kernel.Search(
            self._gate, self._finders, self._always, kinds, rows_and_types, looks, seldom, placeholder, limits
        )

    def is_clear(self, text: str) -> bool:
        """True if nothing can be found in `text`, nor in any of its lines by itself. Field names are not considered.

        False says nothing: the text has to be searched.
        """
        return (
            fold(text).text is text
            and not self._gate(text)
            and not any(list(find(text, None, {})) for find in self._always)
        )

    def find(self, text: str, *, hint: str | None = None, known: Known | None = None) -> list[Span]:
        """Disjoint spans of `text` in order, in offsets of `text` itself.

        `hint`: the entity type that the field's name announces. `known`: numbers already found in this record;
        grows. Raises RuntimeError (without values) for text made to take many rounds.
        """
        return self.search(fold(text), hint, {} if known is None else known)[0]

    def search_in_python(self, folded: Folded, hint: str | None, known: Known) -> tuple[list[Span], str]:
        """`search` without the kernel."""
        found: list[Span] = []
        rest = folded.text
        for _ in range(_MOST_ROUNDS):
            candidates, are_plain = self._candidates(rest, hint, known)
            spans = self._standing(rest, candidates, known) if candidates else candidates
            if not spans:
                return _in_original(found, folded), rest
            text = rest
            found = sorted(found + _before_masking(spans, found)) if found else spans
            rest = cut(folded.text, found)
            if are_plain and not self._is_left(left(text, candidates, spans, rest), rest):
                return _in_original(found, folded), rest
        raise RuntimeError("text is not redacted after the last round")

    def _candidates(self, text: str, hint: str | None, known: Known) -> tuple[list[Span], bool]:
        """Everything that some row would take, and whether all of it comes from plain rows or is a name."""
        candidates: list[Span] = []
        are_plain = not known
        for index in self._gate(text):
            count = len(candidates)
            candidates += self._finders[index](text, hint, known)
            if index not in self._plain and (len(candidates) > count or index in self._open_ended):
                are_plain = False
        for find in self._always:
            candidates += find(text, hint, known)
        return candidates, are_plain

    def _is_left(self, what: Left, rest: str) -> bool:
        """Whether something may be left in `rest`."""
        if what is Left.NAMES:
            return any(True for find in self._always for _ in find(rest, None, {}))
        return what is Left.ANYTHING

    def _standing(self, text: str, candidates: list[Span], known: Known) -> list[Span]:
        """Those of `candidates` that stand. Numbers among them are known from now on."""
        if "]" in text:
            candidates = _beside_placeholders(text, candidates)
        if known and any(span.recognizer == KNOWN_RECOGNIZER for span in candidates):
            candidates = _without_parts(candidates)
        spans = resolve(candidates) if len(candidates) > 1 else candidates
        may_have_extension = False
        for span in spans:
            if span.recognizer in self._number_rows:
                learn(known, text[span.start : span.end], span.entity_type)
            may_have_extension = may_have_extension or span.entity_type == _PHONE
        return _with_extensions(text, spans) if may_have_extension else spans


def _with_extensions(text: str, spans: list[Span]) -> list[Span]:
    """`spans`, disjoint and in order, with the extension behind each telephone number as a part of it."""
    starts = [span.start for span in spans[1:]] + [len(text)]
    extended = []
    for span, next_start in zip(spans, starts, strict=True):
        end = with_extension(text, span.end) if span.entity_type == _PHONE else span.end
        extended.append(span if end == span.end or end > next_start else span._replace(end=end))
    return extended


def _beside_placeholders(text: str, candidates: list[Span]) -> list[Span]:
    """Those of `candidates` that reach into nothing that stands for an earlier find."""
    masks = [match.span() for match in PLACEHOLDER.finditer(text)]
    starts = [start for start, _ in masks]

    def is_free(span: Span) -> bool:
        at = bisect_right(starts, span.end - 1) - 1
        return at < 0 or masks[at][1] <= span.start

    return [span for span in candidates if is_free(span)]


def _without_parts(candidates: list[Span]) -> list[Span]:
    """`candidates` without known numbers that are a part of something longer: the prefix of a VAT number goes too."""
    whole = resolve(span for span in candidates if span.recognizer != KNOWN_RECOGNIZER)
    starts = [span.start for span in whole]

    def is_part(span: Span) -> bool:
        at = bisect_right(starts, span.start) - 1
        return at >= 0 and span.end <= whole[at].end

    return [span for span in candidates if span.recognizer != KNOWN_RECOGNIZER or not is_part(span)]


def _is_announced(row: Recognizer) -> bool:
    if isinstance(row, Located):
        return row.announced
    return not isinstance(row, Anchored) and bool(row.cues)


def _before_masking(spans: list[Span], masked: list[Span]) -> list[Span]:
    """`spans`, found in a text in which `masked` were replaced by placeholders, in offsets of the text before."""
    if not masked:
        return spans
    ends: list[int] = []
    shifts: list[int] = []
    shift = 0
    for mask in masked:
        shift += mask.end - mask.start - len(placeholder(mask.entity_type))
        ends.append(mask.end - shift)
        shifts.append(shift)
    moved = []
    for span in spans:
        # A find never reaches into a placeholder: it lies between the ends of two masks.
        before = bisect_right(ends, span.start)
        by = shifts[before - 1] if before else 0
        moved.append(span._replace(start=span.start + by, end=span.end + by))
    return moved


def _in_original(spans: list[Span], folded: Folded) -> list[Span]:
    """`spans` of the folded text in offsets of the original, with the invisible characters that follow each."""
    origins = folded.origins
    if origins is None:
        return spans
    return [span._replace(start=origins[span.start], end=origins[span.end]) for span in spans]
