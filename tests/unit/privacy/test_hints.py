"""Field names: which announce a type, and which only look like it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.privacy import Redactor
from stream_maas.privacy.hints import ALIASES, hint_for, may_hint

ANNOUNCED = [
    ("email", "EMAIL"), ("e-mail", "EMAIL"), ("E_MAIL", "EMAIL"), ("userEmailAddress", "EMAIL"), ("emails", "EMAIL"),
    ("correo_electrónico", "EMAIL"), ("Courriel", "EMAIL"), ("客户邮箱", "EMAIL"), ("email1", "EMAIL"),
    ("phone", "PHONE"), ("customer_phone_number", "PHONE"), ("billingPhone2", "PHONE"), ("PHONE_NO", "PHONE"),
    ("téléphone", "PHONE"), ("Telefonnummer", "PHONE"), ("telefone_celular", "PHONE"), ("número de teléfono", "PHONE"),
    ("手机号码", "PHONE"), ("联系电话", "PHONE"), ("home-phone", "PHONE"), ("phone_home", "PHONE"), ("msisdn", "PHONE"),
    ("ssn", "SSN"), ("SSN", "SSN"), ("employeeSSN", "SSN"), ("social_security_number", "SSN"),
    ("cpf", "CPF"), ("cpf_cliente", "CPF"), ("email_client", None), ("cliente_cpf", "CPF"), ("número_cpf", "CPF"),
    ("cardNumber", "CARD"), ("credit_card", "CARD"), ("tarjeta de crédito", "CARD"), ("Kreditkartennummer", "CARD"),
    ("cartão", "CARD"), ("银行卡号", "CARD"), ("carte bancaire", "CARD"), ("carte.bancaire", "CARD"),
    ("iban", "IBAN"), ("IBAN_number", "IBAN"), ("身份证号", "CN_ID"), ("用户身份证", "CN_ID"),
    ("id_card", "NATIONAL_ID"),
    ("idCardNo", "NATIONAL_ID"), ("data_subject", "DATA_SUBJECT"),
    ("geboortedatum", "DATE_OF_BIRTH"), ("data_di_nascita", "DATE_OF_BIRTH"), ("cognome", "PERSON"),
    ("nazwisko", "PERSON"), ("дата рождения", "DATE_OF_BIRTH"), ("Фамилия", "PERSON"), ("телефон", "PHONE"),
    ("生年月日", "DATE_OF_BIRTH"), ("パスワード", "SECRET"), ("주민등록번호", "KR_RRN"), ("फ़ोन", "PHONE"),
    ("تاريخ الميلاد", "DATE_OF_BIRTH"),
]  # fmt: skip
NOT_ANNOUNCED = [
    "text", "input_ids", "phone_model", "email_verified", "email_count", "mobile_app_version", "hotel", "intelligence",
    "telemetry", "cardinality", "discard", "wildcard_pattern", "mailing", "iban_valid", "", "_", "2", "手机品牌",
    "data", "datasets", "subject", "cell", "phone_id", "from [EMAIL]", "[PHONE]_2",
]  # fmt: skip


@pytest.mark.parametrize(("name", "entity_type"), ANNOUNCED)
def test_announced(name: str, entity_type: str | None) -> None:
    assert hint_for(name) == entity_type


@pytest.mark.parametrize("name", NOT_ANNOUNCED)
def test_not_announced(name: str) -> None:
    assert hint_for(name) is None


@pytest.mark.parametrize("entity_type", ALIASES)
def test_every_alias_announces_its_type_behind_other_words(entity_type: str) -> None:
    for alias in ALIASES[entity_type]:
        assert hint_for(alias) == entity_type, alias
        assert hint_for(f"billing_{alias}") == entity_type, alias
        if alias.isascii():
            assert hint_for(f"{alias.upper()}_2") == entity_type, alias


@given(st.lists(st.sampled_from([name for name, _ in ANNOUNCED] + NOT_ANNOUNCED), min_size=1, max_size=4))
def test_the_cheap_refusal_never_refuses_a_hint(names: list[str]) -> None:
    if any(hint_for(name) for name in names):
        assert may_hint("\n".join(names))


@pytest.mark.parametrize(
    ("document", "left"),
    [
        # a name is somebody's where its surroundings say so
        ({"name": "zoe quark", "price": 3}, {"name": "zoe quark", "price": 3}),
        ({"name": "zoe quark", "email": "z@q.io"}, {"name": "[PERSON]", "email": "[EMAIL]"}),
        ({"customers": [{"name": "zo qu"}, {"name": "li mu"}]}, {"customers": [{"name": "[PERSON]"}] * 2}),
        ({"customer": {"plan": {"name": "gold"}}}, {"customer": {"plan": {"name": "gold"}}}),
        ({"product": {"name": "zoe lamp"}}, {"product": {"name": "zoe lamp"}}),
        # of these the value decides
        ({"token": "a1b2c3d4e5f6a7b8c9"}, {"token": "[SECRET]"}),
        ({"token": "hello", "tokens": 512}, {"token": "hello", "tokens": 512}),
        ({"token": 1234567890}, {"token": 1234567890}),
        ({"pan": "4111111111111112"}, {"pan": "[CARD]"}),
        ({"pan": "abcde1234f"}, {"pan": "[IN_PAN]"}),
        ({"pan": "frying"}, {"pan": "frying"}),
        ({"ein": "51-8041412", "sin": "780 442 240"}, {"ein": "[US_EIN]", "sin": "[CA_SIN]"}),
        ({"ein": "Stück", "sin": 0.5, "cpr": "done"}, {"ein": "Stück", "sin": 0.5, "cpr": "done"}),
        ({"pin": "4821"}, {"pin": "[SECRET]"}),
        ({"pin": 13, "PIN": "GPIO13"}, {"pin": 13, "PIN": "GPIO13"}),
        ({"zip": "90210", "plz": "D-10115"}, {"zip": "[POSTAL_CODE]", "plz": "[POSTAL_CODE]"}),
        ({"zip": "a.zip", "login": True, "handle": 7}, {"zip": "a.zip", "login": True, "handle": 7}),
        ({"login": "tom_b", "usuário": "maria.k"}, {"login": "[USERNAME]", "usuário": "[USERNAME]"}),
        ({"plate": "B-AB 1234", "PLATE": "steel"}, {"plate": "[LICENCE_PLATE]", "PLATE": "steel"}),
        # an identity document of any country is that of one where it verifies
        ({"dni": "54362315-K", "id_card": "11010519491231002X"}, {"dni": "[ES_DNI]", "id_card": "[CN_ID]"}),
        ({"dni": "54362315-A"}, {"dni": "[NATIONAL_ID]"}),
    ],
)
def test_names_that_mean_other_things_as_often(document: dict[str, object], left: dict[str, object]) -> None:
    redactor = Redactor()
    assert redactor.redact_document(document).value == left
    assert redactor.redact_document(left).value == left
    assert json.loads(redactor.redact_text(json.dumps(document)).value) == left


@pytest.mark.parametrize("name", ["token", "PAN", "pin", "usuário"])
def test_the_cheap_refusal_knows_names_of_which_the_value_decides(name: str) -> None:
    assert may_hint(f"text\n{name}\nlocale")
    assert not may_hint("max_tokens")


def test_a_very_long_name_announces_nothing() -> None:
    assert hint_for("x_" * 100 + "phone") is None
