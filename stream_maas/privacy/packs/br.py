"""Identifiers of Brazil (LGPD)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stream_maas.privacy import checksums, national_world
from stream_maas.privacy.announced import gate, locator
from stream_maas.privacy.rows import Code, Located, Number, Recognizer, Shaped

_STATE: Final = "(?:A[CLMP]|BA|CE|DF|ES|GO|M[AGST]|P[ABEIR]|R[JNORS]|S[CEP]|TO)"
_CNPJ_CUES: Final = ("cnpj", "cadastro nacional da pessoa jurídica")


def _trim_cnpj(candidate: str) -> tuple[int, int] | None:
    value = "".join(filter(str.isalnum, candidate.upper()))
    return (0, len(candidate)) if national_world.br_cnpj(value) else None


_CNPJ_LETTERS: Final = locator(_CNPJ_CUES, "[0-9A-Za-z]{8}/?[0-9A-Za-z]{4}-?[0-9]{2}", 3)


def _locate_plain_cnpj(text: str) -> Iterator[tuple[int, int]]:
    return ((start, end) for start, end in _CNPJ_LETTERS(text) if _trim_cnpj(text[start:end]))


ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="br_cpf", entity_type="CPF", pack="br", score=94,
        layouts=("11", "3.3.3-2", "3~3~3~2", "9-2", "3 3 3-2", "3.3.3/2"), verify=checksums.cpf, strong=True,
        found_by="11 digits", checked_by="two check digits",
    ),
    Number(
        name="br_cnpj", entity_type="CNPJ", pack="br", score=96,
        layouts=("14", "2.3.3/4-2", "2~3~3~4~2", "8/4-2", "2 3 3/4-2", "12-2", "8-4-2"), verify=national_world.br_cnpj,
        strong=True,
        found_by="14 digits", checked_by="two check digits",
    ),
    Shaped(
        name="br_cnpj_letters", entity_type="CNPJ", pack="br", score=96, made_of="letters",
        pattern=r"[0-9A-Za-z]{2}\.[0-9A-Za-z]{3}\.[0-9A-Za-z]{3}/[0-9A-Za-z]{4}-[0-9]{2}", trim=_trim_cnpj,
        found_by="the form of 2026, with letters", checked_by="two check digits",
    ),
    Located(
        name="br_cnpj_letters_announced", entity_type="CNPJ", pack="br", score=95, gate=gate(_CNPJ_CUES),
        locate=_locate_plain_cnpj, found_by="the same, plain, behind a word for it", checked_by="two check digits",
    ),
    Number(
        name="br_cnh", entity_type="CNH", pack="br", score=95, layouts=("11", "3 3 3 2"),
        cues=(
            "cnh", "carteira de motorista", "carteira nacional de habilitação", "habilitação", "habilitacao",
            "carta de condução",
            "registro cnh", "número da cnh",
        ),
        verify=national_world.br_cnh, found_by="11 digits", checked_by="two check digits",
    ),
    Number(
        name="br_pis", entity_type="PIS", pack="br", score=91, layouts=("3.5.2-1", "3.5.2/1", "3 5 2 1", "3 5 2-1"),
        verify=national_world.br_pis, found_by="`ddd.ddddd.dd-d`", checked_by="check digit",
    ),
    Number(
        name="br_pis_announced", entity_type="PIS", pack="br", score=97, layouts=("11", "10-1"),
        cues=("pis", "pasep", "pis/pasep", "pis pasep", "nis", "nit", "número do pis", "inscrição social"),
        verify=national_world.br_pis, found_by="11 digits", checked_by="check digit",
    ),
    Number(
        name="br_voter", entity_type="VOTER_ID", pack="br", score=96, layouts=("12", "4~4~4", "8 2 2", "8-2-2"),
        cues=("título de eleitor", "titulo de eleitor", "título eleitoral", "titulo eleitoral", "título", "eleitor",
        "voter id"),
        verify=national_world.br_voter, found_by="12 digits", checked_by="two check digits, state",
    ),
    Number(
        name="br_rg", entity_type="RG", pack="br", score=92,
        layouts=("2.3.3-1", "2.3.3", "1.3.3", "2.3.3-2", "7", "8", "9", "10", "8-1", "7-1", "2.3.1"),
        cues=("rg", "registro geral", "rg nº", "identidade", "carteira de identidade", "documento de identidade",
        "cédula de identidade"),
        found_by="7 to 10 digits",
    ),
    Code(
        name="br_rg_x", entity_type="RG", pack="br", score=92,
        pictures=("99.999.999-A", "99999999-A", "99999999A", "AA-99.999.999", "AA 99.999.999", "AA-99999999",
        "AA99999999"),
        form=f"[0-9]{{8}}[A-Z]|{_STATE}[0-9]{{8}}", any_case=True,
        cues=("rg", "registro geral", "rg nº", "identidade", "carteira de identidade", "documento de identidade"),
        found_by="check character X, or with the state",
    ),
    Number(
        name="br_cep", entity_type="POSTAL_CODE", pack="br", score=66, layouts=("5-3", "2.3-3", "8", "5 3"),
        cues=("cep", "código postal", "codigo postal", "cep nº"), found_by="`ddddd-ddd`",
    ),
    Code(
        name="br_plate", entity_type="LICENCE_PLATE", pack="br", score=74,
        pictures=("AAA-9999", "AAA9999", "AAA 9999", "AAA9A99", "AAA-9A99", "AAA 9A99"), any_case=True,
        cues=(
            "placa", "placa do carro", "placa do veículo", "veículo", "veiculo", "carro", "moto", "emplacamento",
            "license plate",
            "licence plate", "plate",
        ),
        found_by="old and Mercosul",
    ),
)  # fmt: skip
