"""Keeps how texts are written of which only a few places differ; native/templates.pyx is the fast way.

A template is made once for many structs: constants, and fields that are read from each of them. What the constants
say is true of structs that are like the one it was made for, so it compares first, and is not for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import orjson

from stream_maas import native
from stream_maas.wire.tensors import MAX_SAFE_INTEGER

Form: TypeAlias = Literal["given", "bytes", "ascii", "text", "count", "number"]
"""How a value is written: what the caller gives, bytes, and ASCII text as they are; other text as between the quotes of
its JSON; integers in decimal, from 0 or from -(2^53 - 1) to 2^53 - 1."""


class Field(NamedTuple):
    """A place in a template. `path`: one name or two, "timings.queue_us"; of what is given, its index."""

    path: str
    form: Form
    before: bytes = b""
    after: bytes = b""
    optional: bool = False
    """None is left out, with what stands before and after it."""


Part: TypeAlias = str | Field


class Template(Protocol):
    """Texts of structs that are alike."""

    def write(self, struct: object, given: tuple[bytes, ...]) -> bytes | None:
        """The text of `struct`, None where the template is not for it: it is not like the first one in what they share,
        or a field holds what its form cannot write.

        Raises `orjson.JSONEncodeError` for a text that is not Unicode.
        """
        ...


def escaped(text: str) -> bytes:
    """What stands between the quotes of a text's JSON."""
    return orjson.dumps(text)[1:-1]


class PythonTemplate:
    """The reference."""

    def __init__(self, parts: Sequence[Part], shared: Sequence[str], like: object) -> None:
        self._parts = [(part, _reader(part) if isinstance(part, Field) else None) for part in parts]
        self._shared = attrgetter(*shared, *shared[:1]) if shared else lambda _: ()  # a tuple, even of one
        self._values = self._shared(like)

    def write(self, struct: object, given: tuple[bytes, ...]) -> bytes | None:
        if self._shared(struct) != self._values:
            return None
        written = []
        for part, read in self._parts:
            if isinstance(part, str):
                written.append(part.encode())
                continue
            value = given[int(part.path)] if read is None else read(struct)
            if value is None and part.optional:
                continue
            text = _written(value, part.form)
            if text is None:
                return None
            written += part.before, text, part.after
        return b"".join(written)


def _reader(field: Field) -> Any:
    return None if field.form == "given" else attrgetter(field.path)


def _written(value: object, form: Form) -> bytes | None:
    if form in ("count", "number"):
        least = 0 if form == "count" else -MAX_SAFE_INTEGER
        return b"%d" % value if type(value) is int and least <= value <= MAX_SAFE_INTEGER else None
    if form in ("given", "bytes"):
        return value if type(value) is bytes else None
    if type(value) is not str or (form == "ascii" and not value.isascii()):
        return None
    return value.encode() if form == "ascii" else escaped(value)


_KERNEL = native.load("templates")


def template(parts: Sequence[Part], *, like: object = None, shared: Sequence[str] = ()) -> Template:
    """A template for structs that are like this one in what they share (paths)."""
    if _KERNEL is None:
        return PythonTemplate(parts, shared, like)
    described = [part.encode() if isinstance(part, str) else part for part in parts]
    return _KERNEL.Template(described, list(shared), like, escaped)  # type: ignore[no-any-return]
