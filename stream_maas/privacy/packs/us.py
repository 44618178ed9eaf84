"""Identifiers of the United States."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy.rows import Number, Recognizer

_SSN_FORM: Final = "(?!000|666|9)[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}"

ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="us_ssn", entity_type="SSN", pack="us", score=80, layouts=("3~2~4",), form=_SSN_FORM,
    ),
    Number(
        name="us_ssn_announced", entity_type="SSN", pack="us", score=79, layouts=("9", "3~6", "5~4"), form=_SSN_FORM,
        cues=("ssn", "ss no", "ss#", "social security", "social security number", "social security no", "soc sec"),
    ),
)  # fmt: skip
