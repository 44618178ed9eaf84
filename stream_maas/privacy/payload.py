"""Which fields of a request are walked, and which are structure that is left alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from stream_maas.privacy.config import RedactionConfig
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.encoded import FEWEST_CHARS, MAY_BE_ENCODED
from stream_maas.privacy.fold import fold
from stream_maas.privacy.hints import hint_for, may_hint
from stream_maas.privacy.transform import TOKEN
from stream_maas.privacy.walk import SMALLEST_PERSONAL_INTEGER, Walk, are_small
from stream_maas.records import Request, Tensor

_TEXT_FIELDS: Final = (
    "tenant", "purpose", "consent_ref", "app", "principal", "basis", "model_name", "model_version",
)  # fmt: skip
_STRUCTURAL: Final = re.compile(
    "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # UUID, RFC 9562
    "|[0-9a-fA-F]{32}"  # the same without hyphens; MD5
    "|[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{26}"  # ULID
).fullmatch
"""Generated ids: their digit runs would be false finds, and they say nothing about anybody."""
_WITHOUT_TOKENS: Final = TOKEN.sub
"""What redaction itself leaves behind is no JSON array: a redacted record is clear at the second look."""
_HARMLESS_NAMES: Final = frozenset(
    name
    for name in (
        "text", "texts", "input", "inputs", "data", "x", "features", "tokens", "query", "prompt", "document", "content",
        "locale", "lang", "language", "channel", "source", "app_version", "version", "sdk_version", "client", "os",
        "platform", "environment", "env", "session", "request_type", "content_type", "format", "encoding", "threshold",
        "top_k", "temperature", "max_tokens", "binary_data", "binary_data_size", "priority", "timeout", "headers",
        "trace", "trace_id", "span_id", "experiment", "variant", "cohort", "segment", "batch", "sequence_id",
    )
    if not may_hint(name)
)  # fmt: skip
"""Usual names of tensors and parameters that announce nothing and hold nothing, found out once."""
_TRACEPARENT: Final = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
"""W3C Trace Context, version 00."""


def is_clear(detector: Detector, config: RedactionConfig, request: Request, key: bytes | None) -> bool:
    """One look at the whole request: True if a walk of its fields would find nothing and reach no limit.

    Most requests end here, at a quarter of the cost of visiting each field. Whatever is out of the ordinary, such as
    JSON inside a text, a nested tensor or a number with many digits, is False and left to the walk.
    """
    texts = [
        text
        for text in (
            request.tenant, request.purpose, request.consent_ref, request.app, request.principal, request.basis,
            request.model_name, request.model_version,
        )
        if text is not None
    ]  # fmt: skip
    if request.id_source != "coordinates" and not _STRUCTURAL(request.id):
        texts.append(request.id)
    if request.traceparent is not None and not _TRACEPARENT(request.traceparent):
        texts.append(request.traceparent)
    # Most clients use the request's id as its key: one look is enough then.
    if key is not None and key != request.id.encode() and not _STRUCTURAL(decoded := key.decode("utf-8", "replace")):
        texts.append(decoded)
    texts += request.outputs
    names: list[str] = []
    numbers: list[Any] = [request.priority, request.timeout_us or 0]
    if request.parameters:
        _sort_parameters(request.parameters, names, texts, numbers)
    for tensor in request.inputs:
        if type(tensor.data) is not list:
            return False
        if tensor.name not in _HARMLESS_NAMES:
            names.append(tensor.name)
        if tensor.parameters:
            _sort_parameters(tensor.parameters, names, texts, numbers)
        numbers += tensor.shape
        (texts if tensor.datatype == "BYTES" else numbers).extend(tensor.data)
    if names:
        if may_hint("\n".join(names)):
            return False
        texts += names
    try:
        joined = "\n".join(texts)
    except TypeError:
        return False
    if request.data_subject is not None and _may_name(request.data_subject, request.id, key, joined):
        return False
    return (
        are_small(numbers, SMALLEST_PERSONAL_INTEGER)
        and len(texts) < config.max_nodes
        and len(joined) <= config.max_text_chars
        and joined.isascii()
        and "{" not in joined
        and ("[" not in joined or "[" not in _WITHOUT_TOKENS("", joined))
        and not any(map(_may_be_encoded, texts))
        and detector.is_clear(joined)
    )


def _may_be_encoded(text: str) -> bool:
    return len(text) >= FEWEST_CHARS and " " not in text.strip() and MAY_BE_ENCODED.search(text) is not None


def _may_name(subject: str, request_id: str, key: bytes | None, joined: str) -> bool:
    """Whether id, key or the texts may hold the data subject. A generated id counts here: then it is somebody's."""
    folded = fold(subject).text.strip()
    return folded in joined or folded in request_id or (key is not None and folded in key.decode("utf-8", "replace"))


def _sort_parameters(parameters: Mapping[str, Any], names: list[str], texts: list[str], numbers: list[Any]) -> None:
    for name, value in parameters.items():
        if name not in _HARMLESS_NAMES:
            names.append(name)
        (texts if isinstance(value, str) else numbers).append(value)


def walk_request(walk: Walk, request: Request) -> Request:
    """`request` without personal data; the same object if it held none.

    `data_subject` is personal by nature and becomes None. `priority` and `timeout_us` keep their meaning at 0 and
    None if a personal number was hidden in them.
    """
    changes: dict[str, Any] = {}
    treatment = walk.treatment
    treatment.place = "id"
    if request.id_source != "coordinates" and not _is_structure(walk, request.id):
        _walk_field(walk, walk.text, request, "id", changes)
    treatment.place = "metadata"
    for field in _TEXT_FIELDS:
        _walk_field(walk, walk.text, request, field, changes)
    if request.traceparent is not None and not _TRACEPARENT(request.traceparent):
        _walk_field(walk, walk.text, request, "traceparent", changes)
    if request.data_subject is not None:
        changes["data_subject"] = None
    if walk.numbers(request.priority) is not request.priority:
        changes["priority"] = 0
    if request.timeout_us is not None and walk.numbers(request.timeout_us) is not request.timeout_us:
        changes["timeout_us"] = None
    if request.outputs:
        _walk_field(walk, walk.value, request, "outputs", changes)
    treatment.place = "parameters"
    if request.parameters:
        _walk_field(walk, walk.mapping, request, "parameters", changes)
    treatment.place = "inputs"
    inputs = _walk_inputs(walk, request.inputs)
    if inputs is not request.inputs:
        changes["inputs"] = inputs
    return replace(request, **changes) if changes else request


def walk_key(walk: Walk, key: bytes) -> bytes:
    """The record's key, read as UTF-8. Bytes that are not UTF-8 stay unless something is found beside them."""
    text = key.decode("utf-8", "replace")
    if _is_structure(walk, text):
        return key
    treatment = walk.treatment
    treatment.place = "key"
    root = treatment.state
    treatment.state = root.step("key")
    walk.trail.append("key")
    redacted = walk.text(text)
    walk.trail.pop()
    treatment.state = root
    return key if redacted is text else redacted.encode("utf-8", "replace")


def _is_structure(walk: Walk, text: str) -> bool:
    """A generated id, unless it is how the data subject is called or the policy has rules for fields."""
    treatment = walk.treatment
    return not treatment.state.leads_on and _STRUCTURAL(text) is not None and not treatment.is_subject(text)


def _walk_inputs(walk: Walk, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    result: list[Tensor] | None = None
    walk.trail += ("inputs", 0)
    treatment = walk.treatment
    root = treatment.state
    below = root.step("inputs")
    for index, tensor in enumerate(inputs):
        walk.trail[-1] = index
        treatment.state = below.step(tensor.name)
        redacted = _walk_tensor(walk, tensor)
        if redacted is not tensor:
            if result is None:
                result = list(inputs)
            result[index] = redacted
    treatment.state = root
    del walk.trail[-2:]
    return inputs if result is None else tuple(result)


def _walk_tensor(walk: Walk, tensor: Tensor) -> Tensor:
    """Rules for paths are about the data, which is where the tensor is; its parameters are `inputs.NAME.parameters`."""
    changes: dict[str, Any] = {}
    treatment = walk.treatment
    here = treatment.state
    visit = walk.value if tensor.datatype == "BYTES" else walk.numbers
    _walk_field(walk, visit, tensor, "data", changes, hint_for(tensor.name), step=False)
    treatment.state = treatment.nowhere
    _walk_field(walk, walk.text, tensor, "name", changes, step=False)
    _walk_field(walk, walk.numbers, tensor, "shape", changes, step=False)
    treatment.state = here
    if tensor.parameters:
        _walk_field(walk, walk.mapping, tensor, "parameters", changes)
    return replace(tensor, **changes) if changes else tensor


def _walk_field(
    walk: Walk,
    visit: Callable[..., Any],
    record: Request | Tensor,
    field: str,
    changes: dict[str, Any],
    *hint: str | None,
    step: bool = True,
) -> None:
    """Put what `visit` makes of the field into `changes`, if that is something else."""
    value = getattr(record, field)
    if value is None:
        return
    treatment = walk.treatment
    here = treatment.state
    if step and here.leads_on:
        treatment.state = here.step(field)
    walk.trail.append(field)
    redacted = visit(value, *hint)
    walk.trail.pop()
    treatment.state = here
    if redacted is not value:
        changes[field] = redacted
