"""Check digits against slow, obvious versions of the same arithmetic and against published numbers."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_maas.privacy import checksums, national_world

DIGITS = "0123456789"


def digits(minimum: int, maximum: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=minimum, max_size=maximum)


def slow_luhn(number: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value // 10 + value % 10
    return total % 10 == 0


def slow_cpf(number: str) -> bool:
    def check_digit(first: str) -> int:
        rest = sum(int(digit) * (len(first) + 1 - place) for place, digit in enumerate(first)) % 11
        return 0 if rest < 2 else 11 - rest

    return number[9:] == f"{check_digit(number[:9])}{check_digit(number[:10])}" and len(set(number)) > 1


def slow_cnpj(value: str) -> bool:
    """As the tax office writes it down: weights 2 to 9 from the right, letters worth their code minus 48."""
    for length in (12, 13):
        total = sum((ord(value[length - 1 - place]) - 48) * (2 + place % 8) for place in range(length))
        if ord(value[length]) - 48 != (0 if total % 11 < 2 else 11 - total % 11):
            return False
    return len(set(value)) > 1


def slow_resident_check(first: str) -> str:
    """ISO 7064 MOD 11-2 by its definition: the check value makes the sum of value x 2^place congruent to 1."""
    for value in range(11):
        total = value + sum(int(digit) * 2 ** (17 - place) for place, digit in enumerate(first))
        if total % 11 == 1:
            return "X" if value == 10 else str(value)
    raise AssertionError


@given(digits(1, 19))
def test_luhn_is_the_sum_of_doubled_digits(number: str) -> None:
    assert checksums.luhn(number) is slow_luhn(number)


@given(digits(1, 18))
def test_every_number_has_one_luhn_digit(number: str) -> None:
    assert sum(checksums.luhn(number + digit) for digit in DIGITS) == 1


@given(st.text(DIGITS, min_size=12, max_size=12) | st.text(f"{DIGITS}ABCXYZ", min_size=12, max_size=12))
@example("0" * 12)
@example("1" * 12)
def test_every_number_has_at_most_one_pair_of_cnpj_digits(number: str) -> None:
    accepted = [pair for pair in range(100) if national_world.br_cnpj(f"{number}{pair:02}")]
    assert accepted == [pair for pair in range(100) if slow_cnpj(f"{number}{pair:02}")]
    assert len(accepted) == (0 if number == "0" * 12 else 1)


@given(digits(9, 9))
def test_every_number_has_one_pair_of_cpf_digits(number: str) -> None:
    accepted = [pair for pair in range(100) if checksums.cpf(f"{number}{pair:02}")]
    assert accepted == [pair for pair in range(100) if slow_cpf(f"{number}{pair:02}")]
    assert len(accepted) == (0 if len(set(number)) == 1 else 1)


@given(digits(6, 6), st.dates(datetime.date(1850, 1, 1), datetime.date(2099, 12, 31)), digits(3, 3))
def test_a_resident_id_has_one_check_character(area: str, born: datetime.date, serial: str) -> None:
    first = f"{area}{born:%Y%m%d}{serial}"
    accepted = [character for character in DIGITS + "X" if checksums.resident_id(first + character)]
    assert accepted == [slow_resident_check(first)]
    assert checksums.resident_id((first + accepted[0]).lower())


@given(st.integers(1, 9999), st.integers(0, 13), st.integers(0, 32))
def test_dates_are_those_of_the_calendar(year: int, month: int, day: int) -> None:
    try:
        datetime.date(year, month, day)
        exists = True
    except ValueError:
        exists = False
    assert checksums.is_date(year, month, day) is exists


@given(st.sampled_from(sorted(checksums.IBAN_LENGTHS)), st.data())
def test_mod_97_fixes_the_check_digits(country: str, data: st.DataObject) -> None:
    size = checksums.IBAN_LENGTHS[country] - 4
    account = data.draw(st.text(DIGITS + "ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=size, max_size=size))
    # ISO 13616: the check digits are 98 minus the remainder of the number with "00" in their place.
    remainder = int("".join(str(int(character, 36)) for character in f"{account}{country}00")) % 97
    assert checksums.mod97(f"{country}{98 - remainder:02}{account}")
    assert not checksums.mod97(f"{country}{(98 - remainder + 1) % 97:02}{account}")


@pytest.mark.parametrize("number", ["00000000000", "11111111111", "99999999999"])
def test_repeated_digits_are_no_cpf(number: str) -> None:
    assert not checksums.cpf(number)


@pytest.mark.parametrize(
    ("number", "valid"),
    [("610104620927690", True), ("610104620932690", False), ("610104620229690", False), ("61010462092769", False)],
)
def test_the_old_resident_id_holds_a_date(number: str, valid: bool) -> None:
    assert checksums.resident_id_15(number) is valid
