"""Telephone numbers."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import phones
from stream_maas.privacy.rows import Anchored, Number, Recognizer

_NANP: Final = "[2-9][0-9]{9}"
"""Exchanges that start with 0 or 1 are not assigned, but they are what people write when they make one up."""
_BR_AREA: Final = "(?:1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])"
_HAN: Final = "\u3400-\u9fff"
_DATES: Final = (
    "4~2~2",
    "2~2~4",
    "4/2/2",
    "2/2/4",
    "4~2~2 2",
    "2~2~4 2",
    "2/2/4 2",
    "4~2~2 2 2",
    "1.3.3",
    "2.3.3",
    "3.3.3",
)
"""Dates, dates with hours, and amounts with thousands marks: not telephone numbers, whatever word precedes them."""


ROWS: Final[tuple[Recognizer, ...]] = (
    Anchored(
        name="phone_e164", entity_type="PHONE", pack="core", score=97, made_of="digits",
        anchor="+", tail=r" ?\(?[1-9](?:[ ./()\-]{0,3}[0-9]){6,17}", trim=phones.e164,
        found_by="`+` and groups of digits, `(0)` allowed",
        checked_by="number of digits that the country code allows",
    ),
    Number(
        name="phone_us_ca", entity_type="PHONE", pack="us", score=60, calling_code="1",
        layouts=(
            "(3)3~4", "(3)3 4", "(3)7", "3~3~4", "3 3-4", "3-3 4", "3/3-4", "3/3/4", "1~3~3~4", "1(3)3~4", "1 3-3-4",
            "1-3/3-4",
        ),
        form=f"1?{_NANP}", found_by="`(ddd) ddd-dddd` and its variants", checked_by="area code",
    ),
    Number(
        name="phone_cn_mobile_grouped", entity_type="PHONE", pack="cn", score=59, calling_code="86",
        layouts=("3~4~4", "2~3~4~4", "2~11", "4~3~4"), form="(?:86)?1[3-9][0-9]{9}",
        found_by="`1[3-9]` and 9 digits, grouped", checked_by="prefix",
    ),
    Number(
        name="phone_cn_mobile", entity_type="PHONE", pack="cn", score=59, calling_code="86",
        layouts=("11", "3~8", "13"), form="(?:86)?1[3-9][0-9]{9}", script=_HAN, cues=phones.CUES,
        found_by="the same, plain, beside Chinese text", checked_by="prefix",
    ),
    Number(
        name="phone_br", entity_type="PHONE", pack="br", score=58, calling_code="55",
        layouts=(
            "(2)5~4", "(2)4~4", "(2)9", "(2)8", "(2)1~4~4", "(3)5~4", "(3)4~4", "2 5-4", "2 4-4", "2-5-4", "2-4-4",
            "2 1 4-4", "3 5-4", "3 4-4", "2 5 4", "2(2)5~4", "2(2)4~4", "2.5.4",
        ),
        form=rf"(?:55)?0?{_BR_AREA}(?:9[0-9]{{8}}|[2-57][0-9]{{7}})",
        found_by="area code in brackets, or hyphen before the last four", checked_by="area code, first digit",
    ),
    Number(
        name="phone_mx", entity_type="PHONE", pack="mx", score=58, calling_code="52",
        layouts=("2 4 4", "2-4-4", "(2)4~4", "3 3 2 2", "3-3-2-2"), verify=phones.valid_in("MX"),
        found_by="area code and 8 digits", checked_by="national numbering plan",
    ),
    Number(
        name="phone_es", entity_type="PHONE", pack="es", score=58, calling_code="34",
        layouts=("3 2 2 2", "3-2-2-2", "3.2.2.2", "2 3 2 2", "3-3-3", "3.3.3", "2-3-2-2"),
        verify=phones.valid_in("ES"),
        found_by="9 digits as they are grouped in Spain", checked_by="national numbering plan",
    ),
    Number(
        name="phone_in", entity_type="PHONE", pack="in", score=58, calling_code="91",
        layouts=("5 5", "5-5", "2~5~5", "6 5", "6-5", "1~5~5"),
        form="(?:91|0)?[6-9][0-9]{9}", verify=phones.indian, found_by="two groups of five",
        checked_by="national numbering plan",
    ),
    Number(
        name="phone_ru", entity_type="PHONE", pack="ru", score=58, calling_code="7",
        layouts=(
            "1(3)3~2~2", "1~3~3~2~2", "1 3 3-2-2", "1(3)3~4", "1(3)7", "1(4)2~2~2", "1(4)3~3", "(3)3~2~2", "(4)2~2~2",
        ),
        form="[78]?[3489][0-9]{9}", found_by="8, area code and 7 digits as they are grouped in Russia",
        checked_by="area code",
    ),
    Number(
        name="phone_au_services", entity_type="PHONE", pack="au", score=56, calling_code="61", layouts=("4 3 3",
        "2 2 2"),
        form="1[38]00[0-9]{6}|13[0-9]{4}", found_by="1300, 1800 numbers", checked_by="prefix",
    ),
    Number(
        name="phone_three_groups", entity_type="PHONE", pack="core", score=54,
        layouts=("3 3 3", "2 2 2 2", "2 3 3", "4 4", "3 3 4", "4-4", "2 3 2 2", "3 2 3", "2-3-3"),
        cues=phones.CUES, verify=phones.valid_in(*phones.REGIONS), found_by="national grouping without trunk zero",
        checked_by="national numbering plans",
    ),
    Number(
        name="phone_trunk", entity_type="PHONE", pack="core", score=57,
        layouts=phones.TRUNK_LAYOUTS, form="0[1-9][0-9]{7,10}",
        found_by="a leading zero and a grouping usual in Europe, Asia or Oceania",
    ),
    Number(
        name="phone_mobile_bare", entity_type="PHONE", pack="core", score=56,
        layouts=("10", "11", "12"),
        form="07[1-9][0-9]{8}|0[67][0-9]{8}|01[567][0-9]{8,9}|0[789]0[0-9]{8}|04[0-9]{8}|05[03-5][0-9]{8}"
        "|09[0-9]{9}",
        found_by="mobile prefixes of GB, FR, DE, JP, AU, NL, TR, PH", checked_by="length",
    ),
    Number(
        name="phone_international", entity_type="PHONE", pack="core", score=55,
        layouts=("*", *map(str, range(10, 17))), form="00[1-9][0-9]{7,14}", verify=phones.dialled_international,
        found_by="`00` and a country code", checked_by="number of digits that the country code allows",
    ),
    Number(
        name="phone_announced", entity_type="PHONE", pack="core", score=50,
        layouts=("*", *map(str, range(7, 16))), form="[0-9]{7,15}", cues=phones.CUES, not_layouts=_DATES,
        found_by="7 to 15 digits that are no date or amount",
    ),
)  # fmt: skip
