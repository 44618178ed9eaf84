"""Which digits prove an identifier genuine: check-digit arithmetic on plain ASCII strings.

The functions are inlined versions of what python-stdnum computes (its vectors are the oracle in the tests): they
run on every candidate of every record, where one microsecond counts. All take the characters without separators
and expect the right alphabet; length and prefix are the recognizer's business unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import mul
from typing import Final

from stream_maas import native

_KERNEL: Final = native.load("checksums")
_ZERO = ord("0")
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_CPF_WEIGHTS = range(10, 1, -1)
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
"""A digit doubled, with its own digits added up: the Luhn step."""

_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_RIC_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RIC_CHECK = "10X98765432"

IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
    # Not in the SWIFT registry but issued and accepted by banks.
    "AO": 25, "BF": 28, "BJ": 28, "CF": 27, "CG": 27, "CI": 28, "CM": 27, "CV": 25, "DZ": 26, "GA": 27, "GQ": 27,
    "GW": 25, "IR": 26, "KM": 27, "MA": 28, "MG": 27, "ML": 28, "MZ": 25, "NE": 28, "SN": 28, "TD": 27, "TG": 28,
}  # fmt: skip
"""ISO 3166 country -> characters of its IBAN (SWIFT IBAN registry, release 99, and the partial registry)."""

_LETTER_VALUES = {ord(letter): str(value) for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", start=10)}


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B: cards, and many national numbers."""
    return _luhn(digits)


def luhn_in_python(digits: str) -> bool:
    """`luhn` without the kernel."""
    if not digits.isdigit():
        return False
    raw = digits.encode("ascii")[::-1]
    return (sum(raw[::2]) + sum(raw[1::2].translate(_DOUBLED)) - _ZERO * len(raw)) % 10 == 0


def cpf(digits: str) -> bool:
    """Brazilian taxpayer number, 11 digits. Eleven equal digits satisfy the sums but are never issued."""
    return _cpf(digits)


def cpf_in_python(digits: str) -> bool:
    """`cpf` without the kernel."""
    if len(digits) != 11 or not digits.isdigit() or digits == digits[0] * 11:
        return False
    d = digits.encode("ascii").translate(_VALUES)
    if sum(map(mul, d, _CPF_WEIGHTS)) * 10 % 11 % 10 != d[9]:
        return False
    second: int = sum(map(mul, d, range(11, 1, -1))) * 10 % 11 % 10
    return second == d[10]


def is_date_in_python(year: int, month: int, day: int) -> bool:
    """`is_date` without the kernel."""
    if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
        return False
    return month != 2 or day < 29 or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))


def resident_id(characters: str) -> bool:
    """Chinese resident identity number, GB 11643-1999: 17 digits and an ISO 7064 MOD 11-2 check character.

    The area code is not looked at: retired codes, and permits of Hong Kong, Macao and Taiwan, are real numbers.
    """
    if len(characters) != 18 or not characters[:17].isdigit():
        return False
    total = sum(map(mul, characters[:17].encode("ascii").translate(_VALUES), _RIC_WEIGHTS))
    if _RIC_CHECK[total % 11] != characters[17].upper():
        return False
    return is_date(int(characters[6:10]), int(characters[10:12]), int(characters[12:14]))


def resident_id_15(digits: str) -> bool:
    """The number's form before 1999: no check digit, so its date (year 19yy) is all there is to verify."""
    return len(digits) == 15 and is_date(1900 + int(digits[6:8]), int(digits[8:10]), int(digits[10:12]))


def mod97(iban: str) -> bool:
    """ISO 13616: moved to the end and read as a number, country and check digits leave 1 (ISO 7064 MOD 97-10).

    `iban` holds upper-case letters and digits only.
    """
    return int((iban[4:] + iban[:4]).translate(_LETTER_VALUES)) % 97 == 1


def weighted_in_python(digits: str, weights: Sequence[int]) -> int:
    """`weighted` without the kernel."""
    return sum(map(mul, digits.encode("ascii").translate(_VALUES), weights))


_luhn: Final[Callable[[str], bool]] = _KERNEL.luhn if _KERNEL else luhn_in_python
_cpf: Final[Callable[[str], bool]] = _KERNEL.cpf if _KERNEL else cpf_in_python
weighted: Final[Callable[[str, Sequence[int]], int]] = _KERNEL.weighted if _KERNEL else weighted_in_python
"""Sum of digits times weights, over the shorter of both."""


def mod11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10: Germany, Croatia."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (product + int(digits[-1])) % 10 == 1


def mod97_pair(digits: str) -> bool:
    """The last two digits are 97 minus the rest modulo 97."""
    return 97 - int(digits[:-2]) % 97 == int(digits[-2:])


def is_short_date_in_python(year: int, month: int, day: int) -> bool:
    """`is_short_date` without the kernel."""
    return is_date_in_python(1900 + year, month, day) or is_date_in_python(2000 + year, month, day)


is_date: Final[Callable[[int, int, int], bool]] = _KERNEL.is_date if _KERNEL else is_date_in_python
"""Whether (year, month, day) is a day of the Gregorian calendar."""
is_short_date: Final[Callable[[int, int, int], bool]] = _KERNEL.is_short_date if _KERNEL else is_short_date_in_python
"""The same in some century: two digits of the year do not say which."""
