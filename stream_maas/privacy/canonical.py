"""When two spellings are the same value: the canonical form that pseudonyms and numbering are made from.

"+1 (415) 555-0132" and "4155550132", "Ada@Example.org" and "ada@example.org" must give one pseudonym, or joins break.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from stream_maas import native
from stream_maas.privacy.fold import fold
from stream_maas.privacy.network import IPV4
from stream_maas.privacy.phones import split_extension

_KERNEL: Final = native.load("writing")
_TRUNK_CODES: Final = frozenset(("39",))
"""Italy keeps the leading zero in international form; everybody else drops it."""
_NO_DIGITS: Final = bytes(code for code in range(128) if not chr(code).isdigit())
_NOT_IN_CODES: Final = bytes(code for code in range(128) if not chr(code).isalnum())


def canonical(entity_type: str, value: str, calling_code: str = "") -> str:
    """The canonical form of `value`. `calling_code`: country of a telephone number written in national form."""
    form = FORMS.get(entity_type)
    if form is None and _COMPILED_CODE is not None and (code := _COMPILED_CODE(value)) is not None:
        return code
    # Printable ASCII folds to itself.
    text = value if value.isascii() and value.isprintable() else fold(value).text
    return form(text, calling_code) if form is not None else _code(text)


def _phone(text: str, calling_code: str) -> str:
    """E.164, and the extension as RFC 3966 writes it."""
    number, extension = split_extension(text)
    return f"{_e164(number, calling_code)};ext={extension}" if extension else _e164(number, calling_code)


def _e164(text: str, calling_code: str) -> str:
    text = text.strip().lower().removeprefix("tel:").strip()
    digits = _digits(text.replace("(0)", ""))
    if text.startswith("+"):
        return f"+{digits}"
    if digits.startswith("00"):
        return f"+{digits[2:]}"
    if not calling_code:
        return digits
    if digits.startswith(calling_code) and len(digits) > _LONGEST_NATIONAL:
        return f"+{digits}"
    if calling_code in ("1", "7") and len(digits) == _LONGEST_NATIONAL:  # a trunk prefix, 1 there and 8 in Russia
        return f"+{calling_code}{digits[1:]}"
    return f"+{calling_code}{digits if calling_code in _TRUNK_CODES else digits.lstrip('0')}"


_LONGEST_NATIONAL: Final = 11
"""Digits of the longest national number (Brazil, China, Germany); more begin with the country code."""


def _digits(text: str) -> str:
    return text.encode("ascii", "ignore").translate(None, _NO_DIGITS).decode("ascii")


def _email(text: str, _: str) -> str:
    return text.strip().lower().replace("%40", "@")


def _name(text: str, _: str) -> str:
    return " ".join(text.casefold().split())


def _address(text: str, _: str) -> str:
    value = text.strip().strip("[]").partition("%")[0]
    if IPV4.fullmatch(value):
        return value
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return text.strip().lower()


def _exact(text: str, _: str) -> str:
    return text.strip()


def _code(text: str) -> str:
    """Letters and digits alone, letters in upper case: identifiers are grouped in any way that one likes."""
    if text.isascii():
        return text.encode("ascii").translate(None, _NOT_IN_CODES).decode("ascii").upper()
    return "".join(filter(str.isalnum, text)).upper()


_COMPILED_CODE: Final[Callable[[str], str | None] | None] = _KERNEL.code if _KERNEL else None
"""`_code` for printable ASCII, which folds to itself; None for any other text."""
FORMS: Final[dict[str, Callable[[str, str], str]]] = {
    "PHONE": _phone,
    "EMAIL": _email,
    "PERSON": _name,
    "ADDRESS": _name,
    "USERNAME": _email,
    "IP": _address,
    "DATA_SUBJECT": _exact,
    "SECRET": _exact,
    "API_KEY": _exact,
    "JWT": _exact,
    "CRYPTO": _exact,
}
"""Entity type -> (folded text, calling code) -> canonical form; of all others `_code` is."""
