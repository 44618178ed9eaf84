"""Which rules of the table hold for a grouping of digits: rows, compiled, by the shape of what they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from stream_maas.privacy.cues import CueIndex, Key
from stream_maas.privacy.rows import Number, expand
from stream_maas.privacy.runs import shape_of

_ANY_DIGITS: Final = "[0-9]+"


class Rule(NamedTuple):
    """A row, compiled."""

    row: Number
    has_form: Callable[[str], object]
    takes_any_digits: bool
    cue: Key | None
    not_shapes: frozenset[bytes]
    has_script: Callable[[str, int, int], object] | None


class Rules(NamedTuple):
    """The rules for one grouping, in the order of their scores."""

    unannounced: list[Rule]
    """Those that need no cue, or that a script near the number may do for."""
    announced: list[Rule]

    def only(self, shape: bytes, *, is_fraction: bool, stands_free: bool) -> Rules:
        """The rules that can hold for a window of this shape that is a fraction, or goes on beyond its ends."""

        def can_hold(rule: Rule) -> bool:
            return not is_fraction if rule.row.strong else stands_free and shape not in rule.not_shapes

        return Rules(list(filter(can_hold, self.unannounced)), list(filter(can_hold, self.announced)))


class RuleBook:
    """The rules of all `Number` rows."""

    def __init__(self, rows: Sequence[Number], cues: CueIndex) -> None:
        self.by_shape: dict[bytes, Rules] = {}
        self.any_grouping = Rules([], [])
        """For all digits of a run in two or more groups."""
        self.even_grouping = Rules([], [])
        """The same where they are evenly grouped."""
        for row in rows:
            rule = Rule(
                row,
                re.compile(row.form).fullmatch,
                row.form == _ANY_DIGITS,
                cues.add(row.cues, row.entity_type) if row.cues else None,
                frozenset(shape_of(plain) for layout in row.not_layouts for plain in expand(layout)),
                re.compile(f"[{row.script}]").search if row.script else None,
            )
            if row.script:  # it does instead of a cue
                self._add(rule._replace(has_script=None))
                rule = rule._replace(cue=None)
            self._add(rule)
        self._variants = {
            (shape, is_fraction, stands_free): rules.only(shape, is_fraction=is_fraction, stands_free=stands_free)
            for shape, rules in self.by_shape.items()
            for is_fraction in (False, True)
            for stands_free in (False, True)
        }

    def listed(self, shape: bytes, *, is_fraction: bool, stands_free: bool) -> Rules:
        """Those that list the shape, one of `by_shape`, and can hold for a window that stands so."""
        return self._variants[shape, is_fraction, stands_free]

    def _add(self, rule: Rule) -> None:
        for layout in rule.row.layouts:
            if layout == "*":
                _add(self.any_grouping, rule)
                _add(self.even_grouping, rule)
            elif layout == "=":
                _add(self.even_grouping, rule)
            else:
                for plain in expand(layout):
                    _add(self.by_shape.setdefault(shape_of(plain), Rules([], [])), rule)


def _add(rules: Rules, rule: Rule) -> None:
    listed = rules.unannounced if rule.cue is None else rules.announced
    if rule not in listed:
        listed.append(rule)
