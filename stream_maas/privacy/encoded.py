"""Which whole values are text in base64 (RFC 4648), plain or URL-safe, and how they are written again."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

FEWEST_CHARS: Final = 16
"""Twelve bytes: nothing shorter is worth encoding, and most words are shorter."""
_VALUE: Final = rf"(?=[a-z0-9+/_-]*[A-Z])(?=[A-Z0-9+/_-]*[a-z])[A-Za-z0-9+/_-]{{{FEWEST_CHARS - 2},}}={{0,2}}"
"""Encoded text has letters of both cases, which names made of words and hyphens have not."""
_ENCODED: Final = re.compile(_VALUE)
MAY_BE_ENCODED: Final = re.compile(f"^[ \\t]*{_VALUE}[ \\t\\r]*$", re.MULTILINE)
"""Finds a line that may be encoded, in many values joined by line breaks."""
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1f]")
_BLANKS: Final = " \t\r\n"


class Encoded(NamedTuple):
    """What a value says, and how it was written."""

    text: str
    is_url_safe: bool
    is_padded: bool

    def again(self, text: str) -> str:
        """`text` in the same encoding, on one line."""
        raw = text.encode("utf-8", "replace")
        written = (base64.urlsafe_b64encode if self.is_url_safe else base64.b64encode)(raw).decode("ascii")
        return written if self.is_padded else written.rstrip("=")


def decode(value: str) -> Encoded | None:
    """The text in `value`, which may be wrapped into lines (RFC 2045) and have blanks around it; None if it is not
    base64 of UTF-8 text. Linear, and the text is shorter than the value."""
    value = value.strip(_BLANKS)
    if " " in value:
        return None
    if "\n" in value:
        value = value.replace("\r", "").replace("\n", "")
    if not _ENCODED.fullmatch(value):
        return None
    bare = value.rstrip("=")
    is_url_safe = "-" in bare or "_" in bare
    if is_url_safe and ("+" in bare or "/" in bare):
        return None
    padded = bare + "=" * (-len(bare) % 4)
    try:
        raw = (base64.urlsafe_b64decode if is_url_safe else base64.b64decode)(padded)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    if _CONTROLS.search(text) or not text.strip():
        return None
    return Encoded(text, is_url_safe, value != bare or not len(bare) % 4)
