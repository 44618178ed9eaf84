"""Identifiers of the United Kingdom (UK GDPR)."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import national
from stream_maas.privacy.rows import Code, Number, Recognizer

ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="uk_nhs", entity_type="UK_NHS", pack="uk", score=90, layouts=("10", "3~3~4"),
        cues=(
            "nhs", "nhs number", "nhs no", "nhs nr", "nhs num", "patient number", "national health service",
            "health number",
        ),
        verify=national.uk_nhs, found_by="10 digits", checked_by="MOD 11",
    ),
    Code(
        name="uk_nino", entity_type="UK_NINO", pack="uk", score=90,
        pictures=("AA999999A", "AA 99 99 99 A", "AA999999 A", "AA 999999 A", "AA-99-99-99-A", "AA 99 99 99A",
        "AA99 99 99 A", "AA 999999A"),
        form="(?:(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]|QQ)[0-9]{6}[A-D]", any_case=True,
        found_by="two letters, 6 digits, A to D", checked_by="prefixes in use, and QQ of official examples",
    ),
    Code(
        name="uk_driving_licence", entity_type="DRIVER_LICENCE", pack="uk", score=90,
        pictures=("AAAAA999999AA9AA", "AAAAA999999A99AA", "AAAA9999999AA9AA", "AAA99999999AA9AA", "AAAAA999999AA999",
        "AA999999999AA9AA",
                  "AAAA9999999A99AA", "AAAAA 999999 AA9AA", "AAAAA999999AA9AA99", "AAAAA999999AAAAA"),
        form="[A-Z][A-Z9]{4}[0-9](?:0[1-9]|1[0-2]|5[1-9]|6[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9][A-Z9]{2}[A-Z0-9][A-Z]{2}(?:[0-9]{2})?",
        found_by="16 characters", checked_by="month, day",
    ),
    Number(
        name="uk_utr", entity_type="UK_UTR", pack="uk", score=76, layouts=("10", "5 5"),
        cues=("utr", "unique taxpayer reference", "tax reference"), found_by="10 digits",
    ),
    Number(
        name="uk_bank_account", entity_type="BANK_ACCOUNT", pack="uk", score=77, layouts=("2-2-2 8", "2~2~2~8"),
        found_by="sort code and account",
    ),
)  # fmt: skip
