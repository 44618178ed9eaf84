"""VAT numbers of the European Union, the United Kingdom and Switzerland, with their country's prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_maas.privacy import checksums, national
from stream_maas.privacy.checksums import luhn
from stream_maas.privacy.rows import Code, Number, Recognizer

Verify = Callable[[str], bool]


def _gb(value: str) -> bool:
    return national.gb_vat(value[:9])


_NUMBERS: Final[dict[str, tuple[tuple[str, ...], str, Verify | None]]] = {
    "AT": (("AAA99999999", "AAA 99999999", "AA A99999999"), "U[0-9]{8}", national.at_vat),
    "BE": (("AA~9999999999", "AA~9999.999.999", "AA 9999 999 999", "AA~999999999"), "[0-9]{9,10}", national.be_vat),
    "BG": (("AA~999999999", "AA~9999999999"), "[0-9]{9,10}", None),
    "CY": (("AA~99999999A",), "[0-9]{8}[A-Z]", None),
    "CZ": (("AA~99999999", "AA~999999999", "AA~9999999999"), "[0-9]{8,10}", national.cz_vat),
    "DE": (("AA~999999999", "AA~999~999~999", "AA 999-999.999", "AA 99 9999999"), "[1-9][0-9]{8}", checksums.mod11_10),
    "DK": (("AA~99999999", "AA 99 99 99 99"), "[0-9]{8}", national.dk_vat),
    "EE": (("AA~999999999", "AA 999 999 999"), "[0-9]{9}", national.ee_vat),
    "EL": (("AA~999999999",), "[0-9]{9}", national.gr_vat),
    "ES": (
        ("AA~A99999999", "AA~A9999999A", "AA~99999999A", "AA~99999999~A"), "[0-9A-Z][0-9]{7}[0-9A-Z]", national.es_vat
    ),
    "FI": (("AA~99999999",), "[0-9]{8}", national.fi_vat),
    "FR": (
        ("AA~99999999999", "AA 99 999999999", "AA 99 999 999 999", "AA~AA999999999", "AA~A9999999999",
        "AA~9A999999999"),
        "[0-9A-Z]{2}[0-9]{9}", national.fr_vat,
    ),
    "GB": (("AA~999999999", "AA~999 9999 99", "AA~999999999999"), "[0-9]{9}(?:[0-9]{3})?", _gb),
    "XI": (("AA~999999999", "AA~999 9999 99"), "[0-9]{9}", _gb),
    "HR": (("AA~99999999999",), "[0-9]{11}", national.hr_oib),
    "HU": (("AA~99999999",), "[0-9]{8}", national.hu_vat),
    "IE": (("AA~9999999A", "AA~9999999AA", "AA~9A99999A"), "[0-9][0-9A-Z][0-9]{5}[A-W][A-I]?", None),
    "IT": (("AA~99999999999",), "[0-9]{11}", national.it_vat),
    "LT": (("AA~999999999", "AA~999999999999"), "[0-9]{9}(?:[0-9]{3})?", None),
    "LU": (("AA~99999999", "AA 999 999 99"), "[0-9]{8}", national.lu_vat),
    "LV": (("AA~99999999999", "AA 9999 9999 999"), "[0-9]{11}", None),
    "MT": (("AA~99999999", "AA 9999 9999", "AA 9999-9999"), "[0-9]{8}", national.mt_vat),
    "NL": (("AA~999999999A99", "AA 999999999 A99", "AA 9999.99.999.A99"), "[0-9]{9}B[0-9]{2}", national.nl_vat),
    "PL": (("AA~9999999999", "AA 999-999-99-99"), "[0-9]{10}", national.pl_nip),
    "PT": (("AA~999999999", "AA 999 999 999"), "[1-9][0-9]{8}", national.pt_nif),
    "RO": (
        ("AA~99999999", "AA~9999999", "AA~999999", "AA~9999999999", "AA~999999999", "AA 999 999 99"), "[0-9]{6,10}",
        national.ro_cui,
    ),
    "SE": (("AA~999999999999", "AA 999999-9999 99", "AA 999999-999999"), "[0-9]{12}", national.se_vat),
    "SI": (("AA~99999999", "AA 9999 9999"), "[1-9][0-9]{7}", national.si_vat),
    "SK": (("AA~9999999999", "AA 999 999 99 99"), "[1-9][0-9]{9}", national.sk_vat),
}  # fmt: skip
"""Prefix -> pictures with the prefix, form without, check."""


def _check(verify: Verify | None) -> Verify | None:
    if verify is None:
        return None

    return lambda value: verify(value[2:])


_CUES: Final = (
    "vat", "vat id", "vat no", "vat number", "vat reg", "vat reg no", "vat registration number", "tax number",
    "ust-id",
    "ust-idnr", "ust id", "umsatzsteuer-id", "umsatzsteuer-identifikationsnummer", "uid", "tva", "n° tva",
    "numéro de tva",
    "tva intracommunautaire", "partita iva", "p.iva", "p iva", "piva", "iva", "nif", "cif", "btw", "btw-nummer",
    "btw nr", "nip",
    "moms", "momsnummer", "cvr", "dič", "dic", "nip number", "cui", "cif-iva", "afm", "αφμ", "αφ", "y-tunnus",
    "siren",
)  # fmt: skip


def _with_prefix() -> tuple[Recognizer, ...]:
    return tuple(
        Code(
            name=f"vat_{country.lower()}", entity_type="VAT_ID", pack="eu", score=92, pictures=pictures,
            any_case=True,
            form=f"{country}(?:{form})", verify=_check(verify),
            found_by=f"{country} and its national form", checked_by="national check digit" if verify else "",
        )
        for country, (pictures, form, verify) in _NUMBERS.items()
    )  # fmt: skip


def _bare(value: str) -> bool:
    """Without prefix and announced: the check of some country with numbers of this length."""
    if len(value) == 8:
        checks: tuple[Verify, ...] = (
            national.dk_vat, national.fi_vat, national.hu_vat, national.lu_vat, national.mt_vat, national.si_vat,
            national.cz_vat,
        )  # fmt: skip
    elif len(value) == 9:
        checks = (checksums.mod11_10, national.gr_vat, national.gb_vat, national.pt_nif, national.ee_vat, luhn)
    elif len(value) == 10:
        checks = (national.pl_nip, national.be_vat, national.sk_vat, luhn)
    else:
        checks = (national.it_vat, national.hr_oib, national.fr_vat)
    return any(check(value) for check in checks)


ROWS: Final[tuple[Recognizer, ...]] = (
    *_with_prefix(),
    Code(
        name="vat_ch", entity_type="VAT_ID", pack="ch", score=92,
        pictures=("AAA-999.999.999", "AAA999999999", "AAA-999999999", "AAA 999.999.999", "AAA 999 999 999"),
        form="CHE[0-9]{9}",
        verify=national.ch_uid, found_by="CHE and 9 digits", checked_by="MOD 11",
    ),
    Number(
        name="vat_announced", entity_type="VAT_ID", pack="eu", score=83,
        layouts=("8", "9", "10", "11", "3 3 3", "3 4 2", "3-3-2-2", "4.3.3", "7-1", "2 2 2 2", "8-1-2"), cues=_CUES,
        verify=_bare, found_by="8 to 11 digits", checked_by="some national check digit",
    ),
    Code(
        name="vat_es_announced", entity_type="VAT_ID", pack="es", score=83, pictures=("A99999999", "A9999999A",
        "A-99999999"),
        form="[A-HJ-NP-SUVW][0-9]{7}[0-9A-J]", verify=national.es_cif, cues=_CUES, found_by="CIF",
        checked_by="check character",
    ),
    Code(
        name="vat_nl_announced", entity_type="VAT_ID", pack="nl", score=83, pictures=("999999999A99",),
        form="[0-9]{9}B[0-9]{2}", verify=national.nl_vat, cues=_CUES, found_by="9 digits, B, 2 digits",
        checked_by="MOD 11",
    ),
)  # fmt: skip
