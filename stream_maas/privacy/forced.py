"""When a field name makes a whole value personal, whatever the value looks like.

A field "phone" holds telephone numbers, but also "home", "n/a" and now and then a whole letter. Short values that could
be one of the announced type are forced to it, even if no checksum holds: a mistyped number is still somebody's. Longer
ones are texts that happen to sit in such a field, and are searched.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from stream_maas.privacy.transform import TOKEN

SUBJECT: Final = "DATA_SUBJECT"
NATIONAL_ID: Final = "NATIONAL_ID"
OF_ONE_COUNTRY: Final = frozenset((
    "BALTIC_ID", "BE_NATIONAL_NUMBER", "BG_EGN", "CL_RUT", "CN_ID", "CPF", "CZ_RODNE_CISLO", "DE_ID_CARD", "DK_CPR",
    "ES_DNI", "ES_NIE", "FI_HETU", "FR_NIR", "IL_ID", "IN_AADHAAR", "IS_KENNITALA", "IT_CODICE_FISCALE", "KR_RRN",
    "MX_CURP", "NO_FODSELSNUMMER", "PL_PESEL", "RO_CNP", "SE_PERSONNUMMER", "SG_NRIC", "SI_EMSO", "SSN", "TH_TNIN",
    "TR_KIMLIK", "ZA_ID",
))  # fmt: skip
"""What a NATIONAL_ID may turn out to be."""
FEWEST_DIGITS_OF_NUMBER: Final = 6
"""Digits that a JSON number needs to be forced, where four are more often a count or a category."""


class _Shape(NamedTuple):
    """The longest value that is one of this type, and the fewest digits that it has."""

    chars: int = 64
    digits: int = 4


_SHAPES: Final = {
    "EMAIL": _Shape(320, 0),
    "PERSON": _Shape(80, 0),
    "ADDRESS": _Shape(200, 0),
    "USERNAME": _Shape(64, 0),
    "URL_CREDENTIALS": _Shape(2_048, 0),
    "SECRET": _Shape(4_096, 0),
    "API_KEY": _Shape(4_096, 0),
    "PRIVATE_KEY": _Shape(16_384, 0),
    "JWT": _Shape(16_384, 0),
    "BIC": _Shape(16, 0),
    "LICENCE_PLATE": _Shape(16, 1),
    "GPS": _Shape(64, 2),
    "IP": _Shape(64, 1),
    "MAC_ADDRESS": _Shape(32, 1),
    "DATE_OF_BIRTH": _Shape(40, 1),
    "CRYPTO_WALLET": _Shape(128, 4),
    "AGE": _Shape(16, 1),
    SUBJECT: _Shape(1_000_000, 0),
}
_OTHER: Final = _Shape()
_ONE_WORD: Final = frozenset(("EMAIL", "USERNAME", "BIC"))
_NOT_ONE_WORD: Final = re.compile(r"[\s\u0e00-\u0eff\u3000-\u9fff\uac00-\ud7a3]")
"""A field "email" may hold the message instead of the address; where words are not spaced, so may one "word"."""
_SENTENCE: Final = re.compile(r"[.!?;:,\u3002\uff0c][\s$]|[\n{}<>=]|[.!?]$")
_NOTHING: Final = frozenset(
    ("", "-", "--", "n/a", "na", "none", "null", "nil", "unknown", "anonymous", "true", "false", "yes", "no")
)


def is_nothing(text: str) -> bool:
    """Whether a value says that there is none, or has been replaced already."""
    bare = text.strip()
    return bare.lower() in _NOTHING or TOKEN.fullmatch(bare) is not None


def is_forced(text: str, hint: str) -> bool:
    """Whether a field whose name announces `hint` makes the whole of `text` personal."""
    if is_nothing(text):
        return False
    bare = text.strip()
    shape = _SHAPES.get(hint, _OTHER)
    if len(bare) > shape.chars or sum(map(str.isdigit, bare)) < shape.digits:
        return False
    if hint in _ONE_WORD:
        return not _NOT_ONE_WORD.search(bare)
    if hint == "PERSON":
        return not _SENTENCE.search(bare) and any(map(str.isalpha, bare))
    return any(map(str.isalnum, bare))
