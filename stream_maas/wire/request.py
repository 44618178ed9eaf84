"""Keeps the JSON form of an inference request and where else a producer may say the same things.

Open Inference Protocol v2 (kserve/open-inference-protocol, inference_rest.md) as a closed object, with two
additions because a topic has no URL: `model_name` and `model_version`. schemas/request.schema.json is the same
contract for other languages; tests/contract holds both to one verdict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from stream_maas.errors import InvalidInputError, UndecodableError
from stream_maas.records import IdSource, KafkaRecord, ParameterValue, Request, Tensor
from stream_maas.wire import strict
from stream_maas.wire.binary import BinaryTensor, json_length, read_tensors
from stream_maas.wire.headers import (
    CE_ID,
    MODEL_HEADERS,
    TRACEPARENT,
    X_REQUEST_ID,
    coordinates_id,
    header_text,
    valid_traceparent,
)
from stream_maas.wire.request_fields import (
    DATA_SUBJECT,
    ID,
    ID_SOURCE,
    MODEL_NAME,
    MODEL_VERSION,
    TRACED,
    Body,
    fields_of,
)
from stream_maas.wire.tensors import (
    MAX_NAME_CHARS,
    WireTensor,
    from_tensor,
    has_control,
    plain,
)

TEXT_INPUT = "text"
"""Name of the tensor that `encode_request` makes of plain text."""

_NO_HEADERS: dict[str, bytes | None] = {}

_LEADING_ID = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"id"[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.){1,1600}")')

_SUBJECT = re.compile(rb'"data_subject"[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.){1,1600}")')


class _OnlyId(Struct):
    id: Any = None


_DECODER = msgspec.json.Decoder(Body[WireTensor])
_BINARY_DECODER = msgspec.json.Decoder(Body[BinaryTensor])
_ID_DECODER = msgspec.json.Decoder(_OnlyId)


def decode_request(record: KafkaRecord) -> Request:
    """The request in a record's value and headers.

    `id`: body, else `ce_id`, else `x-request-id`, else the coordinates. Model: body, else `mlserver-model` and
    `mlserver-version`, else `ce_model` and `ce_modelversion`. Headers that are not UTF-8 are ignored.

    Raises `UndecodableError` (no value, not JSON) or `InvalidInputError`; messages name places, never values.
    """
    value = record.value
    if not value:
        raise UndecodableError("value: null (a tombstone)" if value is None else "value: empty")
    headers = dict(record.headers) if record.headers else _NO_HEADERS
    length = json_length(headers, value) if headers else None
    if length is None:
        fields = strict.read(value, _DECODER, fields_of)
    else:
        fields = fields_of(_with_tail(strict.read_exactly(value[:length], _BINARY_DECODER), value[length:]))[0]
    if fields[ID] is None:
        fields[ID], fields[ID_SOURCE] = _id_outside(headers, record)
    if headers:
        fields[MODEL_NAME], fields[MODEL_VERSION] = _find_model(fields[MODEL_NAME], fields[MODEL_VERSION], headers)
        fields[TRACED] = valid_traceparent(headers.get(TRACEPARENT))
    return Request(*fields)


def _with_tail(body: Body[BinaryTensor], tail: bytes) -> Body[WireTensor]:
    return Body(
        read_tensors(body.inputs, tail), body.id, body.model_name, body.model_version, body.parameters, body.outputs
    )


def best_effort_id(record: KafkaRecord) -> tuple[str, IdSource]:
    """The id for the rejection of a record that does not decode; never raises.

    A client waits for its id, so the body is asked first even when it is broken: an `id` that is the first member
    (as the SDK writes it) is found in a body that is cut off. It is as personal as the body is: redact it.
    """
    found = _id_in(record.value)
    return _id_outside(dict(record.headers), record) if found is None else (found, "body")


def best_effort_subject(record: KafkaRecord) -> str | None:
    """The data subject that the body of a record that does not decode seems to name; never raises.

    It is wanted for one thing only: to keep it out of the rejection, if the record's id or key repeats it.
    """
    found = _SUBJECT.search(record.value or b"")
    try:
        return None if found is None else msgspec.json.decode(found[1], type=str)
    except msgspec.DecodeError:
        return None


def _id_in(value: bytes | None) -> str | None:
    if not value:
        return None
    found: object
    try:
        leading = _LEADING_ID.match(value)
        found = msgspec.json.decode(leading[1]) if leading else _ID_DECODER.decode(value).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, str) and _is_label(found) else None


def _is_label(text: str) -> bool:
    return 1 <= len(text) <= MAX_NAME_CHARS and not has_control(text)


def _id_outside(headers: Mapping[str, bytes | None], record: KafkaRecord) -> tuple[str, IdSource]:
    """The id of a record whose body has none."""
    if headers:
        for name in (CE_ID, X_REQUEST_ID):
            text = header_text(headers.get(name))
            if text is not None and _is_label(text):
                return text, "header"
    return coordinates_id(record.topic, record.partition, record.offset), "coordinates"


def _find_model(
    name: str | None, version: str | None, headers: Mapping[str, bytes | None]
) -> tuple[str | None, str | None]:
    """Name and version. A header's version goes with the name beside it, never with another source's name."""
    if name is None:
        for name_header, version_header in MODEL_HEADERS:
            found = _label_header(headers, name_header)
            if found is not None:
                return found, version or _label_header(headers, version_header)
    return name, version


def _label_header(headers: Mapping[str, bytes | None], name: str) -> str | None:
    """A model header that is there but unusable is refused: answering with the default model would be wrong."""
    text = header_text(headers.get(name))
    if text is not None and not _is_label(text):
        raise InvalidInputError(f"headers.{name}: expected 1 to {MAX_NAME_CHARS} characters, none a control character")
    return text


def encode_request(
    inputs: str | Sequence[str] | Sequence[Tensor],
    *,
    request_id: str | None = None,
    model_name: str | None = None,
    model_version: str | None = None,
    outputs: Sequence[str] = (),
    tenant: str | None = None,
    data_subject: str | None = None,
    purpose: str | None = None,
    consent_ref: str | None = None,
    priority: int = 0,
    timeout_us: int | None = None,
    explain: bool = False,
    parameters: Mapping[str, ParameterValue] | None = None,
) -> bytes:
    """The value of a request record. Plain text, or several, becomes one BYTES tensor `text` of shape [n].

    `id` comes first, so that even a worker that cannot decode the rest answers to it. Raises `TypeError` for
    tensor data that JSON cannot hold; limits are the worker's to judge.
    """
    document: dict[str, Any] = {}
    if request_id is not None:
        document["id"] = request_id
    if model_name is not None:
        document["model_name"] = model_name
    if model_version is not None:
        document["model_version"] = model_version
    named = {
        "tenant": tenant,
        DATA_SUBJECT: data_subject,
        "purpose": purpose,
        "consent_ref": consent_ref,
        "priority": priority or None,
        "timeout": timeout_us,
        "explain": explain or None,
    }
    all_parameters = {**(parameters or {}), **{name: value for name, value in named.items() if value is not None}}
    if all_parameters:
        document["parameters"] = all_parameters
    document["inputs"] = [from_tensor(tensor) for tensor in _tensors(inputs)]
    if outputs:
        document["outputs"] = [{"name": name} for name in outputs]
    return orjson.dumps(document, default=plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _tensors(inputs: str | Sequence[str] | Sequence[Tensor]) -> list[Tensor]:
    if isinstance(inputs, str):
        return [Tensor(TEXT_INPUT, "BYTES", (1,), [inputs])]
    texts = [item for item in inputs if isinstance(item, str)]
    tensors = [item for item in inputs if isinstance(item, Tensor)]
    if texts and tensors:
        raise TypeError("inputs: texts and tensors cannot be mixed")
    return [Tensor(TEXT_INPUT, "BYTES", (len(texts),), texts)] if texts else tensors
