"""How identifiers of letters and digits are found: by their picture, all pictures at once.

The text is written as a picture of itself, one byte for each character: `A` for an ASCII letter, `9` for a digit,
other ASCII as it is, `?` for all else. One pattern, a trie of all rows' pictures, is looked for at the beginning of
every word of it. So a row costs nothing where its picture does not occur.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

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
_LOWER: Final = re.compile("[a-z]")


class _Rule(NamedTuple):
    row: Code
    has_form: Callable[[str], object]
    cue: Key | None
    not_after: Callable[[str], object] | None


class CodeFinder:
    """Finds candidates of all `Code` rows in folded text."""

    def __init__(self, rows: Sequence[Code], cues: CueIndex) -> None:
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
        self._prefixes = {picture: beginnings(picture, self._rules) for picture in self._rules}
        pattern = rf"(?<![A9])(?=({trie_pattern(self._rules)})(?![A9]))" if self._rules else "(?!)"
        self._search = re.compile(pattern.encode("ascii"))

    def gate_pattern(self) -> str:
        """What the gate must know: all pictures, with what may stand around them."""
        trie = trie_pattern(self._rules, lambda character: _CLASSES.get(character) or re.escape(character))
        return f"(?:^|[^0-9A-Za-z])(?:{trie})(?:[^0-9A-Za-z]|$)"

    def find(self, text: str, hint: str | None, known: Known) -> Iterator[Span]:
        """Candidates, overlapping or not. `hint`: entity type whose rows need no announcing word."""
        picture = text.encode("ascii", "replace").translate(_PICTURE)
        for match in self._search.finditer(picture):
            start = match.start()
            announced: frozenset[Key] | None = None
            for word in self._prefixes[match.group(1).decode("ascii")]:
                end = start + len(word)
                if picture[end : end + 1] in (b"A", b"9"):
                    continue
                value = "".join(_KEPT.findall(text, start, end))
                for rule in self._rules[word]:
                    row = rule.row
                    if not (row.any_case or not _LOWER.search(value)) or not rule.has_form(value.upper()):
                        continue
                    if rule.not_after and start and rule.not_after(text[start - 1]):
                        continue
                    if rule.cue is not None and hint != row.entity_type:
                        if announced is None:
                            announced = self._cues.before(text, start) | self._cues.after(text, end)
                        if rule.cue not in announced:
                            continue
                    if row.verify and not row.verify(value.upper()):
                        continue
                    if not is_inside_uuid(text, start, end):
                        yield Span(start, end, row.entity_type, row.name, row.score)
                    break
