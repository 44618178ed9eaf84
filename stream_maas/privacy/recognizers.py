"""What counts as personal data: the table of recognizers, one plain row each.

Rules of this file:
1. A row is data: no code of its own, only the names of functions that verify. To add a recognizer, add a row, its
   canaries (canaries.py), its field names (hints.py) and its tests.
2. There are three kinds of row, by how candidates are found: `Anchored` (a literal, then a pattern, then a run of
   characters backwards), `Shaped` (a pattern) and `Number` (digits in groups; all such rows share one class of the
   gate, because fifteen overlapping digit patterns fire on every number).
3. Patterns are read by RE2 and by `re`: no look-around, no \\d \\w \\s \\b (they differ), no flags.
   Boundaries are ASCII, so that text in scripts without spaces can touch a number. No pattern matches a line break,
   so that many short texts can be looked at in one go, as lines. Only `form`, and `tail` behind a `head`, are read by
   `re` alone.
4. `score` orders overlapping finds (detect.py), 0 to 100: verified by a checksum > structure > announced by a word.
5. Text is read folded (fold.py): all digits, spaces and hyphens are ASCII here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from stream_maas.privacy import checksums, phones

_LETTERS: Final = (
    "\u00c0-\u024f\u0250-\u02af\u0370-\u052f\u0531-\u0587\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3"
    "\u0904-\u0939\u0958-\u0961\u0985-\u0dc6\u10a0-\u10ff\u1e00-\u1fff"
)
"""Letters of scripts that put spaces between words: they may stand in an address written beside such text."""
_HAN: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
"""Letters of scripts that do not: in such text an address ends where ASCII ends, unless it lies in their domains."""
_HAN_TLDS: Final = (
    "中国|中國|公司|网络|網絡|网址|中文网|香港|台湾|台灣|澳门|澳門|新加坡|在线|集团|商城|网店|网站|我爱你|"
    "한국|닷컴|닷넷|みんな|コム|セール|ストア|ポイント|クラウド"
)
_DOMAIN: Final = (
    rf"(?:\[?(?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}\]?"
    rf"|(?:[A-Za-z0-9\-{_LETTERS}{_HAN}]+\.)+(?:{_HAN_TLDS})"
    rf"|(?:[A-Za-z0-9\-{_LETTERS}]+\.)+(?:[Xx][Nn]--[A-Za-z0-9\-]+|[A-Za-z]{{2,}}|[{_LETTERS}]{{2,}}))"
)
_SEPARATORS: Final = (" ", "-", ".", "_")
"""What `~` in a layout stands for."""

RULES_NAME: Final = "core-1"
"""Raised when a verifying function changes in a way that the table below does not show."""


class Anchored(Struct, frozen=True, kw_only=True):
    """Found at a literal: `anchor` and `tail` match as one, and the span reaches left over `head` characters.

    Finding the literal is a memory scan and the run to the left is walked once, so this stays linear where a
    pattern that starts with a run would be tried at each of its characters.
    """

    name: str
    entity_type: str
    pack: str
    score: int
    anchor: str
    tail: str
    head: str = ""
    """Inside of a character class; at least one such character is required. Empty: the span starts at the anchor.
    With a head, the gate asks for one such character and the anchor only, and `tail` is read by `re` alone."""
    trim: Callable[[str], tuple[int, int] | None]
    """Candidate -> (start, end) of the part to accept, None to refuse."""


class Shaped(Struct, frozen=True, kw_only=True):
    """Found by a pattern; no ASCII letter or digit may touch the accepted part."""

    name: str
    entity_type: str
    pack: str
    score: int
    pattern: str
    trim: Callable[[str], tuple[int, int] | None]


class Number(Struct, frozen=True, kw_only=True):
    """Found among groups of digits.

    `layouts`: each is the lengths of the groups with what stands between them, "3-2-4" or "(3)3-4"; spaces around
    brackets and hyphens do not matter. `~` is the same one of space, hyphen, dot, underscore throughout. "*": all
    digits of the run, in two or more groups; "=": the same, but evenly grouped with one separator.
    """

    name: str
    entity_type: str
    pack: str
    score: int
    layouts: tuple[str, ...]
    form: str = "[0-9]+"
    """Pattern that the digits, without what stands between them, match in full."""
    verify: Callable[[str], bool] | None = None
    strong: bool = False
    """The verification leaves so little to chance that neighbouring digits, a glued word or a missing text around
    it (a bare integer) do not matter."""
    cues: tuple[str, ...] = ()
    """Words of which one must stand shortly before the number, unless the field's name says as much."""
    not_layouts: tuple[str, ...] = ()
    """Groupings that mean something else."""


Recognizer = Anchored | Shaped | Number


def trim_email(candidate: str) -> tuple[int, int] | None:
    """Drop quotes and dots that open the local part; refuse names of image files for dense screens (x@2x.png)."""
    local, _, domain = candidate.rpartition("%40" if "@" not in candidate else "@")
    stripped = local.lstrip(".'&!#$*-_%+~")
    if not stripped:
        return None
    if domain[1:3] == "x." and domain[0].isdigit() and domain[3:].lower() in ("png", "jpg", "jpeg", "gif", "webp"):
        return None
    return len(local) - len(stripped), len(candidate)


def trim_iban(candidate: str) -> tuple[int, int] | None:
    """Cut to the country's length, since the pattern takes following words along; then ISO 13616 decides."""
    compact = candidate.replace(" ", "").replace("-", "").upper()
    length = checksums.IBAN_LENGTHS.get(compact[:2])
    if length is None or len(compact) < length:
        return None
    iban = compact[:length]
    if sum(map(str.isdigit, iban)) < _IBAN_FEWEST_DIGITS or not checksums.mod97(iban):
        return None
    taken = end = 0
    while taken < length:
        taken += candidate[end] not in " -"
        end += 1
    return 0, end


_IBAN_FEWEST_DIGITS: Final = 10
"""Check digits plus what the most lettered account numbers hold; prose that happens to fit has fewer."""

_CARD_FORM: Final = (
    "4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    "|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard
    "|3[47][0-9]{13}|1[0-9]{14}"  # American Express, UATP
    "|3(?:0[0-5]|[689][0-9])[0-9]{11,16}"  # Diners Club
    "|(?:2131|1800)[0-9]{11}|35[0-9]{14,17}"  # JCB, and what test generators take for it
    "|(?:0604|5[0678][0-9]{2}|6[0-9]{3})[0-9]{8,15}"  # Maestro, Discover, UnionPay, RuPay, Elo, Hipercard
    "|8[12][0-9]{14,17}|220[0-4][0-9]{12,15}|9792[0-9]{12}"  # UnionPay and RuPay, Mir, Troy
)
"""ISO/IEC 7812 issuer ranges with the lengths that they issue."""
_CN_PROVINCE: Final = "(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])"
_MONTH_DAY: Final = "(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_NANP: Final = "[2-9][0-9]{9}"
"""Exchanges that start with 0 or 1 are not assigned, but they are what people write when they make one up."""
_BR_AREA: Final = "(?:1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])"
_SSN_FORM: Final = "(?!000|666|9)[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}"
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

RECOGNIZERS: Final[tuple[Recognizer, ...]] = (
    Anchored(
        name="email", entity_type="EMAIL", pack="core", score=99,
        anchor="@", tail=_DOMAIN, head=rf"A-Za-z0-9._%+'&~!#$*\-{_LETTERS}", trim=trim_email,
    ),
    Anchored(
        name="email_han", entity_type="EMAIL", pack="core", score=99,
        anchor="@", tail=_DOMAIN, head=_HAN, trim=trim_email,
    ),
    Anchored(
        name="email_percent_encoded", entity_type="EMAIL", pack="core", score=99,
        anchor="%40", tail=_DOMAIN, head=r"A-Za-z0-9._+\-", trim=trim_email,
    ),
    Shaped(
        name="iban", entity_type="IBAN", pack="core", score=98,
        pattern=r"(?:[A-Z]{2} ?|[A-Za-z]{2})[0-9]{2}(?:[ \-]?[A-Za-z0-9]){11,30}", trim=trim_iban,
    ),
    Anchored(
        name="phone_e164", entity_type="PHONE", pack="core", score=97,
        anchor="+", tail=r" ?\(?[1-9](?:[ ./()\-]{0,3}[0-9]){6,17}", trim=phones.e164,
    ),
    Number(
        name="cn_resident_id", entity_type="CN_ID", pack="cn", score=96,
        layouts=("18", "6~8~4", "6~4~4~4"),
        form=rf"[1-9][0-9]{{5}}(?:1[89]|20)[0-9]{{2}}{_MONTH_DAY}[0-9]{{3}}[0-9Xx]",
        verify=checksums.resident_id, strong=True,
    ),
    Number(
        name="payment_card", entity_type="CARD", pack="core", score=95,
        layouts=(
            *map(str, range(12, 20)), "=", "4~4~4~4", "4~6~5", "4~6~4", "4~4~4~4~3", "4~4~5", "4~4~4", "6~13", "8~8",
        ),
        form=_CARD_FORM, verify=checksums.luhn, strong=True,
    ),
    Number(
        name="br_cpf", entity_type="CPF", pack="br", score=94,
        layouts=("11", "3.3.3-2", "3~3~3~2", "9-2", "3 3 3-2"), verify=checksums.cpf, strong=True,
    ),
    Number(
        name="us_ssn", entity_type="SSN", pack="us", score=80, layouts=("3~2~4",), form=_SSN_FORM,
    ),
    Number(
        name="us_ssn_announced", entity_type="SSN", pack="us", score=79, layouts=("9", "3~6", "5~4"), form=_SSN_FORM,
        cues=("ssn", "ss no", "ss#", "social security", "social security number", "social security no", "soc sec"),
    ),
    Number(
        name="cn_resident_id_15", entity_type="CN_ID", pack="cn", score=70,
        layouts=("15", "6~6~3"), form=rf"{_CN_PROVINCE}[0-9]{{6}}{_MONTH_DAY}[0-9]{{3}}",
        verify=checksums.resident_id_15,
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
ENTITY_TYPES: Final = tuple(dict.fromkeys(row.entity_type for row in RECOGNIZERS))


def expand(layout: str) -> tuple[str, ...]:
    """A layout with `~` as the layouts that it stands for."""
    return tuple(layout.replace("~", separator) for separator in _SEPARATORS) if "~" in layout else (layout,)


def rules_digest(*more: object) -> str:
    """SHA-256 hex over the table and `more` JSON values: two workers with the same digest decide alike."""
    rows = [
        {
            field: value.__qualname__ if callable(value) else value
            for field, value in ((field, getattr(row, field)) for field in row.__struct_fields__)
        }
        for row in RECOGNIZERS
    ]
    return hashlib.sha256(json.dumps([rows, more], sort_keys=True).encode()).hexdigest()
