"""Identifiers of China (PIPL)."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import checksums
from stream_maas.privacy.rows import Number, Recognizer

_CN_PROVINCE: Final = "(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])"
_MONTH_DAY: Final = "(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"

ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="cn_resident_id", entity_type="CN_ID", pack="cn", score=96,
        layouts=("18", "6~8~4", "6~4~4~4"),
        form=rf"[1-9][0-9]{{5}}(?:1[89]|20)[0-9]{{2}}{_MONTH_DAY}[0-9]{{3}}[0-9Xx]",
        verify=checksums.resident_id, strong=True,
    ),
    Number(
        name="cn_resident_id_15", entity_type="CN_ID", pack="cn", score=70,
        layouts=("15", "6~6~3"), form=rf"{_CN_PROVINCE}[0-9]{{6}}{_MONTH_DAY}[0-9]{{3}}",
        verify=checksums.resident_id_15,
    ),
)  # fmt: skip
