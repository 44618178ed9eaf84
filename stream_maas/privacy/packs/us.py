"""Identifiers of the United States (CCPA)."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import national_world
from stream_maas.privacy.rows import Code, Number, Recognizer

_SSN_FORM: Final = "(?!000|666|9)[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}"
_ITIN_FORM: Final = "9[0-9]{2}(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-2]|9[4-9])[0-9]{4}"

ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="us_ssn", entity_type="SSN", pack="us", score=80, layouts=("3-2-4", "3.2.4", "3_2_4"), form=_SSN_FORM,
        found_by="`ddd-dd-dddd`, dots too", checked_by="ranges in use, 078-05-1120 too",
    ),
    Number(
        name="us_ssn_announced", entity_type="SSN", pack="us", score=79, layouts=("9", "3~6", "5~4", "3~2~4"),
        form=_SSN_FORM,
        cues=(
            "ssn", "ss no", "ss#", "ss", "social security", "social security number", "social security no", "soc sec",
            "social", "social number", "seguro social", "número de seguro social", "社会安全号", "社会安全号码",
            "sozialversicherungsnummer der usa", "sécurité sociale américaine", "número do seguro social",
        ),
        found_by="9 digits", checked_by="ranges in use",
    ),
    Number(
        name="us_itin", entity_type="US_ITIN", pack="us", score=80, layouts=("3~2~4",), form=_ITIN_FORM,
        found_by="9dd-dd-dddd", checked_by="group ranges",
    ),
    Number(
        name="us_itin_announced", entity_type="US_ITIN", pack="us", score=79, layouts=("9",), form=_ITIN_FORM,
        cues=("itin", "individual taxpayer", "individual taxpayer identification number", "tax id", "taxpayer id",
        "tin"),
        found_by="9 digits", checked_by="group ranges",
    ),
    Number(
        name="us_aba_routing", entity_type="ABA_ROUTING", pack="us", score=84, layouts=("9", "4-4-1"),
        form="(?:0[0-9]|1[0-2]|2[1-9]|3[0-2]|6[1-9]|7[0-2]|80)[0-9]{7}",
        cues=("aba", "routing", "routing number", "routing no", "aba number", "aba routing number", "rtn",
        "transit number", "wire"),
        verify=national_world.aba_routing, found_by="9 digits", checked_by="weights 3-7-1, district",
    ),
    Number(
        name="bank_account", entity_type="BANK_ACCOUNT", pack="core", score=61,
        layouts=(*map(str, range(7, 18)), "4~4~4", "3~4~3", "2~4~4", "4~6", "5-1", "4-7", "5-7", "4~4~4~4",
        "4~4~2~10"),
        form="[0-9]{6,20}",
        cues=(
            "account number", "bank account", "bank account number", "account no", "acct", "acct no", "acct number",
            "account",
            "checking account", "savings account", "a/c", "a/c no", "account #", "kontonummer", "konto-nr", "konto",
            "konto nr",
            "numéro de compte", "compte bancaire", "n° de compte", "cuenta", "número de cuenta", "cuenta bancaria",
            "conta",
            "conta corrente", "número da conta", "conta bancária", "conta poupança", "numero di conto",
            "conto corrente",
            "rekeningnummer", "numer konta", "nr konta", "rachunek", "номер счета", "счёт", "расчетный счет", "账号",
            "账户", "银行账号",
            "口座番号", "계좌번호", "hesap numarası", "رقم الحساب", "खाता संख्या", "खाता",
        ),
        not_layouts=("4-2-2", "2-2-4", "4/2/2", "2/2/4", "2.2.4", "4.2.2"), found_by="6 to 20 digits",
    ),
    Number(
        name="us_npi", entity_type="US_NPI", pack="us", score=81, layouts=("10", "3~3~4", "4~3~3"),
        form="[12][0-9]{9}",
        cues=("npi", "national provider", "national provider identifier", "provider number", "npi number"),
        verify=national_world.us_npi,
        found_by="10 digits", checked_by="Luhn with 80840",
    ),
    Code(
        name="us_mbi", entity_type="US_MBI", pack="us", score=89,
        pictures=("9AA9AA9AA99", "9AA9-AA9-AA99", "9A99-AA9-AA99", "9A99AA9AA99", "9AA9A99AA99", "9A99A99AA99",
        "9A99-A99-AA99", "9AA9-A99-AA99"),
        form="[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9][AC-HJKMNP-RT-Y]{2}[0-9]{2}",
        any_case=True, found_by="Medicare number, 11 characters", checked_by="alphabet by position",
    ),
    Number(
        name="us_ein", entity_type="US_EIN", pack="us", score=70, layouts=("2-7", "9"), form="[0-9]{9}",
        cues=("ein", "fein", "employer identification number", "employer id", "federal tax id"),
        found_by="`dd-ddddddd`",
    ),
)  # fmt: skip
