"""Identifiers of other countries: Canada, Mexico, Argentina, Chile, India, Japan, Korea, Singapore, Thailand, Turkey,
South Africa, Australia."""

from __future__ import annotations

from itertools import product
from typing import Final

from stream_maas.privacy import checksums, national_world
from stream_maas.privacy.rows import Code, Number, Recognizer

_RFC_PICTURES: Final = (
    *(
        f"{letters}{gap}999999{gap}{''.join(end)}"
        for letters in ("AAAA", "AAA")
        for gap in ("", " ", "-")
        for end in product("A9", repeat=3)
    ),
    *(f"AAAA{gap}999999" for gap in ("", " ", "-")),
)

ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="ca_sin", entity_type="CA_SIN", pack="ca", score=88, layouts=("9", "3~3~3"),
        cues=("sin", "social insurance", "social insurance number", "sin number", "sin no", "nas",
        "assurance sociale", "numéro d'assurance sociale"),
        verify=national_world.ca_sin, found_by="9 digits", checked_by="Luhn",
    ),
    Code(
        name="mx_curp", entity_type="MX_CURP", pack="mx", score=94, pictures=("AAAA999999AAAAAA99",
        "AAAA999999AAAAAAA9"),
        form="[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[A-Z0-9][0-9]", any_case=True, verify=national_world.mx_curp,
        found_by="18 characters",
        checked_by="check digit, date",
    ),
    Code(
        name="mx_rfc", entity_type="MX_RFC", pack="mx", score=85,
        pictures=("AAAA999999AAA", "AAAA999999AA9", "AAAA999999A99", "AAAA999999999", "AAAA9999999A9",
        "AAAA99999999A", "AAAA9999999AA", "AAAA999999A9A",
                  "AAAA-999999-AAA", "AAAA-999999-AA9", "AAAA-999999-A99", "AAAA-999999-9A9", "AAAA-999999-999",
                  "AAAA-999999-99A"),
        form="[A-Z]{4}[0-9]{6}[A-Z0-9]{3}", verify=national_world.mx_rfc, found_by="4 letters, date, 3 characters",
        checked_by="date",
    ),
    Code(
        name="mx_rfc_announced", entity_type="MX_RFC", pack="mx", score=85,
        pictures=_RFC_PICTURES,
        form="[A-Z]{3,4}[0-9]{6}(?:[A-Z0-9]{3})?", any_case=True, verify=national_world.mx_rfc,
        cues=("rfc", "registro federal de contribuyentes"), found_by="3 or 4 letters, date, 3 characters",
        checked_by="date",
    ),
    Number(
        name="ar_cuit", entity_type="AR_CUIT", pack="ar", score=88, layouts=("2-8-1", "2 8 1"),
        form="(?:2[03457]|3[034])[0-9]{9}",
        verify=national_world.ar_cuit, found_by="`dd-dddddddd-d`", checked_by="MOD 11",
    ),
    Number(
        name="ar_cuit_announced", entity_type="AR_CUIT", pack="ar", score=95, layouts=("11",),
        form="(?:2[03457]|3[034])[0-9]{9}", cues=("cuit", "cuil", "clave única de identificación tributaria"),
        verify=national_world.ar_cuit, found_by="11 digits", checked_by="MOD 11",
    ),
    Number(
        name="ar_dni", entity_type="AR_DNI", pack="ar", score=70, layouts=("2.3.3", "8", "1.3.3", "7"),
        cues=("dni", "documento nacional de identidad", "documento"), found_by="7 or 8 digits",
    ),
    Code(
        name="cl_rut", entity_type="CL_RUT", pack="cl", score=88, pictures=("99.999.999-A", "99999999-A",
        "9.999.999-A", "9999999-A"),
        form="[0-9]{7,8}K", any_case=True, verify=national_world.cl_rut, found_by="7 or 8 digits and K",
        checked_by="MOD 11",
    ),
    Number(
        name="cl_rut_digits", entity_type="CL_RUT", pack="cl", score=87, layouts=("2.3.3-1", "1.3.3-1"),
        verify=national_world.cl_rut,
        found_by="`dd.ddd.ddd-d`", checked_by="MOD 11",
    ),
    Number(
        name="cl_rut_announced", entity_type="CL_RUT", pack="cl", score=87, layouts=("8-1", "7-1", "9", "8"),
        cues=("rut", "run", "rol único tributario", "rol unico tributario", "cédula de identidad"),
        verify=national_world.cl_rut, found_by="8 or 9 digits", checked_by="MOD 11",
    ),
    Number(
        name="in_aadhaar", entity_type="IN_AADHAAR", pack="in", score=87, layouts=("4~4~4",), form="[2-9][0-9]{11}",
        verify=national_world.aadhaar, found_by="12 digits in fours", checked_by="Verhoeff",
    ),
    Number(
        name="in_aadhaar_announced", entity_type="IN_AADHAAR", pack="in", score=96, layouts=("12",),
        form="[2-9][0-9]{11}",
        cues=("aadhaar", "aadhar", "aadhaar number", "aadhaar no", "uidai", "uid", "आधार", "आधार संख्या",
        "आधार नंबर"),
        verify=national_world.aadhaar, found_by="12 digits", checked_by="Verhoeff",
    ),
    Code(
        name="in_pan", entity_type="IN_PAN", pack="in", score=88, pictures=("AAAAA9999A",),
        form="[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]",
        any_case=True, found_by="5 letters, 4 digits, letter", checked_by="holder letter",
    ),
    Code(
        name="in_pan_announced", entity_type="IN_PAN", pack="in", score=87, pictures=("AAAAA9999A", "AAAAA 9999 A"),
        any_case=True,
        cues=("pan", "pan number", "pan no", "pan card", "permanent account number", "पैन"),
        found_by="the same behind a word for it",
    ),
    Code(
        name="in_gstin", entity_type="IN_GSTIN", pack="in", score=93, pictures=("99AAAAA9999A9AA", "99AAAAA9999A9A9",
        "99AAAAA9999AAAA", "99AAAAA9999AAA9"),
        form="[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]", any_case=True, verify=national_world.in_gstin,
        found_by="state, PAN, 3 characters",
        checked_by="MOD 36",
    ),
    Code(
        name="in_voter", entity_type="VOTER_ID", pack="in", score=75, pictures=("AAA9999999",), any_case=True,
        cues=("voter", "voter id", "epic", "epic no", "elector", "voter card", "मतदाता"),
        found_by="3 letters, 7 digits",
    ),
    Number(
        name="jp_my_number", entity_type="JP_MY_NUMBER", pack="jp", score=96, layouts=("12", "4~4~4"),
        cues=("マイナンバー", "個人番号", "my number", "mynumber", "individual number"),
        verify=national_world.jp_my_number,
        found_by="12 digits",
        checked_by="MOD 11",
    ),
    Number(
        name="kr_rrn", entity_type="KR_RRN", pack="kr", score=96, layouts=("6-7",), form="[0-9]{6}[0-9][0-9]{6}",
        verify=national_world.kr_rrn,
        found_by="6 digits, hyphen, 7", checked_by="date",
    ),
    Number(
        name="kr_rrn_announced", entity_type="KR_RRN", pack="kr", score=96, layouts=("13",),
        verify=national_world.kr_rrn,
        cues=("주민등록번호", "주민번호", "외국인등록번호", "rrn", "resident registration number"),
        found_by="13 digits",
        checked_by="date",
    ),
    Code(
        name="sg_nric", entity_type="SG_NRIC", pack="sg", score=91, pictures=("A9999999A",),
        form="[STFGM][0-9]{7}[A-Z]", any_case=True,
        verify=national_world.sg_nric, found_by="letter, 7 digits, letter", checked_by="check letter",
    ),
    Number(
        name="th_tnin", entity_type="TH_TNIN", pack="th", score=91, layouts=("1-4-5-2-1", "1 4 5 2 1"),
        form="[1-9][0-9]{12}",
        verify=national_world.th_tnin, found_by="13 digits, grouped", checked_by="MOD 11",
    ),
    Number(
        name="th_tnin_announced", entity_type="TH_TNIN", pack="th", score=96, layouts=("13",), form="[1-9][0-9]{12}",
        cues=("เลขบัตรประชาชน", "เลขประจำตัวประชาชน", "บัตรประชาชน", "thai id", "thai national id", "national id"),
        verify=national_world.th_tnin,
        found_by="13 digits", checked_by="MOD 11",
    ),
    Number(
        name="tr_kimlik", entity_type="TR_KIMLIK", pack="tr", score=95, layouts=("11",), form="[1-9][0-9]{10}",
        cues=("tc", "tckn", "kimlik", "tc kimlik", "kimlik no", "kimlik numarası", "tc kimlik no",
        "tc kimlik numarası", "t.c"), verify=national_world.tr_kimlik,
        found_by="11 digits", checked_by="two check digits",
    ),
    Number(
        name="za_id", entity_type="ZA_ID", pack="za", score=96, layouts=("13", "6 4 3", "6 4 2 1", "6 4 1 1 1"),
        form="[0-9]{10}[0-2][0-9]{2}", verify=national_world.za_id,
        found_by="13 digits", checked_by="Luhn, date",
    ),
    Number(
        name="au_tfn", entity_type="AU_TFN", pack="au", score=88, layouts=("9", "3~3~3", "8", "2 3 3"),
        cues=("tfn", "tax file number", "tax file no"), verify=national_world.au_tfn, found_by="8 or 9 digits",
        checked_by="MOD 11",
    ),
    Number(
        name="au_abn", entity_type="AU_ABN", pack="au", score=85, layouts=("2 3 3 3",), verify=national_world.au_abn,
        found_by="`dd ddd ddd ddd`",
        checked_by="MOD 89",
    ),
    Number(
        name="au_abn_announced", entity_type="AU_ABN", pack="au", score=95, layouts=("11", "2~3~3~3"),
        verify=national_world.au_abn,
        cues=("abn", "australian business number"), found_by="11 digits", checked_by="MOD 89",
    ),
    Number(
        name="au_acn", entity_type="AU_ACN", pack="au", score=80, layouts=("9", "3~3~3"), verify=national_world.au_acn,
        cues=("acn", "australian company number"), found_by="9 digits", checked_by="MOD 10",
    ),
    Number(
        name="au_medicare", entity_type="AU_MEDICARE", pack="au", score=87, layouts=("10", "4 5 1", "11", "4-5-1",
        "4 5 1 1"), form="[2-6][0-9]{9,10}",
        cues=("medicare", "medicare number", "medicare no", "medicare card"), verify=national_world.au_medicare,
        found_by="10 or 11 digits", checked_by="MOD 10",
    ),
    Number(
        name="il_id", entity_type="IL_ID", pack="il", score=80, layouts=("9",), verify=checksums.luhn,
        cues=("teudat zehut", "תעודת זהות", "מספר זהות", "ת.ז"), found_by="9 digits", checked_by="Luhn",
    ),
)  # fmt: skip
