"""Identifiers of the European Union, Switzerland, Norway and Iceland (GDPR)."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import national
from stream_maas.privacy.rows import Code, Number, Recognizer, Shaped

_OMO: Final = "[0-9LMNPQRSTUVlmnpqrstuv]"
_YYMMDD: Final = "[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]+"
_DDMMYY: Final = "(?:0[1-9]|[12][0-9]|3[01])(?:0[1-9]|1[0-2])[0-9]+"


def _trim_codice_fiscale(candidate: str) -> tuple[int, int] | None:
    value = candidate.replace(" ", "").upper()
    return (0, len(candidate)) if national.it_codice_fiscale(value) else None


_NATIONAL_ID_CUES: Final = (
    "national id", "national identification number", "id number", "personal id", "identity number", "id no",
    "id card",
    "id card number", "identity card", "personal number", "national number", "citizen number",
)  # fmt: skip

ROWS: Final[tuple[Recognizer, ...]] = (
    # Spain
    Code(
        name="es_dni", entity_type="ES_DNI", pack="es", score=93,
        pictures=("99999999~A", "99.999.999-A", "99.999.999A"), any_case=True, verify=national.es_dni,
        found_by="8 digits, letter", checked_by="MOD 23",
    ),
    Code(
        name="es_nie", entity_type="ES_NIE", pack="es", score=93, pictures=("A9999999~A", "A-9999999-A",
        "A 9999999 A"),
        form="[XYZ][0-9]{7}[A-Z]", any_case=True, verify=national.es_nie, found_by="X, Y or Z, 7 digits, letter",
        checked_by="MOD 23",
    ),
    # France
    Number(
        name="fr_nir", entity_type="FR_NIR", pack="fr", score=96, layouts=("15", "1 2 2 2 3 3 2", "13 2",
        "1.2.2.2.3.3.2"),
        form="[12][0-9]{2}(?:0[1-9]|1[0-2]|[2-9][0-9])[0-9]{10}", verify=national.fr_nir,
        found_by="13 digits and a key", checked_by="MOD 97, month",
    ),
    Number(
        name="fr_nir_provisional", entity_type="FR_NIR", pack="fr", score=93, layouts=("15", "1 2 2 2 3 3 2", "13 2",
        "1.2.2.2.3.3.2"),
        form="[3478][0-9]{2}(?:0[1-9]|1[0-2]|[2-9][0-9])[0-9]{10}", verify=national.fr_nir,
        found_by="the same while a person is being registered", checked_by="MOD 97, month",
    ),
    Code(
        name="fr_nir_corsica", entity_type="FR_NIR", pack="fr", score=93,
        pictures=("999999A99999999", "9 99 99 9A 999 999 99", "999999A999999 99"),
        form="[12][0-9]{4}2[AB][0-9]{8}", verify=national.fr_nir, found_by="the same with 2A or 2B",
        checked_by="MOD 97",
    ),
    # Italy
    Shaped(
        name="it_codice_fiscale", entity_type="IT_CODICE_FISCALE", pack="it", score=94, made_of="letters",
        pattern=f"[A-Za-z]{{3}} ?[A-Za-z]{{3}} ?{_OMO}{{2}}[ABCDEHLMPRSTabcdehlmprst]{_OMO}{{2}} ?"
        f"[A-Za-z]{_OMO}{{3}}[A-Za-z]",
        trim=_trim_codice_fiscale, found_by="16 characters, omocodia too", checked_by="check letter, day",
    ),
    # Germany
    Number(
        name="de_tax_id", entity_type="DE_TAX_ID", pack="de", score=84, layouts=("2 3 3 3",),
        verify=national.de_tax_id,
        found_by="11 digits, grouped", checked_by="MOD 11,10, one digit repeated",
    ),
    Number(
        name="de_tax_id_announced", entity_type="DE_TAX_ID", pack="de", score=96, layouts=("11", "2~3~3~3",
        "3~3~3~2"),
        cues=(
            "steuer-id", "steuer id", "steueridentifikationsnummer", "steuerliche identifikationsnummer", "idnr",
            "tin",
            "identifikationsnummer", "steuernummer", "steuerid", "german tax id", "tax id",
            "tax identification number",
        ),
        verify=national.de_tax_id, found_by="11 digits", checked_by="MOD 11,10, one digit repeated",
    ),
    Code(
        name="de_social_security", entity_type="DE_SOCIAL_SECURITY", pack="de", score=93,
        pictures=("99999999A999", "99 999999 A 999", "99 999999A999", "99 99 99 99 A 99 9", "99-999999-A-999"),
        verify=national.de_social_security, found_by="8 digits, letter, 3 digits", checked_by="check digit, date",
    ),
    Code(
        name="de_id_card", entity_type="DE_ID_CARD", pack="de", score=82,
        pictures=("A99A99A999", "AAAAAAA999", "A999999999", "AA99A99A99", "A99AA9A999", "AAA99AA999", "A9AA9A9A99"),
        form="[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}[0-9]", verify=national.weights_731,
        cues=("ausweis", "personalausweis", "ausweisnummer", "personalausweisnummer", "id card", "identity card"),
        found_by="10 characters", checked_by="ICAO check digit",
    ),
    # Poland
    Number(
        name="pl_pesel", entity_type="PL_PESEL", pack="pl", score=90, layouts=("11",), verify=national.pl_pesel,
        found_by="11 digits", checked_by="check digit, date",
    ),
    Number(
        name="pl_nip", entity_type="VAT_ID", pack="pl", score=80, layouts=("3-3-2-2", "3-2-2-3"),
        verify=national.pl_nip, found_by="NIP, grouped", checked_by="MOD 11",
    ),
    # Netherlands, Belgium, Luxembourg
    Number(
        name="nl_bsn", entity_type="NL_BSN", pack="nl", score=88, layouts=("9", "8", "4~2~3", "3~3~3"),
        cues=("bsn", "burgerservicenummer", "burger service nummer", "sofinummer", "sofi", "sofi-nummer",
        "citizen service number"),
        verify=national.nl_bsn, found_by="8 or 9 digits", checked_by="MOD 11",
    ),
    Number(
        name="be_national_number", entity_type="BE_NATIONAL_NUMBER", pack="be", score=92,
        layouts=("11", "2.2.2-3.2", "2.2.2-3-2",
        "2.2.2 3.2", "2.2.2 3 2", "2.2.2-5", "2~2~2~3~2", "6~3~2", "6-3.2", "6-5"),
        verify=national.be_national_number,
        found_by="11 digits", checked_by="MOD 97, date",
    ),
    # Portugal
    Number(
        name="pt_nif", entity_type="PT_NIF", pack="pt", score=87, layouts=("9", "3~3~3"), form="[1-9][0-9]{8}",
        cues=(
            "nif", "contribuinte", "número de contribuinte", "numero de contribuinte", "número fiscal",
            "nº contribuinte",
            "identificação fiscal", "número de identificação fiscal", "portuguese nif",
        ),
        verify=national.pt_nif, found_by="9 digits", checked_by="MOD 11",
    ),
    # Romania, Bulgaria, Czechia, Slovakia, Croatia, Slovenia, Greece
    Number(
        name="ro_cnp", entity_type="RO_CNP", pack="ro", score=96, layouts=("13",), form="[1-9][0-9]{12}",
        verify=national.ro_cnp, found_by="13 digits", checked_by="check digit, date",
    ),
    Number(
        name="bg_egn", entity_type="BG_EGN", pack="bg", score=89, layouts=("10",), verify=national.bg_egn,
        found_by="10 digits", checked_by="check digit, date",
    ),
    Number(
        name="cz_rodne_cislo", entity_type="CZ_RODNE_CISLO", pack="cz", score=91, layouts=("6/4", "6/3"),
        verify=national.cz_rc, found_by="6 digits / 3 or 4", checked_by="MOD 11, date",
    ),
    Number(
        name="cz_rodne_cislo_announced", entity_type="CZ_RODNE_CISLO", pack="cz", score=90, layouts=("10", "9"),
        cues=("rodné číslo", "rodne cislo", "rč", "r.č", "birth number"), verify=national.cz_rc,
        found_by="9 or 10 digits",
        checked_by="MOD 11, date",
    ),
    Number(
        name="hr_oib", entity_type="HR_OIB", pack="hr", score=95, layouts=("11",), verify=national.hr_oib,
        cues=("oib", "osobni identifikacijski broj"), found_by="11 digits", checked_by="MOD 11,10",
    ),
    Number(
        name="si_emso", entity_type="SI_EMSO", pack="si", score=91, layouts=("13",), form="[0-3][0-9]{12}",
        verify=national.si_emso, found_by="13 digits", checked_by="MOD 11, date",
    ),
    Number(
        name="gr_amka", entity_type="GR_AMKA", pack="gr", score=89, layouts=("11",), form=_DDMMYY,
        verify=national.gr_amka, found_by="11 digits", checked_by="Luhn, date",
    ),
    # Sweden, Finland, Denmark, Norway, Iceland, Estonia, Lithuania
    Number(
        name="se_personnummer", entity_type="SE_PERSONNUMMER", pack="se", score=92, layouts=("6-4", "8-4", "12"),
        form="(?:18|19|20)?[0-9]{2}(?:0[1-9]|1[0-2])[0-9]{6}", verify=national.se_personnummer,
        found_by="6 or 8 digits, hyphen, 4", checked_by="Luhn, date",
    ),
    Code(
        name="se_personnummer_plus", entity_type="SE_PERSONNUMMER", pack="se", score=92, pictures=("999999+9999",),
        verify=national.se_personnummer, found_by="the same above the age of 100", checked_by="Luhn, date",
    ),
    Number(
        name="se_personnummer_announced", entity_type="SE_PERSONNUMMER", pack="se", score=90, layouts=("10",),
        form=_YYMMDD, cues=("personnummer", "samordningsnummer", "personnr", "pnr", "swedish id"),
        verify=national.se_personnummer, found_by="10 digits", checked_by="Luhn, date",
    ),
    Code(
        name="fi_hetu", entity_type="FI_HETU", pack="fi", score=93,
        pictures=("999999-999A", "999999+999A", "999999A999A", "999999-9999", "999999+9999", "999999A9999"),
        form="[0-9]{6}[A-FU-Y]?[0-9]{3}[0-9A-Z]", any_case=True, verify=national.fi_hetu,
        found_by="date, century, 3 digits, check", checked_by="MOD 31, date",
    ),
    Number(
        name="dk_cpr", entity_type="DK_CPR", pack="dk", score=78, layouts=("6-4",), verify=national.dk_cpr,
        found_by="6 digits, hyphen, 4", checked_by="date",
    ),
    Number(
        name="dk_cpr_announced", entity_type="DK_CPR", pack="dk", score=93, layouts=("10", "6-4", "6 4"), form=_DDMMYY,
        cues=("cpr", "cpr-nr", "cpr-nummer", "cpr nummer", "cprnr", "danish cpr"), verify=national.dk_cpr,
        found_by="10 digits", checked_by="date",
    ),
    Number(
        name="dk_cpr_as_in_sweden", entity_type="DK_CPR", pack="dk", score=89, layouts=("10", "6 4"), form=_DDMMYY,
        cues=("personnummer",), verify=national.dk_cpr, found_by="10 digits", checked_by="date",
    ),
    Number(
        name="no_fodselsnummer", entity_type="NO_FODSELSNUMMER", pack="no", score=92,
        layouts=("11", "6 5", "6-5", "9-2", "2~2~2~5"),
        form="[0-7][0-9]{10}", verify=national.no_fnr, found_by="11 digits", checked_by="two check digits, date",
    ),
    Number(
        name="is_kennitala", entity_type="IS_KENNITALA", pack="is", score=83, layouts=("6-4",), form=_DDMMYY,
        verify=national.is_kennitala, found_by="6 digits, hyphen, 4", checked_by="MOD 11, date",
    ),
    Number(
        name="is_kennitala_announced", entity_type="IS_KENNITALA", pack="is", score=83, layouts=("10", "6-4", "6 4"),
        cues=("kennitala", "kt", "kennitölu"), verify=national.is_kennitala,
        found_by="10 digits, of organisations too", checked_by="MOD 11, date",
    ),
    Number(
        name="ee_lt_personal_code", entity_type="BALTIC_ID", pack="ee", score=88, layouts=("11",),
        form="[1-6][0-9]{10}",
        verify=national.ee_ik, found_by="11 digits (Estonia, Lithuania)", checked_by="MOD 11, date",
    ),
    Number(
        name="lv_personas_kods", entity_type="LV_PERSONAS_KODS", pack="lv", score=77, layouts=("6-5",),
        form=f"{_DDMMYY}|32[0-9]+", cues=("personas kods", "personas koda", "personal code"),
        found_by="6 digits, hyphen, 5",
    ),
    # Austria, Switzerland
    Number(
        name="at_svnr", entity_type="AT_SVNR", pack="at", score=90, layouts=("10", "4 6", "4 2 2 2", "4/6"),
        cues=("svnr", "sozialversicherungsnummer", "sv-nummer", "sv nummer", "versicherungsnummer", "vsnr", "sv-nr"),
        form="[1-9][0-9]{9}", verify=national.at_vnr, found_by="10 digits", checked_by="check digit, month",
    ),
    Number(
        name="ch_ahv", entity_type="CH_AHV", pack="ch", score=94, layouts=("3.4.4.2", "13", "3 4 4 2"),
        form="756[0-9]{10}",
        verify=national.ean13, found_by="756 and 10 digits", checked_by="EAN-13",
    ),
    # Ireland
    Code(
        name="ie_pps", entity_type="IE_PPS", pack="ie", score=91, pictures=("9999999A", "9999999AA", "9999999 A",
        "9999999 AA"),
        form="[0-9]{7}[A-W][A-ITWX]?", verify=national.ie_pps, found_by="7 digits, one or two letters",
        checked_by="MOD 23",
    ),
)  # fmt: skip
