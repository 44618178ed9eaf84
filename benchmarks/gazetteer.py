"""Writes the name lists of redaction anew from Faker's person providers: `python benchmarks/gazetteer.py`.

Needs `pip install faker` (MIT). One name per line, sorted, so that a change of Faker shows as a readable diff. Names of
one script only are kept apart by the reader (privacy/names.py), not here.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

from faker.providers import person

TARGET = Path(__file__).parents[1] / "stream_maas" / "privacy" / "gazetteer"
SPACED = re.compile(
    "[A-Z\u00c0-\u00de\u0100-\u017f\u0370-\u03ff\u0400-\u042f\u1e00-\u1eff][^\\W\\d_]+(?:[-'\u2019][^\\W\\d_]+)*"
)
HAN = re.compile("[\u3400-\u9fff\uac00-\ud7a3]{1,3}")
COMMON_LOCALES = 2
"""A given name of so many locales is one even where nothing follows it."""
MOST_SPOKEN = (
    "en_US",
    "en_GB",
    "de_DE",
    "fr_FR",
    "es_ES",
    "es_MX",
    "pt_BR",
    "it_IT",
    "nl_NL",
    "pl_PL",
    "ru_RU",
    "sv_SE",
)


def names(provider: type, *attributes: str) -> set[str]:
    """All strings of the named attributes, whatever they are kept in."""
    found: set[str] = set()
    for attribute in attributes:
        values = getattr(provider, attribute, ())
        for value in () if isinstance(values, property) else values:
            found.update(str(value).split(" ") if not isinstance(value, tuple) else map(str, value))
    return {name for name in found if len(name) > 1}


def main() -> None:
    given: Counter[str] = Counter()
    family: Counter[str] = Counter()
    east: set[str] = set()
    for module in pkgutil.iter_modules(person.__path__):
        provider = importlib.import_module(f"{person.__name__}.{module.name}").Provider
        weight = COMMON_LOCALES if module.name in MOST_SPOKEN else 1
        first = names(
            provider,
            "first_names",
            "first_names_male",
            "first_names_female",
            "first_romanized_names",
            "male_first_names",
        )
        last = names(provider, "last_names", "last_names_male", "last_names_female", "last_romanized_names")
        if module.name in ("zh_CN", "zh_TW", "ja_JP", "ko_KR"):
            east |= {
                name for value in getattr(provider, "last_names", ()) for name in [str(value)] if HAN.fullmatch(name)
            }
        given.update({name: weight for name in first if SPACED.fullmatch(name) and len(name) > 2})
        family.update({name: weight for name in last if SPACED.fullmatch(name) and len(name) > 2})
    TARGET.mkdir(exist_ok=True)
    common = sorted(name for name, count in given.items() if count >= COMMON_LOCALES)
    rare = sorted(name for name, count in given.items() if count < COMMON_LOCALES)
    for file, lines in (
        ("given", common),
        ("given_rare", rare),
        ("family", sorted(family)),
        ("family_east", sorted(east)),
    ):
        (TARGET / f"{file}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(file, len(lines))


if __name__ == "__main__":
    main()
