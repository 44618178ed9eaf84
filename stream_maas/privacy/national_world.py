"""Which identifiers of the Americas, Asia, Africa and Oceania are genuine: check digits, as in national.py."""

from __future__ import annotations

from operator import mul
from typing import Final

from stream_maas.privacy.checksums import is_short_date, luhn, weighted

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CNPJ_WEIGHTS: Final = (
    (12, (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)),
    (13, (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)),
)
"""Where each check digit stands, and the weights of what is before it."""


# --- The Americas ------------------------------------------------------------------------------------------------


def aba_routing(value: str) -> bool:
    return weighted(value, (3, 7, 1) * 3) % 10 == 0


def us_npi(value: str) -> bool:
    return luhn(f"80840{value}")


def br_cnpj(value: str) -> bool:
    """14 characters; since 2026 letters too, worth their ASCII code minus 48."""
    codes = value.encode("ascii")
    for length, weights in _CNPJ_WEIGHTS:
        check = (sum(map(mul, codes, weights)) - 48 * sum(weights)) % 11
        if codes[length] != 48 + (0 if check < 2 else 11 - check):
            return False
    return value != value[0] * 14


def br_cnh(value: str) -> bool:
    if len(set(value)) == 1:
        return False
    first = weighted(value, range(9, 0, -1)) % 11
    second = weighted(value, range(1, 10)) % 11 - (2 if first > 9 else 0)
    expected_second = second + 11 if second < 0 else second
    return int(value[9]) == (0 if first > 9 else first) and int(value[10]) == (
        0 if expected_second > 9 else expected_second
    )


def br_pis(value: str) -> bool:
    check = 11 - weighted(value, (3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if check > 9 else check) == int(value[10]) and len(set(value)) > 1


def br_voter(value: str) -> bool:
    """Serial, state 01 to 28, two check digits (0 counts as 1 in two states)."""
    state = int(value[8:10])
    if not 1 <= state <= 28:
        return False
    first = weighted(value, range(2, 10)) % 11 % 10
    second = weighted(value[8:10], (7, 8)) + first * 9
    lifted = state in (1, 2)
    candidates = {(first, second % 11 % 10)}
    if lifted:
        first_raw = weighted(value, range(2, 10)) % 11
        for one in {first, 1 if first_raw == 0 else first}:
            other = (weighted(value[8:10], (7, 8)) + one * 9) % 11
            candidates |= {(one, other % 10), (one, 1 if other == 0 else other % 10)}
    return (int(value[10]), int(value[11])) in candidates


def ca_sin(value: str) -> bool:
    return value[0] not in "08" and luhn(value)


def mx_curp(value: str) -> bool:
    alphabet = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"
    total = sum(alphabet.index(character) * (18 - index) for index, character in enumerate(value[:17]))
    return is_short_date(int(value[4:6]), int(value[6:8]), int(value[8:10])) and (10 - total % 10) % 10 == int(
        value[17]
    )


def mx_rfc(value: str) -> bool:
    """Of a person, four letters, or of a company, three; the three characters behind the date may be missing."""
    start = 4 if value[3].isalpha() else 3
    return is_short_date(
        int(value[start : start + 2]), int(value[start + 2 : start + 4]), int(value[start + 4 : start + 6])
    )


def ar_cuit(value: str) -> bool:
    check = 11 - weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return {11: 0, 10: 9}.get(check, check) == int(value[10])


def cl_rut(value: str) -> bool:
    total = sum(int(digit) * (2 + index % 6) for index, digit in enumerate(reversed(value[:-1])))
    return "0K987654321"[total % 11] == value[-1]


# --- Asia, Africa, Oceania ---------------------------------------------------------------------------------------

_USCC: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS: Final = [pow(3, index, 31) for index in range(17)]


def cn_uscc(value: str) -> bool:
    """GB 32100: MOD 31-3 over an alphabet without I, O, S, V, Z."""
    total = sum(map(mul, map(_USCC.index, value[:17]), _USCC_WEIGHTS))
    return _USCC[-total % 31] == value[17]


def _pentagon(a: int, b: int) -> int:
    """The product of two symmetries of the pentagon: 0 to 4 turn it, 5 to 9 flip it."""
    if a < 5:
        return (a + b) % 5 + (5 if b >= 5 else 0)
    return (a - b) % 5 + (0 if b >= 5 else 5)


_PRODUCTS: Final = tuple(tuple(_pentagon(a, b) for b in range(10)) for a in range(10))
_PERMUTED: Final = [tuple(range(10)), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)]
for _ in range(6):
    _PERMUTED.append(tuple(_PERMUTED[1][index] for index in _PERMUTED[-1]))


def verhoeff(value: str) -> bool:
    """India's Aadhaar."""
    check = 0
    for index, digit in enumerate(reversed(value)):
        check = _PRODUCTS[check][_PERMUTED[index % 8][int(digit)]]
    return check == 0


def aadhaar(value: str) -> bool:
    return value != value[::-1] and verhoeff(value)


def in_gstin(value: str) -> bool:
    total = 0
    for index, character in enumerate(value[:14]):
        product = _ALPHABET.index(character) * (1 + index % 2)
        total += product // 36 + product % 36
    return 1 <= int(value[:2]) <= 38 and _ALPHABET[-total % 36] == value[14]


def kr_rrn(value: str) -> bool:
    """Numbers given out since October 2020 have no check digit; the date and the digit for the century are all."""
    return is_short_date(int(value[:2]), int(value[2:4]), int(value[4:6]))


def jp_my_number(value: str) -> bool:
    total = weighted(value[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if total <= 1 else 11 - total) == int(value[11])


def sg_nric(value: str) -> bool:
    total = weighted(value[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if value[0] in "TG" else 3 if value[0] == "M" else 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "KLJNPQRTUWX"}.get(value[0], "XWUTRQPNMLK")
    return letters[total % 11 if value[0] != "M" else 10 - total % 11] == value[8]


def th_tnin(value: str) -> bool:
    return (11 - weighted(value, range(13, 1, -1)) % 11) % 10 == int(value[12])


def tr_kimlik(value: str) -> bool:
    d = list(map(int, value))
    return (sum(d[0:9:2]) * 7 - sum(d[1:8:2])) % 10 == d[9] and sum(d[:10]) % 10 == d[10]


def za_id(value: str) -> bool:
    return is_short_date(int(value[:2]), int(value[2:4]), int(value[4:6])) and luhn(value)


def au_tfn(value: str) -> bool:
    return weighted(value, (1, 4, 3, 7, 5, 8, 6, 9, 10)[: len(value)]) % 11 == 0


def au_abn(value: str) -> bool:
    return (
        weighted(f"{int(value[0]) - 1}{value[1:]}" if value[0] != "0" else "", (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19))
        % 89
        == 0
        and value[0] != "0"
    )


def au_acn(value: str) -> bool:
    return (10 - weighted(value, range(8, 0, -1)) % 10) % 10 == int(value[8])


def au_medicare(value: str) -> bool:
    return weighted(value, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(value[8])
