"""What a caller hands in and gets back: calls, predictions, and rejections as typed exceptions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import orjson

from stream_maas import records, wire
from stream_maas.errors import ERRORS_BY_CODE, RequestError, ServiceError


class RejectedError(RequestError):
    """The service answered with a rejection.

    Every instance also is the class of its code in `stream_maas.errors`, so both `except RejectedError` and
    `except ExpiredError` work. `code`, `retryable` and `retry_after_ms` are the answer's own.
    """

    def __init__(self, rejection: records.Rejection) -> None:
        super().__init__(f"{rejection.code}: {rejection.message}", retry_after_ms=rejection.retry_after_ms)
        self.id = rejection.id
        self.message = rejection.message


class AnswerTimeoutError(ServiceError, TimeoutError):
    """No answer came within the caller's timeout. The request may still be answered later."""

    code = "answer_timeout"


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a caller states it: either `text` or `inputs`.

    `inputs` are Open Inference Protocol tensors: `records.Tensor`s, or mappings with `name`, `datatype`, `shape` and
    `data`, which are sent as they are: whether they fit the model is for the service to say. `tensors` makes them
    of arrays. `key` orders: requests with the same key are answered in the order in which they were sent.
    """

    model: str | None = None
    text: str | None = None
    inputs: Sequence[records.Tensor | Mapping[str, Any]] | None = None
    id: str | None = None
    model_version: str | None = None
    tenant: str | None = None
    data_subject: str | None = None
    purpose: str | None = None
    consent_ref: str | None = None
    priority: int = 0
    timeout_us: int | None = None
    """Microseconds after being sent within which an answer is wanted; later it is rejected as `expired`."""
    explain: bool = False
    outputs: Sequence[str] = ()
    """Names of the outputs wanted; empty: all that the model gives by default."""
    key: str | bytes | None = None
    parameters: Mapping[str, records.ParameterValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction as an application wants to see it.

    `label` and `score` are those of a classifier: the winning label and its probability, None for other models.
    `redactions`: entity type -> how many spans of the input were replaced before the model saw it.
    """

    id: str
    model_name: str
    model_version: str
    outputs: Mapping[str, records.Tensor]
    """Output name -> tensor; `data` is row-major."""
    label: str | None
    score: float | None
    redactions: Mapping[str, int]
    degraded: bool
    timings: records.Timings
    """Microseconds that the stages of the service took."""
    value: bytes = field(repr=False)
    """The result record's value, byte for byte."""

    @property
    def raw(self) -> dict[str, Any]:
        """The answer as its JSON document (Open Inference Protocol inference response)."""
        return cast("dict[str, Any]", orjson.loads(self.value))

    @classmethod
    def of(cls, answer: records.Prediction, value: bytes) -> Prediction:
        """The caller's view of a decoded answer and of the bytes it came in."""
        outputs = {tensor.name: tensor for tensor in answer.outputs}
        label, score = _winner(outputs)
        return cls(
            id=answer.id,
            model_name=answer.model.name,
            model_version=answer.model.version,
            outputs=outputs,
            label=label,
            score=score,
            redactions=answer.redactions,
            degraded=answer.degraded,
            timings=answer.timings,
            value=value,
        )


def _winner(outputs: Mapping[str, records.Tensor]) -> tuple[str | None, float | None]:
    """Label and probability of a classifier's answer to one row: the tensor `label`, and the largest number of the
    tensor `probabilities`, or of the only float tensor of shape [1, classes] where it has another name."""
    named = outputs.get("label")
    if named is None or named.datatype != "BYTES" or math.prod(named.shape) != 1:
        return None, None
    label = str(_flat(named.data)[0])
    floats = [tensor for tensor in outputs.values() if tensor.datatype in _FLOATS and _is_one_row(tensor)]
    scores = next(
        (tensor for tensor in floats if tensor.name == "probabilities"), floats[0] if len(floats) == 1 else None
    )
    return label, None if scores is None else float(max(_flat(scores.data)))


def _is_one_row(tensor: records.Tensor) -> bool:
    return len(tensor.shape) == 2 and tensor.shape[0] == 1 and tensor.shape[1] > 1


def _flat(data: Any) -> list[Any]:
    return [leaf for item in data for leaf in _flat(item)] if isinstance(data, list | tuple) else [data]


@dataclass(frozen=True, slots=True)
class Result:
    """One record of the results topic with its place in the log."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: records.Headers
    answer: Prediction | records.Rejection


def rejected(rejection: records.Rejection) -> RejectedError:
    """The exception for a rejection."""
    return _error_class(rejection.code, rejection.retryable)(rejection)


@cache
def _error_class(code: str, retryable: bool) -> type[RejectedError]:
    bases = (RejectedError, ERRORS_BY_CODE[code])
    return type("RejectedError", bases, {"retryable": retryable, "__doc__": RejectedError.__doc__})


def tensors(**arrays: Any) -> list[records.Tensor]:
    """Make tensors of arrays or nested lists, the argument names being the tensors' names.

    Datatypes follow the array's dtype: bool BOOL, (u)int8..64 (U)INT8..64, float16/32/64 FP16/32/64, str BYTES.
    Raises `TypeError` for any other dtype, objects among them.
    """
    import numpy as np

    made = []
    for name, value in arrays.items():
        array = np.asarray(value)
        datatype = _DATATYPES.get("U" if array.dtype.kind == "U" else array.dtype.name)
        if datatype is None:
            raise TypeError(f"{name}: an array of dtype {array.dtype} has no datatype in the protocol")
        made.append(records.Tensor(name, datatype, tuple(array.shape), array.ravel().tolist()))
    return made


_FLOATS = ("FP16", "FP32", "FP64")
_DATATYPES: dict[str, records.Datatype] = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "U": "BYTES",
}  # fmt: skip


def encode(call: Call, request_id: str) -> bytes:
    """The value of the request record. Raises `TypeError` for data that JSON cannot hold or inputs that are none."""
    if (call.text is None) == (call.inputs is None):
        raise TypeError("a request has either text or inputs")
    inputs: Sequence[Any] = call.inputs or ()
    ready = [item for item in inputs if isinstance(item, records.Tensor)]
    value = wire.encode_request(
        call.text if call.text is not None else ready,
        request_id=request_id,
        model_name=call.model,
        model_version=call.model_version,
        tenant=call.tenant,
        data_subject=call.data_subject,
        purpose=call.purpose,
        consent_ref=call.consent_ref,
        priority=call.priority,
        timeout_us=call.timeout_us,
        explain=call.explain,
        outputs=call.outputs,
        parameters=call.parameters,
    )
    if len(ready) == len(inputs):
        return value
    if ready:
        raise TypeError("inputs: either tensors or mappings, not both")
    # Mappings go out as they are, wrong ones too: the service's rejection is a better judge than a second copy of
    # its rules would be.
    return orjson.dumps({**orjson.loads(value), "inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)


def decode(value: bytes | None) -> Prediction | records.Rejection | None:
    """The answer in a result record's value, None when it is none."""
    try:
        answer = wire.decode_answer(value or b"")
    except RequestError:
        return None
    return Prediction.of(answer, value or b"") if isinstance(answer, records.Prediction) else answer
