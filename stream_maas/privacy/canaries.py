"""Known personal values, plain and disguised, that every engine must find before it may serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_maas.errors import ServiceError
from stream_maas.privacy.transform import placeholder

CANARIES: Final[dict[str, tuple[str, ...]]] = {
    "EMAIL": ("canary.bird+tag@example.com", "canary@xn--bcher-kva.example", "канарейка@пример.рф"),
    "PHONE": ("+1 415-555-0132", "(415) 555-0132", "+49 30 1234567", "13812345678", "(11) 98765-4321"),
    "CARD": ("4111 1111 1111 1111", "378282246310005", "6205500000000000004"),
    "IBAN": ("DE89 3704 0044 0532 0130 00", "MT84MALT011000012345MTLCAST001S"),
    "SSN": ("078-05-1120", "219 09 9999"),
    "CPF": ("111.444.777-35", "11144477735"),
    "CN_ID": ("11010519491231002X", "44040119580101000x", "130503670401001"),
}
"""Entity type -> published test values; none belongs to anybody."""

_FULLWIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_ARABIC_DIGITS: Final = {ord("0") + digit: 0x0660 + digit for digit in range(10)}
DISGUISES: Final[dict[str, Callable[[str], str]]] = {
    "plain": lambda value: value,
    "fullwidth": lambda value: value.translate(_FULLWIDTH),
    "arabic-indic digits": lambda value: value.translate(_ARABIC_DIGITS),
    "zero-width space": lambda value: "\u200b".join(value),
    "soft hyphen": lambda value: value[:5] + "\u00ad" + value[5:],
    "combining mark": lambda value: value[:3] + "\u0301" + value[3:],
    "no-break space": lambda value: value.replace(" ", "\u00a0"),
    "no-break hyphen": lambda value: value.replace("-", "\u2011"),
}
"""Name -> plain value to the same value as a reader still recognises it."""
_BESIDE_HAN: Final = "资料{}资料"
"""Text without spaces, in which Unicode word boundaries would hide the value."""


def check(redact: Callable[[str], str]) -> None:
    """Raises ServiceError, naming entity type and disguise, at the first canary that `redact` lets through."""
    for entity_type, values in CANARIES.items():
        found = placeholder(entity_type)
        for value in values:
            for name, disguise in DISGUISES.items():
                if redact(disguise(value)) != found:
                    raise ServiceError(f"redactor self-test: {entity_type} is not found ({name})")
            if redact(_BESIDE_HAN.format(value)) != _BESIDE_HAN.format(found):
                raise ServiceError(f"redactor self-test: {entity_type} is not found (beside Han)")
