"""Personal data that looks alike everywhere: addresses of mail, cards and accounts."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import checksums, network, wallets
from stream_maas.privacy.documents import locate_gps, trim_bic, trim_mrz
from stream_maas.privacy.rows import LONG_CAPITALS, Anchored, Located, Number, Recognizer, Shaped

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
    rf"|(?:[A-Za-z0-9\-{_LETTERS}]+\.)+(?:[Xx][Nn]--[A-Za-z0-9\-]+|[A-Za-z]{{2,}}|[{_LETTERS}]{{2,}})"
    rf"|(?:[A-Za-z0-9\-{_LETTERS}{_HAN}]+\.)+[A-Za-z]{{2,}})"
)


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
    end = 0
    while length := _iban_length(candidate[end:]):
        taken = 0
        while taken < length:
            taken += candidate[end] not in " -"
            end += 1
        if candidate[end : end + 1] in ("", " ", "-"):
            break
        # One right behind the other: none of them stands alone.
    return (0, end) if end else None


def _iban_length(text: str) -> int:
    """Letters and digits of the account number at the beginning, 0 if there is none."""
    compact = text.replace(" ", "").replace("-", "").upper()
    length = checksums.IBAN_LENGTHS.get(compact[:2], 0)
    iban = compact[:length]
    if not length or len(iban) < length or sum(map(str.isdigit, iban)) < _IBAN_FEWEST_DIGITS:
        return 0
    return length if checksums.mod97(iban) else 0


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

ROWS: Final[tuple[Recognizer, ...]] = (
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
        name="iban", entity_type="IBAN", pack="core", score=98, made_of="letters",
        pattern=r"(?:[A-Z]{2} ?|[A-Za-z]{2})[0-9]{2}(?:[ \-]?[A-Za-z0-9]){11,30}",
        rest=r"(?:[ \-]?[A-Za-z0-9]){0,64}", trim=trim_iban,
    ),
    Number(
        name="payment_card", entity_type="CARD", pack="core", score=95,
        layouts=(
            *map(str, range(12, 20)), "=", "4~4~4~4", "4~6~5", "4~6~4", "4~4~4~4~3", "4~4~5", "4~4~4", "6~13", "8~8",
        ),
        form=_CARD_FORM, verify=checksums.luhn, strong=True,
    ),
    Shaped(
        name="bic", entity_type="BIC", pack="core", score=85, made_of="letters",
        pattern="[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?",
        trim=trim_bic, cues=("bic", "swift", "swift code", "bic code", "swift bic", "código swift", "code swift"),
        found_by="8 or 11 characters", checked_by="country",
    ),
    Located(
        name="ipv4", entity_type="IP", pack="core", score=90, made_of="digits",
        gate=network.IPV4_GATE, locate=network.locate_ipv4,
        announced=False, found_by="four octets; not behind a word for versions", checked_by="range",
    ),
    Located(
        name="ipv6", entity_type="IP", pack="core", score=91, made_of="marks",
        gate=network.IPV6_GATE, locate=network.locate_ipv6,
        announced=False, found_by="groups with colons, zone, embedded IPv4", checked_by="RFC 4291",
    ),
    Located(
        name="mac", entity_type="MAC_ADDRESS", pack="core", score=93, made_of="marks", gate=network.MAC_GATE,
        locate=network.locate_mac, announced=False, found_by="six octets or three groups of four",
        checked_by="not empty, not broadcast",
    ),
    Shaped(
        name="wallet_base58", entity_type="CRYPTO_WALLET", pack="core", score=97, gate="[0-9A-Za-z]{26}",
        pattern="[13LMDTXA9][1-9A-HJ-NP-Za-km-z]{25,34}", trim=wallets.trim_base58,
        found_by="Bitcoin and its relatives, Tron", checked_by="base58check",
    ),
    Shaped(
        name="wallet_bech32", entity_type="CRYPTO_WALLET", pack="core", score=97,
        gate="(?:bc|tb|ltc|BC|TB|LTC)1[02-9AC-HJ-NP-Zac-hj-np-z]{4}",
        pattern="(?:bc|tb|ltc|BC|TB|LTC)1[02-9AC-HJ-NP-Zac-hj-np-z]{11,71}", trim=wallets.trim_bech32,
        found_by="segregated witness and taproot", checked_by="bech32, bech32m",
    ),
    Shaped(
        name="wallet_ethereum", entity_type="CRYPTO_WALLET", pack="core", score=97, gate="0x[0-9a-fA-F]{6}",
        pattern="0x[0-9a-fA-F]{40}",
        found_by="0x and 40 hexadecimal digits",
    ),
    Located(
        name="gps", entity_type="GPS", pack="core", score=88, made_of="digits",
        gate=r"[0-9]\.[0-9]{4,15}[^0-9\n@\[\]]{1,18}[0-9]{1,3}\.[0-9]{4}",
        locate=locate_gps, announced=False, found_by="two numbers with four decimals or more",
        checked_by="range of the globe; not one of many numbers, no unit between",
    ),
    Shaped(
        name="gps_degrees", entity_type="GPS", pack="core", score=88, made_of="digits",
        pattern="[0-9]{1,2}\u00b0 ?[0-9]{1,2}['\u2032] ?(?:[0-9]{1,2}(?:\\.[0-9]+)?[\"\u2033] ?)?[NSns][, ]{1,3}"
        "[0-9]{1,3}\u00b0 ?[0-9]{1,2}['\u2032] ?(?:[0-9]{1,2}(?:\\.[0-9]+)?[\"\u2033] ?)?[EWOewo]",
        found_by="degrees, minutes, seconds",
    ),
    Number(
        name="imei", entity_type="IMEI", pack="core", score=86, layouts=("2-6-6-1", "2 6 6 1", "6-2-6-1", "6 2 6 1"),
        verify=checksums.luhn, found_by="15 digits, grouped", checked_by="Luhn",
    ),
    Number(
        name="imei_announced", entity_type="IMEI", pack="core", score=96, layouts=("15", "8~6~1", "14"),
        cues=("imei", "imei number", "imei no", "imei nr", "número imei", "串号"), verify=checksums.luhn,
        found_by="15 digits", checked_by="Luhn",
    ),
    Number(
        name="imei_with_version", entity_type="IMEI", pack="core", score=90,
        layouts=("16", "2~6~6~2", "8~6~2", "6~2~6~2", "2~6~6"),
        cues=("imeisv", "imei", "imei sv"), found_by="16 digits (IMEISV), or 14 without check digit",
    ),
    Shaped(
        name="mrz", entity_type="PASSPORT", pack="core", score=99,
        gate=LONG_CAPITALS, pattern="(?<![A-Z0-9<])[A-Z0-9<]{30,90}(?![A-Z0-9<])", trim=trim_mrz,
        found_by="a line of a machine-readable zone", checked_by="ICAO 9303 check digits",
    ),
)  # fmt: skip
