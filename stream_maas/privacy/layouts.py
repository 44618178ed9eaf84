"""How many literal layouts are looked for at once: a trie, written as one pattern of the standard library's engine."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T", str, bytes)
_END = ""


def trie_pattern(words: Iterable[str], written: Callable[[str], str] = re.escape) -> str:
    """A pattern for any of `words`, the longest that fits first; shared beginnings are tried once.

    `written`: one character of a word -> the pattern for it.
    """
    return _pattern(_trie(words), written)


class FlatTrie(NamedTuple):
    """A trie of words for a compiled kernel: node 0 is the root, branches are in the order of `trie_pattern`."""

    first: array[int]
    """By node: its first branch; one more at the end."""
    targets: array[int]
    """By branch: the node that it leads to."""
    labels: array[int]
    """By branch: a code point."""
    ends: bytes
    """By node: whether a word ends there."""


def flat_trie(words: Iterable[str]) -> FlatTrie:
    """The trie that `trie_pattern` writes."""
    nodes = [_trie(words)]
    first, targets, labels = array("i"), array("i"), array("I")
    ends = bytearray()
    for node in nodes:  # grows meanwhile
        first.append(len(targets))
        ends.append(_END in node)
        for character, after in node.items():
            if character != _END:
                labels.append(ord(character))
                targets.append(len(nodes))
                nodes.append(after)
    first.append(len(targets))
    return FlatTrie(first, targets, labels, bytes(ends))


def _trie(words: Iterable[str]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for word in words:
        node = root
        for character in word:
            node = node.setdefault(character, {})
        node[_END] = {}
    return root


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
