"""How telephone numbers are written: country codes with their lengths, national grouping, words that announce one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from phonenumbers import PhoneMetadata

_NATIONAL_DIGITS: Final[dict[str, tuple[int, int]]] = {
    "1": (10, 10), "7": (10, 10), "20": (8, 10), "27": (9, 9), "30": (10, 10), "31": (9, 9), "32": (8, 9),
    "33": (9, 9), "34": (9, 9), "36": (8, 9), "39": (6, 11), "40": (9, 9), "41": (9, 9), "43": (5, 13), "44": (9, 10),
    "45": (8, 8), "46": (7, 10), "47": (8, 8), "48": (9, 9), "49": (6, 13), "51": (8, 9), "52": (10, 11),
    "53": (8, 8), "54": (10, 11), "55": (10, 11), "56": (9, 9), "57": (10, 10), "58": (10, 10), "60": (8, 10),
    "61": (9, 9), "62": (8, 12), "63": (8, 10), "64": (8, 10), "65": (8, 8), "66": (8, 9), "81": (9, 10),
    "82": (8, 10), "84": (9, 10), "86": (9, 11), "90": (10, 10), "91": (10, 10), "92": (9, 10), "93": (9, 9),
    "94": (9, 9), "95": (8, 10), "98": (10, 10),
}  # fmt: skip
"""Country code -> fewest and most digits after it (ITU-T E.164 national numbering plans), where they are known."""
_OTHER_NATIONAL_DIGITS: Final = (6, 12)
"""Three-digit country codes; 12 keeps the total within the 15 digits of E.164."""
_TWO_DIGIT_CODES: Final = frozenset(code for code in _NATIONAL_DIGITS if len(code) == 2)

_GROUP: Final = re.compile("[0-9]+")

CUES: Final = (
    # One word or phrase per entry, lower case; "s" at the end is allowed for.
    "phone", "phone number", "phone no", "telephone", "tel", "tel no", "mobile", "mobile number", "cell", "cellphone",
    "fax", "whatsapp", "hotline", "landline", "contact number", "phones", "call", "call me", "call us", "call him",
    "call her", "call them", "call me at", "call me on", "reach me", "reach me at", "answering at", "dial", "text me",
    "ring me", "sms", "us number", "cn number", "my number", "phonenumber", "phoneno", "telno",
    "telefon", "telefonnummer", "handy", "handynummer", "mobil", "mobilnummer", "rufnummer", "rückruf",
    "téléphone", "telephone", "tél", "portable", "appelez", "appelez-moi", "joignable au", "numéro",
    "teléfono", "telefono", "móvil", "movil", "celular", "llámame", "llame", "llamar",
    "telefone", "fone", "ligue", "contato", "telemóvel", "telemovel", "cellulare", "chiamami",
    "telefoon", "mobiel", "gsm", "тел", "телефон", "телефона",
    "tlf", "tlf nr", "tfno", "tel nr", "tel.nr", "mob", "mob nr", "ph", "phone #", "cell number", "cell phone",
    "home phone", "work phone",
    "text", "call back", "callback", "reach us", "dial in", "ring", "contact", "contact no", "signal",
    "hotline number", "give me a call",
    "erreichbar unter", "erreichbar", "anrufen", "ruf", "rufen", "mobiltelefon", "festnetz", "festnetznummer",
    "telefonisch",
    "mobile", "portables", "appeler", "joindre", "numéro de téléphone", "número de teléfono", "número de telefone",
    "contacto",
    "llámenos", "marque", "móviles", "número de celular", "ligar", "ligue para", "me liga", "zap", "telefonar",
    "numero di telefono",
    "chiamare", "chiama", "telefonare", "recapito", "cell", "bel", "bellen", "telefoonnummer", "bereikbaar op",
    "nummer", "komórka",
    "numer telefonu", "zadzwoń", "dzwoń", "tel. kom", "telefonnr", "mobilnr", "ring mig", "puhelin", "puhelinnumero",
    "puh", "matkapuhelin",
    "telefonu", "telefonum", "cep", "cep telefonu", "gsm no", "arayın", "ara", "телефону", "позвоните", "звоните",
    "мобильный", "моб", "звони", "позвони", "перезвоните", "набери", "kom", "kom.", "tel.", "rufen sie",
    "номер телефона", "сотовый", "هاتف", "الهاتف", "رقم الهاتف", "جوال", "الجوال", "موبايل", "اتصل", "اتصل على",
    "फोन", "फ़ोन", "मोबाइल",
    "फोन नंबर", "मोबाइल नंबर", "कॉल", "संपर्क", "전화", "전화번호", "휴대폰", "휴대전화", "연락처", "핸드폰",
    "電話番号", "携帯", "携帯電話", "連絡先",
    "điện thoại", "sđt", "số điện thoại", "telepon", "hp", "no hp", "nomor hp", "τηλέφωνο", "κινητό", "โทร", "เบอร์",
    "เบอร์โทร", "טלפון", "נייד",
    "电话", "手机", "手机号", "手机号码", "联系电话", "联系方式", "致电", "座机", "拨打", "電話", "手機", "电话号码",
)  # fmt: skip


_EXTENSION: Final = re.compile(
    r"[ ,;]{0,2}(?:(?i:ext(?:ension|ensi[oó]n|ens[aã]o)?|durchwahl|dw|nebenstelle|apparat|ramal|poste|interno|int|anexo"
    r"|toestel|tst|wew|wewn[eę]trzny|ankn|anknytning|alanu[mn]ero|dahili)|доб(?:авочный)?|转|轉|分机|分機|内線|내선"
    r"|تحويلة|एक्सटेंशन)[ .:#=]{0,3}(?P<words>[0-9]{1,7})(?![0-9A-Za-z]|[.,:/\-][0-9])"
    r"|(?:[ ,;]{0,2}[xX][ .]?|#)(?P<sign>[0-9]{2,7})(?![0-9A-Za-z]|[.,:/\-][0-9])"
)
"""How a telephone number goes on: "ext. 42", "x42" (two digits, one would be a quantity), "Durchwahl 42", ";ext=42"."""


def with_extension(text: str, end: int) -> int:
    """Where the telephone number that ends at `end` of a folded text ends with its extension."""
    match = _EXTENSION.match(text, end)
    return match.end() if match else end


def split_extension(number: str) -> tuple[str, str]:
    """A telephone number and the digits of its extension, "" if it has none."""
    for match in _EXTENSION.finditer(number):
        if match.end() == len(number):
            return number[: match.start()], match["words"] or match["sign"]
    return number, ""


def national_range(digits: str) -> tuple[int, int, int]:
    """(digits of the country code, fewest, most digits after it) for a number that starts with a country code."""
    width = 1 if digits[0] in "17" else 2 if digits[:2] in _TWO_DIGIT_CODES else 3
    return (width, *_NATIONAL_DIGITS.get(digits[:width], _OTHER_NATIONAL_DIGITS))


def e164(candidate: str) -> tuple[int, int] | None:
    """The part of `candidate`, "+" and groups of digits, that is an international number.

    The longest run of whole groups whose length its country allows; a trunk zero in brackets, "+44 (0)20", is not
    counted. None where no run fits.
    """
    digits = ""
    end = 0
    for group in _GROUP.finditer(candidate):
        if digits and candidate[group.start() - 1 : group.end() + 1] == "(0)":
            continue
        digits += group.group()
        if len(digits) > 15:
            break
        if len(digits) >= 7:
            width, fewest, most = national_range(digits)
            if fewest <= len(digits) - width <= most:
                end = group.end()
    return (0, end) if end else None


def dialled_international(digits: str) -> bool:
    """`digits` start with 00, the international prefix of most countries, and go on as an E.164 number."""
    if len(digits) < 9:
        return False
    width, fewest, most = national_range(digits[2:])
    return fewest <= len(digits) - 2 - width <= most


REGIONS: Final = (
    "US", "CA", "GB", "DE", "FR", "ES", "IT", "NL", "BR", "CN", "IN", "AU", "JP", "MX", "PT", "PL", "BE", "CH", "AT",
    "SE", "DK",
    "NO", "FI", "IE", "TR", "KR", "RU", "SG", "HK", "TW", "ZA", "AE", "SA", "EG", "AR", "CL", "CO",
)  # fmt: skip
"""Whose national numbering plans are known without a country code (ISO 3166)."""


@cache
def _national_pattern(region: str) -> re.Pattern[str]:
    """Fixed and mobile numbers of `region`, with or without its national prefix (libphonenumber's metadata)."""
    metadata = PhoneMetadata.metadata_for_region(region)
    kinds = (metadata.fixed_line, metadata.mobile, metadata.toll_free) if metadata else ()
    numbers = "|".join(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    prefix = (metadata.national_prefix or "") if metadata else ""
    return re.compile(f"(?:{prefix})?(?:{numbers or '(?!)'})")


def valid_in(*regions: str) -> Callable[[str], bool]:
    """Whether digits are a valid national number of one of `regions`. Metadata is loaded at the first candidate."""

    def valid(digits: str) -> bool:
        return any(_national_pattern(region).fullmatch(digits) for region in regions)

    valid.__qualname__ = f"valid_in({', '.join(regions)})"
    return valid


_indian: Final = valid_in("IN")


def indian(digits: str) -> bool:
    """Whether digits are a number of India, with or without its trunk zero or country code."""
    return _indian(digits[-10:])


def _trunk_layouts() -> tuple[str, ...]:
    """Groupings of a national number with its trunk zero, as Europe, Asia and Oceania write it."""
    two_groups = [
        f"{area}{separator}{subscriber}"
        for area in (2, 3, 4, 5)
        for subscriber in (4, 5, 6, 7, 8)
        if 9 <= area + subscriber <= 12
        for separator in ("~", "/")
        if (area, subscriber, separator) != (5, 4, "~")  # ZIP+4 of New England
    ]
    bracketed = [
        f"({area}){subscriber}"
        for area in (2, 3, 4, 5)
        for subscriber in ("5", "6", "7", "8", "4~4", "3~4", "4~3", "3~3", "2~2~2", "3~2~2")
    ]
    more_groups = (
        "2~2~2~2~2", "2 3 2 2", "3~3~4", "3~4~4", "3~4~3", "3~3~3", "4~3~3", "4~3~4", "5~3~3", "4~2~2~2", "3~3~2~2",
        "4~3~2~2", "5~2~2~2", "2~4~4", "3~2~2~3", "3~4 4", "5 4", "1 3 3 2 2", "1-3-3-2-2",
        "2~3~4", "4-4 4", "2-3 2 2", "2-3 3 2", "3-3 2 2", "3-2 2 2", "4-2 2 2", "4-3 3", "3-3 3",
        "3/3~2~2", "4/3~2~2", "3/4~4", "4/2~2~2",
    )  # fmt: skip
    with_extension = [  # Germany, DIN 5008: "030 901820-12"
        f"{area}{subscriber}-{extension}"
        for area in ("(3)", "(4)", "(5)", "3 ", "4 ", "5 ", "3/", "4/", "5/")
        for subscriber in (4, 5, 6)
        for extension in (1, 2, 3)
    ]
    return (*two_groups, *bracketed, *more_groups, *with_extension)


TRUNK_LAYOUTS: Final = _trunk_layouts()
