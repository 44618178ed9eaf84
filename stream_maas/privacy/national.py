"""Which identifiers of Europe are genuine, VAT numbers among them: check digits, on plain upper-case ASCII strings.

Length and alphabet are the row's `form`; what is here is arithmetic, after each authority's own description
(python-stdnum's published examples are the oracle in the tests).
"""

from __future__ import annotations

from typing import Final

from stream_maas.privacy.checksums import is_date, is_short_date, luhn, mod11_10, mod97_pair, weighted

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"


# --- Spain, Portugal, Italy, France ------------------------------------------------------------------------------


def es_dni(value: str) -> bool:
    return _DNI_LETTERS[int(value[:8]) % 23] == value[8]


def es_nie(value: str) -> bool:
    return es_dni(f"{'XYZ'.index(value[0])}{value[1:]}")


def es_cif(value: str) -> bool:
    """Companies and other entities: a digit or a letter, depending on the first letter; either is accepted."""
    total = sum(map(int, value[2:8:2])) + sum(int(d) * 2 // 10 + int(d) * 2 % 10 for d in value[1:8:2])
    check = (10 - total % 10) % 10
    return value[8] in (str(check), "JABCDEFGHI"[check])


def es_vat(value: str) -> bool:
    if value[0].isdigit():
        return es_dni(value)
    return es_nie(value) if value[0] in "XYZ" and value[8].isalpha() else es_cif(value)


def pt_nif(value: str) -> bool:
    check = 11 - weighted(value, range(9, 1, -1)) % 11
    return (0 if check > 9 else check) == int(value[8])


_CF_ODD: Final = dict(
    zip(_ALPHABET, (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, *(
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)), strict=True)
)  # fmt: skip
_CF_EVEN: Final = {character: index if index < 10 else index - 10 for index, character in enumerate(_ALPHABET)}
_OMOCODIA: Final = str.maketrans("LMNPQRSTUV", "0123456789")


def it_codice_fiscale(value: str) -> bool:
    """Also with letters in place of digits (omocodia); the day must exist (women: plus 40)."""
    day = int(value[9:11].translate(_OMOCODIA))
    if not 1 <= (day - 40 if day > 40 else day) <= 31:
        return False
    total = sum((_CF_EVEN if index % 2 else _CF_ODD)[character] for index, character in enumerate(value[:15]))
    return chr(ord("A") + total % 26) == value[15]


def fr_nir(value: str) -> bool:
    """13 characters and a key of two digits; departments 2A and 2B count as 19 and 18."""
    number = value[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(value[13:15])


def fr_vat(value: str) -> bool:
    """Two check characters before a SIREN."""
    siren = value[2:]
    if not siren.isdigit() or not (luhn(siren) or siren.startswith("000")):
        return False
    return not value[:2].isdigit() or int(value[:2]) == (int(siren) * 100 + 12) % 97


# --- Germany, Austria, Switzerland -------------------------------------------------------------------------------


def de_tax_id(value: str) -> bool:
    """Exactly one of the first ten digits stands there twice or three times; MOD 11,10."""
    counts = sorted(map(value[:10].count, set(value[:10])))
    return value[0] != "0" and counts[-1] in (2, 3) and counts.count(counts[-1]) == 1 and mod11_10(value)


def de_social_security(value: str) -> bool:
    """Area, date of birth, letter, serial, check digit: the letter as two digits, products by digit sum."""
    number = f"{value[:8]}{ord(value[8]) - 64:02}{value[9:11]}"
    total = sum(
        product // 10 + product % 10
        for product in (int(d) * w for d, w in zip(number, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    )
    return total % 10 == int(value[11]) and 1 <= int(value[2:4]) <= 81 and 1 <= int(value[4:6]) <= 12


def weights_731(value: str) -> bool:
    """ICAO 9303 check digit at the end: weights 7, 3, 1, letters from 10, filler 0."""
    return mrz_digit(value[:-1]) == value[-1]


def mrz_digit(field: str) -> str:
    total = sum(
        (0 if character == "<" else _ALPHABET.index(character)) * (7, 3, 1)[index % 3]
        for index, character in enumerate(field)
    )
    return str(total % 10)


def at_vnr(value: str) -> bool:
    return weighted(value, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == int(value[3]) and 1 <= int(value[6:8]) <= 15


def at_vat(value: str) -> bool:
    total = sum(int(d) if i % 2 == 0 else int(d) * 2 // 10 + int(d) * 2 % 10 for i, d in enumerate(value[1:8]))
    return (96 - total) % 10 == int(value[8])


def ean13(value: str) -> bool:
    return (weighted(value, (1, 3) * 6 + (1,))) % 10 == 0


def ch_uid(value: str) -> bool:
    check = 11 - weighted(value[-9:], (5, 4, 3, 2, 7, 6, 5, 4)) % 11
    return check % 11 == int(value[-1])


# --- Belgium, Netherlands, Luxembourg ----------------------------------------------------------------------------


def be_national_number(value: str) -> bool:
    """Date of birth (month 0 and day 0 where unknown; +20 or +40 for BIS numbers), serial, 97 minus remainder."""
    month, day = int(value[2:4]) % 20, int(value[4:6])
    if month > 12 or day > 31:
        return False
    first, check = value[:9], int(value[9:])
    return check in (97 - int(first) % 97, 97 - int(f"2{first}") % 97)


def nl_bsn(value: str) -> bool:
    padded = value.zfill(9)
    return (weighted(padded[:8], range(9, 1, -1)) - int(padded[8])) % 11 == 0 and int(padded) > 0


def nl_vat(value: str) -> bool:
    """NNNNNNNNNBNN: a BSN, or MOD 97-10 over the whole with its country."""
    whole = "".join(str(int(character, 36)) for character in f"NL{value}")
    return nl_bsn(value[:9]) or int(whole) % 97 == 1


# --- Poland, Czechia, Slovakia, Romania, Bulgaria, Hungary, Slovenia, Croatia, Greece ----------------------------


def pl_pesel(value: str) -> bool:
    """Month plus 0, 20 or 80 by century; a day of the calendar."""
    century, month = divmod(int(value[2:4]), 20)
    year = int(value[:2]) + {0: 1900, 1: 2000, 4: 1800}.get(century, 0)
    if not is_date(year, month, int(value[4:6])) or not 1880 <= year <= 2030:
        return False
    return weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def pl_nip(value: str) -> bool:
    return weighted(value, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11 == int(value[9])


def ro_cnp(value: str) -> bool:
    if not is_short_date(int(value[1:3]), int(value[3:5]), int(value[5:7])):
        return False
    check = weighted(value, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (1 if check == 10 else check) == int(value[12])


def ro_cui(value: str) -> bool:
    check = 10 * weighted(value[:-1].zfill(9), (7, 5, 3, 2, 1, 7, 5, 3, 2)) % 11 % 10
    return check == int(value[-1])


def bg_egn(value: str) -> bool:
    if not is_short_date(int(value[:2]), int(value[2:4]) % 20, int(value[4:6])) or int(value[2:4]) > 52:
        return False
    return weighted(value, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10 == int(value[9])


def cz_rc(value: str) -> bool:
    """Month plus 50 for women, plus 20 where serials ran out."""
    month = int(value[2:4]) % 50 % 20
    if not is_short_date(int(value[:2]), month, int(value[4:6])):
        return False
    return len(value) == 9 or int(value[:9]) % 11 % 10 == int(value[9])


def hr_oib(value: str) -> bool:
    return mod11_10(value)


def si_emso(value: str) -> bool:
    check = 11 - weighted(value, (7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return is_date(1000 + int(value[4:7]), int(value[2:4]), int(value[:2])) and check % 11 == int(value[12])


def gr_amka(value: str) -> bool:
    return is_short_date(int(value[4:6]), int(value[2:4]), int(value[:2])) and luhn(value)


def gr_vat(value: str) -> bool:
    return weighted(value, (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10 == int(value[8])


def hu_vat(value: str) -> bool:
    return weighted(value, (9, 7, 3, 1, 9, 7, 3, 1)) % 10 == 0


# --- Nordic and Baltic countries ---------------------------------------------------------------------------------


def se_personnummer(value: str) -> bool:
    """Day plus 60 for coordination numbers."""
    short = value[-10:]
    day = int(short[4:6])
    return is_short_date(int(short[:2]), int(short[2:4]), day - 60 if day > 60 else day) and luhn(short)


def fi_hetu(value: str) -> bool:
    """DDMMYY, century sign (left out here), serial, check character."""
    digits = "".join(filter(str.isdigit, value[:-1]))[:9]
    return (
        is_short_date(int(digits[4:6]), int(digits[2:4]), int(digits[:2]))
        and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31] == value[-1]
    )


def dk_cpr(value: str) -> bool:
    """The check digit is no longer guaranteed; the date is what there is."""
    day = int(value[:2])
    return is_short_date(int(value[4:6]), int(value[2:4]), day - 60 if day > 60 else day)


def no_fnr(value: str) -> bool:
    day, month = int(value[:2]), int(value[2:4])
    if not is_short_date(int(value[4:6]), month - 40 if month > 40 else month, day - 40 if day > 40 else day):
        return False
    first = weighted(value, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    return first == 0 and weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def is_kennitala(value: str) -> bool:
    """Of a person, or of an organisation, whose day is 40 more. The tenth digit is the century."""
    return weighted(value, (3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0 and is_short_date(
        int(value[4:6]), int(value[2:4]), int(value[:2]) % 40
    )


def ee_ik(value: str) -> bool:
    """Estonia and Lithuania."""
    if not is_short_date(int(value[1:3]), int(value[3:5]), int(value[5:7])):
        return False
    check = weighted(value, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(value, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return check == int(value[10])


# --- United Kingdom, Ireland -------------------------------------------------------------------------------------


def uk_nhs(value: str) -> bool:
    return weighted(value, range(10, 0, -1)) % 11 == 0


def gb_vat(value: str) -> bool:
    total = weighted(value, (8, 7, 6, 5, 4, 3, 2, 10, 1)) % 97
    return total in (0, 42, 55)


def ie_pps(value: str) -> bool:
    """The second letter, A to I since 2013, counts; the older T, W and X, of a spouse or an organisation, do not."""
    second = _ALPHABET.index(value[8]) - 9 if len(value) > 8 and value[8] not in "TWX" else 0
    return "WABCDEFGHIJKLMNOPQRSTUV"[(weighted(value[:7], range(8, 1, -1)) + 9 * second) % 23] == value[7]


# --- VAT numbers -------------------------------------------------------------------------------------------------


def be_vat(value: str) -> bool:
    return mod97_pair(value.zfill(10))


def dk_vat(value: str) -> bool:
    return weighted(value, (2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def ee_vat(value: str) -> bool:
    return weighted(value, (3, 7, 1, 3, 7, 1, 3, 7, 1)) % 10 == 0


def fi_vat(value: str) -> bool:
    return weighted(value, (7, 9, 10, 5, 8, 4, 2, 1)) % 11 == 0


def lu_vat(value: str) -> bool:
    return int(value[:6]) % 89 == int(value[6:])


def mt_vat(value: str) -> bool:
    return weighted(value, (3, 4, 6, 7, 8, 9, 10, 1)) % 37 == 0


def si_vat(value: str) -> bool:
    check = 11 - weighted(value, range(8, 1, -1)) % 11
    return (0 if check == 10 else check) == int(value[7])


def sk_vat(value: str) -> bool:
    return int(value) % 11 == 0


def cz_vat(value: str) -> bool:
    if len(value) > 8:
        return cz_rc(value)
    check = (11 - weighted(value, range(8, 1, -1)) % 11) % 10
    return check == int(value[7])


def se_vat(value: str) -> bool:
    return luhn(value[:10]) and value[10:] == "01"


def it_vat(value: str) -> bool:
    return luhn(value) and value[:7] != "0000000"
