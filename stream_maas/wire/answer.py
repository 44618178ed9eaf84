"""Keeps the JSON form of the two terminal answers: an Open Inference Protocol response, or a rejection.

Timings come last in a prediction, because they are all that differs when a record is answered twice: without
them (`without_timings`) duplicates are byte-identical, and that is what `stable_digest` hashes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
import orjson
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from stream_maas.errors import BadOutputError, InvalidInputError, UndecodableError
from stream_maas.records import ModelRef, ParameterValue, Prediction, Rejection, Tensor, Timings
from stream_maas.wire import strict
from stream_maas.wire.templates import Field, Template, template
from stream_maas.wire.tensors import (
    MAX_SAFE_INTEGER,
    MAX_TENSORS,
    Name,
    WireTensor,
    check_tensors,
    from_tensor,
    has_control,
    plain,
    to_tensors,
)

_P = TypeVar("_P")
MAX_ANSWER_ID_CHARS = 300
"""Longer than a request's own id may be: the coordinates of a record in a topic with a long name."""

AnswerId = Annotated[str, Meta(min_length=1, max_length=MAX_ANSWER_ID_CHARS)]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_TIMINGS_AT_END = re.compile(rb'(?:,"timing_[a-z]+_us":[0-9]+)+(?=\}\}\Z)')
_DIGEST_MARK = "@sha256:"
_REDACTIONS = "redactions_"
_REDACTIONS_NAME = re.compile(r"redactions_[A-Za-z0-9_]+")
_SERVED_BY = re.compile(r"@sha256:([0-9a-f]{64})\Z")
_TIMING_FIELDS = {f"timing_{name}": name for name in Timings.__struct_fields__}
"""Parameter -> field of `Timings`."""


def encode_prediction(p: Prediction) -> bytes:
    """The value of a result record. Tensor data may be lists or NumPy arrays.

    Raises `BadOutputError` for a number that is not finite (JSON has none) and `TypeError` for other objects
    that JSON cannot hold.
    """
    return _written(p)[0]


def stable_digest(p: Prediction) -> str:
    """SHA-256 hex of `without_timings(encode_prediction(p))`: equal for every answer to the same record."""
    return hashlib.sha256(_written(p)[1]).hexdigest()


def encode_prediction_and_digest(p: Prediction) -> tuple[bytes, str]:
    """`encode_prediction` and `stable_digest` for the price of one of them."""
    value, stable = _written(p)
    return value, hashlib.sha256(stable).hexdigest()


def without_timings(value: bytes) -> bytes:
    """A result value with its timings, the last members, cut out of the bytes; without any it is returned as it is."""
    return _TIMINGS_AT_END.sub(b"", value)


def encode_rejection(r: Rejection) -> bytes:
    """The value of a result record for a record that was not predicted."""
    document: dict[str, Any] = {"id": r.id, "code": r.code, "message": r.message, "retryable": r.retryable}
    if r.retry_after_ms is not None:
        document["retry_after_ms"] = r.retry_after_ms
    return orjson.dumps(document)


def decode_answer(value: bytes) -> Prediction | Rejection:
    """The answer in a result record's value. `Prediction.batch` is not published and comes back as None.

    A client may be older than the worker, so members and rejection codes that are not known yet are passed over;
    apart from that schemas/result.schema.json or rejection.schema.json holds. Raises `UndecodableError`.
    """
    try:
        if _is_prediction(value):
            return strict.read_tolerantly(value, _PREDICTION_DECODER, _prediction)
        return strict.read_tolerantly(value, _REJECTION_DECODER, _rejection)
    except InvalidInputError as error:
        raise UndecodableError(str(error)) from None


def encode_outputs(tensors: Iterable[Tensor]) -> bytes:
    """The member `outputs` of a prediction. Raises as `encode_prediction` does."""
    value = orjson.dumps([from_tensor(tensor) for tensor in tensors], default=plain, option=_OPTIONS)
    if b"null" in value:
        _refuse_null(value)
    return value


def encode_numbers(rows: Sequence[Sequence[float]]) -> list[bytes]:
    """The numbers of each row as they stand in a tensor's `data`, without the brackets; no row may be empty.

    What is not finite is written as null: whoever uses such a row's text has checked that before.
    """
    return orjson.dumps(rows)[2:-2].split(b"],[")


def _written(p: Prediction) -> tuple[bytes, bytes]:
    """The value with its timings and without them."""
    outputs = encode_outputs(p.outputs) if p.encoded is None else p.encoded
    given = (outputs, _redactions(p.redactions) if p.redactions else _NO_REDACTIONS)
    timed, timeless = _templates(p.model, p.degraded)
    value, stable = timed.write(p, given), timeless.write(p, given)
    if value is None:
        # The difference between two machines' clocks can be negative or absurd; it must not spoil the answer.
        value = timed.write(replace(p, timings=_clamped(p.timings)), given)
    if value is None or stable is None:
        raise TypeError("a prediction of other types than its own")
    return value, stable


@lru_cache(maxsize=256)
def _templates(model: ModelRef, degraded: bool) -> tuple[Template, Template]:
    """Of a model's result values with timings and without. Given: the JSON of `outputs`, and `_redactions`."""
    parameters: dict[str, ParameterValue] = {
        "status": "prediction",
        "served_by": f"{model.name}:{model.version}{_DIGEST_MARK}{model.digest}",
        "licence": model.licence,
        "degraded": degraded,
    }
    names = orjson.dumps({"model_name": model.name, "model_version": model.version})
    stable = (
        names[:-1].decode() + ',"id":"', Field("id", "text"), '","outputs":', Field("0", "given"),
        f',"parameters":{orjson.dumps(parameters)[:-1].decode()},', Field("1", "given"),
    )  # fmt: skip
    timings = [Field(f"timings.{name}", "count", f',"{member}":'.encode()) for member, name in _TIMING_FIELDS.items()]
    return template([*stable, *timings, "}}"]), template([*stable, "}}"])


def _redactions(redactions: Mapping[str, int]) -> bytes:
    """The members that say how often what was replaced."""
    counts = {_REDACTIONS + entity_type: redactions[entity_type] for entity_type in sorted(redactions)}
    return orjson.dumps({"redactions": sum(redactions.values()), **counts})[1:-1]


_NO_REDACTIONS = _redactions({})


def _clamped(timings: Timings) -> Timings:
    return Timings(*[min(max(getattr(timings, name), 0), MAX_SAFE_INTEGER) for name in _TIMING_FIELDS.values()])


def _refuse_null(outputs: bytes) -> None:
    """orjson writes NaN and infinities as null. The word may as well stand in a text, so look."""
    for index, tensor in enumerate(orjson.loads(outputs)):
        if _has_null(tensor["data"]):
            raise BadOutputError(f"outputs[{index}].data: a number is not finite")


def _has_null(data: list[Any]) -> bool:
    return any(_has_null(item) if isinstance(item, list) else item is None for item in data)


class _AnswerTensor(WireTensor, forbid_unknown_fields=False, gc=False):
    """A tensor of an answer: members of a later version are passed over."""


class _Kind(Struct):
    """A first look: an answer with outputs is a prediction."""

    outputs: msgspec.Raw | UnsetType = UNSET


class _Rejection(Struct):
    id: AnswerId
    code: Name
    message: Annotated[str, Meta(min_length=1)]
    retryable: bool
    retry_after_ms: Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)] | UnsetType = UNSET


class _Prediction(Struct, gc=False):
    id: AnswerId
    model_name: Name
    model_version: Name
    outputs: Annotated[list[_AnswerTensor], Meta(max_length=MAX_TENSORS)]
    parameters: dict[str, Any]


_KIND_DECODER = msgspec.json.Decoder(_Kind)
_REJECTION_DECODER = msgspec.json.Decoder(_Rejection)
_PREDICTION_DECODER = msgspec.json.Decoder(_Prediction)


def _is_prediction(value: bytes) -> bool:
    """False for what is no object as well; the decoder of rejections says what is wrong with it."""
    try:
        return _KIND_DECODER.decode(value).outputs is not UNSET
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _rejection(a: _Rejection) -> Rejection:
    if has_control(a.id):
        raise InvalidInputError("id: has a control character")
    if a.retry_after_ms is UNSET:
        return Rejection(a.id, a.code, a.message, a.retryable)
    if not a.retryable:
        raise InvalidInputError("retry_after_ms: only with retryable")
    return Rejection(a.id, a.code, a.message, a.retryable, a.retry_after_ms)


def _prediction(a: _Prediction) -> Prediction:
    if has_control(a.id) or has_control(a.model_name) or has_control(a.model_version):
        raise InvalidInputError("id, model_name, model_version: has a control character")
    check_tensors(a.outputs, "outputs")
    parameters = a.parameters
    served_by = _SERVED_BY.search(_text(parameters, "served_by"))
    if _text(parameters, "status") != "prediction" or served_by is None:
        raise InvalidInputError("parameters: status is prediction and served_by ends in @sha256: and a digest")
    degraded = parameters.get("degraded")
    if type(degraded) is not bool:
        raise InvalidInputError("parameters.degraded: expected true or false")
    _count(parameters, "redactions")
    return Prediction(
        id=a.id,
        model=ModelRef(a.model_name, a.model_version, served_by[1], _text(parameters, "licence")),
        outputs=to_tensors(a.outputs),
        redactions={
            name.removeprefix(_REDACTIONS): _count(parameters, name, 1)
            for name in parameters
            if _REDACTIONS_NAME.fullmatch(name)
        },
        degraded=degraded,
        timings=Timings(**{field: _count(parameters, name) for name, field in _TIMING_FIELDS.items()}),
    )


def _text(parameters: Mapping[str, object], name: str) -> str:
    value = parameters.get(name)
    if type(value) is not str or not value or has_control(value):
        raise InvalidInputError(f"parameters.{name}: expected text")
    return value


def _count(parameters: Mapping[str, object], name: str, lowest: int = 0) -> int:
    value = parameters.get(name)
    if type(value) is not int or not lowest <= value <= MAX_SAFE_INTEGER:
        raise InvalidInputError(f"parameters.{_known_name(name)}: expected an integer of at least {lowest}")
    return value


def _known_name(name: str) -> str:
    """Only names of ours may stand in a message."""
    return name if name in _TIMING_FIELDS else "redactions"
