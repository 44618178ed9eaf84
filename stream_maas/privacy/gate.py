"""Which multi-pattern engine tells, in one pass over a text, which patterns can match at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple

from stream_maas import native
from stream_maas.errors import SettingsError
from stream_maas.privacy.automata import Automaton

Engine = Literal["re2", "hyperscan", "re"]
Gate = Callable[[str], Sequence[int]]
"""Text -> indices of the patterns that match somewhere in it."""

_MAX_MEM_BYTES: Final = 32 * 1024 * 1024
"""Ceiling of the automaton's lazily built states. A set with too little memory to go on would report nothing, so this
is never made small."""
_DIGITS: Final = b"0123456789"
_DIGIT: Final = re.compile("[0-9]")
_KERNEL: Final = native.load("scanning")


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


class Part(NamedTuple):
    """Patterns that have something in common. `fewest_digits`: a text with fewer ASCII digits is not asked about."""

    patterns: tuple[str, ...]
    fewest_digits: int = 0
    is_loose: bool = False
    """Whoever asks sees for itself, at once, whether something is there: where a kernel says that there may be, the
    engine is not asked any more. Elsewhere it is one with the part behind it, which must ask for as many digits."""


def compile_gate(engine: Engine, parts: Sequence[Part], *, kernel: ModuleType | None = _KERNEL) -> Gate:
    """A gate over the patterns of all `parts` in order, in the common subset of RE2 and `re`. All engines agree, but
    for loose parts, of which some say more.

    Each part becomes an automaton of its own where states are built lazily. There is one for every way in which the
    patterns can be half matched together: those that begin differently would multiply, on random text without end, and
    an automaton that is full begins anew. Raises SettingsError if the engine is not installed. `kernel` tells which
    parts of RE2's gate need not be asked.
    """
    if engine == "hyperscan":
        return _hyperscan_gate(parts)
    if engine == "re":
        return _re_gate(parts)
    return _re2_gate(parts, kernel)


@lru_cache(maxsize=16)
def _scanner(parts: tuple[Part, ...], kernel: ModuleType) -> Any:
    """What tells which parts may match. Kept: its states are the same for all gates with these parts."""
    automata = [Automaton(part.patterns) for part in parts]
    return kernel.Scanner(automata, [part.fewest_digits for part in parts])


def _joined(parts: Sequence[Part]) -> Iterator[Part]:
    """The patterns of `parts` in order, with loose parts as one with the part behind them."""
    waiting: tuple[str, ...] = ()
    for part in parts:
        waiting += part.patterns
        if not part.is_loose:
            yield part._replace(patterns=waiting)
            waiting = ()
    if waiting:
        yield Part(waiting)


def _re2_gate(parts: Sequence[Part], kernel: ModuleType | None) -> Gate:
    try:
        import re2
    except ImportError:
        raise SettingsError("privacy.gate: google-re2 is not installed; install it or choose 're'") from None
    options = re2.Options()
    options.max_mem = _MAX_MEM_BYTES
    options.log_errors = False  # its messages quote the text
    automata: list[tuple[int, Callable[[bytes], list[int] | None], int]] = []
    loose: list[tuple[int, range]] = []
    fewest_digits: list[int] = []
    first = 0
    for number, part in enumerate(parts if kernel else _joined(parts)):
        if part.is_loose and kernel:
            loose.append((1 << number, range(first, first + len(part.patterns))))
            first += len(part.patterns)
            continue
        automaton = re2.Set.SearchSet(options)
        for pattern in part.patterns:
            automaton.Add(pattern)
        automaton.Compile()
        # The wrapper asks whether it was given text or bytes, which is a tenth of the look.
        automata.append((1 << number, getattr(automaton, "_set", automaton).Match, first))
        fewest_digits.append(part.fewest_digits)
        first += len(part.patterns)
    if kernel:
        asked: Gate = kernel.Gate(_scanner(tuple(parts), kernel), loose, automata).asked
        return asked

    def gate(text: str) -> Sequence[int]:
        encoded = text.encode("utf-8", "replace")
        digit_count = len(encoded) - len(encoded.translate(None, _DIGITS))
        found: list[int] = []
        for (_, match, offset), fewest in zip(automata, fewest_digits, strict=True):
            if digit_count >= fewest and (matched := match(encoded)):
                found += [index + offset for index in matched] if offset else matched
        return found

    return gate


def _hyperscan_gate(parts: Sequence[Part]) -> Gate:
    try:
        import hyperscan
    except ImportError:
        raise SettingsError("privacy.gate: hyperscan is not installed; pip install 'stream-maas[hyperscan]'") from None
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_ALLOWEMPTY
    patterns = [pattern for part in parts for pattern in part.patterns]
    fewest_digits = [part.fewest_digits for part in parts for _ in part.patterns]
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

        encoded = text.encode("utf-8", "replace")
        # A scratch serves one scan at a time; a clone costs a microsecond and makes the gate safe for threads.
        database.scan(encoded, match_event_handler=seen, scratch=scratch.clone())
        if not found:
            return found
        digit_count = len(encoded) - len(encoded.translate(None, _DIGITS))
        return [index for index in found if digit_count >= fewest_digits[index]]

    return gate


def _re_gate(parts: Sequence[Part]) -> Gate:
    searches = [(re.compile(pattern).search, part.fewest_digits) for part in parts for pattern in part.patterns]

    def gate(text: str) -> Sequence[int]:
        digit_count = len(_DIGIT.findall(text))
        return [
            index
            for index, (search, fewest_digits) in enumerate(searches)
            if digit_count >= fewest_digits and search(text)
        ]

    return gate
