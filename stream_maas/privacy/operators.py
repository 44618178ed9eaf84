"""What may be done to a find: the six operators, and what each of them leaves in the text.

Rules of this file:
1. An operator that cannot do what it was asked to (a date without a year, an address that is none) replaces by type:
   less is published, never more.
2. Applied to what it left itself, every operator leaves the same again.
3. Nothing here remembers anything beyond one record (`Writing`).
"""

from __future__ import annotations

import ipaddress
import re
from binascii import hexlify
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal, Protocol

from msgspec import Struct

from stream_maas import native
from stream_maas.privacy.canonical import FORMS, canonical
from stream_maas.privacy.fold import fold
from stream_maas.privacy.keys import PseudonymKey
from stream_maas.privacy.transform import PSEUDONYM_CHARS, PSEUDONYM_LETTERS, placeholder

OperatorName = Literal["replace", "mask", "remove", "generalise", "pseudonym", "keep"]

MOST_CHARS_KEPT: Final = 4
"""What a mask may leave at either end: the last four of a card are printed on receipts (PCI DSS 3.4.1)."""
_LARGEST_SHARE_KEPT: Final = 2
"""A value with fewer than twice the characters to keep is masked as a whole."""
_HEX_TO_LETTERS: Final = bytes.maketrans(b"0123456789abcdef", PSEUDONYM_LETTERS.encode("ascii"))
_KERNEL: Final = native.load("writing")


class Writing:
    """What the operators know of the record that they write: numbers given out so far, and the key of its
    pseudonyms. `ask_key`: asked at the first pseudonym; raises if there is none."""

    __slots__ = ("ask_key", "key", "numbers")

    def __init__(self, ask_key: Callable[[], PseudonymKey]) -> None:
        self.ask_key = ask_key
        self.key: PseudonymKey | None = None
        self.numbers: dict[str, dict[str, int]] = {}

    def number(self, entity_type: str, value: str) -> int:
        """1 for the first value of this type in the record, the same number for the same (canonical) value."""
        numbers = self.numbers.setdefault(entity_type, {})
        return numbers.setdefault(value, len(numbers) + 1)


def pseudonym_in_python(entity_type: str, value: str, writing: Writing, calling_code: str = "") -> str:
    """`TYPE_kid_xxxx` of the canonical value: HMAC-SHA256 (RFC 2104), cut to 96 bits, as letters."""
    key = writing.key
    if key is None:
        key = writing.key = writing.ask_key()
    mac = key.mac(f"{entity_type}\0{canonical(entity_type, value, calling_code)}".encode("utf-8", "surrogatepass"))
    letters = hexlify(mac[: PSEUDONYM_CHARS // 2]).translate(_HEX_TO_LETTERS).decode("ascii")
    return f"{entity_type}_{key.kid}_{letters}"


PSEUDONYMS: Final = _KERNEL.Pseudonyms(PSEUDONYM_LETTERS, PSEUDONYM_CHARS, FORMS, canonical) if _KERNEL else None
"""The compiled twin of `pseudonym_in_python`."""
_write_pseudonym: Final[Callable[..., str]] = PSEUDONYMS.write if PSEUDONYMS else pseudonym_in_python


class Operator(Protocol):
    """One operator with its parameters."""

    @property
    def name(self) -> OperatorName: ...

    @property
    def settled(self) -> bool:
        """Whether it leaves a token, which is never read again. What else it leaves is looked at once more."""
        ...

    def write(self, entity_type: str, value: str, writing: Writing, calling_code: str = "") -> str:
        """What stands in the place of `value`. `calling_code`: of a telephone number in national form."""
        ...


class Replace(Struct, frozen=True):
    """`[EMAIL]`; numbered per record, `[EMAIL_1]`, so that a model can still tell two people apart."""

    numbered: bool = False
    name: OperatorName = "replace"
    settled: bool = True

    def write(self, entity_type: str, value: str, writing: Writing, calling_code: str = "") -> str:
        if not self.numbered:
            return f"[{entity_type}]"
        return f"[{entity_type}_{writing.number(entity_type, canonical(entity_type, value, calling_code))}]"


class Mask(Struct, frozen=True):
    """`**** **** **** 1111`: letters and digits but the first and last few; what stands between them remains."""

    char: str = "*"
    keep_first: int = 0
    keep_last: int = 0
    name: OperatorName = "mask"
    settled: bool = False

    def write(self, entity_type: str, value: str, writing: Writing, calling_code: str = "") -> str:
        places = [index for index, character in enumerate(value) if character.isalnum() or character == self.char]
        first, last = self.keep_first, self.keep_last
        if len(places) < _LARGEST_SHARE_KEPT * (first + last):
            first = last = 0
        characters = list(value)
        for index in places[first : len(places) - last]:
            characters[index] = self.char
        masked = "".join(characters)
        # Characters that are neither, such as invisible ones, could still spell the value.
        return masked if value.isascii() else "".join(_kept(character, self.char) for character in masked)


def _kept(character: str, char: str) -> str:
    return character if character.isalnum() or character == char or character in " -./()" else ""


class Remove(Struct, frozen=True):
    """Nothing is left."""

    name: OperatorName = "remove"
    settled: bool = False

    def write(self, entity_type: str, value: str, writing: Writing, calling_code: str = "") -> str:
        return ""


class Pseudonym(Struct, frozen=True):
    """`EMAIL_k1_...`: the same value gives the same word, within one tenant, purpose and epoch."""

    name: OperatorName = "pseudonym"
    settled: bool = True
    write: ClassVar[Callable[..., str]] = staticmethod(_write_pseudonym)


class Generalise(Struct, frozen=True):
    """The year of a date, the network of an address, a place to 0.1 degrees (11 km), an age to ten years."""

    name: OperatorName = "generalise"
    settled: bool = False

    def write(self, entity_type: str, value: str, writing: Writing, calling_code: str = "") -> str:
        coarser = GENERALISERS[entity_type](fold(value).text.strip())
        return placeholder(entity_type) if coarser is None else coarser


class Keep(Struct, frozen=True):
    """The find stays as it is. It is counted."""

    name: OperatorName = "keep"
    settled: bool = False

    def write(self, entity_type: str, value: str, writing: Writing, calling_code: str = "") -> str:
        return value


_YEAR: Final = re.compile("(?<![0-9])(?:1[89]|20)[0-9]{2}(?![0-9])")
_COMPACT_DATE: Final = re.compile("(?:1[89]|20)[0-9]{2}(?=[01][0-9][0-3][0-9]$)")
_DEGREES: Final = re.compile(r"[-+]?[0-9]{1,3}\.[0-9]+")
_BAND: Final = re.compile("[0-9]{0,2}0-[0-9]{0,2}9")
_DECADE: Final = 10
_OLDEST: Final = 150
_VERSION_4: Final = 4


def _year(text: str) -> str | None:
    years = set(_YEAR.findall(text)) or set(_COMPACT_DATE.findall(text))
    return years.pop() if len(years) == 1 else None


def _network(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("/")[0].partition("%")[0])
    except ValueError:
        return None
    if address.version != _VERSION_4 and (mapped := getattr(address, "ipv4_mapped", None)) is not None:
        address = mapped
    return str(ipaddress.ip_network((address, 24 if address.version == _VERSION_4 else 48), strict=False))


def _coarse_place(text: str) -> str | None:
    degrees = _DEGREES.findall(text)
    if not 1 <= len(degrees) <= 2 or re.search("[NSEWnsew]", text):
        return None
    return ", ".join(f"{float(value):.1f}" for value in degrees)


def _age_band(text: str) -> str | None:
    ages = re.findall("[0-9]+", text)
    if _BAND.fullmatch(text):
        return text
    if len(ages) != 1 or int(ages[0]) > _OLDEST:
        return None
    low = int(ages[0]) // _DECADE * _DECADE
    return f"{low}-{low + _DECADE - 1}"


GENERALISERS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "DATE_OF_BIRTH": _year,
    "IP": _network,
    "GPS": _coarse_place,
    "AGE": _age_band,
}
"""Entity type -> (folded value -> something coarser, None where that cannot be told)."""

OPERATORS: Final[Mapping[str, type[Any]]] = {
    "replace": Replace,
    "mask": Mask,
    "remove": Remove,
    "generalise": Generalise,
    "pseudonym": Pseudonym,
    "keep": Keep,
}
