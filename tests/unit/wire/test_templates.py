"""Templates: Python and the kernel write the same texts, are for the same structs and refuse the same values."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct

from stream_maas import native
from stream_maas.wire.templates import Field, Form, Part, PythonTemplate, escaped

KERNEL = native.load("templates")
FORMS: tuple[Form, ...] = ("bytes", "ascii", "text", "count", "number")


class Inner(Struct, frozen=True, gc=False):
    b: Any = 0


class Outer(Struct, frozen=True):
    a: Any
    other: Any = 0
    inner: Any = Inner()


def in_kernel(parts: list[Part], shared: list[str], like: object) -> Any:
    assert KERNEL is not None
    return KERNEL.Template([p.encode() if isinstance(p, str) else p for p in parts], shared, like, escaped)


WAYS = [PythonTemplate, *([in_kernel] if KERNEL else [])]
values = st.one_of(
    st.none(),
    st.booleans(),
    st.binary(max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(st.characters(codec="ascii"), max_size=20),
    st.integers(-(2**65), 2**65),
    st.sampled_from([0, -1, 9, 10, 2**53 - 1, 2**53, 1 - 2**53, -(2**53), 2**63, -(2**63)]),
    st.floats(),
)
fields = st.builds(
    Field,
    st.sampled_from(["a", "other", "inner.b"]),
    st.sampled_from(FORMS),
    st.binary(max_size=4),
    st.binary(max_size=4),
    st.booleans(),
)
given_fields = st.builds(Field, st.sampled_from("01"), st.just("given"), st.just(b"<"), st.just(b">"), st.booleans())
templates = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | fields | given_fields, max_size=12)
structs = st.builds(Outer, values, values, st.builds(Inner, values))
paths = st.lists(st.sampled_from(["a", "other", "inner", "inner.b"]), max_size=4)


@pytest.mark.skipif(KERNEL is None, reason="the kernels are not compiled")
@given(templates, paths, structs, st.lists(structs, max_size=3), st.binary(max_size=8))
def test_kernel_and_python_agree(parts: Any, shared: list[str], like: Any, others: Any, text: bytes) -> None:
    ways = [way(parts, shared, like) for way in WAYS]
    for struct in (like, *others, like):
        first, second = (way.write(struct, (text, b"")) for way in ways)
        assert first == second


@pytest.mark.parametrize("way", WAYS)
def test_constants_and_fields_stand_in_their_order(way: Any) -> None:
    optional = Field("other", "text", b'"other":"', b'",', optional=True)
    made = way(
        ['{"é":', Field("a", "number"), ",", optional, Field("inner.b", "bytes"), Field("0", "given"), "}"], [], None
    )
    assert made.write(Outer(-7, 'x"', Inner(b"raw")), (b"!",)) == '{"é":-7,"other":"x\\"",raw!}'.encode()
    assert made.write(Outer(7, None, Inner(b"")), (b"",)) == '{"é":7,}'.encode()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("number", 2**53),
        ("number", -(2**53)),
        ("number", 2**64),
        ("number", True),
        ("number", 1.0),
        ("number", None),
        ("count", -1),
        ("ascii", "é"),
        ("ascii", b"x"),
        ("text", b"x"),
        ("text", None),
        ("bytes", "x"),
        ("bytes", bytearray(b"x")),
    ],
)
def test_what_a_form_cannot_write_is_not_written(way: Any, form: Form, value: Any) -> None:
    assert way(["before", Field("a", form)], [], None).write(Outer(value), ()) is None


@pytest.mark.parametrize("way", WAYS)
@given(st.text())
@example('"\\')
@example("\x1f\x7f")
@example("\ud800")
def test_a_text_is_written_as_in_json(way: Any, text: str) -> None:
    made = way(['"', Field("a", "text"), '"'], [], None)
    if any("\ud800" <= character <= "\udfff" for character in text):
        with pytest.raises(orjson.JSONEncodeError):
            made.write(Outer(text), ())
    else:
        assert made.write(Outer(text), ()) == orjson.dumps(text)


@pytest.mark.parametrize("way", WAYS)
def test_a_template_is_for_structs_that_are_alike(way: Any) -> None:
    made = way([Field("a", "number")], ["other", "inner.b"], Outer(1, "same", Inner("too")))
    assert made.write(Outer(2, "".join(("sa", "me")), Inner("too")), ()) == b"2"
    assert made.write(Outer(2, "another", Inner("too")), ()) is None
    assert made.write(Outer(2, "same", Inner(None)), ()) is None


@pytest.mark.skipif(KERNEL is None, reason="the kernels are not compiled")
def test_the_kernel_reads_the_slots_of_whatever_type_comes() -> None:
    class Slotted:
        __slots__ = ("a", "inner")
        a: int

    class Plain:
        a = 5

    made = in_kernel([Field("a", "number")], [], None)
    slotted = Slotted()
    with pytest.raises(AttributeError):
        made.write(slotted, ())
    slotted.a = 3
    assert [made.write(struct, ()) for struct in (Outer(2), slotted, Outer(4))] == [b"2", b"3", b"4"]
    for thing in (Plain(), None, 7):
        with pytest.raises((AttributeError, TypeError)):
            made.write(thing, ())
