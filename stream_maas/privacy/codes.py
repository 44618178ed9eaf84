"""How identifiers of letters and digits are found: by their picture, all pictures at once.

The text is written as a picture of itself, one byte for each character: `A` for an ASCII letter, `9` for a digit,
other ASCII as it is, `?` for all else. Every picture has a digit, so one pattern looks at the first digit of each
group, which is found at the speed of memory, whether some row's picture lies around it. So a row costs nothing where
its picture does not occur.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any, Final, NamedTuple

from stream_maas import native
from stream_maas.privacy.cues import CueIndex, Key
from stream_maas.privacy.layouts import beginnings, trie_pattern
from stream_maas.privacy.rows import Code, expand
from stream_maas.privacy.runs import is_inside_uuid
from stream_maas.privacy.spans import Known, Span

_SEPARATORS: Final = ("", " ", "-", ".")
_PICTURE: Final = bytes(
    ord("9") if 48 <= code < 58 else ord("A") if 65 <= code < 91 or 97 <= code < 123 else code for code in range(256)
)
_KEPT: Final = re.compile("[0-9A-Za-z]+")
_CLASSES: Final = {"A": "[A-Za-z]", "9": "[0-9]"}
_ALPHANUMERIC: Final = b"A9"
_KERNEL: Final = native.load("pictures")
_COUNTRY: Final = re.compile(r"([A-Z]{2})(?![?*+{])(?:[^|()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*")
"""A form that is no choice and begins with two letters asks for these."""


def _in_gate(character: str) -> str:
    if character.islower():
        return f"[{character.upper()}{character}]"
    return _CLASSES.get(character) or re.escape(character)


class _Rule(NamedTuple):
    row: Code
    has_form: Callable[[str], object]
    cue: Key | None
    not_after: Callable[[str], object] | None


def _as_tuple(rule: _Rule) -> tuple[Any, ...]:
    row, has_form, cue, not_after = rule
    return row.any_case, has_form, cue, not_after, row.verify, row.entity_type, row.name, row.score


class CodeFinder:
    """Finds candidates of all `Code` rows in folded text."""

    def __init__(self, rows: Sequence[Code], cues: CueIndex, kernel: ModuleType | None = _KERNEL) -> None:
        self._cues = cues
        self._rules: dict[str, list[_Rule]] = {}
        for row in rows:
            rule = _Rule(
                row,
                re.compile(row.form).fullmatch,
                cues.add(row.cues, row.entity_type) if row.cues else None,
                re.compile(f"[{row.not_after}]").match if row.not_after else None,
            )
            for picture in row.pictures:
                for plain in expand(picture, _SEPARATORS):
                    rules = self._rules.setdefault(plain, [])
                    if rule not in rules:
                        rules.append(rule)
        self.find: Callable[[str, str | None, Known], list[Span]] = self.find_in_python
        """Candidates, overlapping or not: (text, entity type whose rows need no announcing word, known numbers)."""
        if kernel is not None:
            self.find = self._compiled(kernel).codes
            return
        self._prefixes = {picture: beginnings(picture, self._rules) for picture in self._rules}
        tails: dict[str, list[str]] = {}
        for picture in self._rules:
            lead, _, tail = picture.partition("9")
            tails.setdefault(lead, []).append(tail)
        around = "|".join(
            f"(?<=[^A9]{re.escape(lead)}9)(?:{trie_pattern(sorted(tails[lead]))})(?![A9])" for lead in sorted(tails)
        )
        self._search = re.compile((f"9(?<!99)(?={around})" if tails else "(?!)").encode("ascii"))
        self._match = re.compile(f"({trie_pattern(self._rules)})(?![A9])".encode("ascii")).match
        self._leads = frozenset(lead.encode("ascii") for lead in tails)
        """What stands before the first digit of a picture."""
        self._lead_widths = sorted(set(map(len, self._leads)))

    def _compiled(self, kernel: ModuleType) -> Any:
        rules = [[_as_tuple(rule) for rule in of_picture] for of_picture in self._rules.values()]
        make = partial(tuple.__new__, Span)
        return kernel.Codes(list(self._rules), rules, self._cues, is_inside_uuid, make)

    def gate_pattern(self) -> str:
        """What the gate must know: all pictures, with what may stand around them, and the country that a form begins
        with, since two letters and a number alone are in many texts."""
        trie = trie_pattern([word for picture in self._rules for word in self._with_country(picture)], _in_gate)
        return f"(?:^|[^0-9A-Za-z])(?:{trie})(?:[^0-9A-Za-z]|$)"

    def _with_country(self, picture: str) -> list[str]:
        """The picture with each country, in small letters, that a form for it begins with; as it is if one has none."""
        countries = {_COUNTRY.fullmatch(rule.row.form) for rule in self._rules[picture]}
        if None in countries or not picture.startswith("AA"):
            return [picture]
        return sorted({match.group(1).lower() + picture[2:] for match in countries if match})

    def find_in_python(self, text: str, hint: str | None, known: Known) -> list[Span]:
        """`find` without the kernel."""
        found = []
        for start, end, picture in self._stretches(text):
            code = self._in_stretch(text, start, end, self._rules[picture], hint)
            if code is not None:
                found.append(code)
        return found

    def _stretches(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Begin, end, and picture, wherever one stands with no ASCII letter or digit around."""
        # The blank is a neighbour for what opens the text; a character of the text is one further on in the picture.
        picture = b" " + text.encode("ascii", "replace").translate(_PICTURE)
        for match in self._search.finditer(picture):
            digit = match.start()
            for width in self._lead_widths:
                start = digit - width
                if start > 0 and picture[start:digit] in self._leads and picture[start - 1] not in _ALPHANUMERIC:
                    word = self._match(picture, start)
                    for one in self._prefixes[word.group(1).decode("ascii")] if word else ():
                        end = start + len(one)
                        if picture[end : end + 1] not in (b"A", b"9"):
                            yield start - 1, end - 1, one

    def _in_stretch(self, text: str, start: int, end: int, rules: Sequence[_Rule], hint: str | None) -> Span | None:
        """The code that [start, end) is, if it is one by the rules of its picture."""
        announced: frozenset[Key] | None = None
        value = text[start:end]
        if not value.isalnum():
            value = "".join(_KEPT.findall(value))
        upper = value.upper()
        is_upper = value == upper
        for row, has_form, cue, not_after in rules:
            if not (is_upper or row.any_case) or not has_form(upper):
                continue
            if not_after and start and not_after(text[start - 1]):
                continue
            if cue is not None and hint != row.entity_type:
                if announced is None:
                    announced = self._cues.before(text, start) | self._cues.after(text, end)
                if cue not in announced:
                    continue
            if row.verify and not row.verify(upper):
                continue
            if is_inside_uuid(text, start, end):
                return None
            return Span(start, end, row.entity_type, row.name, row.score)
        return None
