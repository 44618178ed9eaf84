"""Identifiers of Brazil (LGPD)."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import checksums
from stream_maas.privacy.rows import Number, Recognizer

ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="br_cpf", entity_type="CPF", pack="br", score=94,
        layouts=("11", "3.3.3-2", "3~3~3~2", "9-2", "3 3 3-2"), verify=checksums.cpf, strong=True,
    ),
)  # fmt: skip
