"""Which multi-pattern engine tells, in one pass over a text, which patterns can match at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal

from stream_maas.errors import SettingsError

Engine = Literal["re2", "hyperscan", "re"]
Gate = Callable[[str], Sequence[int]]
"""Text -> indices of the patterns that match somewhere in it."""

_MAX_MEM_BYTES: Final = 32 * 1024 * 1024
"""Ceiling of the automaton's lazily built states. A set with too little memory to go on would report nothing, so this
is never made small."""


def choose(asked: Literal["auto", "re2", "hyperscan", "re"]) -> Engine:
    """The engine that the setting means: "auto" is re2 where google-re2 is installed, and otherwise plain `re`."""
    if asked != "auto":
        return asked
    try:
        import re2  # noqa: F401
    except ImportError:
        return "re"
    return "re2"


def warning(engine: Engine) -> str:
    """What whoever runs this should know about the engine, "" for nothing."""
    if engine != "re":
        return ""
    return (
        "redaction runs on plain re: it finds the same but looks for every pattern by itself, many times slower; "
        "install google-re2, or stream-maas[hyperscan] with privacy.gate=hyperscan"
    )


def compile_gate(engine: Engine, *parts: Sequence[str]) -> Gate:
    """A gate over the patterns of all `parts` in order, in the common subset of RE2 and `re`. All engines agree.

    Each part becomes an automaton of its own where states are built lazily: those of patterns that have little in
    common multiply, on random text without end, and an automaton that is full begins anew.
    Raises SettingsError if the engine is not installed.
    """
    if engine == "hyperscan":
        return _hyperscan_gate([pattern for part in parts for pattern in part])
    if engine == "re":
        return _re_gate([pattern for part in parts for pattern in part])
    return _re2_gate(parts)


def _re2_gate(parts: Sequence[Sequence[str]]) -> Gate:
    try:
        import re2
    except ImportError:
        raise SettingsError("privacy.gate: google-re2 is not installed; install it or choose 're'") from None
    options = re2.Options()
    options.max_mem = _MAX_MEM_BYTES
    options.log_errors = False  # its messages quote the text
    automata: list[tuple[Callable[[bytes], list[int] | None], int]] = []
    first = 0
    for part in parts:
        automaton = re2.Set.SearchSet(options)
        for pattern in part:
            automaton.Add(pattern)
        automaton.Compile()
        automata.append((automaton.Match, first))
        first += len(part)

    def gate(text: str) -> Sequence[int]:
        encoded = text.encode("utf-8", "replace")
        found: list[int] = []
        for match, offset in automata:
            if matched := match(encoded):
                found += [index + offset for index in matched] if offset else matched
        return found

    return gate


def _hyperscan_gate(patterns: Sequence[str]) -> Gate:
    try:
        import hyperscan
    except ImportError:
        raise SettingsError("privacy.gate: hyperscan is not installed; pip install 'stream-maas[hyperscan]'") from None
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_ALLOWEMPTY
    database.compile(
        expressions=[pattern.encode("utf-8") for pattern in patterns],
        ids=list(range(len(patterns))),
        elements=len(patterns),
        flags=[flags] * len(patterns),
    )
    scratch = hyperscan.Scratch(database)

    def gate(text: str) -> Sequence[int]:
        found: list[int] = []

        def seen(index: int, start: int, end: int, flags: int, context: object) -> None:
            found.append(index)

        # A scratch serves one scan at a time; a clone costs a microsecond and makes the gate safe for threads.
        database.scan(text.encode("utf-8", "replace"), match_event_handler=seen, scratch=scratch.clone())
        return found

    return gate


def _re_gate(patterns: Sequence[str]) -> Gate:
    searches = [re.compile(pattern).search for pattern in patterns]

    def gate(text: str) -> Sequence[int]:
        return [index for index, search in enumerate(searches) if search(text)]

    return gate
