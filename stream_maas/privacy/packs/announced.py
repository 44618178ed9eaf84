"""Personal data without a form of its own, found behind a word for it: passports, licences, dates of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stream_maas.privacy.announced import any_case, gate, locator
from stream_maas.privacy.documents import trim_german_document
from stream_maas.privacy.rows import Code, Located, Number, Recognizer, Shaped

_PASSPORT: Final = (
    "passport", "passport number", "passport no", "reisepass", "reisepassnummer", "passnummer", "passeport",
    "numéro de passeport",
    "pasaporte", "número de pasaporte", "passaporto", "passaporte", "paspoort", "paspoortnummer", "paszport",
    "numer paszportu",
    "passnr", "pasnummer", "pass nr", "passinumero", "pašaport", "pașaport", "паспорт", "паспорта", "номер паспорта",
    "护照", "护照号",
    "護照", "旅券番号", "パスポート", "パスポート番号", "여권", "여권번호", "جواز سفر", "جواز السفر", "رقم الجواز",
    "पासपोर्ट", "pasaport",
    "pasaport numarası",
)  # fmt: skip
_LICENCE: Final = (
    "driver license", "driver's license", "drivers license", "driver licence", "driver's licence", "driving licence",
    "driving license",
    "drivers licence", "driver license number", "license number", "licence number", "dl", "dl number", "dl no", "dl#",
    "lic#", "d.l.",
    "führerschein", "führerscheinnummer", "führerschein-nr", "fahrerlaubnis", "permis de conduire",
    "numéro de permis",
    "permiso de conducir", "licencia de conducir", "carnet de conducir", "patente di guida", "patente",
    "numero patente", "rijbewijs",
    "rijbewijsnummer", "prawo jazdy", "körkort", "kørekort", "førerkort", "ajokortti", "carta de condução",
    "carteira de motorista", "carteira de habilitação",
    "водительское удостоверение",
    "驾驶证", "驾照", "驾驶证号", "运転免許証", "運転免許", "免許証番号", "운전면허", "운전면허번호",
    "sürücü belgesi", "ehliyet",
    "رخصة القيادة", "ड्राइविंग लाइसेंस", "права", "номер прав", "licença de condução", "número da carteira de motorista",
)  # fmt: skip
_PLATE: Final = (
    "license plate", "licence plate", "number plate", "plate number", "registration number", "vehicle registration",
    "car plate",
    "kennzeichen", "nummernschild", "kfz-kennzeichen", "plaque d'immatriculation", "immatriculation", "matrícula",
    "matricula", "targa",
    "kenteken", "numer rejestracyjny", "tablica rejestracyjna", "registreringsnummer", "госномер", "номер машины",
    "车牌", "车牌号",
    "plaka", "ナンバープレート", "차량번호",
)  # fmt: skip
_NATIONAL_ID: Final = (
    "national id", "national id number", "national identification number", "national identity number",
    "identity number",
    "identity card number", "id card number", "id card", "identity card", "personal id number",
    "identification number",
    "personalausweisnummer", "personalausweis", "ausweisnummer", "carte d'identité", "carte nationale d'identité",
    "numéro d'identité",
    "documento de identidad", "cédula", "cedula", "carta d'identità", "carta di identità", "identiteitskaart",
    "dowód osobisty",
    "numer dowodu", "удостоверение личности", "инн", "снилс", "证件号码", "证件号", "身份証", "신분증", "rقم الهوية",
    "رقم الهوية",
    "رقم الهوية الوطنية", "emirates id", "iqama", "nik", "ktp", "cccd", "cmnd", "nin", "curp", "pan card",
)  # fmt: skip
_BIRTH: Final = (
    "birth", "born", "born on", "dob", "d.o.b", "date of birth", "birth date", "birthdate", "birthday", "bday",
    "geboren", "geboren am", "geb", "geburtsdatum", "geburtstag", "né le", "née le", "né", "née", "date de naissance",
    "naissance",
    "nacido", "nacida", "nací", "nació", "fecha de nacimiento", "nacimiento", "nato il", "nata il", "nato", "nata",
    "data di nascita",
    "nascita", "nascido", "nascida", "nasci", "nasceu", "nascimento", "data de nascimento", "aniversário",
    "geboortedatum", "geboren op",
    "urodzony", "urodzona", "urodzenia", "data urodzenia", "ur", "född", "födelsedatum", "født", "fødselsdato",
    "syntynyt", "syntymäaika",
    "narozen", "narozena", "datum narození", "родился", "родилась", "дата рождения", "рождения", "г.р", "出生",
    "出生日期",
    "生日",
    "出生年月", "出生于", "生年月日", "生まれ", "誕生日", "생년월일", "생일", "출생", "doğum tarihi", "doğum",
    "doğumlu",
    "تاريخ الميلاد", "مواليد", "ولد", "ولدت", "जन्म", "जन्म तिथि", "जन्मतिथि", "जन्म तारीख", "sinh ngày", "ngày sinh",
    "lahir", "tanggal lahir",
    "γέννηση", "ημερομηνία γέννησης", "születési dátum", "született", "născut", "data nașterii", "วันเกิด",
)  # fmt: skip
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
    "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "januar", "jänner", "februar", "märz", "mai", "juni", "juli", "oktober", "dezember", "dez", "okt",
    "janvier", "février", "mars", "avril", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
    "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre",
    "diciembre",
    "gennaio", "febbraio", "aprile", "maggio", "giugno", "luglio", "settembre", "ottobre", "dicembre",
    "janeiro", "fevereiro", "março", "maio", "junho", "julho", "setembro", "outubro", "novembro", "dezembro",
    "januari", "februari", "maart", "mei", "augustus", "stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca",
    "lipca",
    "sierpnia", "września", "października", "listopada", "grudnia", "augusti", "januari", "desember",
    "января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября",
    "декабря",
    "ocak", "şubat", "mart", "nisan", "mayıs", "haziran", "temmuz", "ağustos", "eylül", "ekim", "kasım", "aralık",
    "يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر", "أكتوبر", "نوفمبر", "ديسمبر",
    "जनवरी", "फरवरी", "मार्च", "अप्रैल", "मई", "जून", "जुलाई", "अगस्त", "सितंबर", "अक्टूबर", "नवंबर", "दिसंबर",
)  # fmt: skip
_USERNAME: Final = (
    "username", "user name", "login", "benutzername", "nom d'utilisateur", "nombre de usuario", "nome de usuário",
    "nome utente", "gebruikersnaam", "nazwa użytkownika", "användarnamn", "brukernavn", "brugernavn",
    "käyttäjätunnus", "имя пользователя", "логин", "用户名", "账户名", "ユーザー名", "사용자 이름", "사용자명",
    "kullanıcı adı", "اسم المستخدم", "यूज़रनेम",
    "उपयोगकर्ता नाम",
)  # fmt: skip
_NO_NAME: Final = (
    "(?!(?:[A-Za-z_.]*(?:user|login|name|handler|client|proxy|auth)[A-Za-z_]*|none|null|nil|true|false|input"
    "|self|this|args|request|str|"
    "string|os|env|config|settings|kwargs|required|optional|undefined|unknown|anonymous|missing|invalid|failed"
    "|yes|no|not|is|the)"
    "(?![A-Za-z0-9]))(?!(?i:none|null|true|false)\\b)"
)
"""What stands behind such a word in a program, or says that there is no name."""
_NO_CODE: Final = "(?![0-9A-Za-z_\u00c0-\u024f(\\[])"
_USER: Final = (
    "user", "benutzer", "identifiant", "usuario", "usuário", "utente", "gebruiker", "użytkownik", "пользователь",
    "아이디", "ユーザー", "用户",
)  # fmt: skip
"""Words for users that more than a login name may follow: it must have a digit or an underscore."""
_YEAR: Final = "(?:1[89]|20)[0-9]{2}"
_MONTH: Final = f"(?:{any_case(_MONTHS)})"
_DATE_OF_DIGITS: Final = (
    f"(?:{_YEAR}[./\\-][0-9]{{1,2}}[./\\-][0-9]{{1,2}}|[0-9]{{1,2}}(?:[./\\-]|\\. )[0-9]{{1,2}}"
    f"(?:[./\\-]|\\. )(?:{_YEAR}|[0-9]{{2}}))"
)
_DATE_WITH_MONTH: Final = (
    f"(?:[0-9]{{1,2}}(?:st|nd|rd|th|er|º|ª|\\.|-)? ?(?:de |of |den )?{_MONTH}\\.?,?(?: de| del)? {_YEAR}"
    f"|{_MONTH}\\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}|[0-9]{{1,2}}-{_MONTH}-{_YEAR})"
)
_DATE_HAN: Final = f"{_YEAR} ?[年년][ ]?[0-9]{{1,2}} ?[月월] ?[0-9]{{1,2}} ?[日号號일]"
_BIRTH_BEHIND: Final = (
    "geboren|生まれ|出生|出世|출생|태어|일생|doğumlu|doğdu|született|syntynyt|narozen|urodzon|года рождения|г\\. ?р\\."
    "|मैं पैदा|को पैदा|को जन्म"
)
_BEFORE_BIRTH: Final = re.compile(
    f"(?<![0-9A-Za-z./\\-])({_DATE_OF_DIGITS}|{_DATE_WITH_MONTH}|{_DATE_HAN})"
    f"(?:'?(?:de|da|te|ta))?(?: in [^0-9\n.,;]{{2,24}})?[ ,]{{0,2}}(?:に|於)?(?:{_BIRTH_BEHIND})"
)


def _locate_before_birth(text: str) -> Iterator[tuple[int, int]]:
    return (match.span(1) for match in _BEFORE_BIRTH.finditer(text))


ROWS: Final[tuple[Recognizer, ...]] = (
    Located(
        name="passport_announced", entity_type="PASSPORT", pack="core", score=73, gate=gate(_PASSPORT),
        locate=locator(_PASSPORT,
        "(?=(?:[A-Za-z ]{0,4}[0-9]){5})(?:[A-Za-z]{0,3} ?[0-9][0-9A-Za-z]{4,9}|[A-Z][0-9A-Z]{7,8})"
        "|[A-Z][0-9A-Z]{8}|[0-9]{2} ?[0-9]{2} [0-9]{6}|[0-9]{2} [0-9]{7}", 2),
        found_by="5 to 10 characters behind a word for it",
    ),
    Located(
        name="driver_licence_announced", entity_type="DRIVER_LICENCE", pack="core", score=72, gate=gate(_LICENCE),
        locate=locator(_LICENCE,
        "[A-Z0-9]{1,8}(?:[ \\-][0-9A-Za-z]*[0-9][0-9A-Za-z]*){1,4}"
        "|[A-Za-z]{0,8}[0-9][0-9A-Za-z]{4,16}", 4),
        found_by="5 to 18 characters behind a word for it",
    ),
    Located(
        name="licence_plate_announced", entity_type="LICENCE_PLATE", pack="core", score=71, gate=gate(_PLATE),
        locate=locator(_PLATE,
        "[A-ZА-ЯÄÖÜ]{1,3}[ \\-]?[A-Z]{0,2}[ \\-]?[0-9]{1,4}[ \\-]?[A-ZА-Я0-9]{0,4}"
        "|[0-9]{1,4}[ \\-]?[A-Z]{1,3}[ \\-]?[0-9]{0,4}", 1),
        found_by="letters and digits behind a word for it",
    ),
    Located(
        name="national_id_announced", entity_type="NATIONAL_ID", pack="core", score=51, gate=gate(_NATIONAL_ID),
        locate=locator(_NATIONAL_ID, "[A-Za-z]{0,3}[0-9](?:[\\-. /]?[0-9A-Za-z]){4,18}", 5),
        found_by="6 to 20 characters behind a word for it",
    ),
    Shaped(
        name="birth_date", entity_type="DATE_OF_BIRTH", pack="core", score=87, made_of="digits",
        pattern=_DATE_OF_DIGITS, cues=_BIRTH, found_by="a date of digits behind a word for birth",
    ),
    Shaped(
        name="birth_date_words", entity_type="DATE_OF_BIRTH", pack="core", score=87, made_of="words",
        pattern=_DATE_WITH_MONTH, cues=_BIRTH, found_by="the same with the month in words",
    ),
    Shaped(
        name="birth_date_han", entity_type="DATE_OF_BIRTH", pack="core", score=87, made_of="digits",
        pattern=_DATE_HAN, cues=_BIRTH,
        found_by="the same in Chinese, Japanese, Korean",
    ),
    Located(
        name="birth_date_before_word", entity_type="DATE_OF_BIRTH", pack="core", score=86,
        gate=f"(?:{_BIRTH_BEHIND})", locate=_locate_before_birth,
        found_by="a date right before a word for birth: am 12.3.1985 geboren, 1985年3月12日生まれ",
    ),
    Shaped(
        name="handle", entity_type="USERNAME", pack="core", score=53, pattern="@[A-Za-z0-9_][A-Za-z0-9_.]{1,29}",
        cues=(
            "instagram", "insta", "ig", "twitter", "telegram", "tiktok", "snapchat", "github", "mastodon", "discord",
            "handle", "username",
            "user name", "x account", "follow me", "follow", "dm me", "dm", "threads", "bluesky", "sígueme",
            "me siga", "suis-moi",
            "folgt mir", "suivez-moi", "suivez", "seguimi", "volg",
            "关注", "推特", "微博", "ника", "ник", "телеграм", "инстаграм", "inst",
            "twitter handle",
        ),
        found_by="@ and a name, behind a word for a network",
    ),
    Located(
        name="user_name_announced", entity_type="USERNAME", pack="core", score=54, made_of="secrets",
        gate=gate(_USERNAME), locate=locator(_USERNAME,
            f"(?:(?<=[:=] )|(?<=[:=是は은는])){_NO_NAME}[A-Za-z][A-Za-z0-9_.\\-]{{2,31}}{_NO_CODE}"
            "|(?<=is )[A-Za-z]+[0-9_.][A-Za-z0-9_.\\-]{1,31}", 0),
        found_by="a name behind a word for it",
    ),
    Located(
        name="user_announced", entity_type="USERNAME", pack="core", score=54, made_of="secrets", gate=gate(_USER),
        locate=locator(
            _USER,
            f"(?:(?<=: )|(?<=[:是は은는])){_NO_NAME}"
            f"[A-Za-z][A-Za-z.\\-]{{0,24}}[0-9_][A-Za-z0-9_.\\-]{{0,24}}{_NO_CODE}"
            f"|(?<==){_NO_NAME}[A-Za-z][A-Za-z.\\-]{{0,24}}[0-9][A-Za-z0-9_.\\-]{{0,24}}{_NO_CODE}",
            0,
        ),
        found_by="a name with a digit or underscore behind a word for users",
    ),
    Number(
        name="sort_code", entity_type="BANK_ACCOUNT", pack="core", score=64, layouts=("6", "8"),
        cues=("sort code", "blz", "bankleitzahl", "bsb"), found_by="sort code",
    ),
    *(
        Code(
            name=f"{pack}_passport", entity_type="PASSPORT", pack=pack, score=63, pictures=pictures, any_case=True,
            weak=True,
            found_by="its national form",
        )
        for pack, pictures in (
            ("es", ("AAA999999",)), ("it", ("AA9999999", "AA999999")), ("uk", ("AA9999999",)), ("in", ("A9999999",)),
            ("us", ("A99999999",)),
            ("fr", ("99AA99999",)), ("br", ("AA999999",)),
        )
    ),
    Shaped(
        name="de_document", entity_type="PASSPORT", pack="de", score=63, made_of="letters",
        pattern="[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{7}[0-9]",
        trim=trim_german_document, weak=True, found_by="9 characters", checked_by="ICAO check digit",
    ),
    Shaped(
        name="de_document_announced", entity_type="DE_ID_CARD", pack="de", score=83, made_of="letters",
        pattern="[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{7}[0-9]D?",
        trim=trim_german_document, cues=("ausweis", "personalausweis", "ausweisnummer", "personalausweisnummer"),
        found_by="9 characters",
        checked_by="ICAO check digit",
    ),
)  # fmt: skip
