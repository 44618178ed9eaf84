"""How street addresses are written: number and street word in the order of each language, then flat, postcode, town.

Every pattern begins at something rare (a number, a street word) and is bounded, so that the work stays linear. What is
not written with a street word ("20789 Allika 46") is not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

_C: Final = "A-ZÀ-ÖØ-ÞĀ-ſЀ-Я"
_L: Final = "A-Za-zÀ-\u024fЀ-џ"
_WORD: Final = rf"[{_C}0-9][{_L}0-9'\u2019.\-]{{0,24}}"
_NUMBER: Final = r"[0-9]{1,5}(?: ?[a-zA-Z](?![A-Za-z]))?(?:[/\-][0-9]{1,4}[a-zA-Z]?)?"
_COUNTRY: Final = rf"(?:,? {{1,2}}[{_C}][{_L}.]+(?: [{_C}][{_L}.]+){{0,2}})?"
_TOWN_WORD: Final = rf"[{_C}]['\u2019]?[a-zà-ɏа-џ][{_L}'\u2019.\-]{{0,23}}"
_TOWN: Final = rf"{_TOWN_WORD}(?:[ \-](?:(?:am|an|der|sur|de|la|le|les|upon|di|do|da) )?{_TOWN_WORD}){{0,2}}"
_UK_POSTCODE: Final = "[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}"
_ZIP: Final = (
    rf"(?:[A-Z]{{2}},? )?(?:[0-9]{{5}}(?:-[0-9]{{4}})?|{_UK_POSTCODE}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]|"
    "[0-9]{4}(?![0-9]))"
)
_FLAT: Final = (
    r"(?:(?:,? |\n)(?:[Aa]pt|[Aa]partment|[Ss]uite|[Ss]te|[Uu]nit|[Ff]lat|[Ff]loor|[Rr]oom|[Bb]ldg|#)"
    r"\.? ?#?[A-Za-z0-9\-]{1,6})?"
)
_ENGLISH_STREETS: Final = (
    "Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Ter|"
    "Close|Crescent|Cres|"
    "Highway|Hwy|Parkway|Pkwy|Circle|Cir|Trail|Trl|Loop|Row|Gardens|Grove|Mews|Alley|Plaza|Walk|Turnpike|Expressway|"
    "Freeway|Route|Pike|"
    "Point|Ridge|Run|Bypass|Esplanade|Quay|Parade|Rise|Vale|Hollow|Crossing|Glen|Heights|Manor|Pass|Path|Spur|View|"
    "Villas|Village|Ville"
)
_AFTER: Final = rf"{_FLAT}(?:(?:,|\n| -)? ?{_TOWN})?(?:(?:,|\n)? ?{_ZIP})?"
_GERMANIC_ENDINGS: Final = (
    "straße|strasse|str\\.|weg|platz|allee|gasse|damm|ufer|steig|chaussee|"
    "straat|laan|plein|gracht|kade|singel|dijk|gatan|vägen|gränd|gade|vej|veien|gata|gaten|vegen|katu|"
    "polku"
)
_FRENCH_STREETS: Final = (
    "[Rr]ue|[Aa]venue|[Aa]v\\.|[Bb]oulevard|[Bb]d\\.?|[Pp]lace|[Cc]hemin|[Ii]mpasse|[Aa]llée|[Qq]uai|"
    "[Cc]ours|[Rr]oute|[Ss]quare|[Pp]assage|[Ss]entier|[Vv]illa"
)
_STREETS_FIRST: Final = (
    "[Cc]alle|C/|[Aa]venida|[Aa]vda\\.?|[Aa]v\\.|[Pp]laza|[Pp]za\\.|[Pp]aseo|[Cc]arrera|[Cc]amino|[Rr]onda|"
    "[Tt]ravesía|[Cc]arretera|"
    "[Rr]ua|R\\.|[Tt]ravessa|[Aa]lameda|[Pp]raça|[Rr]odovia|[Ee]strada|[Ll]argo|[Ll]adeira|"
    "[Vv]ia|[Vv]iale|V\\.le|[Pp]iazza|[Pp]iazzale|[Cc]orso|[Vv]icolo|[Ss]trada|[Cc]ontrada|"
    "[Uu]l\\.|[Uu]lica|[Aa]l\\.|[Aa]leja|[Pp]l\\.|[Oo]s\\.|[Ss]tr\\.|[Bb]ulevardul|"
    "ул\\.|улица|улице|"
    "проспект|пр\\.|пр-т|пер\\.|"
    "бульвар|шоссе"
)
PATTERNS: Final[dict[str, tuple[str, str]]] = {
    "english": (  # 221B Baker Street, Flat 2, London NW1 6XE
        rf"[ ](?:{_ENGLISH_STREETS})(?:[^A-Za-z]|$)",
    rf"[0-9]{{1,6}}[A-Za-z]?(?:-[0-9]{{1,4}})?,? (?:[NSEW]{{1,2}}\.? |North |South |East |West )?(?:{_WORD} ){{1,4}}?"
    rf"(?:{_ENGLISH_STREETS})\b\.?(?: [NSEW]{{1,2}}\b\.?)?(?:{_AFTER})",
    ),
    "post_box": (
        r"P\.? ?O\.? Box [0-9]",
    r"P\.? ?O\.? Box [0-9]{1,7}" + _AFTER,
    ),
    "germanic": (  # German, Dutch, Scandinavian: one word that ends in a street word
        rf"(?:{_GERMANIC_ENDINGS})\.? [0-9]",
    rf"(?:[{_C}][{_L}]+[ \-]){{0,3}}[{_C}]?[{_L}\-]{{2,24}}(?:{_GERMANIC_ENDINGS})"
    rf"\.? (?!(?:19|20)[0-9]{{2}}(?![0-9])){_NUMBER}(?:,? (?:Top|Wohnung|lgh|bus|tv|th|st|[0-9]\.) ?[0-9A-Za-z]*)?"
    rf"(?:(?:,|\n)? ?(?:[A-Z]{{1,2}}-)?(?:[0-9]{{3}} [0-9]{{2}}|[0-9]{{4,5}}(?: ?[A-Z]{{2}}\b)?) {_TOWN})?",
    ),
    "german": (
        "[0-9],? (?:D-)?[0-9]{5} [A-ZÀ-Þ]",
    rf"(?:Straße|Am|An der|An den|Auf der|Auf dem|Unter den|Unter der|Im|In der|Zum|Zur|Alte|Neue|Große|"
    rf"Kleine|Platz) "
    rf"(?:des |der |am )?[{_C}][{_L}\-]{{2,24}}(?: [{_C}][{_L}\-]{{2,24}})? {_NUMBER},? (?:D-)?[0-9]{{5}} {_TOWN}",
    ),
    "french": (  # 12 bis, rue de la Paix, 75002 Paris
        f"[0-9](?: ?(?:bis|ter|[A-D]))?,? (?:{_FRENCH_STREETS})[ ]",
    rf"[0-9]{{1,4}}(?: ?(?:bis|ter|[A-D]))?,? (?:{_FRENCH_STREETS}) (?:(?:de|du|des|la|le|les|l['\u2019]|d['\u2019]|"
    rf"de l['\u2019]) ?){{0,3}}"
    rf"[{_L}'\u2019\-]{{2,24}}(?: [{_L}'\u2019\-]{{2,24}}){{0,3}}?(?:(?:,|\n| -)? ?(?:F-)?[0-9]{{5}} {_TOWN}|"
    rf"(?=[,.;\n]|$)|(?= [a-zà]))",
    ),
    "romance_slavic": (  # Spanish, Portuguese, Italian, Polish, Russian, Romanian
        f"(?:{_STREETS_FIRST})[ ]",
    rf"(?:{_STREETS_FIRST}) ?"
    rf"(?:(?:de|del|da|do|dos|das|la|las|los|di|della|dei|degli|e|y|San|Santa|São|[0-9]{{1,2}})"
    rf" ){{0,3}}[{_C}0-9][{_L}'\u2019.\-]{{0,24}}"
    rf"(?: (?:(?:de|del|da|do|dos|das|la|di|della|e|y) )?[{_C}][{_L}'\u2019.\-]{{0,24}}){{0,4}},? ?"
    rf"(?:n[.\u00ba\u00b0o]{{0,2}} ?|N[.\u00ba\u00b0]{{1,2}} ?|nr\.? ?|д\.? ?|"
    rf"дом )?[0-9]{{1,5}}(?:[/\-][0-9]{{1,4}})?[a-zA-Z\u00ba\u00aa]?\b"
    rf"(?:,? (?:kv\.|кв\.|m\.|apto\.?|ap\.?|piso|bloco|int\.|[0-9]{{1,2}}[\u00ba\u00aa\u00b0])"
    rf" ?[0-9A-Za-z]{{0,5}}){{0,2}}"
    rf"(?:(?:,|\n| -|\u2013) ?{_TOWN}){{0,2}}(?:(?:,|\n| -)? ?(?:[0-9]{{5}}-[0-9]{{3}}|[0-9]{{2}}-[0-9]{{3}}|"
    rf"[0-9]{{4}}-[0-9]{{3}}|[0-9]{{5,6}})(?: {_TOWN})?)?",
    ),
    "turkish": (
        "(?:Caddesi|Cad\\.|Sokağı|Sokak|Sok\\.|Bulvarı|Mahallesi|Mah\\.)",
    rf"(?:[{_C}][{_L}]+ ){{1,3}}(?:Caddesi|Cad\.|Sokağı|Sokak|Sok\.|Bulvarı|Mahallesi|Mah\.)"
    rf"[^\n;]{{0,40}}?No ?:? ?[0-9]{{1,4}}(?:/[0-9]{{1,4}})?",
    ),
    "chinese": (
        "[路街道巷弄同][0-9]{1,5}[号號弄]",
    "(?:[一-鿿]{2,8}(?:省|自治区|市))?(?:[一-鿿]{1,8}(?:市|区|县|"
    "镇)){1,3}[一-鿿0-9]{1,16}"
    "(?:路|街|道|巷|弄|大道|胡同)[0-9]{1,5}(?:号|號|弄)"
    "(?:[一-鿿0-9A-Za-z\\-]{0,20}?(?:[0-9A-Za-z]{1,4}(?:楼|室|单元|栋|号楼|层|户)){1,4}|"
    "[一-鿿0-9A-Za-z\\-]{0,20}(?=[^一-鿿0-9A-Za-z\\-]|$)|)",
    ),
    "japanese": (
        "[市区町村]",
    "(?:〒 ?[0-9]{3}-?[0-9]{4} ?)?[一-鿿]{2,4}[都道府県][一-鿿぀-ヿ]{1,16}[市区町村][一-鿿぀-ヿ]{0,16}"
    "[0-9]{1,4}(?:(?:丁目|番地?|号|-)"
    "[0-9]{0,4}){1,3}(?: ?[一-鿿぀-ヿ]{1,16}[0-9]{1,4}号室)?",
    ),
    "korean": (
        "(?:로|\uae38|동) ?[0-9]",
    "[가-힣]{1,8}(?:시|도) (?:[가-힣]{1,8}(?:시|\uad70|\uad6c)"
    " ){1,2}[가-힣0-9]{1,16}(?:로|\uae38|동) ?[0-9]{1,4}(?:-[0-9]{1,4})?"
    "(?:,? [0-9]{1,4}(?:동|호|층)){0,3}",
    ),
}  # fmt: skip
"""Language -> (what must stand in the text, in the common subset of both engines; the address, for `re`)."""


def locator(language: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    """A `Locate` for addresses as they are written in `language`."""
    search = re.compile(rf"(?<![{_L}0-9])(?:{PATTERNS[language][1]})").search
    match_glued = re.compile(PATTERNS[language][1]).match

    def locate(text: str) -> Iterator[tuple[int, int]]:
        match = search(text)
        while match:
            yield match.span()
            # One that touches the last is found in the same go: round after round would cost the square of the text.
            match = match_glued(text, match.end()) or search(text, match.end())

    return locate
