"""Names and street addresses: what no checksum can verify."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import addresses, names
from stream_maas.privacy.rows import Located, Recognizer

ROWS: Final[tuple[Recognizer, ...]] = (
    Located(
        name="person",
        entity_type="PERSON",
        pack="core",
        score=40,
        gate="",
        locate=names.locate,
        found_by="lists of names, phrases before and titles behind",
        checked_by="not an ordinary word",
    ),
    Located(
        name="person_in_small_letters",
        entity_type="PERSON",
        pack="core",
        score=40,
        made_of="secrets",
        gate=names.SMALL_LETTERS_GATE,
        locate=names.locate_small_letters,
        found_by="a known given name behind a phrase",
    ),
    *(
        Located(
            name=f"address_{language}",
            entity_type="ADDRESS",
            pack="core",
            score=45,
            made_of="places",
            gate=gate,
            locate=addresses.locator(language),
            found_by="number and street word, with flat, postcode and town",
        )
        for language, (gate, _) in addresses.PATTERNS.items()
    ),
)
