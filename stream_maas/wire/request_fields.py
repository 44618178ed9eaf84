"""How a request's body becomes the fields of a `Request`: what types cannot say is checked on the way.

`fields_of` is the fast way where native/requests.pyx was compiled; `fields_in_python` says what it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

from stream_maas import native
from stream_maas.errors import InvalidInputError
from stream_maas.records import ParameterValue, Request, Tensor
from stream_maas.wire.tensors import (
    MAX_NAME_CHARS,
    MAX_SAFE_INTEGER,
    MAX_TENSORS,
    Name,
    Parameters,
    WireTensor,
    check_tensors,
    has_control,
    parameter_strings,
    to_tensors,
)

T = TypeVar("T")
DATA_SUBJECT = "data_subject"
MAX_PRIORITY = 100


class RequestedOutput(Struct, forbid_unknown_fields=True, gc=False):
    name: Name
    parameters: Parameters | UnsetType = UNSET


class Body(Struct, Generic[T], forbid_unknown_fields=True, gc=False):
    """Of a request: JSON throughout, or with tensors whose data stand behind it."""

    inputs: Annotated[list[T], Meta(min_length=1, max_length=MAX_TENSORS)]
    id: Name | UnsetType = UNSET
    model_name: Name | UnsetType = UNSET
    model_version: Name | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    outputs: Annotated[list[RequestedOutput], Meta(max_length=MAX_TENSORS)] | UnsetType = UNSET


_PLACES = {name: place for place, name in enumerate(Request.__struct_fields__)}
ID, ID_SOURCE, INPUTS, MODEL_NAME, MODEL_VERSION, OUTPUTS = (
    _PLACES[name] for name in ("id", "id_source", "inputs", "model_name", "model_version", "outputs")
)
TRACED = _PLACES["traceparent"]
"""Places in the fields."""


def fields_in_python(body: Body[WireTensor]) -> tuple[list[Any], int]:
    """The fields of `Request` by position, None for an id that is not in the body; and how many strings, keys included,
    the JSON text of the body has (strict.py). Raises `InvalidInputError`."""
    fields = _DEFAULTS.copy()
    strings = 1 + check_tensors(body.inputs, "inputs")
    fields[INPUTS] = to_tensors(body.inputs)
    if body.id is not UNSET:
        strings += _label_strings(body.id, "id")
        fields[ID], fields[ID_SOURCE] = body.id, "body"
    if body.model_name is not UNSET:
        strings += _label_strings(body.model_name, "model_name")
        fields[MODEL_NAME] = body.model_name
    if body.model_version is not UNSET:
        strings += _label_strings(body.model_version, "model_version")
        fields[MODEL_VERSION] = body.model_version
    kept: dict[str, ParameterValue] = {}
    fields[_PARAMETERS] = kept
    if body.parameters is not UNSET:
        strings += 1 + parameter_strings(body.parameters)
        for name, value in body.parameters.items():
            known = _UNDERSTOOD.get(name)
            if known is None:
                kept[name] = value
            else:
                place, check = known
                fields[place] = check(value, name)
    if body.outputs is not UNSET:
        fields[OUTPUTS], more = _read_outputs(body.outputs)
        strings += more
    return fields, strings


def _read_outputs(outputs: Sequence[RequestedOutput]) -> tuple[tuple[str, ...], int]:
    """Names, and how many strings the member has, its key included."""
    strings = 1
    for output in outputs:
        strings += 2 if output.parameters is UNSET else 3 + parameter_strings(output.parameters)
    return tuple([output.name for output in outputs]), strings


def _label_strings(text: str, place: str) -> int:
    """Two strings, key and value, if the value has no control character (it goes into headers and logs)."""
    if not text.isprintable() and has_control(text):
        raise InvalidInputError(f"{place}: has a control character")
    return 2


def _text(value: ParameterValue, name: str) -> str:
    if type(value) is not str or not 0 < len(value) <= MAX_NAME_CHARS:
        raise InvalidInputError(f"parameters.{name}: expected a string of 1 to {MAX_NAME_CHARS} characters")
    if not value.isprintable():
        _label_strings(value, f"parameters.{name}")
    return value


def _whole(value: ParameterValue, name: str, highest: int) -> int:
    if type(value) is not int or not 0 <= value <= highest:
        raise InvalidInputError(f"parameters.{name}: expected an integer from 0 to {highest}")
    return value


def _priority(value: ParameterValue, name: str) -> int:
    return _whole(value, name, MAX_PRIORITY)


def _timeout(value: ParameterValue, name: str) -> int | None:
    """Microseconds; 0 is "no timeout" in Triton's scheduling extension, so it is here."""
    return _whole(value, name, MAX_SAFE_INTEGER) or None


def _flag(value: ParameterValue, name: str) -> bool:
    if type(value) is not bool:
        raise InvalidInputError(f"parameters.{name}: expected true or false")
    return value


_UNDERSTOOD: dict[str, tuple[int, Callable[[ParameterValue, str], Any]]] = {
    name: (_PLACES[field], check)
    for name, field, check in (
        ("tenant", "tenant", _text),
        (DATA_SUBJECT, "data_subject", _text),
        ("purpose", "purpose", _text),
        ("consent_ref", "consent_ref", _text),
        ("app", "app", _text),
        ("principal", "principal", _text),
        ("basis", "basis", _text),
        ("priority", "priority", _priority),
        ("timeout", "timeout_us", _timeout),
        ("explain", "explain", _flag),
    )
}
"""Parameter -> place of its field, and its check."""
_PARAMETERS = _PLACES["parameters"]
_DEFAULTS: list[Any] = [getattr(Request("", "body", ()), name) for name in Request.__struct_fields__]
_DEFAULTS[ID] = None
_KERNEL = native.load("requests")
fields_of: Callable[[Body[WireTensor]], tuple[list[Any], int]] = (
    fields_in_python
    if _KERNEL is None
    else _KERNEL.Fields(
        parts=astuple,
        unset=UNSET,
        make_tensor=Tensor,
        check_tensors=check_tensors,
        label_strings=_label_strings,
        read_outputs=_read_outputs,
        text=_text,
        understood=_UNDERSTOOD,
        defaults=_DEFAULTS,
        parameters_place=_PARAMETERS,
        most_chars=MAX_NAME_CHARS,
    ).of
)
