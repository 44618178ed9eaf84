"""Which multi-pattern engine tells, in one pass over a text, which patterns can match at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from stream_maas.errors import SettingsError

Gate = Callable[[str], Sequence[int]]
"""Text -> indices of the patterns that match somewhere in it."""

_MAX_MEM_BYTES = 128 * 1024 * 1024
"""Ceiling of the automaton's lazily built states. Enough that random text never throws them away (at 8 MB such text
runs at half speed); a set with too little memory to go on would report nothing, so this is never made small."""


def compile_gate(engine: Literal["re2", "re"], patterns: Sequence[str]) -> Gate:
    """A gate over `patterns`, all in the common subset of RE2 and `re`. Both engines give the same indices.

    Raises SettingsError if the engine is not installed.
    """
    return _re2_gate(patterns) if engine == "re2" else _re_gate(patterns)


def _re2_gate(patterns: Sequence[str]) -> Gate:
    try:
        import re2
    except ImportError:
        raise SettingsError("redaction.gate: google-re2 is not installed; install it or choose 're'") from None
    options = re2.Options()
    options.max_mem = _MAX_MEM_BYTES
    options.log_errors = False  # its messages quote the text
    automaton = re2.Set.SearchSet(options)
    for pattern in patterns:
        automaton.Add(pattern)
    automaton.Compile()
    match = automaton.Match

    def gate(text: str) -> Sequence[int]:
        return match(text) or ()

    return gate


def _re_gate(patterns: Sequence[str]) -> Gate:
    searches = [re.compile(pattern).search for pattern in patterns]

    def gate(text: str) -> Sequence[int]:
        return [index for index, search in enumerate(searches) if search(text)]

    return gate
