"""Which characters can be a document's number: machine-readable zones (ICAO 9303), bank codes, places on the globe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from stream_maas.privacy.national import mrz_digit, weights_731

_LINE: Final = re.compile(r"([A-Z0-9<]{9})([0-9<])([A-Z<]{3})([0-9]{6})([0-9])([MFX<])([0-9]{6})([0-9])")
_NAME_LINE: Final = re.compile("(?:P[A-Z<][A-Z<]{3})?[A-Z]+(?:<[A-Z]+)*<<[A-Z<]*")
"""The line with the name, by its form; a filler may have been lost or doubled on the way."""
_MRZ_LINE_CHARS: Final = (44, 36, 30)
"""ICAO 9303, TD3, TD2 and TD1."""
_ID_LINE_2: Final = re.compile(r"([0-9]{6})([0-9])([MFX<])([0-9]{6})([0-9])([A-Z<]{3})")

_DEGREE: Final = re.compile(
    r"(?P<number>[+\-]?(?<![0-9A-Za-z.])[0-9]{1,3}\.[0-9]{4,15})(?![0-9A-Za-z]|\.[0-9])"
    r"\u00b0?(?: ?[NSEWO](?![A-Za-z0-9]))?"
)
_DEGREES: Final = re.compile(
    rf"{_DEGREE.pattern}(?:[^0-9\n@\[\]]{{1,14}}{_DEGREE.pattern.replace('?P<number>', '?:')})+"
)
_DECIMALS: Final = re.compile(r"\.[0-9]{4}")
_DECIMALS_CHARS: Final = 5
_MOST_BETWEEN_CHARS: Final = 40
"""Between the decimals of two numbers: more decimals, a unit, 14 characters, a sign and three digits."""
_WHOLE_PART: Final = re.compile("[+\\-]?[0-9]{1,3}$")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_BETWEEN_DEGREES: Final = re.compile(
    "[NSns]|and|und|et|y|e|и|和|l(?:on|ng|ong|ongitude?|aengengrad)|längengrad|longitud|longitudine|"
    "dlugosc|długość|lengtegraad|долгота|д|经度|經度|東経|东经|경도|boylam|(?:geo)?x|nord|sud|sur|norte|north|south",
    re.IGNORECASE,
)
"""What may stand between the numbers, besides signs."""

_COUNTRY_CODES: Final = (
    "AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ CA "
    "CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FM FO FR "
    "GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO "
    "JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP "
    "MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH TJ TK TL TM TN TO "
    "TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
)
COUNTRIES: Final = frozenset(_COUNTRY_CODES.split())
"""ISO 3166-1 alpha-2, and Kosovo."""


def trim_mrz(candidate: str) -> tuple[int, int] | None:
    """A machine-readable zone, or a line of one: a name line by its fillers, a data line by its check digits."""
    size = len(candidate)
    width = next((width for width in _MRZ_LINE_CHARS if size % width == 0), size)
    lines = [candidate[start : start + width] for start in range(0, size, width)]
    return (0, size) if any(map(_is_mrz_line, lines)) else None


def _is_mrz_line(line: str) -> bool:
    if "<<" in line and (_NAME_LINE.fullmatch(line) or (line[0] in "PVIAC" and len(line) in _MRZ_LINE_CHARS)):
        return True
    for pattern, groups in ((_LINE, ((1, 2), (4, 5), (7, 8))), (_ID_LINE_2, ((1, 2), (4, 5)))):
        match = pattern.match(line)
        if match and all(mrz_digit(match[field]) == match[check] or match[check] == "<" for field, check in groups):
            return True
    return False


def trim_bic(candidate: str) -> tuple[int, int] | None:
    """ISO 9362: bank, country, place, branch."""
    return (0, len(candidate)) if len(candidate) in (8, 11) and candidate[4:6] in COUNTRIES else None


def locate_gps(text: str) -> Iterator[tuple[int, int]]:
    """Pairs of latitude and longitude in range. An odd number of them with one and the same thing between them is a
    vector. Two numbers below one are shares or probabilities; on the globe it is all sea there."""
    at = 0
    # Four decimals are rare and begin with a point: they are searched for, and there must be two of them.
    while (first := _DECIMALS.search(text, at)) and (second := _DECIMALS.search(text, first.end())):
        at = first.end()
        if second.start() - at <= _MOST_BETWEEN_CHARS and (chain := _DEGREES.match(text, _number_start(text, at))):
            at = chain.end()
            yield from _pairs(text, chain)


def _number_start(text: str, end: int) -> int:
    """Where the number begins whose first decimals end at `end`: its sign, or at most three digits before the point."""
    start = max(0, end - _DECIMALS_CHARS - 3)
    match = _WHOLE_PART.search(text, start - (start > 0), end - _DECIMALS_CHARS)
    return match.start() if match else end


def _pairs(text: str, chain: re.Match[str]) -> Iterator[tuple[int, int]]:
    numbers = list(_DEGREE.finditer(text, *chain.span()))
    gaps = [text[left.end() : right.start()] for left, right in pairwise(numbers)]
    if len(numbers) % 2 and len(set(gaps)) == 1:
        return
    for left, gap, right in zip(numbers[::2], gaps[::2], numbers[1::2], strict=False):
        latitude, longitude = abs(float(left["number"])), abs(float(right["number"]))
        words = _LETTERS.findall(gap)
        if latitude <= 90 and 1 <= max(latitude, longitude) <= 180 and all(map(_BETWEEN_DEGREES.fullmatch, words)):
            yield left.start(), right.end()


def trim_german_document(candidate: str) -> tuple[int, int] | None:
    """Serial number with its check digit; at least two digits, or it is a word."""
    value = candidate.removesuffix("D")
    return (0, len(candidate)) if sum(map(str.isdigit, value)) > 1 and weights_731(value) else None
