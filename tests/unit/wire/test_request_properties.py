"""decode_request under attack: any bytes, any spelling of JSON, a canary in every place; and the SDK's side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.errors import InvalidInputError, RequestError, UndecodableError
from stream_maas.records import InputRecord, Request, Tensor
from stream_maas.wire import request as request_module
from stream_maas.wire import strict
from stream_maas.wire.request_fields import fields_in_python, fields_of

CANARY = "canary-7f3a"
CANARY_NUMBER = 271828182845


def record(value: bytes | None, headers: Any = ()) -> InputRecord:
    return InputRecord("maas.requests", 3, 42, 1_700_000_000_000, None, value, headers)


# Nothing of the input in messages


def planted() -> Iterator[Any]:
    """Documents with a canary in every place: as a value, as a value of the wrong type, as a key."""
    texts = {name: name for name in ("tenant", "data_subject", "purpose", "consent_ref")}
    full: dict[str, Any] = {
        "id": "r",
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "o", "parameters": {"k": 1}}],
        "parameters": {**texts, "priority": 1, "timeout": 1, "explain": True, "k": 1},
        "inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1], "parameters": {"k": 1}}],
    }
    wrong: list[Any] = [CANARY, CANARY * 100, CANARY + "\n", [CANARY], {CANARY: CANARY}]
    wrong += [CANARY_NUMBER, -CANARY_NUMBER, CANARY_NUMBER + 0.5, [[CANARY_NUMBER]]]
    wrong += [f"x` - at `$.{CANARY}", f"Expected `str`, got `{CANARY}`"]

    def places(node: Any) -> Iterator[tuple[Any, Any]]:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            if isinstance(node[key], dict | list):
                yield from places(node[key])

    for node, key in list(places(full)):
        old = node[key]
        for value in wrong:
            node[key] = value
            yield full
        node[key] = old
        if isinstance(node, dict):
            for name in (CANARY, f"x` - at `$.{CANARY}", f"{CANARY}` - at `$.id"):
                node[name] = CANARY
                yield full
                del node[name]


def test_no_message_and_no_exception_chain_holds_a_value() -> None:
    refused = 0
    for document in planted():
        text = json.dumps(document)
        for broken in (text, text + CANARY, text.replace(":", f': "{CANARY}" ', 1), text.replace("{", '{"id":"",', 1)):
            try:
                wire.decode_request(record(broken.encode()))
            except RequestError as error:
                refused += 1
                links: BaseException | None = error
                while links is not None:
                    assert CANARY not in repr(links)
                    assert str(CANARY_NUMBER) not in repr(links)
                    links = links.__cause__ or links.__context__
    assert refused > 500


# The right error or a request, never another exception

KEYS = st.sampled_from(["id", "inputs", "name", "data", "x"]) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
HEADER_NAMES = st.sampled_from(["ce_id", "ce_type", "traceparent", "mlserver-model", "x"])
HEADERS = st.lists(st.tuples(HEADER_NAMES, st.none() | st.binary(max_size=60)), max_size=4)


@given(st.one_of(st.binary(max_size=200), JSON.map(json.dumps).map(str.encode)), HEADERS)
@example(b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["\xf4\x90\x80\x80"]}]}', [])
@example(b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["a"]}]}', [])
def test_any_bytes_give_a_request_or_its_error(value: bytes, headers: Any) -> None:
    item = record(value, headers)
    wire.is_own_record(item)
    identity = wire.best_effort_id(item)
    try:
        request = wire.decode_request(item)
    except (UndecodableError, InvalidInputError):
        return
    assert (request.id, request.id_source) == identity


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """Requests in any spelling of JSON: white space, escapes, key order; keys may be repeated."""

    def text(value: str) -> str:
        escaped = '"' + "".join(f"\\u{ord(character):04x}" for character in value) + '"'
        ways = [json.dumps(value), json.dumps(value, ensure_ascii=False), *([escaped] if value.isascii() else [])]
        return draw(st.sampled_from(ways))

    def pairs(items: list[tuple[str, str]]) -> str:
        items = draw(st.permutations(items))
        again = [draw(st.sampled_from(items))] if items and draw(st.integers(0, 9)) == 0 else []
        space = draw(st.sampled_from(["", " ", "\n\t"]))
        return "{" + space + ",".join(f"{text(name)}:{value}" for name, value in [*items, *again]) + "}"

    def array(items: list[str]) -> str:
        return "[" + ",".join(items) + "]"

    def tensor(number: int) -> str:
        data = array([text(item) for item in draw(st.lists(strings, max_size=3))])
        members = [("name", text(f"{number}")), ("shape", "[1]"), ("datatype", text("BYTES")), ("data", data)]
        return pairs([*members, ("parameters", parameters)])

    strings = st.text(st.sampled_from('a"\\,:{é😀\n'), max_size=6)
    parameters = pairs([(name, text(draw(strings))) for name in sorted(draw(st.sets(strings, max_size=3)))])
    members = [("inputs", array([tensor(number) for number in range(draw(st.integers(1, 2)))]))]
    members.append(("parameters", parameters))
    if draw(st.booleans()):
        members.append(("id", text(draw(st.text(st.sampled_from('a"\\é'), min_size=1, max_size=5)))))
    return pairs(members).encode()


def repeats(text: bytes) -> bool:
    """Slow and obvious: does any object of the document repeat a key?"""
    found = []
    json.loads(text, object_pairs_hook=lambda items: found.append(len(dict(items)) != len(items)))
    return any(found)


@given(spelled())
def test_counting_quotes_finds_repeated_keys_and_nothing_else(text: bytes) -> None:
    """The fast test agrees with the slow and obvious one."""
    _, strings = fields_of(request_module._DECODER.decode(text))
    assert (2 * strings == strict.quote_count(text)) is not repeats(text)
    if repeats(text):
        with pytest.raises(InvalidInputError) as caught:
            wire.decode_request(record(text))
        assert str(caught.value) == "value: an object repeats a key"
    else:
        request, document = wire.decode_request(record(text)), json.loads(text)
        assert [item.data for item in request.inputs] == [item["data"] for item in document["inputs"]]
        assert dict(request.parameters) == document["parameters"]


BODY_TEXTS = st.none() | st.text(max_size=4) | st.sampled_from(("x" * 256, "x" * 257, "\x7f", "\x85", "é", "a b"))
BODY_SCALARS = BODY_TEXTS.filter(lambda text: text is not None) | st.booleans() | st.integers(-1, 2) | st.just(0.5)
BODY_PARAMETERS = st.none() | st.dictionaries(
    st.sampled_from(("tenant", "purpose", "priority", "timeout", "explain", "k", "")), BODY_SCALARS, max_size=4
)
BODY_TENSORS = st.builds(
    lambda name, datatype, data, parameters: (
        {"name": name, "shape": [1], "datatype": datatype, "data": data}
        | ({} if parameters is None else {"parameters": parameters})
    ),
    st.sampled_from(("a", "b")),
    st.sampled_from(("BYTES", "FP32", "INT8")),
    st.lists(BODY_SCALARS, max_size=3) | st.just([["text"], ["text"]]),
    BODY_PARAMETERS,
)
BODIES = st.builds(
    lambda inputs, outputs, **others: (
        {"inputs": inputs, "outputs": [{"name": name} for name in outputs]}
        | {name: value for name, value in others.items() if value is not None}
    ),
    inputs=st.lists(BODY_TENSORS, min_size=1, max_size=3),
    outputs=st.lists(st.sampled_from("ab"), max_size=2),
    id=BODY_TEXTS,
    model_name=BODY_TEXTS,
    model_version=BODY_TEXTS,
    parameters=BODY_PARAMETERS,
)


@pytest.mark.skipif(fields_of is fields_in_python, reason="no kernel was compiled: test_native.py")
@given(BODIES)
def test_the_kernel_makes_the_fields_of_the_python(document: dict[str, Any]) -> None:
    if not document["outputs"]:
        del document["outputs"]
    try:
        body = request_module._DECODER.decode(json.dumps(document))
    except msgspec.ValidationError:
        return
    both: list[Any] = []
    for read in (fields_of, fields_in_python):
        try:
            both.append(read(body))
        except InvalidInputError as error:
            both.append(str(error))
    assert both[0] == both[1]
    assert isinstance(both[0], str) or [*map(type, both[0][0])] == [*map(type, both[1][0])]


@given(st.text(), st.text(alphabet='"\\ab'))
def test_quote_count_is_two_for_every_string(first: str, second: str) -> None:
    for ascii_only in (True, False):
        assert strict.quote_count(json.dumps([first, second, {second: first}], ensure_ascii=ascii_only).encode()) == 8


# The SDK's side

TENSORS = st.lists(
    st.builds(
        lambda name, rows: Tensor(name, "FP64", (len(rows),), rows, {"k": 1}),
        st.text(min_size=1, max_size=5),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item.name,
)
LABELS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256)


KEPT = st.dictionaries(st.sampled_from(["a", "b"]), st.text() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1))


@given(TENSORS, LABELS, LABELS, st.integers(0, 100), st.integers(1, 2**53 - 1), st.booleans(), KEPT)
def test_what_the_sdk_encodes_is_what_the_service_decodes(
    inputs: list[Tensor], request_id: str, label: str, priority: int, timeout_us: int, explain: bool, kept: Any
) -> None:
    value = wire.encode_request(
        inputs,
        request_id=request_id,
        model_name=label,
        model_version=label[:1],
        outputs=["o"],
        tenant=label,
        data_subject=label,
        purpose=label,
        consent_ref=label,
        priority=priority,
        timeout_us=timeout_us,
        explain=explain,
        parameters=kept,
    )
    assert wire.decode_request(record(value)) == Request(
        id=request_id,
        id_source="body",
        inputs=tuple(inputs),
        model_name=label,
        model_version=label[:1],
        outputs=("o",),
        tenant=label,
        data_subject=label,
        purpose=label,
        consent_ref=label,
        priority=priority,
        timeout_us=timeout_us,
        explain=explain,
        parameters=kept,
    )
    assert wire.best_effort_id(record(value[:-1])) == (request_id, "body")


def test_plain_text_becomes_one_tensor() -> None:
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hi"]}
    assert json.loads(wire.encode_request("hi")) == {"inputs": [text]}
    request = wire.decode_request(record(wire.encode_request(["a", "b"])))
    assert request.inputs == (Tensor("text", "BYTES", (2,), ["a", "b"]),)
    with pytest.raises(TypeError):
        wire.encode_request(["a", Tensor("x", "INT8", (1,), [1])])  # type: ignore[list-item]
