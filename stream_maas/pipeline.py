"""The way of a record: the only file that knows the order of the steps.

    decode -> redact -> admit -> resolve model -> validate row -> batch -> infer -> answer + audit event

Rules that hold here and that tests/unit/test_pipeline.py attacks:
1. n records in, n audit events out, in input order; one result each as well, except for a record that is itself
   one of our answers (answering it would loop for ever): it gets an audit event and a dead letter only.
2. Nothing a client wrote passes `_redact` unredacted; when redaction fails the record's key and id are dropped
   too, and the answer carries the id made of its coordinates.
3. A record's problem is its own: it becomes that record's rejection. Nothing here raises for one.
4. No clock, I/O, randomness or environment: time comes in as `now_us` and `clock`, so a replay decides alike.

`serve` is the whole story, synchronous. The worker calls its three parts itself, so that a model that is not
tiny runs in an executor between `prepare` and `finish`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from stream_maas import wire
from stream_maas.admission import (
    Limits,
    Verdicts,
    check_answer_size,
    check_deadline,
    check_size,
    check_tenant,
    deadline_us,
    verdicts,
)
from stream_maas.errors import (
    BadOutputError,
    ExpiredError,
    InvalidInputError,
    ModelError,
    RedactionError,
    RequestError,
    TooLargeError,
    UndecodableError,
)
from stream_maas.inference import Cancellation, Catalog, Model, Output
from stream_maas.ledger import boxes
from stream_maas.ledger.boxes import BoxKeys
from stream_maas.plan import Ahead, Batch, Item, Moment, Outcome, Plan, take_up
from stream_maas.privacy import Redactor
from stream_maas.records import (
    Answered,
    BatchPosition,
    Decision,
    KafkaRecord,
    Outgoing,
    Prediction,
    Redacted,
    Rejection,
    Request,
    Timings,
    Unlinked,
)

__all__ = [
    "Batch", "Clock", "Item", "Outcome", "Plan", "Service", "call", "digest", "ended", "finish", "infer", "prepare",
    "preparing", "serve", "settle",
]  # fmt: skip

Clock = Callable[[], int]
"""Monotonic nanoseconds; only differences are used."""

_encode = msgspec.json.Encoder().encode
_UNKNOWN = Request(id="", id_source="coordinates", inputs=())
"""Stands for the request of a record that could not be decoded or redacted: nothing is known of it."""
_NOTHING: Mapping[str, int] = {}
_ENDED = "parameters.timeout: passed while the model ran"
_LATE = "parameters.timeout: passed before the answer was built"
_TURN_NS = 400_000
"""After so long a step gives way: a commit under way has to wait meanwhile."""
_TURN_ROWS = 8
"""Rows between two looks at the clock; of those with personal data they are half a millisecond."""
_HOPELESS = "parameters.timeout: shorter than the model and the calls before it need"
_UNBOXABLE = "inputs: larger than {} bytes once they are redacted, too large for the audit"
_LOOPED = "headers.ce_type: an answer of this service is not a request"


@dataclass(frozen=True, slots=True)
class Service:
    """What serving needs besides the records: made once by the composition root, never changed."""

    redactor: Redactor
    catalog: Catalog
    limits: Limits
    audit: wire.AuditEncoder
    source: str
    """CloudEvents source of everything we publish, for example "/stream-maas/stream-maas"."""
    digest_key: bytes
    boxes: BoxKeys | None = None
    """Keys of the boxes that keep redacted inputs; None keeps none."""


def serve(records: Sequence[KafkaRecord], *, lane: str, now_us: int, clock: Clock, service: Service) -> Answered:
    """Answer one chunk: records of one partition in offset order. `now_us`: epoch microseconds at dequeue."""
    plan = prepare(records, lane=lane, now_us=now_us, clock=clock, service=service)
    for batch in plan.batches:
        infer(batch, clock)
    return finish(plan, clock=clock, service=service)


def _nothing_ahead(model: Model) -> int:
    return 0


def prepare(
    records: Sequence[KafkaRecord],
    *,
    lane: str,
    now_us: int,
    clock: Clock,
    service: Service,
    ahead_us: Ahead = _nothing_ahead,
) -> Plan:
    """Everything up to the model call. `records`: of one or several partitions, each in offset order."""
    for plan in preparing(records, lane=lane, now_us=now_us, clock=clock, service=service, ahead_us=ahead_us):
        if plan is not None:
            return plan
    raise AssertionError("preparing always ends with a plan")


def preparing(
    records: Sequence[KafkaRecord],
    *,
    lane: str,
    now_us: int,
    clock: Clock,
    service: Service,
    ahead_us: Ahead = _nothing_ahead,
) -> Iterator[Plan | None]:
    """`prepare` step by step, for a caller that has other things to do in between: yields None when a step takes long
    and after each step, then the plan.

    Each step goes over the whole chunk before the next one starts: its code and data stay in the processor's
    cache, which makes the four steps a fifth cheaper than going record by record.
    """
    moment = Moment(lane, now_us, clock(), ahead_us)
    items = [take_up(record) for record in records]
    stages_us: dict[str, int] = {}
    for name, step in (("decode", _decode), ("redact", _redact), ("admit", _admit), ("validate", _validate)):
        step_ns = turn_ns = clock()
        for number, item in enumerate(items, 1):
            if item.error is None:
                try:
                    step(item, moment, clock, service)
                except RequestError as error:
                    # A traceback would keep everything that was in sight of whoever raised it.
                    item.error = error.with_traceback(None)
            if not number % _TURN_ROWS and clock() - turn_ns > _TURN_NS:
                yield None
                turn_ns = clock()
        stages_us[name] = (clock() - step_ns) // 1000
        yield None
    by_model: dict[int, tuple[Model, list[Item]]] = {}
    for item in items:
        if item.error is None and item.model is not None:
            by_model.setdefault(id(item.model), (item.model, []))[1].append(item)
    batches = [batch for model, members in by_model.values() for batch in _batch(model, members)]
    yield Plan(items, batches, moment, stages_us)


def infer(batch: Batch, clock: Clock) -> None:
    """One model call for one batch; a row that fails carries its own error afterwards."""
    settle(batch, call(batch, clock))


def call(batch: Batch, clock: Clock, cancellation: Cancellation | None = None) -> Outcome:
    """The model call alone. Changes no item, so it may run in a thread whose outcome nobody waits for any more."""
    started_ns = clock()
    outputs: Sequence[Output | RequestError]
    try:
        outputs = batch.model.run([item.row for item in batch.items if item.row is not None], cancellation)
    except Exception as error:  # noqa: BLE001 - a model must never take the chunk with it
        outputs = [ModelError(f"model: failed with {type(error).__name__}")] * len(batch.items)
    return Outcome(outputs, started_ns, (clock() - started_ns) // 1000)


def ended(batch: Batch, started_ns: int, infer_us: int) -> Outcome:
    """The outcome of a call that was given up after `infer_us`, because the last deadline of its rows passed."""
    return Outcome([ExpiredError(_ENDED)] * len(batch.items), started_ns, infer_us)


def settle(batch: Batch, outcome: Outcome) -> None:
    """Give every item of a batch its part of the outcome."""
    batch.outcome = outcome
    for item, output in zip(batch.items, outcome.outputs, strict=True):
        item.infer_us = outcome.infer_us
        if isinstance(output, RequestError):
            item.error = output
        else:
            item.output = output


def finish(plan: Plan, *, clock: Clock, service: Service, attempt: int = 1) -> Answered:
    """Answers, audit events and dead letters of a chunk whose batches were all inferred. `attempt`: how often this
    process has taken up its records, this time included."""
    finish_ns = clock()
    moment = plan.moment
    elapsed_us = (finish_ns - moment.started_ns) // 1000
    written_us = moment.now_us + elapsed_us
    for item in plan.items:
        waited_us = max(0, moment.now_us - item.record.timestamp * 1000)
        item.timings = Timings(waited_us, item.redact_us, item.infer_us, waited_us + elapsed_us)
        if item.deadline_us is not None and item.error is None and written_us > item.deadline_us:
            item.error = ExpiredError(_LATE)
    boxed = _box(plan.items, service)
    verdict = verdicts(service.limits)
    headers = wire.audit_headers()
    results, audits = [], []
    for item in plan.items:
        answer = _result(item, service)
        decision = _decision(item, moment.lane, service, attempt, verdict)
        event = service.audit.encode(decision, time_us=written_us)
        audits.append(Unlinked(item.request_id.encode(), *event, headers, answer))
        if answer is not None:
            results.append(answer)
    dead_letters = [_dead_letter(item, service) for item in plan.items if item.error and item.error.dead_letter]
    codes, models, redactions = _tally(plan.items)
    stages_us = {
        **plan.stages_us,
        "infer": sum(batch.items[0].infer_us for batch in plan.batches),
        "finish": (clock() - finish_ns) // 1000,
    }
    return Answered(
        results=results,
        audits=audits,
        dead_letters=dead_letters,
        codes=codes,
        models=models,
        redactions=redactions,
        queue_us=[item.timings.queue_us for item in plan.items],
        total_us=[item.timings.total_us for item in plan.items],
        stages_us=stages_us,
        batch_sizes=[len(batch.items) for batch in plan.batches],
        boxes=boxed,
    )


def _decode(item: Item, moment: Moment, clock: Clock, service: Service) -> None:
    """Bytes to a request. A record that fails here still gets its id and key, as far as they are clean."""
    record = item.record
    try:
        check_size(record, service.limits)
        if wire.is_own_record(record):
            item.looped = True
            raise InvalidInputError(_LOOPED)
        item.request = _decoded(record)
    except RequestError:
        _redact_identity(item, service)
        raise


def _decoded(record: KafkaRecord) -> Request:
    try:
        return wire.decode_request(record)
    except RequestError:
        raise
    except Exception as error:
        # A record that only we fail on is answered too: unanswered, it would hold back its partition for ever.
        raise UndecodableError(f"value: decoding failed with {type(error).__name__}") from error


def _redact(item: Item, moment: Moment, clock: Clock, service: Service) -> None:
    """The choke point: from here on only `item.redacted` is used. Any failure rejects the record (fail closed)."""
    request, item.request = item.request, None
    assert request is not None
    started_ns = clock()
    try:
        item.redacted = redacted = service.redactor.redact_request(request, key=item.record.key)
    except RequestError:
        raise
    except Exception as error:
        raise RedactionError(f"redaction failed with {type(error).__name__}") from error
    item.redact_us = (clock() - started_ns) // 1000
    item.key = redacted.key
    if redacted.value.id == request.id:
        # An id in which personal data was found is no id any more; the coordinates identify the record.
        item.request_id, item.id_source = request.id, request.id_source
    if request.data_subject is not None:
        item.subject_ref = digest(service.digest_key, "subject", request.tenant, request.data_subject.encode())


def _admit(item: Item, moment: Moment, clock: Clock, service: Service) -> None:
    """Is it wanted at all: tenant and deadline."""
    assert item.redacted is not None
    request = item.redacted.value
    check_tenant(request, service.limits)
    item.deadline_us = deadline_us(request, item.record, service.limits)
    check_deadline(item.deadline_us, moment.now_us)


def _validate(item: Item, moment: Moment, clock: Clock, service: Service) -> None:
    """Find the model and let it check the row, so that no bad row ever reaches a batch unseen."""
    assert item.redacted is not None
    request = item.redacted.value
    item.model = model = service.catalog.resolve(request.model_name, request.model_version)
    try:
        item.row = model.prepare(request)
    except RequestError:
        raise
    except Exception as error:
        raise ModelError(f"model: preparing the row failed with {type(error).__name__}") from error
    if item.deadline_us is not None:
        # Who cannot be served in time shall not take the time of those who can.
        check_deadline(item.deadline_us, moment.now_us + moment.ahead_us(model) + model.least_us(item.row), _HOPELESS)


def _redact_identity(item: Item, service: Service) -> None:
    """Id and key of a record that could not be decoded, so far as they are free of personal data.

    A key that is too large is not repeated: the answer might not fit into a record.
    """
    key = item.record.key if len(item.record.key or b"") <= service.limits.max_key_bytes else None
    request_id, source = wire.best_effort_id(item.record)
    try:
        identity = Request(
            id=request_id, id_source=source, inputs=(), data_subject=wire.best_effort_subject(item.record)
        )
        redacted = service.redactor.redact_request(identity, key=key)
    except Exception:  # noqa: BLE001 - fail closed: coordinates and no key
        return
    item.key = redacted.key
    if redacted.value.id == request_id:
        item.request_id, item.id_source = request_id, source


def _batch(model: Model, members: Sequence[Item]) -> list[Batch]:
    """Group one model's rows as the model plans them and tell each row its place."""
    rows = [item.row for item in members if item.row is not None]
    batches = []
    for number, indexes in enumerate(model.plan(rows)):
        chosen = [members[index] for index in indexes]
        batch = Batch(model, chosen)
        batch_id = f"{chosen[0].event_id}/{number}"
        for index, item in enumerate(chosen):
            item.batch = BatchPosition(batch_id, len(chosen), index)
        batches.append(batch)
    return batches


def _result(item: Item, service: Service) -> Outgoing | None:
    """The result record; None for a looped record. A prediction that cannot be published becomes a rejection."""
    value = b""
    if item.error is None:
        assert item.model is not None
        assert item.output is not None
        counts = item.redacted.counts if item.redacted is not None else {}
        output = item.output
        prediction = Prediction(
            item.request_id, item.model.ref, output.tensors, counts, False, item.timings, item.batch, output.encoded
        )
        try:
            value, item.output_digest = wire.encode_prediction_and_digest(prediction)
            check_answer_size(value, service.limits)
        except RequestError as error:
            item.error = error
        except Exception as error:  # noqa: BLE001 - for example a BYTES output that is not UTF-8
            item.error = BadOutputError(f"outputs: cannot be encoded ({type(error).__name__})")
    if item.looped:
        return None
    refusal = item.error
    if refusal is not None:
        item.output = item.output_digest = None
        value = wire.encode_rejection(
            Rejection(item.request_id, refusal.code, str(refusal), refusal.retryable, refusal.retry_after_ms)
        )
    headers = wire.answer_headers(
        "prediction" if refusal is None else "rejection",
        request_id=item.request_id,
        audit_id=item.event_id,
        source=service.source,
        traceparent=item.redacted.value.traceparent if item.redacted is not None else None,
    )
    return Outgoing(item.key, value, headers)


def _box(items: Sequence[Item], service: Service) -> list[Outgoing]:
    """The redacted inputs in boxes; every item is told which one holds its own. Raises `KeyStoreError`.

    Redacted and as JSON inputs may take several times the bytes that they came in. What fits into no record is not
    decided on either: a decision whose input is not kept could not be run again, and nobody would have said so.
    """
    if service.boxes is None:
        return []
    contents, kept = [], []
    for item in items:
        if item.redacted is None:
            continue
        request = item.redacted.value
        content = boxes.entry(item.event_id, request, _inputs(item))
        if len(content) > service.limits.max_answer_bytes:
            item.error = item.error or TooLargeError(_UNBOXABLE.format(service.limits.max_answer_bytes))
            continue
        contents.append(((request.tenant or "", item.subject_ref or ""), content))
        kept.append(item)
    names, rows = boxes.seal_all(contents, service.boxes)
    for item, name in zip(kept, names, strict=True):
        item.box = name
    return rows


def _inputs(item: Item) -> bytes:
    if item.inputs is None:
        assert item.redacted is not None
        item.inputs = _encode(item.redacted.value.inputs)
    return item.inputs


def _decision(item: Item, lane: str, service: Service, attempt: int, verdict: Verdicts) -> Decision:
    """What the audit event says of one record."""
    record, redacted, output, error = item.record, item.redacted, item.output, item.error
    request = redacted.value if redacted is not None else _UNKNOWN
    batch, model = item.batch, item.model
    report = service.redactor.report(
        redacted, stopped=isinstance(error, TooLargeError), client=wire.redacted_by(record.headers)
    )
    return Decision(  # by position: thirty names would cost more than all the rest of it
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        lane,
        item.request_id,
        item.id_source,
        "prediction" if error is None else "rejection",
        None if error is None else error.code,
        request.tenant,
        item.subject_ref,
        request.purpose,
        request.consent_ref,
        request.priority,
        model.ref if model is not None else None,
        request.model_name,
        len(record.value) if record.value is not None else 0,
        _input_digest(item, service),
        redacted.counts if redacted is not None else _NOTHING,
        service.redactor.policy,
        report,
        item.output_digest,
        output.label if output is not None else None,
        output.score_ppm if output is not None else None,
        False,
        batch,
        item.timings,
        request.traceparent[3:35] if request.traceparent else None,
        request.app,
        request.principal,
        request.basis,
        item.box,
        verdict.allow if error is None else verdict.deny.get(error.code, verdict.allow if model is not None else ()),
        attempt,
    )


def _tally(items: Sequence[Item]) -> tuple[Counter[str], Counter[tuple[str, str, str]], Counter[str]]:
    """Answers by code, answers by loaded model and code, replaced spans by entity type."""
    codes: Counter[str] = Counter(["prediction" if item.error is None else item.error.code for item in items])
    models: Counter[tuple[str, str, str]] = Counter()
    redactions: Counter[str] = Counter()
    for (model, code), count in Counter(
        (item.model, "prediction" if item.error is None else item.error.code) for item in items
    ).items():
        if model is not None:
            models[(model.ref.name, model.ref.version, code)] += count
    for item in items:
        if item.redacted is not None and item.redacted.counts:
            redactions.update(item.redacted.counts)
    return codes, models, redactions


def _input_digest(item: Item, service: Service) -> str:
    """Keyed digest of the redacted inputs; of the raw bytes where no redacted form exists."""
    if item.redacted is not None:
        request = item.redacted.value
        return digest(service.digest_key, "input", request.tenant, _inputs(item))
    return digest(service.digest_key, "raw", None, item.record.value or b"")


def _dead_letter(item: Item, service: Service) -> Outgoing:
    """The redacted record for an operator, or its keyed digest alone: unparseable, unredactable, or too large."""
    assert item.error is not None
    record = item.record
    document: Redacted[object] | None = None
    if not isinstance(item.error, RedactionError | TooLargeError) and record.value is not None:
        try:
            document = service.redactor.redact_document(msgspec.json.decode(record.value))
        except Exception:  # noqa: BLE001 - not JSON, or not redactable: the digest stands for it
            document = None

    coordinates: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "code": item.error.code,
        "message": str(item.error),
        "request_id": item.request_id,
        "source": service.source,
        "digest": digest(service.digest_key, "raw", None, record.value or b""),
        "size_bytes": len(record.value) if record.value is not None else 0,
    }
    value, headers = wire.encode_dead_letter(document=document, **coordinates)
    if len(value) > service.limits.max_answer_bytes:
        value, headers = wire.encode_dead_letter(document=None, **coordinates)
    return Outgoing(item.key, value, headers)


def digest(key: bytes, domain: str, tenant: str | None, data: bytes) -> str:
    """Keyed BLAKE2b-256 hex (RFC 7693) of `data`, bound to a domain and a tenant, so that the same text of two
    tenants cannot be linked and no digest can be guessed without the key."""
    mac = _keyed(key, domain, tenant or "").copy()
    mac.update(data)
    return mac.hexdigest()


@lru_cache(maxsize=1024)
def _keyed(key: bytes, domain: str, tenant: str) -> hashlib.blake2b:
    """The key schedule is half the price of a short digest, so it is done once."""
    return hashlib.blake2b(tenant.encode() + b"\0", key=key, digest_size=32, person=domain.encode())
