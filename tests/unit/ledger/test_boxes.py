"""Boxes: what goes in comes out with the right key, and with nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.errors import LedgerError
from stream_maas.ledger import boxes
from stream_maas.ledger.boxes import DataKey
from stream_maas.records import Request, Tensor

KEY = DataKey(b"i" * 16, b"s" * 32)
TEXTS = st.text(max_size=20)
SCALARS = st.one_of(st.integers(-(2**53), 2**53), st.booleans(), TEXTS)
TENSORS = st.builds(
    Tensor, TEXTS, st.sampled_from(["BYTES", "FP32"]), st.just((1,)), st.lists(SCALARS, max_size=3),
    st.dictionaries(TEXTS, SCALARS, max_size=2),
)  # fmt: skip
REQUESTS = st.builds(
    Request,
    st.just("r"),
    st.just("body"),
    st.lists(TENSORS, max_size=3).map(tuple),
    st.none() | TEXTS.filter(bool),
    st.none() | TEXTS.filter(bool),
    st.lists(TEXTS, max_size=2).map(tuple),
    tenant=st.none() | TEXTS,
    parameters=st.dictionaries(TEXTS, SCALARS, max_size=2),
)


def entry(event_id: str, request: Request) -> bytes:
    return boxes.entry(event_id, request, msgspec.json.encode(request.inputs))


@given(st.dictionaries(TEXTS, REQUESTS, max_size=4))
def test_requests_come_back(requests: dict[str, Request]) -> None:
    box = KEY.seal(boxes.pack([entry(name, request) for name, request in requests.items()]))
    found = boxes.unpack(KEY.open(box))
    assert found.keys() == requests.keys()
    for name, request in requests.items():
        again = found[name].to_request(request.id)
        for field in ("inputs", "model_name", "model_version", "outputs", "parameters"):
            assert getattr(again, field) == getattr(request, field)
        assert again.tenant is None


@given(st.binary(max_size=200), st.data())
def test_one_changed_bit_is_found(content: bytes, data: st.DataObject) -> None:
    box = bytearray(KEY.seal(content))
    place = data.draw(st.integers(len(box) - len(content) - 16 - 12, len(box) - 1))
    box[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LedgerError):
        KEY.open(bytes(box))


def test_another_key_with_the_same_id_does_not_open_it() -> None:
    with pytest.raises(LedgerError):
        DataKey(b"i" * 16, b"t" * 32).open(KEY.seal(b"content"))


def test_the_same_content_is_the_same_box_and_another_is_not() -> None:
    assert KEY.seal(b"one") == KEY.seal(b"one")
    first, second = KEY.seal(b"one"), KEY.seal(b"two")
    assert first[17:29] != second[17:29], "a nonce is never used for two contents"
    assert DataKey(b"j" * 16, b"s" * 32).seal(b"one")[17:] != first[17:], "nor a key for two owners"


def test_a_box_names_its_key() -> None:
    assert boxes.key_id(KEY.seal(b"")) == b"i" * 16
    for bad in (b"", b"\x02" + b"x" * 60, b"\x01" + b"x" * 27):
        with pytest.raises(LedgerError):
            boxes.key_id(bad)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a":1}', b'{"a":{"inputs":3}}', b"\xff"])
def test_content_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(LedgerError):
        boxes.unpack(content)


def test_neither_tenant_nor_subject_nor_plain_text_stand_in_a_box() -> None:
    request = Request("r", "body", (Tensor("text", "BYTES", (1,), ["a very plain sentence"]),), tenant="acme")
    box = KEY.seal(boxes.pack([entry("t:0:1", request)]))
    assert b"plain" not in box
    assert b"acme" not in KEY.open(box)
