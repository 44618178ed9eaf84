"""Redaction before a request leaves the application: the engine of the worker, on this side of the wire."""

from __future__ import annotations

import warnings
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_maas import wire
from stream_maas.records import InputRecord

if TYPE_CHECKING:
    from stream_maas.privacy import Policy, RedactionConfig, Redactor


class Outgoing(NamedTuple):
    """What is sent instead."""

    value: bytes
    key: bytes | None
    request_id: str
    policy: str


def redactor_for(redact: bool | str | PathLike[str] | Policy | Redactor, config: RedactionConfig) -> Redactor | None:
    """`redact`: True for the settings' policy, a `Policy` or the path of one, or a redactor with keys of its own; False
    for none. The engine is loaded only when it is asked for.

    Raises SettingsError for a policy that is wrong, or that needs a key where there is none.
    """
    if redact is False:
        return None
    from stream_maas.privacy import Policy, Redactor

    if isinstance(redact, Redactor):
        return redact
    policy = None if isinstance(redact, bool) else redact if isinstance(redact, Policy) else Policy.load(str(redact))
    redactor = Redactor(config, policy)
    if redactor.warning:
        warnings.warn(redactor.warning, RuntimeWarning, stacklevel=3)
    return redactor


def redacted(redactor: Redactor, value: bytes, key: bytes | None, new_id: str) -> Outgoing:
    """The request in `value` without personal data. `new_id` takes the place of an id that is personal.

    The data subject goes along only as the pseudonym that the policy makes of it, otherwise not at all. Raises
    `RequestError`, naming a place and no value, for what a worker would refuse to decode or to redact.
    """
    record: Any = InputRecord("", 0, 0, 0, key, value)
    request = wire.decode_request(record)
    subject = redactor.subject_stand_in(request)
    result = redactor.redact_request(request, key=key)
    clean = result.value
    named = {"app": clean.app, "principal": clean.principal, "basis": clean.basis}
    request_id = clean.id if clean.id == request.id else new_id
    encoded = wire.encode_request(
        clean.inputs,
        request_id=request_id,
        model_name=clean.model_name,
        model_version=clean.model_version,
        outputs=clean.outputs,
        tenant=clean.tenant,
        data_subject=subject,
        purpose=clean.purpose,
        consent_ref=clean.consent_ref,
        priority=clean.priority,
        timeout_us=clean.timeout_us,
        explain=clean.explain,
        parameters={**clean.parameters, **{name: text for name, text in named.items() if text is not None}},
    )
    return Outgoing(encoded, result.key, request_id, redactor.policy)
