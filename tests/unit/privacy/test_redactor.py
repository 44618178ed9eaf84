"""The door: requests, keys and documents, field by field, and refusals that say nothing of what they refuse."""

from __future__ import annotations

import base64
import json
import re
import sys
import uuid
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_maas.errors import RedactionError, RequestError, ServiceError, SettingsError, TooLargeError
from stream_maas.privacy import RedactionConfig, Redactor
from stream_maas.privacy.canaries import check
from stream_maas.privacy.recognizers import RECOGNIZERS
from stream_maas.privacy.rows import Number
from stream_maas.records import Request, Tensor
from tests.unit.privacy.texts import VALUES, texts

REDACTOR = Redactor()
CANARY = "canary@example.com"
KEY = str(uuid.UUID(int=7)).encode()
SENTENCE = Tensor("text", "BYTES", (1,), ["The parcel was late and nobody could say why."])
COMMON = Request(
    id=str(uuid.UUID(int=5)),
    id_source="body",
    inputs=(SENTENCE,),
    model_name="sentiment-lite",
    model_version="1",
    outputs=("label",),
    tenant="acme",
    purpose="support",
    consent_ref="c-17",
    priority=3,
    timeout_us=5_000_000,
    parameters={"locale": "en", "app_version": "2.3.1", "retries": 2, "beta": True, "ratio": 0.5},
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)


def with_tensor(**changes: Any) -> Request:
    return replace(COMMON, inputs=(SENTENCE, replace(SENTENCE, **changes)))


PLACES: dict[str, Callable[[Any], Request]] = {
    "id": lambda value: replace(COMMON, id=f"req-{value}"),
    "model_name": lambda value: replace(COMMON, model_name=value),
    "model_version": lambda value: replace(COMMON, model_version=value),
    "outputs": lambda value: replace(COMMON, outputs=("label", value)),
    "tenant": lambda value: replace(COMMON, tenant=value),
    "data_subject": lambda value: replace(COMMON, data_subject=value),
    "purpose": lambda value: replace(COMMON, purpose=value),
    "consent_ref": lambda value: replace(COMMON, consent_ref=value),
    "app": lambda value: replace(COMMON, app=value),
    "principal": lambda value: replace(COMMON, principal=value),
    "basis": lambda value: replace(COMMON, basis=value),
    "traceparent": lambda value: replace(COMMON, traceparent=value),
    "parameters": lambda value: replace(COMMON, parameters={"locale": "en", "note": f"from {value}."}),
    "parameters, key": lambda value: replace(COMMON, parameters={f"note {value}": 1}),
    "inputs": lambda value: with_tensor(data=[f"I am {value}, hello"]),
    "inputs.name": lambda value: with_tensor(name=value),
    "inputs.parameters": lambda value: with_tensor(parameters={"source": value}),
    "inputs.parameters, key": lambda value: with_tensor(parameters={value: True}),
    "inputs.data": lambda value: with_tensor(data=["first", value]),
    "inputs.data, nested": lambda value: with_tensor(data=[["first"], [value]], shape=(2, 1)),
    "inputs.data, not a list": lambda value: with_tensor(data=value),
    "inputs.data, numeric": lambda value: with_tensor(datatype="FP32", data=[1.0, value]),
    "inputs.data, JSON": lambda value: with_tensor(data=[json.dumps({"a": [1, {"b": f"x {value}"}]})]),
    "inputs.data, JSON in JSON": lambda value: with_tensor(data=[json.dumps({"a": json.dumps([f"x {value}"])})]),
    "inputs.data, JSON key": lambda value: with_tensor(data=[f'{{"{value}": null}}']),
    "inputs.data, escaped": lambda value: with_tensor(data=[f'{{"a": "{escaped(value)}"}}']),
    "inputs.data, repeated name": lambda value: with_tensor(data=[f'{{"a": "{escaped(value)}", "a": "x"}}']),
    "inputs.data, object": lambda value: with_tensor(data=[{"deep": [{"deeper": value}]}]),
}
PERSONAL_INTEGER = 11144477735
NUMBER_PLACES: dict[str, Callable[[Any], Request]] = {
    "priority": lambda value: replace(COMMON, priority=value),
    "timeout_us": lambda value: replace(COMMON, timeout_us=value),
    "parameters": lambda value: replace(COMMON, parameters={"reference": value}),
    "inputs.shape": lambda value: with_tensor(shape=(value,)),
    "inputs.data": lambda value: with_tensor(datatype="INT64", data=[7, value]),
    "inputs.data, nested": lambda value: with_tensor(datatype="INT64", data=[[7, 8], [value, 9]], shape=(2, 2)),
    "inputs.data, FP64": lambda value: with_tensor(datatype="FP64", data=[0.5, float(value)]),
    "inputs.parameters": lambda value: with_tensor(parameters={"reference": value}),
    "inputs.data, JSON": lambda value: with_tensor(data=[f'{{"a": [{value}]}}']),
}
DROPPED = {"data_subject", "inputs.data, repeated name"}
"""What stands here goes away as a whole: nothing to count."""
NOT_TEXT = {"id_source", "explain", "inputs.datatype"}
"""Fields that can hold nothing a client wrote freely: an enumeration or a truth value."""


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


def test_every_field_of_a_request_has_a_canary_test() -> None:
    fields = {field.name for field in msgspec.structs.fields(Request)}
    fields |= {f"inputs.{field.name}" for field in msgspec.structs.fields(Tensor)}
    tested = {place.partition(",")[0] for place in [*PLACES, *NUMBER_PLACES]}
    assert tested == fields - NOT_TEXT


@pytest.mark.parametrize("place", PLACES)
def test_a_canary_is_found_in_every_field(place: str) -> None:
    for entity_type, value in VALUES:
        result = REDACTOR.redact_request(PLACES[place](value), key=KEY)
        assert value not in repr(result)
        assert escaped(value) not in repr(result)
        if place not in DROPPED:
            assert result.counts.get(entity_type, 0) >= 1, value
            assert f"[{entity_type}]" in repr(result.value)
        again = REDACTOR.redact_request(result.value, key=result.key)
        assert again.value is result.value
        assert again.counts == {}


@pytest.mark.parametrize("place", NUMBER_PLACES)
def test_a_personal_integer_is_found_in_every_field(place: str) -> None:
    result = REDACTOR.redact_request(NUMBER_PLACES[place](PERSONAL_INTEGER), key=KEY)
    assert str(PERSONAL_INTEGER) not in repr(result)
    if place not in ("priority", "timeout_us"):
        assert result.counts == {"CPF": 1}


def test_the_common_request_comes_back_as_the_same_object() -> None:
    result = REDACTOR.redact_request(COMMON, key=KEY)
    assert result.value is COMMON
    assert result.key is KEY
    assert result.counts == {}


def test_the_data_subject_never_comes_back() -> None:
    result = REDACTOR.redact_request(replace(COMMON, data_subject="customer-17"), key=KEY)
    assert result.value == COMMON
    assert result.counts == {}


def test_what_did_not_change_is_the_same_object() -> None:
    result = REDACTOR.redact_request(with_tensor(data=["ok", CANARY]))
    assert result.value.inputs[0] is SENTENCE
    assert result.value.inputs[1].data == ["ok", "[EMAIL]"]
    assert result.value.parameters is COMMON.parameters
    assert result.key is None


@pytest.mark.parametrize(
    "generated",
    [str(uuid.UUID(int=2**127 + 4111111111111111)), "41111111111111114111111111111111", "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
)
def test_generated_ids_are_structure(generated: str) -> None:
    result = REDACTOR.redact_request(replace(with_tensor(data=[CANARY]), id=generated), key=generated.encode())
    assert (result.value.id, result.key) == (generated, generated.encode())


def test_an_id_of_coordinates_is_structure_and_one_that_looks_like_it_is_not() -> None:
    coordinates = "maas.requests-3-11144477735"
    assert REDACTOR.redact_request(replace(COMMON, id=coordinates, id_source="coordinates")).value.id == coordinates
    assert REDACTOR.redact_request(replace(COMMON, id=coordinates)).value.id == "maas.requests-3-[CPF]"


@pytest.mark.parametrize("disguised", ["123-45-6789-4111111111111111-0000", "4111-1111-1111-1111-aaaa-bbbb-cccc"])
def test_an_id_that_only_resembles_a_generated_one_is_searched(disguised: str) -> None:
    assert REDACTOR.redact_request(replace(COMMON, id=disguised)).value.id != disguised


@pytest.mark.parametrize(
    ("key", "redacted"),
    [
        (b"", b""),
        (b"customer-17", b"customer-17"),
        (CANARY.encode(), b"[EMAIL]"),
        (b"\xff\xfe\x00\x01", b"\xff\xfe\x00\x01"),
        (b"\xff" + CANARY.encode() + b"\xff", "\ufffd[EMAIL]\ufffd".encode()),
        (b"\x00\x00\x00\x00\x01\x24" + CANARY.encode(), b"\x00\x00\x00\x00\x01$[EMAIL]"),
        (CANARY.encode("utf-16-le"), b"[EMAIL]"),
        (b'{"phone": "467 3395"}', b'{"phone":"[PHONE]"}'),
        (b"11144477735", b"[CPF]"),
    ],
)
def test_keys(key: bytes, redacted: bytes) -> None:
    assert REDACTOR.redact_request(COMMON, key=key).key == redacted
    assert REDACTOR.redact_request(COMMON, key=redacted).key == redacted


# Field names


@pytest.mark.parametrize(
    ("document", "redacted"),
    [
        ({"ssn": "078-05-112"}, {"ssn": "[SSN]"}),
        ({"ssn": 78051120}, {"ssn": "[SSN]"}),
        ({"cpf": "231.002.999-00"}, {"cpf": "[CPF]"}),
        ({"email": "john(at)example"}, {"email": "[EMAIL]"}),
        ({"phone": {"home": "467 33 95", "ok": True}}, {"phone": {"home": "[PHONE]", "ok": True}}),
        ({"phones": ["4673395", "n/a", None, 4673396]}, {"phones": ["[PHONE]", "n/a", None, "[PHONE]"]}),
        ({"手机号": "467-3395"}, {"手机号": "[PHONE]"}),
        ({"tarjeta": "4111 1111 1111 1112"}, {"tarjeta": "[CARD]"}),
        ({"name": "phone", "data": ["467 33 95"]}, {"name": "phone", "data": ["[PHONE]"]}),
        ({"system": "email", "value": "john"}, {"system": "email", "value": "[EMAIL]"}),
        ({"phone": "home", "card": "visa", "email": ""}, {"phone": "home", "card": "visa", "email": ""}),
        ({"phone_model": "pixel 12345678"}, {"phone_model": "pixel 12345678"}),
        ({"card": 1001, "phone": 0.25, "mobile": False}, {"card": 1001, "phone": 0.25, "mobile": False}),
        ({"data_subject": "u-17"}, {"data_subject": "[DATA_SUBJECT]"}),
        ({"parameters": {"data_subject": 17}}, {"parameters": {"data_subject": "[DATA_SUBJECT]"}}),
        ({"a@x.com": 1, "b@x.com": 2}, {"[EMAIL]": 1, "[EMAIL]_2": 2}),
        ({"n": 11144477735, "t": 1748503543012}, {"n": "[CPF]", "t": 1748503543012}),
    ],
)
def test_documents(document: Any, redacted: Any) -> None:
    result = REDACTOR.redact_document(document)
    assert result.value == redacted
    again = REDACTOR.redact_document(result.value)
    assert again.value is result.value
    assert again.counts == {}


def test_a_long_text_in_a_field_with_a_telling_name_is_a_text() -> None:
    """A spam filter's tensor "email" holds messages; forcing it would leave the model nothing to read."""
    message = "Dear all, please find attached the figures of 2023. Reach me at 467 3395."
    result = REDACTOR.redact_request(with_tensor(name="email", data=[message]))
    assert result.value.inputs[1].data == [message.replace("467 3395", "[PHONE]")]
    long = "the second number is 4673395 and there is a lot more to say about it in this long note"
    assert REDACTOR.redact_document({"phone": long}).value == {"phone": long.replace("4673395", "[PHONE]")}
    assert REDACTOR.redact_document({"note": long}).value == {"note": long}


def test_a_tensor_name_announces_its_numbers() -> None:
    result = REDACTOR.redact_request(with_tensor(name="ssn", datatype="INT64", data=[219099999, 12]))
    assert result.value.inputs[1].data == [0, 12]
    assert result.counts == {"SSN": 1}
    result = REDACTOR.redact_request(with_tensor(name="phone", datatype="FP64", data=[[5551234567.0]]))
    assert result.value.inputs[1].data == [[0.0]]
    assert isinstance(result.value.inputs[1].data[0][0], float)


def test_an_unannounced_number_that_might_be_a_telephone_stays_in_a_numeric_tensor() -> None:
    request = with_tensor(datatype="INT64", data=[13812345678, -(2**63), 2**63 - 1, True, None])
    assert REDACTOR.redact_request(request).value is request
    request = with_tensor(datatype="FP64", data=[float("nan"), float("inf"), 4111111111111111.5, 1e300])
    assert REDACTOR.redact_request(request).value is request


def test_a_number_found_in_one_field_is_found_in_the_others() -> None:
    request = replace(
        COMMON, id="req/078051120", inputs=(replace(SENTENCE, data=["case 078051120", '{"ssn": "078051120"}']),)
    )
    result = REDACTOR.redact_request(request, key=b"k 078051120")
    assert result.value.id == "req/[SSN]"
    assert result.value.inputs[0].data == ["case [SSN]", '{"ssn":"[SSN]"}']
    assert result.key == b"k [SSN]"
    assert result.counts == {"SSN": 4}
    document = {"call": "phone 4673395", "copy": 4673395}
    assert REDACTOR.redact_document(document).value == {"call": "phone [PHONE]", "copy": "[PHONE]"}


def test_text_that_is_json_is_written_anew_only_if_it_changed() -> None:
    unchanged = '{ "a" : [1.50, "é"], "b": {} }'
    assert REDACTOR.redact_text(unchanged).value is unchanged
    assert REDACTOR.redact_text('[ "a@x.com" , 1 ]').value == '["[EMAIL]",1]'
    assert REDACTOR.redact_text('{"a": "a@x.com"').value == '{"a": "[EMAIL]"'
    surrogate = REDACTOR.redact_text('{"a": "a@x.com", "b": "\\ud800"}').value
    assert surrogate == '{"a":"[EMAIL]","b":"\\ud800"}'
    big = f'{{"a": {"9" * 5000}, "b": "a@x.com"}}'
    assert CANARY not in REDACTOR.redact_text(big).value


NUMBERS = {row.entity_type for row in RECOGNIZERS if isinstance(row, Number)}
"""Types of what is known once it was found, and found wherever it stands as a number."""
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=6), texts)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100)
@given(DOCUMENTS, st.sampled_from(VALUES), st.data())
def test_a_canary_is_found_at_any_leaf_of_any_document(
    document: Any, value: tuple[str, str], data: st.DataObject
) -> None:
    entity_type, plain = value
    touching = "0-9" if entity_type in NUMBERS else "0-9A-Za-z"  # what glues a look-alike to something longer

    def plant(node: Any) -> Any:
        if isinstance(node, list) and node:
            at = data.draw(st.integers(0, len(node) - 1))
            return [*node[:at], plant(node[at]), *node[at + 1 :]]
        if isinstance(node, dict) and node:
            key = data.draw(st.sampled_from(sorted(node)))
            return {**node, key: plant(node[key])} if data.draw(st.booleans()) else {**node, f"k {plain}": node[key]}
        return plain

    result = REDACTOR.redact_document(plant(document))
    assert sum(result.counts.values()) >= 1
    assert not re.search(rf"(?<![{touching}]){re.escape(plain)}(?![{touching}])", repr(result.value))
    again = REDACTOR.redact_document(result.value)
    assert again.value is result.value
    assert again.counts == {}


# Failing closed


def bomb(depth: int) -> str:
    return "[" * depth + "]" * depth


def nested(depth: int) -> Any:
    document: Any = CANARY
    for _ in range(depth):
        document = [document]
    return document


def refused(config: RedactionConfig, request: Request, *, key: bytes | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        Redactor(config).redact_request(request, key=key)
    error = caught.value
    assert CANARY not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


@pytest.mark.parametrize("depth", [17, 100, 5_000, 400_000])
def test_json_nested_too_deeply_is_refused(depth: int) -> None:
    error = refused(RedactionConfig(), with_tensor(data=["ok", bomb(depth)]))
    assert isinstance(error, TooLargeError)
    assert str(error).startswith("inputs[1].data[1]")
    assert str(error).endswith(": above the depth limit of redaction")


def test_json_up_to_the_depth_limit_is_walked() -> None:
    config = RedactionConfig(max_depth=16)
    text = json.dumps(nested(15))
    assert Redactor(config).redact_request(with_tensor(data=[text])).value.inputs[1].data == [
        text.replace(CANARY, "[EMAIL]")
    ]
    assert isinstance(refused(config, with_tensor(data=[json.dumps(nested(17))])), TooLargeError)


def test_a_document_nested_too_deeply_is_refused() -> None:
    with pytest.raises(TooLargeError, match="depth"):
        REDACTOR.redact_document(nested(18))
    deep = RedactionConfig(max_depth=10**6)
    with pytest.raises(TooLargeError, match="depth"):
        Redactor(deep).redact_document(nested(sys.getrecursionlimit()))


@pytest.mark.parametrize(("levels", "ends"), [(3, True), (20, False)])
def test_base64_inside_base64_ends_at_the_depth_limit(levels: int, ends: bool) -> None:
    text = f"mail {CANARY} or call"
    for _ in range(levels):
        text = base64.b64encode(text.encode()).decode()
    if ends:
        written = REDACTOR.redact_text(text).value
        for _ in range(levels):
            written = base64.b64decode(written).decode()
        assert written == "mail [EMAIL] or call"
    else:
        assert str(refused(RedactionConfig(), with_tensor(data=[text]))).endswith(
            ": above the depth limit of redaction"
        )


@pytest.mark.parametrize(("values", "fits"), [(48, True), (49, False)])
def test_the_last_value_that_is_walked_is_the_one_at_the_limit(values: int, fits: bool) -> None:
    """49 texts: the list is a value as well."""
    redactor = Redactor(RedactionConfig(max_nodes=49))
    if fits:
        assert redactor.redact_document(["x"] * values).value == ["x"] * values
    else:
        with pytest.raises(TooLargeError, match="nodes limit"):
            redactor.redact_document(["x"] * values)


def test_too_many_values_are_refused() -> None:
    config = RedactionConfig(max_nodes=50)
    assert Redactor(config).redact_request(with_tensor(data=["x"] * 20)).counts == {}
    # Small numbers are compared at once: an image is one value.
    assert Redactor(config).redact_request(with_tensor(datatype="INT64", data=[1] * 60)).counts == {}
    for request in (
        with_tensor(data=["x"] * 60),
        with_tensor(datatype="INT64", data=[10**12 + 1] * 60),
        with_tensor(data=[json.dumps([1] * 60)]),
        with_tensor(data=[json.dumps({str(index): 1 for index in range(40)})]),
    ):
        error = refused(config, request)
        assert isinstance(error, TooLargeError)
        assert "nodes limit" in str(error)


def test_long_text_is_refused_and_the_longest_allowed_is_searched_to_its_end() -> None:
    config = RedactionConfig(max_text_chars=1_000)
    fits = "x" * (999 - len(CANARY)) + " " + CANARY
    assert Redactor(config).redact_text(fits).value == fits.replace(CANARY, "[EMAIL]")
    for request in (with_tensor(data=["ok", f" {fits}"]), with_tensor(data=["ok", "x" * 1_001])):
        error = refused(config, request)
        assert isinstance(error, TooLargeError)
        assert str(error) == "inputs[1].data[1]: above the length limit of redaction"
    assert str(refused(config, COMMON, key=b"x" * 1_001)).startswith("key:")


@pytest.mark.parametrize("value", [b"bytes", {1: CANARY}, {"a": {CANARY}}, object(), 1j, bytearray(b"x")])
def test_what_is_no_json_value_is_refused(value: Any) -> None:
    error = refused(RedactionConfig(), with_tensor(data=[CANARY, value]))
    assert isinstance(error, RedactionError)
    assert str(error).startswith("inputs[1].data[1]")
    with pytest.raises(RedactionError):
        REDACTOR.redact_document(value)


def test_messages_name_fields_of_clients_by_position() -> None:
    with pytest.raises(RedactionError) as caught:
        REDACTOR.redact_document({"inputs": [{"x": 1, CANARY: object()}]})
    assert str(caught.value) == "inputs[0].#1: redaction failed"


def test_text_made_to_take_many_rounds_is_still_redacted() -> None:
    text = "phone " + ", ".join(f"467{number:04}" for number in range(2_000))
    assert REDACTOR.redact_text(text).counts == {"PHONE": 2_000}


# The self-test


def test_the_self_test_passes(redactor: Redactor) -> None:
    redactor.self_test()


@pytest.mark.parametrize("weakness", ["\u200b", "٤", "＠", "资料", "-", "4111"])
def test_the_self_test_notices_a_weakness(weakness: str) -> None:
    def weak(text: str) -> str:
        return text if weakness in text else REDACTOR.redact_text(text).value

    with pytest.raises(ServiceError, match=r"redactor self-test: [A-Z_]+ is not found"):
        check(weak)


def test_engine_and_policy_are_named() -> None:
    assert (Redactor().engine, Redactor(RedactionConfig(gate="re")).engine) == ("re2", "re")
    assert Redactor().policy == Redactor(RedactionConfig(gate="re")).policy


@pytest.mark.parametrize(("engine", "module"), [("re2", "re2"), ("hyperscan", "hyperscan")])
def test_an_engine_that_was_asked_for_and_is_missing_is_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, engine: Literal["re2", "hyperscan"], module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=r"privacy\.gate"):
        Redactor(RedactionConfig(gate=engine))


def test_without_google_re2_the_default_is_plain_re_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Redactor().warning == ""
    monkeypatch.setitem(sys.modules, "re2", None)
    fallback = Redactor()
    assert fallback.engine == "re"
    assert "plain re" in fallback.warning
    assert "\n" not in fallback.warning
    fallback.self_test()
