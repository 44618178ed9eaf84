"""Telephone numbers."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import phones
from stream_maas.privacy.rows import Anchored, Number, Recognizer

_NANP: Final = "[2-9][0-9]{9}"
"""Exchanges that start with 0 or 1 are not assigned, but they are what people write when they make one up."""
_BR_AREA: Final = "(?:1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])"
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
        name="phone_e164", entity_type="PHONE", pack="core", score=97,
        anchor="+", tail=r" ?\(?[1-9](?:[ ./()\-]{0,3}[0-9]){6,17}", trim=phones.e164,
    ),
    Number(
        name="phone_us_ca", entity_type="PHONE", pack="us", score=60,
        layouts=(
            "(3)3~4", "(3)3 4", "(3)7", "3~3~4", "3 3-4", "3-3 4", "3/3-4", "3/3/4", "1~3~3~4", "1(3)3~4", "1 3-3-4",
            "2~3~3~4", "1-3/3-4",
        ),
        form=rf"(?:1|91)?{_NANP}",
    ),
    Number(
        name="phone_cn_mobile", entity_type="PHONE", pack="cn", score=59,
        layouts=("11", "3~4~4", "3~8", "13", "2~11", "2~3~4~4"), form="(?:86)?1[3-9][0-9]{9}",
    ),
    Number(
        name="phone_br", entity_type="PHONE", pack="br", score=58,
        layouts=(
            "(2)5~4", "(2)4~4", "(2)9", "(2)8", "(2)1~4~4", "(3)5~4", "(3)4~4", "2 5-4", "2 4-4", "2-5-4", "2-4-4",
            "2 1 4-4", "3 5-4", "3 4-4", "2 5 4", "2(2)5~4", "2(2)4~4",
        ),
        form=rf"(?:55)?0?{_BR_AREA}(?:9[0-9]{{8}}|[2-57][0-9]{{7}})",
    ),
    Number(
        name="phone_trunk", entity_type="PHONE", pack="core", score=57,
        layouts=phones.TRUNK_LAYOUTS, form="0[1-9][0-9]{7,10}",
    ),
    Number(
        name="phone_mobile_bare", entity_type="PHONE", pack="core", score=56,
        layouts=("10", "11", "12"), form="07[1-9][0-9]{8}|0[67][0-9]{8}|01[567][0-9]{8,9}",  # UK, FR, DE
    ),
    Number(
        name="phone_international", entity_type="PHONE", pack="core", score=55,
        layouts=("*",), form="00[1-9][0-9]{7,14}", verify=phones.dialled_international,
    ),
    Number(
        name="phone_announced", entity_type="PHONE", pack="core", score=50,
        layouts=("*", *map(str, range(7, 16))), form="[0-9]{7,15}", cues=phones.CUES, not_layouts=_DATES,
    ),
)  # fmt: skip
