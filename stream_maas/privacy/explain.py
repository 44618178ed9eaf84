"""What was found in one text, where, and why: finds in offsets of the text as it was given.

A text is redacted in passes, and JSON is walked value by value; this file leads the offsets of every find back. What
stands in a place that has no offsets of its own (JSON inside of JSON, base64, a string with escapes) is told as the
whole literal that holds it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from msgspec import Struct

from stream_maas.privacy.spans import Span
from stream_maas.privacy.transform import Edit, before
from stream_maas.privacy.treatment import Find, Treatment
from stream_maas.privacy.walk import Walk

_NEXT_LITERAL = re.compile(r'"|-?[0-9][0-9.eE+-]*')


class Entity(Struct, frozen=True):
    """One find. [start, end) in Unicode code points of the original text; `score` from 0 to 1."""

    type: str
    start: int
    end: int
    score: float
    recognizer: str
    operator: str
    rule: str
    """Place in the policy of the rule that decided, or "default"."""


class _Literal(NamedTuple):
    """A string (without its quotes) or number in the text."""

    start: int
    end: int
    is_verbatim: bool
    """Written without escapes, so that offsets in the value are offsets in the text."""


class Recorder:
    """Takes the finds of one text and knows where they were."""

    def __init__(self, text: str) -> None:
        self._whole = _Literal(0, len(text), is_verbatim=True)
        self._text = text
        self._literals: Sequence[_Literal] | None = None
        self._edits: dict[int, list[Edit]] = {}
        self._new: dict[int, list[Edit]] = {}
        self._entities: dict[tuple[int, int], Entity] = {}
        self._order: list[tuple[int, int]] = []
        """Keys of `_entities` in the order of the text: none is compared with all the others."""

    def listen_to(self, treatment: Treatment) -> None:
        """Take the finds in plain text from now on, and forget those of a treatment that came to nothing."""
        self._edits, self._new, self._entities, self._order = {}, {}, {}, []
        treatment.listener = lambda find: self.take(find, -1, 0)

    def follow(self, walk: Walk) -> None:
        """Take the finds of a walk, which goes into JSON texts as well."""
        walk.treatment.listener = lambda find: self.take(find, walk.leaf if walk.nesting else -1, walk.nesting)

    def visit(self, walk: Walk, text: str) -> str:
        """One pass of a walk over the text."""
        visited = walk.text(text)
        self.pass_done()
        return visited

    def pass_done(self) -> None:
        """The text has been gone through once; the next pass sees what this one wrote."""
        for leaf, edits in self._new.items():
            edits.sort()
            starts = [edit.start for edit in edits]
            standing = [old for old in self._edits.get(leaf, []) if not _is_covered(old, edits, starts)]
            self._edits[leaf] = sorted([*standing, *edits])
        self._new = {}

    def take(self, find: Find, leaf: int, nesting: int) -> None:
        """`leaf`: number of the JSON value, -1 for plain text. `nesting`: how many texts inside of each other."""
        literal = self._literal(leaf)
        exact = literal.is_verbatim and nesting == (0 if leaf < 0 else 1)
        if exact:
            span = Span(find.start, find.end, "", "", 0)
            origin = before([span], self._edits.get(leaf, []))[0] if leaf in self._edits else span
            start, end = literal.start + origin.start, literal.start + origin.end
            self._new.setdefault(leaf, []).append(Edit(origin.start, origin.end, len(find.written)))
        else:
            start, end = literal.start, literal.end
        if (start, end) in self._entities:
            return
        first = bisect_left(self._order, (start, start))
        for inner in [at for at in self._order[first : bisect_left(self._order, (end, end))] if at[1] <= end]:
            del self._order[bisect_left(self._order, inner)]
            del self._entities[inner]
        insort(self._order, (start, end))
        self._entities[start, end] = Entity(
            find.entity_type, start, end, find.score / 100, find.recognizer, find.operator, find.rule
        )

    def entities(self) -> list[Entity]:
        """In the order of the text."""
        return [self._entities[at] for at in self._order]

    def _literal(self, leaf: int) -> _Literal:
        if leaf < 0:
            return self._whole
        if self._literals is None:
            self._literals = list(_scan(self._text))
        return self._literals[leaf] if leaf < len(self._literals) else self._whole._replace(is_verbatim=False)


def _is_covered(old: Edit, edits: Sequence[Edit], starts: Sequence[int]) -> bool:
    """Whether one of `edits`, disjoint and in order, holds all of `old`. `starts`: where each of them begins."""
    at = bisect_right(starts, old.start) - 1
    return at >= 0 and old.end <= edits[at].end


def _scan(text: str) -> Iterator[_Literal]:
    """Strings and numbers of a JSON text in their order."""
    position = 0
    while (match := _NEXT_LITERAL.search(text, position)) is not None:
        if match.group() != '"':
            position = match.end()
            yield _Literal(match.start(), match.end(), is_verbatim=True)
            continue
        parsed: tuple[Any, int] = scanstring(text, match.end(), False)
        position = parsed[1]
        yield _Literal(match.end(), position - 1, "\\" not in text[match.end() : position])
