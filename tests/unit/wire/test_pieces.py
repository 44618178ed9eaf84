"""Joining pieces: Python and the kernel give the same bytes and refuse the same pieces."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_maas import native
from stream_maas.wire.pieces import joined_in_python, quoted

KERNEL = native.load("joining")
WAYS = [joined_in_python, *([KERNEL.joined] if KERNEL else [])]
pieces = st.lists(
    st.binary(max_size=40) | st.text(st.characters(codec="ascii"), max_size=40) | st.integers(-(2**63), 2**63 - 1)
).map(tuple)


@pytest.mark.parametrize("join", WAYS)
@given(pieces)
@example(())
@example((0, -1, 9, 10, -10, 2**63 - 1, -(2**63), 10**18))
def test_pieces_stand_one_behind_the_other(join: Any, pieces: tuple[bytes | str | int, ...]) -> None:
    assert join(pieces) == b"".join(
        piece if isinstance(piece, bytes) else str(piece).encode("ascii") for piece in pieces
    )


@pytest.mark.parametrize("join", WAYS)
@pytest.mark.parametrize(
    ("piece", "error"),
    [
        (2**63, OverflowError),
        (-(2**63) - 1, OverflowError),
        ("é", ValueError),
        ("\ud800", ValueError),
        (None, TypeError),
        (1.0, TypeError),
        (True, TypeError),
        (bytearray(b"x"), TypeError),
    ],
)
def test_what_is_no_piece_is_refused(join: Any, piece: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        join((b"before", piece))


@given(st.text())
@example('"\\')
@example("\x1f\x7f")
def test_a_quoted_text_is_its_json(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        with pytest.raises(orjson.JSONEncodeError):
            quoted(text)
    else:
        assert quoted(text) == orjson.dumps(text)
