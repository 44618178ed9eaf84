"""Operators on any text under any policy: nothing raw is left, a second time changes nothing, offsets lead back."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from stream_maas.errors import RedactionError, SettingsError
from stream_maas.privacy import DerivedKeys, Policy, PseudonymKey, RedactionConfig, Redactor
from stream_maas.privacy.canaries import CANARIES, DISGUISES
from stream_maas.privacy.canonical import canonical
from stream_maas.privacy.fold import fold
from stream_maas.privacy.network import locate_ipv4
from stream_maas.privacy.recognizers import ENTITY_TYPES
from stream_maas.privacy.transform import TOKEN
from stream_maas.records import Request, Tensor
from tests.unit.privacy.texts import texts

SECRET = "a secret for tests, 32 characters or more"
KEYS = DerivedKeys(SECRET)
ANYWHERE = [
    "replace", {"operator": "replace", "numbered": True}, "mask", {"operator": "mask", "keep_last": 4},
    {"operator": "mask", "keep_first": 2, "keep_last": 1, "char": "x"}, "remove", "pseudonym", "keep",
]  # fmt: skip


def redactor(*rules: dict[str, Any], **members: Any) -> Redactor:
    document = {"name": "test", "version": 1, "rules": list(rules), **members}
    return Redactor(RedactionConfig(), Policy.parse(json.dumps(document)), KEYS)


REDACTORS = [
    *(redactor(default=operator) for operator in ANYWHERE),
    redactor(*({"for": kind, "do": ANYWHERE[at % len(ANYWHERE)]} for at, kind in enumerate(ENTITY_TYPES))),
    redactor(*({"for": kind, "do": ANYWHERE[-at % len(ANYWHERE)]} for at, kind in enumerate(ENTITY_TYPES))),
]
any_redactor = st.sampled_from(REDACTORS)


@settings(max_examples=300)
@given(any_redactor, texts)
def test_redacting_twice_changes_nothing(redactor: Redactor, text: str) -> None:
    once = redactor.redact_text(text)
    twice = redactor.redact_text(once.value)
    assert twice.value == once.value
    assert twice.counts == {}


@settings(max_examples=300)
@given(any_redactor, texts)
def test_nothing_raw_of_an_accepted_find_is_left(redactor: Redactor, text: str) -> None:
    redacted, entities = redactor.explain(text)
    left = fold(TOKEN.sub(" | ", redacted.value)).text
    kept = [fold(text[entity.start : entity.end]).text for entity in entities if entity.operator == "keep"]
    for entity in entities:
        raw = fold(text[entity.start : entity.end]).text.strip()
        if entity.operator != "keep" and len(raw) > 6 and not any(raw in value for value in kept):
            # The groups of an address inside of a longer row of groups are no address.
            assert not re.search(rf"(?<![0-9A-Za-z]){re.escape(raw)}(?![0-9A-Za-z]|:[0-9A-Fa-f])", left)


@settings(max_examples=300)
@given(texts)
def test_offsets_lead_back_to_the_original(text: str) -> None:
    assume(text.lstrip(" \t\r\n\ufeff")[:1] not in ("{", "["))
    redacted, entities = REDACTORS[0].explain(text)
    end = 0
    rebuilt = ""
    for entity in entities:
        assert end <= entity.start < entity.end <= len(text)
        rebuilt += text[end : entity.start] + f"[{entity.type}]"
        end = entity.end
    assert rebuilt + text[end:] == redacted.value
    assert REDACTORS[0].redact_text(text).value == redacted.value
    for entity in entities:
        assert 0 < entity.score <= 1
        assert (entity.operator, entity.rule) == ("replace", "default")


EVERYTHING = redactor({"at": "**", "treat_as": "OWN"}, default="keep")
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=6), texts)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150)
@given(DOCUMENTS)
def test_the_walk_comes_to_every_leaf(document: Any) -> None:
    result = EVERYTHING.redact_document(document).value

    def check(before: Any, after: Any) -> None:
        if isinstance(before, dict):
            assert len(before) == len(after)
            for one, other in zip(before.values(), after.values(), strict=True):
                check(one, other)
        elif isinstance(before, list):
            assert len(before) == len(after)
            for one, other in zip(before, after, strict=True):
                check(one, other)
        elif isinstance(before, bool) or before is None:
            assert after is before
        else:
            text = str(before).strip()
            assert after == "[OWN]" or (after == before and (text.lower() in NOTHING or TOKEN.fullmatch(text)))

    check(document, result)


NOTHING = {"", "-", "--", "n/a", "na", "no", "nil", "yes", "none", "null", "true", "false"}


@settings(max_examples=150)
@given(any_redactor, DOCUMENTS, st.sampled_from(["note", "phone", "e-mail", "ssn"]))
def test_a_request_is_clear_at_the_second_look(redactor: Redactor, document: Any, name: str) -> None:
    text = json.dumps(document, ensure_ascii=False)
    tensors = (Tensor(name, "BYTES", (1,), [text]), Tensor("more", "BYTES", (1,), [str(document)]))
    request = Request("r-1", "body", tensors, parameters={name: text[:60]})
    once = redactor.redact_request(request, key=text[:40].encode("utf-8", "replace"))
    twice = redactor.redact_request(once.value, key=once.key)
    assert (twice.value, twice.key, twice.counts) == (once.value, once.key, {})


# What each operator leaves


@pytest.mark.parametrize(
    ("operator", "text", "left"),
    [
        ("mask", "card 4111 1111 1111 1111.", "card **** **** **** ****."),
        ({"operator": "mask", "keep_last": 4}, "card 4111-1111-1111-1111.", "card ****-****-****-1111."),
        ({"operator": "mask", "keep_last": 4}, "card 4111 1111 1111 1111.", "card **** **** **** 1111."),
        ({"operator": "mask", "keep_first": 1}, "ada@example.org", "a**@*******.***"),
        ({"operator": "mask", "char": "#"}, "078-05-1120", "###-##-####"),
        ("remove", "mail ada@example.org now", "mail  now"),
        ("keep", "mail ada@example.org now", "mail ada@example.org now"),
        (
            {"operator": "replace", "numbered": True},
            "a@x.com, b@x.com, A@X.COM, +1 415 555 0132, +14155550132",
            "[EMAIL_1], [EMAIL_2], [EMAIL_1], [PHONE_1], [PHONE_1]",
        ),
    ],
)
def test_what_is_left(operator: Any, text: str, left: str) -> None:
    assert redactor(default=operator).redact_text(text).value == left


def test_a_mask_takes_disguised_characters_along() -> None:
    masking = redactor(default={"operator": "mask", "keep_last": 4})
    for disguise in DISGUISES.values():
        left = fold(masking.redact_text(disguise("4111 1111 1111 1111")).value).text
        assert re.sub("[^0-9]", "", left) == "1111"


@pytest.mark.parametrize(
    ("kind", "value", "left"),
    [
        ("DATE_OF_BIRTH", "1985-03-12", "1985"),
        ("DATE_OF_BIRTH", "12/03/1985", "1985"),
        ("DATE_OF_BIRTH", "12 mars 1985", "1985"),
        ("DATE_OF_BIRTH", "1985年3月12日", "1985"),
        ("DATE_OF_BIRTH", "19850312", "1985"),
        ("DATE_OF_BIRTH", "12.3.85", "[DATE_OF_BIRTH]"),
        ("DATE_OF_BIRTH", "1985 or 1986", "[DATE_OF_BIRTH]"),
        ("IP", "203.0.113.77", "203.0.113.0/24"),
        ("IP", "2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::/48"),
        ("IP", "::ffff:203.0.113.77", "203.0.113.0/24"),
        ("IP", "fe80::1%eth0", "fe80::/48"),
        ("IP", "999.1.1.1", "[IP]"),
        ("GPS", "52.520008, 13.404954", "52.5, 13.4"),
        ("GPS", "-33.86882", "-33.9"),
        ("GPS", "52.5200 N", "[GPS]"),
        ("AGE", "42", "40-49"),
        ("AGE", "42 years", "40-49"),
        ("AGE", "0", "0-9"),
        ("AGE", "4200", "[AGE]"),
        ("AGE", 42, "40-49"),
        ("GPS", 52.520008, 52.5),
        ("DATE_OF_BIRTH", 19850312, "1985"),
    ],
)
def test_generalised(kind: str, value: Any, left: Any) -> None:
    coarse = redactor({"at": "parameters.x", "treat_as": kind, "do": "generalise"}, default="keep")
    request = Request("r-1", "body", (), parameters={"x": value})
    once = coarse.redact_request(request).value
    assert once.parameters == {"x": left}
    assert coarse.redact_request(once).value == once


# Pseudonyms


def pseudonym(text: str, tenant: str | None = None, keys: Any = KEYS, purpose: str | None = None) -> str:
    document = {"name": "p", "version": 1, "default": "pseudonym"} | ({"purpose": purpose} if purpose else {})
    return Redactor(RedactionConfig(), Policy.parse(json.dumps(document)), keys).redact_text(text, tenant=tenant).value


@pytest.mark.parametrize(
    "spellings",
    [
        ["ada@example.org", "Ada@Example.ORG", "ａｄａ@example.org", "ada%40example.org", "a\u200bda@example.org"],
        ["+1 415 555 0132", "+1 (415) 555-0132", "+14155550132", "+١ ٤١٥ ٥٥٥ ٠١٣٢"],
        ["+1 415 555 0132 ext. 42", "(415) 555-0132x42", "+1-415-555-0132;ext=42"],
        ["4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111"],
        ["DE89 3704 0044 0532 0130 00", "de89370400440532013000"],
    ],
)
def test_one_value_has_one_pseudonym(spellings: list[str]) -> None:
    written = {pseudonym(spelling) for spelling in spellings}
    assert len(written) == 1
    assert re.fullmatch("[A-Z]+_k1_[bcdfghjklmnpqrst]{24}", written.pop())


def test_keys_are_bound_to_tenant_purpose_and_epoch() -> None:
    text = "ada@example.org"
    written = {
        pseudonym(text), pseudonym(text, "shop"), pseudonym(text, "bank"), pseudonym(text, "shop", purpose="audit"),
        pseudonym(text, keys=DerivedKeys(SECRET, "k2")), pseudonym(text, keys=DerivedKeys(SECRET + "!")),
    }  # fmt: skip
    assert len(written) == 6
    assert pseudonym(text, "shop") == pseudonym(text, "shop")


def test_the_request_says_tenant_and_purpose() -> None:
    policy = Policy.parse("{name: p, version: 1, default: pseudonym}")
    redacting = Redactor(RedactionConfig(), policy, KEYS)

    def written(tenant: str | None, purpose: str | None) -> str:
        request = Request(
            "r", "body", (Tensor("t", "BYTES", (1,), ["ada@example.org"]),), tenant=tenant, purpose=purpose
        )
        return str(redacting.redact_request(request).value.inputs[0].data[0])

    assert len({written(tenant, purpose) for tenant in ("a", "b", None) for purpose in ("x", "y", None)}) == 9


def test_derived_keys_are_a_published_construction() -> None:
    """Anybody who holds the secret can make the same key with any HMAC."""
    import hashlib
    import hmac

    context = "stream-maas pseudonym\0k1\0" + "4\0shop\0audit"
    secret = hmac.new(SECRET.encode(), context.encode(), hashlib.sha256).digest()
    assert KEYS.current("shop", "audit") == PseudonymKey("k1", secret)
    mac = hmac.new(KEYS.current("", "").secret, b"EMAIL\0ada@example.org", hashlib.sha256).hexdigest()
    letters = mac[:24].translate(str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst"))
    assert pseudonym("ada@example.org") == f"EMAIL_k1_{letters}"


def test_a_key_is_not_shown() -> None:
    assert SECRET not in repr(KEYS.current("a", "b"))
    assert "secret" not in repr(KEYS.current("a", "b"))


@pytest.mark.parametrize(("secret", "epoch"), [("short", "k1"), (SECRET, ""), (SECRET, "K1"), (SECRET, "k_1")])
def test_unfit_keys_are_refused(secret: str, epoch: str) -> None:
    with pytest.raises(SettingsError, match=r"privacy\.pseudonym_(key|epoch)") as caught:
        DerivedKeys(secret, epoch)
    assert secret not in str(caught.value)


def test_without_a_key_there_is_no_redactor_and_without_an_answer_no_record() -> None:
    policy = Policy.parse("{name: p, version: 1, default: pseudonym}")
    with pytest.raises(SettingsError, match=r"privacy\.pseudonym_key"):
        Redactor(RedactionConfig(), policy)

    class Unreachable:
        def current(self, tenant: str, purpose: str) -> PseudonymKey:
            raise OSError("ada@example.org")

    broken = Redactor(RedactionConfig(), policy, Unreachable())
    assert broken.redact_text("nothing personal").value == "nothing personal"
    with pytest.raises(RedactionError) as caught:
        broken.redact_text("ada@example.org")
    assert "ada" not in str(caught.value)
    assert caught.value.__context__ is None
    assert broken.redact_line("ada@example.org") == "[EMAIL]"


@pytest.mark.parametrize("kind", sorted(CANARIES))
def test_canonical_forms_are_stable(kind: str) -> None:
    for value in CANARIES[kind]:
        once = canonical(kind, value)
        assert once
        assert canonical(kind, once) == once
        for disguise in DISGUISES.values():
            assert canonical(kind, disguise(value)) == once


@pytest.mark.parametrize(
    ("value", "code", "e164"),
    [
        ("(415) 555-0132", "1", "+14155550132"), ("1-415-555-0132", "1", "+14155550132"),
        ("030 1234567", "49", "+49301234567"), ("06 1234 5678", "39", "+390612345678"),
        ("+49 (0)30 1234567", "", "+49301234567"), ("0049 30 1234567", "", "+49301234567"),
        ("(11) 98765-4321", "55", "+5511987654321"), ("86 138 1234 5678", "86", "+8613812345678"),
        ("4673395", "", "4673395"),
        ("030 1234567 Durchwahl 12", "49", "+49301234567;ext=12"), ("tel:+1 415 555 0132", "", "+14155550132"),
    ],
)  # fmt: skip
def test_e164(value: str, code: str, e164: str) -> None:
    assert canonical("PHONE", value, code) == e164


@given(st.ip_addresses())
@example(ipaddress.ip_address("0.0.0.0"))
def test_addresses_have_the_form_that_the_standard_library_writes(address: ipaddress.IPv4Address) -> None:
    assert canonical("IP", str(address)) == canonical("IP", f"[{address}]") == str(address)


@given(st.lists(st.from_regex("[0-9]{1,4}", fullmatch=True), min_size=4, max_size=4).map(".".join))
@example("192.168.001.1")
@example("256.1.1.1")
@example("1.1.1.256")
def test_four_numbers_are_an_address_where_the_standard_library_reads_one(quad: str) -> None:
    try:
        is_address = ipaddress.IPv4Address(quad) is not None
    except ValueError:
        is_address = False
    is_host = is_address and (quad == "0.0.0.0" or not quad.startswith("0."))
    assert list(locate_ipv4(f"at {quad} since")) == ([(3, 3 + len(quad))] if is_host else [])
    assert canonical("IP", quad) == quad
