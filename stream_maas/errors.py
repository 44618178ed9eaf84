"""The error tree: one class per stable code.

Rules of this file:
1. `code` is wire format. It is listed in schemas/rejection.schema.json and never renamed.
2. A message names the place ("inputs[0].shape"), never the value: it is published and logged.
3. A `RequestError` is about one record and ends as that record's rejection. A `ServiceError` is about the
   worker and ends the attempt, never the record.
"""

from __future__ import annotations

from typing import ClassVar


class StreamMaasError(Exception):
    """Root of everything this package raises on purpose. `str(error)` is safe to publish and to log."""

    code: ClassVar[str] = "internal"


class RequestError(StreamMaasError):
    """One record cannot be predicted; it is answered with a rejection.

    `retryable`: the same bytes may succeed later. `dead_letter`: an operator may want to see the (redacted)
    record, so a copy goes to the dead-letter topic. `retry_after_ms`: only ever set on retryable ones.
    """

    retryable: ClassVar[bool] = False
    dead_letter: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms if self.retryable else None


class UndecodableError(RequestError):
    """Not JSON, not UTF-8, or empty: no field of the record can be trusted."""

    code = "undecodable"
    dead_letter = True


class InvalidInputError(RequestError):
    """JSON, but not an inference request that this model accepts."""

    code = "invalid_input"
    dead_letter = True


class UnknownModelError(RequestError):
    """No loaded model has this name (and version). Retryable: another worker may be about to load it."""

    code = "unknown_model"
    retryable = True


class UnknownTenantError(RequestError):
    """The tenant is not one this deployment serves."""

    code = "unknown_tenant"


class TooLargeError(RequestError):
    """Above a size limit: bytes, rows, depth, nodes or length."""

    code = "too_large"
    dead_letter = True


class ExpiredError(RequestError):
    """The request's own timeout passed before an answer was ready."""

    code = "expired"


class ShedError(RequestError):
    """Refused to protect the others under overload."""

    code = "shed"
    retryable = True


class QuotaError(RequestError):
    """The tenant's quota is used up."""

    code = "quota"
    retryable = True


class RedactionError(RequestError):
    """Redaction failed or hit a limit; the record went no further (fail closed)."""

    code = "redaction_error"
    dead_letter = True


class ModelError(RequestError):
    """The model raised on exactly this row (its batch mates were answered)."""

    code = "model_error"
    dead_letter = True


class BadOutputError(RequestError):
    """The model returned a number that is not finite, or a shape it did not declare."""

    code = "bad_output"
    dead_letter = True


class CircuitOpenError(RequestError):
    """The model failed too often lately and rests."""

    code = "circuit_open"
    retryable = True


class AuditUnavailableError(RequestError):
    """No audit event could be written, so no prediction is given."""

    code = "audit_unavailable"
    retryable = True


REQUEST_ERRORS: tuple[type[RequestError], ...] = (
    UndecodableError,
    InvalidInputError,
    UnknownModelError,
    UnknownTenantError,
    TooLargeError,
    ExpiredError,
    ShedError,
    QuotaError,
    RedactionError,
    ModelError,
    BadOutputError,
    CircuitOpenError,
    AuditUnavailableError,
)
ERRORS_BY_CODE: dict[str, type[RequestError]] = {error.code: error for error in REQUEST_ERRORS}


class ServiceError(StreamMaasError):
    """The worker, client or a command cannot go on; the message says what to do next."""

    code = "service"


class SettingsError(ServiceError):
    """A setting is missing, unreadable or out of range; the message names it."""

    code = "settings"


class BundleError(ServiceError):
    """A model bundle is incomplete, altered or refused; the message names file and field."""

    code = "bundle"


class BrokerError(ServiceError):
    """The cluster cannot be reached or lacks something required."""

    code = "broker"


class TopicsError(ServiceError):
    """Topics are missing or have other settings than the topic table asks for."""

    code = "topics"


class KeyStoreError(ServiceError):
    """Data keys cannot be read or kept, so nothing can be boxed."""

    code = "key_store"


class SpoolError(ServiceError):
    """The spool of audit events cannot be read or written, or has no room: what needs it must not be answered."""

    code = "spool"


class LedgerError(ServiceError):
    """A tree, proof, note or key is not what it must be, or would contradict what was signed before."""

    code = "ledger"


class IncompleteError(LedgerError):
    """Something is missing for an answer: a trusted key, a checkpoint, the front of the log. Nothing is found wrong."""

    code = "incomplete"


class BrokenStateError(LedgerError):
    """Files that follow a log cannot be gone on with. They can be made again from the log."""

    code = "broken_state"


class RulesError(SettingsError):
    """The alert rules file is wrong; the message names the place."""

    code = "rules"
