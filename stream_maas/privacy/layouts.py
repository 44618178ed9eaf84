"""How many literal layouts are looked for at once: a trie, written as one pattern of the standard library's engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T", str, bytes)
_END = ""


def trie_pattern(words: Iterable[str], written: Callable[[str], str] = re.escape) -> str:
    """A pattern for any of `words`, the longest that fits first; shared beginnings are tried once.

    `written`: one character of a word -> the pattern for it.
    """
    root: dict[str, Any] = {}
    for word in words:
        node = root
        for character in word:
            node = node.setdefault(character, {})
        node[_END] = {}
    return _pattern(root, written)


def _pattern(node: Mapping[str, Any], written: Callable[[str], str]) -> str:
    branches = [written(character) + _pattern(after, written) for character, after in node.items() if character != _END]
    if not branches:
        return ""
    if len(branches) == 1 and _END not in node:
        return branches[0]
    return f"(?:{'|'.join(branches)})" + ("?" if _END in node else "")


def beginnings(word: T, words: Mapping[T, Any]) -> list[T]:
    """Those of `words` that `word` begins with, the longest first."""
    return [word[:length] for length in range(len(word), 0, -1) if word[:length] in words]
