"""Which field names say that their value is personal, whatever it looks like.

Names are compared without case, accents, plural and punctuation. The end of a name decides: `customer_phone_number`
and `billingPhone2` are telephones, `phone_model` and `email_verified` are not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from stream_maas.privacy.field_names import ALIASES as ALIASES
from stream_maas.privacy.layouts import trie_pattern
from stream_maas.privacy.transform import TOKEN


def _without_accents(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", plain)


_TYPE_OF: Final = {
    alias if alias.isascii() else _without_accents(alias): entity_type
    for entity_type, aliases in ALIASES.items()
    for alias in aliases
}
_HAN_TYPE_OF: Final = {alias: entity_type for alias, entity_type in _TYPE_OF.items() if not alias.isascii()}
_LONGEST_HAN: Final = max(map(len, _HAN_TYPE_OF))

_TAILS: Final = frozenset((
    "number", "numbers", "no", "nr", "num", "nums", "numero", "nummer", "value", "text",
    "raw", "str", "string", "field", "primary", "secondary", "home", "work", "office", "private",
    "personal", "main", "alt", "other", "new", "old", "address", "addresses", "adresse", "cliente", "titular",
))  # fmt: skip
"""Words after the telling one that do not change what the value is."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\x00-\x7f]+")
_WORDS_JOINED: Final = 4
_LONGEST_NAME: Final = 128
_SHORT_CHARS: Final = 3
"""So few letters stand in many words by chance: they count only as a word of their own."""
_SHORT: Final = [alias for alias in _TYPE_OF if alias.isascii() and len(alias) <= _SHORT_CHARS]
_SHORT_WORD: Final = re.compile(
    rf"(?<![A-Za-z])(?:{trie_pattern(_SHORT)})(?![a-rt-z])"
    rf"|(?:{trie_pattern([form for alias in _SHORT for form in (alias.title(), alias.upper())])})(?![a-rt-z])"
)
_STEMS: Final = re.compile(
    trie_pattern(sorted({alias[:6] for alias in _TYPE_OF if alias.isascii() and len(alias) > _SHORT_CHARS}))
)
"""Cheap refusal: a name that holds the start of no alias is no hint."""


_VALUE_DECIDES: Final[dict[str, tuple[tuple[re.Pattern[str], str], ...]]] = {
    "token": ((re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_\-.~+/=]{16,}"), "SECRET"),),
    "pan": (
        (re.compile("[0-9](?:[ -]?[0-9]){11,18}"), "CARD"),
        (re.compile("[A-Za-z]{5}[0-9]{4}[A-Za-z]"), "IN_PAN"),
    ),
    "pin": ((re.compile("[0-9]{4,8}"), "SECRET"),),
    "zip": ((re.compile("[0-9]{5}(?:-[0-9]{4})?"), "POSTAL_CODE"),),
    "plz": ((re.compile("(?:[A-Z]{1,2}-)?[0-9]{4,5}"), "POSTAL_CODE"),),
    "aba": ((re.compile("[0-9]{9}"), "ABA_ROUTING"),),
    "plate": ((re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Z]*[A-Z])[A-Z0-9]+(?:[ -][A-Z0-9]+){0,2}"), "LICENCE_PLATE"),),
    "ein": ((re.compile("[0-9]{2}-[0-9]{7}"), "US_EIN"),),
    "sin": ((re.compile("[0-9]{3}([ -]?)[0-9]{3}\\1[0-9]{3}"), "CA_SIN"),),
    "cpr": ((re.compile("[0-3][0-9][01][0-9]{3}-?[0-9]{4}"), "DK_CPR"),),
    "permis": ((re.compile("(?=[^0-9]*[0-9]{4})[A-Z0-9]{6,15}"), "DRIVER_LICENCE"),),
} | dict.fromkeys(
    ("login", "handle", "twitter", "instagram", "telegram", "usuario", "benutzer", "utilisateur"),
    ((re.compile(r"@?[A-Za-z][A-Za-z0-9_.\-]{2,31}"), "USERNAME"),),
)
"""Names that mean other things as often (a model's token, a frying pan, a pin of a board) -> what a value must look
like in full, and what it is then."""
_NAMES_OF_PEOPLE: Final = frozenset(("name", "nom", "nombre", "nome", "naam", "имя"))
"""Names of products and companies too: they need company."""
_PEOPLE: Final = frozenset((
    "customer", "client", "user", "person", "patient", "employee", "contact", "recipient", "sender", "author",
    "passenger", "guest", "member", "subscriber", "applicant", "student", "driver", "owner", "holder", "beneficiary",
    "buyer", "payer", "payee", "guardian", "parent", "spouse", "child", "doctor", "candidate", "tenant", "borrower",
    "kunde", "kundin", "patientin", "mitarbeiter", "absender", "empfaenger", "cliente", "paciente", "usuario",
    "utilisateur", "employe", "titular", "beneficiario", "pessoa", "persona", "personne",
))  # fmt: skip
"""What a field is called that holds a person, in singular."""
_OF_PEOPLE: Final = frozenset((
    "EMAIL", "PHONE", "DATE_OF_BIRTH", "PASSPORT", "NATIONAL_ID", "SSN", "CPF", "CN_ID", "DRIVER_LICENCE", "PERSON",
))  # fmt: skip
"""Fields of these types stand beside the name of a person."""
_GENERIC: Final = re.compile(rf"(?mi)^(?:{'|'.join((*_VALUE_DECIDES, *_NAMES_OF_PEOPLE))})$")
_NOT_LETTERS: Final = dict.fromkeys(code for code in range(0x80) if not chr(code).isalpha() and chr(code) != "\n")


def may_hint(names: str) -> bool:
    """Whether one of `names`, any text that holds them, may announce a type; False is certain."""
    return (
        not names.isascii()
        or _STEMS.search(names.lower().translate(_NOT_LETTERS)) is not None
        or _SHORT_WORD.search(names) is not None
        or _GENERIC.search(names) is not None
    )


def hint_beside(name: str, value: object, parent: str, siblings: Iterable[str]) -> str | None:
    """The entity type of `value` in a field whose `name` alone announces nothing, because of what it looks like or
    where it stands: in a field called `parent`, beside fields called `siblings`. None for most."""
    name = (name if name.isascii() else _without_accents(name)).lower()
    if name in _VALUE_DECIDES:
        written = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(written, str):
            return next((kind for form, kind in _VALUE_DECIDES[name] if form.fullmatch(written.strip())), None)
    elif name in _NAMES_OF_PEOPLE and isinstance(value, str):
        words = _WORD.findall(parent)[-1:]
        is_person = bool(words) and (words[0].lower() in _PEOPLE or words[0].lower().removesuffix("s") in _PEOPLE)
        if is_person or not _OF_PEOPLE.isdisjoint(map(hint_for, siblings)):
            return "PERSON"
    return None


def hint_for(name: str) -> str | None:
    """The entity type that the field name announces, or None. Names above 128 characters announce nothing."""
    if len(name) > _LONGEST_NAME or not may_hint(name):
        return None
    if "[" in name or "_" in name:  # what a name held that was personal itself does not announce its value
        name = TOKEN.sub(" ", name)
    return _hint_of_words(_WORD.findall(name if name.isascii() else _without_accents(name)))


def _hint_of_words(words: list[str]) -> str | None:
    words = [word.lower() for word in words]
    while words:
        if not words[-1].isascii():
            return _hint_of_han(words[-1])
        for count in range(min(_WORDS_JOINED, len(words)), 0, -1):
            joined = "".join(words[-count:])
            found = _TYPE_OF.get(joined) or (_TYPE_OF.get(joined[:-1]) if joined.endswith("s") else None)
            if found:
                return found
        if words[-1] not in _TAILS:
            return None
        words.pop()
    return None


def _hint_of_han(word: str) -> str | None:
    """Scripts without spaces: the longest alias that ends the word."""
    for width in range(min(_LONGEST_HAN, len(word)), 0, -1):
        found = _HAN_TYPE_OF.get(word[-width:])
        if found:
            return found
    return None
