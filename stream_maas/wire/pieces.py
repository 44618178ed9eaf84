"""Keeps how bytes are put together of pieces, most of which many records share; native/joining.pyx is the fast way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import orjson

from stream_maas import native

Pieces: TypeAlias = tuple[bytes | str | int, ...]


def joined_in_python(pieces: Pieces) -> bytes:
    """The pieces one behind the other: bytes, ASCII text, integers of 64 bits (in decimal).

    Raises `ValueError` for other text, `OverflowError` for larger integers, `TypeError` for anything else.
    """
    return b"".join([piece if type(piece) is bytes else _encoded(piece) for piece in pieces])


def _encoded(piece: object) -> bytes:
    if type(piece) is int:
        if not -(2**63) <= piece < 2**63:
            raise OverflowError("an integer of more than 64 bits")
        return b"%d" % piece
    if type(piece) is str:
        return piece.encode("ascii")
    raise TypeError("a piece is neither bytes nor text nor an integer")


def quoted(text: str) -> bytes:
    """JSON of a text. Most are ASCII without an escape, for which orjson's buffer costs more than its work."""
    return (_quoted_as_it_is(text) or orjson.dumps(text)) if _quoted_as_it_is is not None else orjson.dumps(text)


_KERNEL = native.load("joining")
_quoted_as_it_is: Callable[[str], bytes | None] | None = None if _KERNEL is None else _KERNEL.quoted
joined: Callable[[Pieces], bytes] = joined_in_python if _KERNEL is None else _KERNEL.joined
