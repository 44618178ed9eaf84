"""How street addresses are written: number and street word in the order of each language, then flat, postcode, town.

Every pattern begins at something rare (a number, a street word) and is bounded, so that the work stays linear. What is
not written with a street word ("20789 Allika 46") is not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from stream_maas.privacy.fold import fold

_C: Final = "A-ZÀ-ÖØ-ÞĀ-ſЀ-Я"
_L: Final = "A-Za-zÀ-\u024fЀ-џ"
_WORD: Final = rf"[{_C}0-9][{_L}0-9'\u2019.\-]{{0,24}}"
_NUMBER: Final = r"[0-9]{1,5}(?: ?(?:bis|ter|hs|[a-zA-Z])(?![A-Za-z]))?(?:[/\-][0-9]{1,4}[a-zA-Z]?(?![A-Za-z])){0,3}"
_TOWN_WORD: Final = rf"[{_C}]['\u2019]?[a-zà-ɏа-џ][{_L}'\u2019.\-]{{0,23}}"
_TOWN: Final = rf"{_TOWN_WORD}(?:[ \-](?:(?:am|an|der|sur|de|la|le|les|upon|di|do|da) )?{_TOWN_WORD}){{0,2}}"
_PLACE_BEFORE: Final = (
    rf"(?:(?:[0-9]{{2}}-[0-9]{{3}}|[0-9]{{4,6}}),? (?:г\. ?)?{_TOWN_WORD}(?:[ \-]{_TOWN_WORD}){{0,2}}, )?"
)
"""Postcode and town in front of the street: 101000, Москва, ул. Тверская; 50667 Köln, Lindenstraße."""
_UK_POSTCODE: Final = "[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}"
_EIRCODE: Final = "[AC-FHKNPRTV-Y][0-9][0-9W] ?[0-9AC-FHKNPRTV-Y]{4}(?![0-9A-Z])"
_CANADIAN: Final = "[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]"
_ZIP: Final = (
    rf"(?:[A-Z]{{2,3}},? )?(?:{_EIRCODE}|[0-9]{{5}}(?:-[0-9]{{4}})?(?![0-9])|[0-9]{{6}}(?![0-9])|{_UK_POSTCODE}"
    rf"|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]|"
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
_UNIT_BEFORE: Final = r"(?:(?:Flat|Apt|Apartment|Unit|Suite|Room|Level|Floor|Shop)\.? ?[0-9A-Za-z]{1,5},? )?"
_SMALL_WORDS: Final = (
    "náměstí|nábřeží|třída|ulice|gate|gata|vei|veg|väg|gade|katu|tie|de|da|do|dos|del|della|di|van|der|den|von"
    "|vom|am|"
    "na|nad|pod|sv\\.|av|of|iela|gatvė|tn"
)
"""Words in small letters in the name of a street."""
_NO_STREETS: Final = (
    "(?:the|this|that|way|lane|wheel|mile|miles|more|new|per|dirt|dead|minute|minutes|hour|hours|year|years|day"
    "|days|down|from|"
    "across|off|side|busy|long|narrow|country|meter|metre|km|feet|and|for|people|cars|other|different|main roads) "
)
"""What stands between a number and a road that is no address: "10 minutes down the road", "4 lane road"."""
_INDIAN_STREETS: Final = (
    "Nagar|Chowk|Marg|Zila|Colony|Vihar|Layout|Enclave|Ganj|Gali|Path|Puram|Sector|Phase|Bagh|Bazaar|Salai|Peth"
)
_ARABIC: Final = "[\u0620-\u064a\u0671-\u06d3]"


def _folded(word: str) -> str:
    """Text is read without vowel signs."""
    return fold(word).text


_HINDI_HOUSE: Final = "(?:" + "|".join(map(_folded, ("मकान", "फ्लैट", "प्लॉट", "घर", "हाउस", "दुकान"))) + ")"
_HINDI_STREETS: Final = "|".join(
    map(_folded, ("रोड", "मार्ग", "गली", "नगर", "कॉलोनी", "सड़क", "चौक", "विहार", "बाज़ार", "लेन", "पथ", "मोहल्ला"))
)
_AFTER: Final = rf"{_FLAT}(?:(?:,|\n| -)? ?{_TOWN})?(?:(?:,|\n)? ?{_ZIP})?"
_GERMANIC_ENDINGS: Final = (
    "straße|strasse|str\\.|weg|platz|allee|gasse|damm|ufer|steig|chaussee|"
    "straat|laan|plein|gracht|kade|singel|dijk|gatan|vägen|gränd|gade|vej|veien|gata|gaten|vegen|katu|"
    "polku|kuja|tie|plads|plass|torget|allén|allee|væg"
)
_GERMANIC_ENDINGS_OF_PROSE: Final = "ring|boulevard|baan|dreef|pad|steeg|hof|lei|park|markt|wall|graben|zeile|berg|feld"
_GERMAN_STREETS: Final = "Straße|Strasse|Str\\.|Weg|Allee|Platz|Gasse|Damm|Ufer|Chaussee|Ring|Steig"
"""As a word of its own: Mariahilfer Straße."""
_FRENCH_NAME: Final = rf"(?:s(?:ain)?te? )?[{_C}]"
_FRENCH_STREETS: Final = (
    "[Rr]ue|[Aa]venue|[Aa]v\\.|[Bb]oulevard|[Bb]d\\.?|[Pp]lace|[Cc]hemin|[Ii]mpasse|[Aa]llée|[Qq]uai|"
    "[Cc]ours|[Rr]oute|[Ss]quare|[Pp]assage|[Ss]entier|[Vv]illa"
)
_FRENCH_ONLY: Final = (
    rf"(?![Pp]lace (?!d[eu]|la|le|{_FRENCH_NAME})|[Cc]ours (?!d[eu]|{_FRENCH_NAME})|[Rr]oute (?!d[eu]|{_FRENCH_NAME})"
    rf"|[Ss]quare (?!d[eu]|{_FRENCH_NAME})|[Pp]assage (?!d[eu]|{_FRENCH_NAME})|[Vv]illa (?!d[eu]|{_FRENCH_NAME}))"
)
"""Words that are English as well, "600 square feet", need a French word or a capital behind them."""
_FRENCH_FLAT: Final = (
    r"(?:,? (?:[Aa]ppt?\.?|[Aa]ppartement|[Bb]ât\.?|[Bb]âtiment|[Ee]sc\.?|[Bb]te\.?|[Bb]oîte|[Ll]ot) ?[0-9A-Z]{1,4}"
    r"|,? [0-9]{1,2}(?:er|e|ème) étage){0,3}"
)
_RUSSIAN_TOWN: Final = (
    rf"(?:г|п|с|д|ст|к|клх|пгт|х|рп)\.? ?[{_C}][{_L}\-]{{2,24}}(?: [{_C}][{_L}\-]{{2,24}})?(?: \([^)\n]{{1,12}}\))?, "
)
_STREETS_FIRST: Final = (
    "[Cc]alle|C/|[Aa]venida|[Aa]vda\\.?|[Aa]v\\.|[Pp]laza|[Pp]za\\.|[Pp]aseo|[Cc]arrera|[Cc]amino|[Rr]onda|"
    "[Tt]ravesía|[Cc]arretera|[Cc]r?ra\\.?|[Cc]l\\.|[Jj]irón|[Jj]r\\.|[Pp]asaje|"
    "[Bb]oulevard|[Bb]lv\\.|[Bb]ulevar|[Rr]ambla|[Uu]rbanización|[Pp]asadizo|[Gg]lorieta|[Dd]iagonal|[Tt]ransversal|"
    "Dg\\.|Tv\\.|[Cc]alzada|[Cc]allejón|[Pp]rivada|[Pp]rolongación|[Cc]ircuito|[Pp]eriférico|[Aa]v|"
    "[Rr]otonda|[Bb]orgo|[Ll]ungomare|[Ll]ungotevere|[Pp]iazzetta|[Ss]alita|[Cc]anale|"
    "[Pp]lac|[Oo]siedle|[Rr]ondo|ш\\.|наб\\.|набережная|бул\\.|"
    "[Rr]ua|R\\.|[Tt]ravessa|[Aa]lameda|[Pp]raça|[Rr]odovia|[Ee]strada|[Ll]argo|[Ll]adeira|"
    "[Vv]ia|[Vv]iale|V\\.le|[Pp]iazza|[Pp]iazzale|[Cc]orso|[Vv]icolo|[Ss]trada|[Cc]ontrada|"
    "[Uu]l\\.|[Uu]lica|[Aa]l\\.|[Aa]leja|[Pp]l\\.|[Oo]s\\.|[Ss]tr\\.|[Bb]ulevardul|"
    "ул\\.|улица|улице|"
    "проспект|пр\\.|пр-т|пер\\.|"
    "бульвар|шоссе"
)
_CHINESE_TOWN: Final = "(?:[一-鿿]{2,8}(?:省|自治区|市))?(?:[一-鿿]{1,8}(?:市|区|县|镇)){1,3}[一-鿿0-9]{1,16}"
PATTERNS: Final[dict[str, tuple[str, str]]] = {
    "english": (  # 221B Baker Street, Flat 2, London NW1 6XE
        rf"[ ](?:{_ENGLISH_STREETS})(?:[^A-Za-z]|$)",
    rf"{_UNIT_BEFORE}[0-9]{{1,6}} (?:Highway|Hwy|County Road|State Road|County Route)[ \-][0-9]{{1,4}}\b(?: "
    rf"(?:North|South|East|West|[NSEW])\b)?(?:{_AFTER})|{_UNIT_BEFORE}[0-9]{{1,6}}[A-Za-z]?(?:-[0-9]{{1,4}})?,? "
    rf"(?:[NSEW]{{1,2}}\.? |North |South |East |West )?(?:{_WORD} ){{1,4}}?"
    rf"(?:{_ENGLISH_STREETS})\b\.?(?: [NSEW]{{1,2}}\b\.?)?(?:{_AFTER})",
    ),
    "post_box": (
        r"P\.? ?O\.? Box [0-9]",
    r"P\.? ?O\.? Box [0-9]{1,7}" + _AFTER,
    ),
    "germanic": (  # German, Dutch, Scandinavian: one word that ends in a street word
        rf"(?:{_GERMANIC_ENDINGS}|[ \-](?:{_GERMAN_STREETS})|[ ](?:gate|gata|vei|veg|plass|gade|allé))\.? [0-9]",
    rf"{_PLACE_BEFORE}(?:(?:[{_C}][{_L}]+[ \-]){{0,3}}[{_C}]?[{_L}\-]{{2,24}}(?:{_GERMANIC_ENDINGS})"
    rf"|(?:[{_C}][{_L}]+[ \-]){{1,3}}(?:{_GERMAN_STREETS}|gate|gata|vei|veg|plass|gade|allé))"
    rf"\.? (?!(?:19|20)[0-9]{{2}}(?![0-9])){_NUMBER}(?:,? (?:Top|Wohnung|Whg\.|lgh|bus|tv|th|st|EG|DG|[0-9]{{1,2}}\.|"
    rf"Hinterhaus|Vorderhaus|Haus|Aufgang)(?: ?(?:Stock(?:werk)?|Etage|OG|[0-9][0-9A-Za-z]*|links|rechts)\b)?){{0,2}}"
    rf"(?:(?:,|\n)? ?(?:[A-Z]{{1,2}}-)?(?:[0-9]{{3}} [0-9]{{2}}|[0-9]{{4,5}}(?: ?[A-Z]{{2}}\b)?)(?:, ?| |\n){_TOWN})?",
    ),
    "germanic_with_town": (  # Lizaboulevard 13, 3929 LF, Oudheusden: endings that are words of prose as well
        rf"(?:{_GERMANIC_ENDINGS_OF_PROSE}) [0-9]{{1,4}}[A-Za-z]?[,\n ]",
        rf"[{_C}][{_L}\-]{{2,24}}(?:{_GERMANIC_ENDINGS_OF_PROSE}) (?!(?:19|20)[0-9]{{2}}(?![0-9])){_NUMBER}"
        rf"(?:, ?|\n| )"
        rf"(?:[A-Z]{{1,2}}-)?[0-9]{{4,5}}(?: ?[A-Z]{{2}}\b)?(?:, ?| |\n){_TOWN}",
    ),
    "dutch": (
        "(?:Laan|Plein|Kade|Weg|Dijk) van ",
        rf"(?:Laan|Plein|Kade|Weg|Dijk) van (?:de |den |der |het |')?(?:[{_C}][{_L}\-]{{2,24}} ){{1,3}}{_NUMBER}"
        rf"(?:(?:,|\n)? ?[0-9]{{4}} ?[A-Z]{{2}}\b(?: {_TOWN})?)?",
    ),
    "european": (  # Václavské náměstí 25, 110 00 Praha 1: what looks like a street, with postcode and town
        "[0-9][A-Za-z]?(?:,|,? [A-Z]{1,2}-| [0-9A-Z]{1,3},) ?[0-9 \\-]{4,6}(?: ?[A-Z]{2})? [A-ZÀ-Þ]",
        rf"(?:(?:Am|An|Auf|Im|In|Zum|Zur|Unter) (?:de[rmns] )?)?[{_C}][{_L}'\u2019.\-]{{2,24}}"
        rf"(?:[ \-](?:{_SMALL_WORDS}|[{_C}][{_L}'\u2019.\-]{{1,24}})){{0,3}} (?!(?:19|20)[0-9]{{2}}(?![0-9])){_NUMBER}"
        rf"(?: [A-Z]? ?[0-9]{{1,3}})?"
        rf"(?:, ?|(?=,? [A-Z]{{1,2}}-),? )"
        rf"(?:[A-Z]{{1,2}}-)?(?:[0-9]{{5}}|[0-9]{{3}} [0-9]{{2}}|[0-9]{{2}}-[0-9]{{3}}|(?!19|20)[0-9]{{4}}"
        rf"(?: ?[A-Z]{{2}}\b)?)"
        rf" {_TOWN}(?: [0-9]{{1,2}}(?![0-9]))?",
    ),
    "german": (
        "[0-9],? (?:D-)?[0-9]{5} [A-ZÀ-Þ]",
    rf"(?:Straße|Am|An der|An den|Auf der|Auf dem|Unter den|Unter der|Im|In der|Zum|Zur|Alte|Neue|Große|"
    rf"Kleine|Platz) "
    rf"(?:des |der |am )?[{_C}][{_L}\-]{{2,24}}(?: [{_C}][{_L}\-]{{2,24}})? {_NUMBER},? (?:D-)?[0-9]{{5}} {_TOWN}",
    ),
    "french": (  # 12 bis, rue de la Paix, 75002 Paris
        f"[0-9](?: ?(?:bis|ter|[A-D]))?,? (?:{_FRENCH_STREETS})[ ]",
    rf"{_PLACE_BEFORE}[0-9]{{1,4}}(?: ?(?:bis|ter|[A-D]))?,? {_FRENCH_ONLY}"
    rf"(?:{_FRENCH_STREETS}) (?:(?:de|du|des|la|le|les"
    rf"|l['\u2019]|d['\u2019]|"
    rf"de l['\u2019]) ?){{0,3}}"
    rf"[{_L}'\u2019\-]{{2,24}}(?: [{_L}'\u2019\-]{{2,24}}){{0,3}}?"
    rf"(?:{_FRENCH_FLAT}(?:,|\n| -)? ?(?:F-|CH-|B-)?[0-9]{{4,5}} {_TOWN}|"
    rf"{_FRENCH_FLAT}(?<=[0-9a-zè])(?=[,.;\n]|$)|"
    rf"(?=[,.;\n]|$)|(?= [a-zà]))",
    ),
    "french_with_town": (  # boulevard Rodriguez, 31156 Reynaud; avenue de Vuille 976, 7134 Treboux
        "[0-9a-zà-ÿ](?:, ?|\n)(?:F-|CH-|B-)?[0-9]{4,5} [A-ZÀ-Þ]",
        rf"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Pp]lace|[Cc]hemin|[Ii]mpasse|[Aa]llée|[Qq]uai|[Rr]oute)"
        rf" (?:(?:de|du|des|la|le|les|l['\u2019]|d['\u2019]) ?){{0,3}}[{_C}][{_L}'\u2019\-]{{1,24}}"
        rf"(?: [{_L}'\u2019\-]{{2,24}}){{0,3}}(?: [0-9]{{1,4}}[a-z]?)?(?:, ?|\n)(?:F-|CH-|B-)?[0-9]{{4,5}} {_TOWN}",
    ),
    "with_region": (  # 347 Elaine Mount, Richardside, MP 11406: no street word, but region and postcode behind the town
        rf"[a-zà-ÿ.],?[ \n][A-Z]{{2,4}},? [0-9]{{4,5}}|[A-Z] {_CANADIAN}|[a-zà-ÿ](?:, ?|\n){_UK_POSTCODE}",
        rf"{_UNIT_BEFORE}[0-9]{{1,6}}[A-Za-z]?(?:[/\-][0-9]{{1,4}})? (?:(?:rue|avenue|boulevard|chemin|rang|route) )?"
        rf"(?:{_WORD} ){{0,3}}{_WORD}{_FLAT}(?:, ?|\n){_TOWN}(?:"
        rf"(?:, ?| |\n)[A-Z]{{2,4}},? (?:[0-9]{{5}}(?:-[0-9]{{4}})?(?![0-9])|[0-9]{{4}}(?![0-9])|{_CANADIAN})"
        rf"|(?:, ?|\n){_UK_POSTCODE})",
    ),
    "portuguese_with_town": (  # Sítio Garcia, 770, São Jorge, 38931-119 Vargas / RJ
        "[0-9]{4,5}-?[0-9]{3} [A-ZÀ-Þ]",
        rf"[{_C}][{_L}.]{{1,24}}(?: (?:(?:de|da|do|das|dos|d['\u2019]) ?)?[{_C}][{_L}'\u2019\-]{{1,24}}){{0,4}}"
        rf", (?:[0-9]{{1,5}}|[Ss]/[Nn])(?:(?:, ?|\n| - )[{_C}0-9][{_L}0-9\u00aa\u00ba'\u2019. \-]{{1,40}}?){{0,2}}"
        rf"(?:, ?|\n| - )(?:[0-9]{{5}}-?[0-9]{{3}}|[0-9]{{4}}-[0-9]{{3}}) {_TOWN}(?: ?[/\-] ?[A-Z]{{2}}\b)?",
    ),
    "indian": (  # H.No. 963, Kunda Chowk, Rampur-839974
        rf"[ ](?:{_INDIAN_STREETS})[ ,\n]",
        rf"(?:(?:H|Plot|Flat|Door|House)\.? ?[Nn]o\.? ?)?[0-9]{{1,5}}(?:[/\-][0-9A-Z]{{1,4}})?,?[ \n]"
        rf"(?:{_WORD}[ ,]{{1,2}}){{1,4}}?(?:{_INDIAN_STREETS}(?: [0-9]{{1,3}})?)"
        rf"(?:[,\n] ?{_TOWN}){{0,2}} ?[ \-\u2013]{{1,2}}[0-9]{{6}}(?![0-9])",
    ),
    "romance_slavic": (  # Spanish, Portuguese, Italian, Polish, Russian, Romanian
        f"(?:{_STREETS_FIRST})[ ]",
    rf"(?:{_PLACE_BEFORE}|{_RUSSIAN_TOWN})(?:{_STREETS_FIRST}) ?"
    rf"(?:(?:de|del|da|do|dos|das|la|las|los|di|della|delle|dello|dei|degli|dell['\u2019]|al|alla|e|y|San|Santa|São|[0-9]{{1,2}})"
    rf" ){{0,3}}(?:[0-9]{{1,3}}[A-Z]?(?= ?(?:#|N[\u00ba\u00b0o.] ?[0-9]))|[{_C}0-9][{_L}'\u2019.\-]{{0,24}})"
    rf"(?: (?:(?:de|del|da|do|dos|das|la|di|della|delle|dei|degli|e|y) )?[{_C}][{_L}'\u2019.\-]{{0,24}}){{0,4}},? ?"
    rf"(?:n[.\u00ba\u00b0o]{{0,2}} ?|N[.\u00ba\u00b0]{{1,2}} ?|nr\.? ?|д\.? ?|# ?|"
    rf"дом )?(?:[Ss]/[Nn]|[0-9]{{1,5}})(?:[/\-][0-9]{{1,4}})?"
    rf"(?: (?:bis|ter)\b|[/ ]?[a-zA-Zа-я](?![{_L}.])|[\u00ba\u00aa])?\b"
    rf"(?: (?:Sur|Norte|Este|Oeste)\b)?(?:(?: ?,|\n)? ?(?:kv\.|кв\.?|корп\.?|к\.|стр\.?|оф\.?|офис|m\.|lok\."
    rf"|[Aa]p[at]o?\.?|[Aa]partamento|[Aa]ppartamento|[Dd]epto\.?|[Dd]pto\.?|[Dd]to\.?|[Dd]epartamento|[Ii]nterior|interno|casa|conjunto"
    rf"|cj\.?|sala|bl\.|[Pp]iso|[Pp]iano|bloco|[Ll]ocal|[Oo]ficina|[Ee]dif\.|[Tt]orre|[Ee]tapa|[Bb]loque"
    rf"|int\.|scala|escalera|planta|[Pp]uerta|[0-9]{{1,2}}[\u00ba\u00aa\u00b0oa\u1d43])"
    rf" ?[0-9A-Za-z]{{0,5}}(?:/[0-9]{{1,4}})?){{0,3}}"
    rf"(?:(?: ?,|\n| -|\u2013) ?(?:г\. ?)?{_TOWN}(?: ?[\-/] ?[A-Z]{{2}}\b)?){{0,3}}"
    rf"(?: [0-9]{{4}}(?=, [{_C}]), {_TOWN})?(?:(?:,|\n| -)? ?(?:CEP:? )?"
    rf"(?:[0-9]{{5}}-[0-9]{{3}}|[0-9]{{2}}-[0-9]{{3}}|"
    rf"[0-9]{{4}}-[0-9]{{3}}|[0-9]{{5,6}})(?:(?:,? |,?\n){_TOWN}(?:, {_TOWN})?)?(?: \(?[A-Z]{{2}}\b\)?)?)?",
    ),
    "turkish": (
        "(?:Caddesi|Cad\\.|Sokağı|Sokak|Sok\\.|Bulvarı|Mahallesi|Mah\\.)",
    rf"(?:(?!Adres)[{_C}][{_L}]+ ){{1,3}}(?:Caddesi|Cad\.|Sokağı|Sokak|Sok\.|Bulvarı|Mahallesi|Mah\.)"
    rf"[^\n;]{{0,40}}?No ?:? ?[0-9]{{1,4}}(?:/[0-9]{{1,4}})?"
    rf"(?:,? ?(?:D|Daire|Kat|K) ?:? ?[0-9]{{1,3}}){{0,2}}(?:,? (?:[0-9]{{5}} )?{_TOWN}(?: ?/ ?{_TOWN_WORD})?)?",
    ),
    "hungarian": (
        "(?: utca| u\\.| út| útja| tér| körút| krt\\.| rakpart| sétány| köz) [0-9]",
        rf"(?:[0-9]{{4}} [{_C}][{_L}]+, )?(?:[{_C}][{_L}.\-]{{1,24}} ){{1,3}}(?:utca|u\.|út|útja|tér|körút|krt\."
        rf"|rakpart|sétány|köz)"
        rf" [0-9]{{1,4}}\.?(?:/[A-Za-z0-9]{{1,3}}\.?)?",
    ),
    "russian": (  # Невский проспект, 28
        "(?:проспект|улица|переулок|бульвар|шоссе|набережная|площадь|проезд),? (?:д|[0-9])",
        rf"(?:{_PLACE_BEFORE}|г\. ?[{_C}][{_L}\-]{{2,24}}, )[{_C}][а-яё\-]{{2,24}} "
        rf"(?:проспект|улица|переулок|бульвар|шоссе"
        rf"|набережная|площадь|проезд)"
        rf",? (?:д\.? ?|дом )?[0-9]{{1,4}}(?:[/\-][0-9]{{1,4}})?[а-я]?\b(?:,? (?:кв|корп|к|стр"
        rf"|оф)\.? ?[0-9]{{1,4}}){{0,3}}"
        rf"(?:, ?(?:г\. ?)?{_TOWN})?(?:, ?[0-9]{{6}})?",
    ),
    "military": (
        "(?:PSC|CMR|UNIT|Unit) [0-9]{1,5},? (?:Box|BOX) |[ADF]PO,? A[AEP] [0-9]",
        r"(?:(?:PSC|CMR|UNIT|Unit) [0-9]{1,5},? (?:Box|BOX) [0-9]{1,5}[, \n]{0,3})?(?:[ADF]PO,? A[AEP] [0-9]{5}"
        r"(?:-[0-9]{4})?)"
        r"|(?:PSC|CMR|UNIT|Unit) [0-9]{1,5},? (?:Box|BOX) [0-9]{1,5}",
    ),
    "unit": (  # 100 Broadway, Suite 200, New York: no street word, but the number of a flat
        "(?:[Aa]pt|[Ss]uite|[Ss]te|[Aa]partment)\\.? #?[0-9]",
        rf"[0-9]{{1,6}}[A-Za-z]? (?:[{_L}0-9'\u2019.\-]{{1,24}}[ ,]{{1,2}}"
        rf"|[{_L}0-9'\u2019.\-]{{1,24}},?\n ?[>?]{{0,3}} ?){{1,6}}"
        rf"(?:[Aa]pt|[Ss]uite|[Ss]te|[Aa]partment)\.? #?[0-9]{{1,5}}[A-Za-z]?"
        rf"(?:(?:,|\n| -)? {{0,4}}{_TOWN})?(?:(?:,|\n)? {{0,4}}{_ZIP})?",
    ),
    "lower_case": (
        "[0-9][a-z]? [a-z]{3,20}(?: [a-z]{3,20})? (?:street|avenue|road|lane|boulevard)",
        rf"[0-9]{{1,5}}[a-z]? (?:(?!{_NO_STREETS})[a-z'\-]{{3,20}} ){{1,2}}(?:street|avenue|road|lane|boulevard)\b"
        rf"(?:,? (?:apt|suite|flat|unit)\.? ?#?[0-9a-z]{{1,5}}\b)?",
    ),
    "arabic": (
        "(?:شارع|طريق|جادة|ميدان) ",
        rf"(?:[0-9]{{1,5}} ?[,،]? ?)?(?:شارع|طريق|جادة|ميدان) {_ARABIC}{{2,20}}(?: (?!رقم|في"
        rf"|من){_ARABIC}{{2,20}}){{0,3}}"
        rf"(?:(?: ?[,،]? ?(?:رقم )?[0-9]{{1,5}})(?:[,،] ?{_ARABIC}{{2,20}}(?: {_ARABIC}{{2,20}})?)?(?: [0-9]{{5}})?"
        rf"|(?<=[0-9] )|[,،] ?{_ARABIC}{{2,20}}(?: [0-9]{{5}})?)",
    ),
    "hindi": (
        "[0-9], ?[\u0900-\u097f]",
        rf"(?:{_HINDI_HOUSE} (?:{_folded('नंबर')}|{_folded('संख्या')}|{_folded('नं')}\.?) ?[0-9]{{1,5}}"
        rf"|[0-9]{{1,5}}), ?[\u0900-\u097f][\u0900-\u097f0-9 ,./\-]{{3,79}}?"
        rf"(?:[ \-][0-9]{{6}}(?![0-9])"
        rf"|(?:{_HINDI_STREETS})(?![\u0900-\u097f])(?:, ?[\u0900-\u097f]{{2,20}}){{0,2}}"
        rf"(?:[ \-][0-9]{{6}}(?![0-9]))?)",
    ),
    "chinese": (
        "[路街道巷弄同段](?:[0-9]{1,5}[号號弄]|[0-9A-Za-z]{1,2}座)",
    f"(?:{_CHINESE_TOWN}|[一-鿿]{{2,6}}?)"
    "(?:路|街|道|巷|弄|大道|胡同)(?:[一二三四五六七八九十东西南北中]{1,2}段)?[0-9]{1,5}(?:号|號|弄)(?![线線车車])"
    "(?:[一-鿿0-9A-Za-z\\-]{0,20}?(?:[0-9A-Za-z]{1,4}(?:楼|室|单元|栋|号楼|层|户)){1,4}|"
    "[一-鿿0-9A-Za-z\\-]{0,20}(?=[^一-鿿0-9A-Za-z\\-]|$)|)"
    f"|{_CHINESE_TOWN}(?:路|街|道|巷)[0-9A-Za-z]{{1,2}}座(?: ?[0-9]{{6}}(?![0-9]))?",
    ),
    "japanese": (
        "[市区町村]",
    "(?:〒 ?[0-9]{3}-?[0-9]{4} ?)?[一-鿿]{2,4}[都道府県][一-鿿぀-ヿ]{1,16}[市区町村][一-鿿぀-ヿ]{0,16}"
    "[0-9]{1,4}(?:(?:丁目|番地?|号|-)"
    "[0-9]{0,4}){1,3}(?: ?[一-鿿぀-ヿ]{1,16}[0-9]{1,4}号室)?",
    ),
    "korean": (
        "(?:로|\uae38|동|거리) ?(?:지하)?[0-9]",
    "[가-힣]{1,8}(?:시|도) (?:[가-힣]{1,8}(?:시|\uad70|\uad6c)"
    " ){1,2}[가-힣0-9]{1,16}(?:로|\uae38|동|거리) ?(?:지하)?[0-9]{1,4}(?:-[0-9]{1,4})?"
    "(?:,? [0-9]{1,4}(?:동|호|층)){0,3}(?: ?\\([가-힣0-9]{2,12}\\))?",
    ),
}  # fmt: skip
"""Language -> (what must stand in the text, in the common subset of both engines; the address, for `re`)."""


_UNSPACED: Final = ("chinese", "japanese")
_CHINESE_LEAD: Final = re.compile(
    "[一-鿿]{0,8}?(?:位于|地址是|地址为|地址|住在|寄到|寄往|寄至|送到|送至|[在到去是往从])"
)
"""What a sentence says before the address, and the pattern takes for a part of its town."""


def _begin(text: str, start: int, end: int) -> int:
    lead = _CHINESE_LEAD.match(text, start, end)
    return lead.end() if lead else start


def locator(language: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    """A `Locate` for addresses as they are written in `language`."""
    search = re.compile(rf"(?<![{_L}0-9])(?:{PATTERNS[language][1]})").search
    match_glued = re.compile(PATTERNS[language][1]).match

    def locate(text: str) -> Iterator[tuple[int, int]]:
        match = search(text)
        while match:
            start, end = match.span()
            yield (_begin(text, start, end) if language in _UNSPACED else start), end
            # One that touches the last is found in the same go: round after round would cost the square of the text.
            match = match_glued(text, match.end()) or search(text, match.end())

    return locate
