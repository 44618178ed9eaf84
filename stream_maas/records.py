"""The nouns: small frozen records that the rooms hand to each other.

`msgspec.Struct` is used instead of dataclasses because a frozen struct costs a tenth to build and the wire
room decodes into it directly. Nothing here knows JSON field names, headers or topics (that is wire/'s secret).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from msgspec import Struct

Headers = Sequence[tuple[str, bytes]]
ParameterValue = str | int | float | bool
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
IdSource = Literal["body", "header", "coordinates"]


class KafkaRecord(Protocol):
    """What the core needs of a consumed record; `aiokafka.ConsumerRecord` already is one."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Unix epoch milliseconds, as set by producer or broker."""
    key: bytes | None
    value: bytes | None
    headers: Headers


class InputRecord(Struct, frozen=True, gc=False):
    """A `KafkaRecord` and nothing more: what kafka/fetched.py makes of fetched bytes; tests, replay."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Tensor(Struct, frozen=True, gc=False):
    """One named tensor of the Open Inference Protocol.

    `data` is row-major, flat or nested; `len(flat data) == product(shape)` is checked by inference, not here.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: Any
    parameters: Mapping[str, ParameterValue] = {}


class Request(Struct, frozen=True, gc=False):
    """A decoded inference request. Not yet redacted: only `privacy` may turn it into a `Redacted[Request]`."""

    id: str
    id_source: IdSource
    inputs: tuple[Tensor, ...]
    model_name: str | None = None
    model_version: str | None = None
    outputs: tuple[str, ...] = ()
    """Names of the outputs asked for; empty means all."""
    tenant: str | None = None
    data_subject: str | None = None
    """Personal by nature: never leaves the worker, only its keyed reference does."""
    purpose: str | None = None
    consent_ref: str | None = None
    priority: int = 0
    """Triton's scale: 1 highest, larger is lower, 0 means the default."""
    timeout_us: int | None = None
    """Microseconds after the record's timestamp within which an answer is wanted."""
    explain: bool = False
    parameters: Mapping[str, ParameterValue] = {}
    """Parameters that are not understood, kept for the audit trail of what was asked."""
    traceparent: str | None = None
    app: str | None = None
    """The application that asks, as it names itself."""
    principal: str | None = None
    """Who asks through it: an id of the caller's access management, not a person's name."""
    basis: str | None = None
    """Legal basis of the purpose, in the caller's terms."""


T = TypeVar("T")


class RedactionReport(Struct, frozen=True, gc=False):
    """What the audit event says about the redaction of one record, beside policy and counts. Counts only."""

    ruleset: str = ""
    """Name and digest of the recognizers: workers with equal rulesets find alike."""
    engine: str = ""
    """Multi-pattern engine that looked."""
    operators: Mapping[str, int] = {}
    """What was done ("replace", "pseudonym", ..., "keep") -> how many finds it was done to."""
    places: Mapping[str, Mapping[str, int]] = {}
    """Part of the record ("inputs", "key", ...) -> entity type -> finds."""
    shadow: Mapping[str, int] = {}
    """Entity type -> finds that a rule on trial would have treated; nothing was done to them by it."""
    folded: bool = False
    """Whether a find was written in disguise: other digits, invisible characters, fullwidth forms."""
    truncated: bool = False
    """Whether a limit ended the search. Such a record is rejected."""
    client: str = ""
    """Policy under which the client says that it redacted the record before it sent it; "" if it says nothing."""


class Redacted(Struct, Generic[T], frozen=True, gc=False):
    """Proof that `value` went through the redactor. Built by `privacy` only (tests/test_architecture.py)."""

    value: T
    counts: Mapping[str, int] = {}
    """Entity type -> how many spans were replaced. Counts only: no values, lengths or offsets."""
    key: bytes | None = None
    """The record's key after redaction."""
    report: RedactionReport = RedactionReport()


class ModelRef(Struct, frozen=True, gc=False):
    """Which artifact answered: name, version, SHA-256 hex of the model file, SPDX licence id."""

    name: str
    version: str
    digest: str
    licence: str
    bundle_digest: str = ""
    """SHA-256 hex of bundle.yaml, which lists the digest of every file (tokenizer, vocabulary) and names the labels."""


class BatchPosition(Struct, frozen=True, gc=False):
    """Where in which batch a record was inferred: what a replay needs to rebuild it."""

    id: str
    size: int
    index: int


class Timings(Struct, frozen=True, gc=False):
    """Stage durations of one record in microseconds. `queue_us`: from record timestamp to dequeue."""

    queue_us: int = 0
    redact_us: int = 0
    infer_us: int = 0
    total_us: int = 0


class Prediction(Struct, frozen=True, gc=False):
    """A terminal answer with outputs."""

    id: str
    model: ModelRef
    outputs: tuple[Tensor, ...]
    redactions: Mapping[str, int] = {}
    degraded: bool = False
    timings: Timings = Timings()
    batch: BatchPosition | None = None
    encoded: bytes | None = None
    """JSON of `outputs`, where somebody has it already."""


class Rejection(Struct, frozen=True):
    """A terminal answer without outputs. `code` is one of `errors.ERRORS_BY_CODE`."""

    id: str
    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None


class Writer(Struct, frozen=True):
    """Who writes audit events: this worker process and what it runs on."""

    app: str
    instance: str
    build: str
    """Version of stream_maas."""
    runtime: Mapping[str, str | int] = {}
    """ONNX Runtime version, provider, threads, optimisation level."""
    host: str | None = None
    """Name of the machine or container."""


class Link(Struct, frozen=True):
    """Where an audit event stands in the chain of its writer session and partition."""

    session: str
    """32 hex digits, random per session."""
    counter: int
    """0 for the first event of the chain, which is the session's start; one more for each after it."""
    prev: str | None = None
    """Leaf hash (hex) of the event before it in the chain; None for the first one."""


class PolicyDecision(Struct, frozen=True):
    """What a rule of ours said about a record: `outcome` is "allow", "deny" or "degrade"."""

    rule: str
    outcome: Literal["allow", "deny", "degrade"]
    version: str = ""
    """Of the settings by which the rule decides; "" where another member of the event has it."""


class Decision(Struct, frozen=True, gc=False):
    """Everything one audit event says about one request record. Integers and strings only, no floats."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    lane: str
    request_id: str
    id_source: IdSource
    status: Literal["prediction", "rejection"]
    code: str | None = None
    tenant: str | None = None
    subject_ref: str | None = None
    """Keyed reference of the data subject (hex), never the subject itself."""
    purpose: str | None = None
    consent_ref: str | None = None
    priority: int = 0
    model: ModelRef | None = None
    model_name: str | None = None
    """The model name that was asked for (already redacted), known or not."""
    input_bytes: int = 0
    input_digest: str | None = None
    """Keyed digest (hex) of the redacted request, or of the raw bytes where they could not be parsed."""
    redactions: Mapping[str, int] = {}
    redaction_policy: str = ""
    redaction: RedactionReport = RedactionReport()
    output_digest: str | None = None
    """SHA-256 hex of the result value without its timings."""
    label: str | None = None
    score_ppm: int | None = None
    """Winning probability in parts per million."""
    degraded: bool = False
    batch: BatchPosition | None = None
    timings: Timings = Timings()
    trace_id: str | None = None
    app: str | None = None
    principal: str | None = None
    basis: str | None = None
    box: str | None = None
    """SHA-256 hex of the encrypted box that holds the redacted input; None where none was written."""
    policy: tuple[PolicyDecision, ...] = ()
    """Rules that decided; empty where none had to."""
    attempt: int = 1
    """How often the deciding process has taken up this record, this time included."""


class Outgoing(Struct, frozen=True, gc=False):
    """One record to publish. Its partition is the partition of the chunk that it answers."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Unlinked(Struct, frozen=True, gc=False):
    """An audit record that waits for its place in the chain: `ledger.chain.link` makes it an `Outgoing`."""

    key: bytes | None
    head: bytes
    """Canonical bytes up to the place of `data.writer.session`."""
    tail: bytes
    """Canonical bytes behind it."""
    headers: list[tuple[str, bytes]]
    answer: Outgoing | None = None
    """The result that gets the receipt; None where the record has no result."""


class Answered(Struct, frozen=True):
    """What `pipeline.serve` returns for one chunk: the lists are in input order; the tallies feed metrics."""

    results: list[Outgoing]
    audits: list[Unlinked]
    dead_letters: list[Outgoing]
    codes: Mapping[str, int]
    """"prediction" or a rejection code -> count."""
    models: Mapping[tuple[str, str, str], int] = {}
    """(model name, model version, code) -> count; only names of loaded models, so labels stay bounded."""
    redactions: Mapping[str, int] = {}
    queue_us: Sequence[int] = ()
    """Per record, microseconds."""
    total_us: Sequence[int] = ()
    """Per record, microseconds."""
    stages_us: Mapping[str, int] = {}
    """Stage -> microseconds spent on the whole chunk."""
    batch_sizes: Sequence[int] = ()
    """Rows per model call."""
    boxes: Sequence[Outgoing] = ()
    """Encrypted boxes with the redacted inputs; events name them."""
