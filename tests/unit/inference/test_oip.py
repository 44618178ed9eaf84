"""What ONNX Runtime would take without a word, or fail a whole batch for, is refused per record."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.errors import InvalidInputError, TooLargeError
from stream_maas.inference.manifest import TensorSpec
from stream_maas.inference.oip import check_rows, match_inputs, read_array
from tests.unit.inference.graphs import request, tensor

INT_RANGES = {
    "INT8": (-128, 127), "INT16": (-(2**15), 2**15 - 1), "INT32": (-(2**31), 2**31 - 1), "INT64": (-(2**63), 2**63 - 1),
    "UINT8": (0, 255), "UINT16": (0, 2**16 - 1), "UINT32": (0, 2**32 - 1), "UINT64": (0, 2**64 - 1),
}  # fmt: skip


def read(data: Any, *, shape: tuple[int, ...] = (1,), datatype: Any = "FP32", **limits: Any) -> np.ndarray:
    declared = (-1,) * len(shape)
    return read_array(tensor("x", datatype, shape, data), TensorSpec("x", datatype, declared, **limits), "inputs[0]")


def refused(data: Any, **how: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read(data, **how)
    return str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "values", "dtype"),
    [
        ("FP16", [1, -2.5], "float16"),
        ("FP32", [1, -2.5], "float32"),
        ("FP64", [1, 1e300], "float64"),
        ("BOOL", [True, False], "bool"),
        ("BYTES", ["a", ""], "object"),
        *[(name, list(bounds), name.lower()) for name, bounds in INT_RANGES.items()],
    ],
)
def test_each_datatype_is_read_exactly(datatype: str, values: list[Any], dtype: str) -> None:
    array = read(values, shape=(2,), datatype=datatype)
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == values


@pytest.mark.parametrize("datatype", INT_RANGES)
def test_integers_do_not_wrap(datatype: str) -> None:
    low, high = INT_RANGES[datatype]
    assert refused([low - 1], datatype=datatype) == f"inputs[0].data: out of the range of {datatype}"
    assert refused([high + 1], datatype=datatype) == f"inputs[0].data: out of the range of {datatype}"


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT64", True), ("INT64", 1.0), ("INT64", "1"), ("INT64", None), ("FP32", True), ("FP32", "1"), ("FP32", None),
        ("FP32", [1.0]), ("BOOL", 1), ("BOOL", "true"), ("BYTES", 1), ("BYTES", None), ("BYTES", b"x"), ("BYTES", {}),
    ],
)  # fmt: skip
def test_values_are_not_converted(datatype: str, value: Any) -> None:
    assert refused([value], datatype=datatype).startswith("inputs[0].data: expected ")


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("FP16", 70_000), ("FP16", -65_520), ("FP32", 1e39), ("FP32", 10**39), ("FP32", 10**400), ("FP64", 10**400),
        ("FP64", math.inf), ("FP64", math.nan),
    ],
)  # fmt: skip
def test_floats_stay_finite(datatype: str, value: float) -> None:
    assert "not finite, or out of the range" in refused([value], datatype=datatype)


@pytest.mark.parametrize(
    ("limits", "good", "bad"),
    [
        ({"minimum": 0}, [0, 7], [-1, 7]),
        ({"maximum": 9}, [-3, 9], [0, 10]),
        ({"minimum": 2, "maximum": 2}, [2, 2], [2, 3]),
    ],
)
@pytest.mark.parametrize("datatype", ["INT64", "FP64"])
def test_the_declared_range_holds(datatype: str, limits: dict[str, int], good: list[int], bad: list[int]) -> None:
    assert read(good, shape=(2,), datatype=datatype, **limits).tolist() == good
    assert "outside the range" in refused(bad, shape=(2,), datatype=datatype, **limits)


@pytest.mark.parametrize(
    "data",
    [
        [[1, 2, 3], [4, 5]], [[1, 2, 3]], [[1, 2], [3, 4], [5, 6]], [1, 2, 3, 4, 5], [[1, 2, 3], 4, 5, 6], [], [[]],
        [[1, 2, 3], [4, 5, [6]]], None, "123456", {"0": 1}, 6, [[[1, 2, 3], [4, 5, 6]]],
    ],
)  # fmt: skip
def test_data_must_be_as_the_shape_says(data: Any) -> None:
    assert refused(data, shape=(2, 3)).startswith("inputs[0].data: ")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_flat_and_nested_data_are_the_same(shape: list[int], data: st.DataObject) -> None:
    count = math.prod(shape)
    flat = data.draw(st.lists(st.integers(-9, 9), min_size=count, max_size=count))
    nested = np.array(flat).reshape(shape).tolist()
    expected = np.array(flat, dtype=np.int16).reshape(shape)
    for given_data in (flat, nested):
        assert np.array_equal(read(given_data, shape=tuple(shape), datatype="INT16"), expected)


@pytest.mark.parametrize(
    ("shape", "declared", "message"),
    [
        ((2, 3), (-1, 4), "inputs[0].shape[1]: expected 4"),
        ((2, 0), (-1, -1), "inputs[0].shape[1]: expected at least 1"),
        ((2, -3), (-1, -1), "inputs[0].shape[1]: expected at least 1"),
        ((0, 3), (-1, 3), "inputs[0].shape[0]: expected at least 1"),
        ((6,), (-1, 3), "inputs[0].shape: expected 2 dimensions"),
        ((), (-1, 3), "inputs[0].shape: expected 2 dimensions"),
        ((10**12, 10**12), (-1, -1), "inputs[0].data: 6 values, the shape asks for"),
    ],
)
def test_shapes(shape: tuple[int, ...], declared: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_array(tensor("x", "INT64", shape, [0] * 6), TensorSpec("x", "INT64", declared), "inputs[0]")
    assert str(caught.value).startswith(message)


def test_the_datatype_is_the_declared_one() -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_array(tensor("x", "FP64", (1,), [1]), TensorSpec("x", "FP32", (-1,)), "inputs[3]")
    assert str(caught.value) == "inputs[3].datatype: expected FP32"


def test_rows_are_limited() -> None:
    assert check_rows(tensor("x", "FP32", (8, 2), []), "inputs[0]", 8) == 8
    with pytest.raises(TooLargeError) as caught:
        check_rows(tensor("x", "FP32", (9, 2), []), "inputs[0]", 8)
    assert str(caught.value) == "inputs[0].shape: 9 rows, the limit is 8"
    for shape in ((), (0,), (-1, 2)):
        with pytest.raises(InvalidInputError):
            check_rows(tensor("x", "FP32", shape, []), "inputs[0]", 8)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "inputs: the tensor b is missing"),
        ([], "inputs: the tensor a is missing"),
        (["a", "b", "other"], "inputs[2].name: not an input of this model"),
        (["b", "b", "a"], "inputs[1].name: given twice"),
    ],
)
def test_inputs_are_matched_by_name(names: list[str], message: str) -> None:
    specs = (TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,)))
    with pytest.raises(InvalidInputError) as caught:
        match_inputs(request(*(tensor(name, "FP32", (1,), [1]) for name in names)), specs)
    assert str(caught.value) == message


def test_a_place_is_where_the_client_put_it() -> None:
    specs = (TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,)))
    second, first = tensor("b", "FP32", (1,), [1]), tensor("a", "FP32", (1,), [2])
    assert match_inputs(request(second, first), specs) == [("inputs[1]", first), ("inputs[0]", second)]


SECRET = 918_273_645


def message(data: Any, **how: Any) -> str:
    """What a refusal says; empty when the data is accepted."""
    try:
        read(data, **how)
    except InvalidInputError as error:
        return str(error)
    return ""


@given(st.sampled_from(["INT8", "INT64", "FP16", "BOOL", "BYTES"]), st.sampled_from([(1,), (2,), (1, 1), (0,), ()]))
def test_no_message_holds_a_value(datatype: str, shape: tuple[int, ...]) -> None:
    limits = {} if datatype in ("BOOL", "BYTES") else {"maximum": 5}
    all_data = ([SECRET], [[SECRET]], [str(SECRET)], SECRET, [SECRET + 0.5], {str(SECRET): 1}, [None])
    messages = [message(data, shape=shape, datatype=datatype, **limits) for data in all_data]
    assert any(messages)
    assert not [text for text in messages if str(SECRET) in text]
