"""Deciding again what was decided: the recorded batch, the same artifact, and how far the answers agree. Pure.

ONNX Runtime promises no bits: a row's last digits depend on the company it has, on threads and on the version. So the
batch is rebuilt as it was, row by row in the recorded order, and what comes out is not called wrong or right but

- `exact`: the result has the recorded digest, that is every bit of every output;
- `within_tolerance`: the same label, and a probability within 10 ppm;
- `diverged`: the same label, further away;
- `label_flip`: another label, or none where there was one;
- `not_reproducible`: it could not be run: input erased or expired, artifact not at hand, another execution provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from stream_maas import wire
from stream_maas.errors import RequestError
from stream_maas.inference import Catalog, Model, Output, Row
from stream_maas.ledger.boxes import BoxedRequest
from stream_maas.records import Decision, ModelRef, Prediction, Writer

Verdict = Literal["exact", "within_tolerance", "diverged", "label_flip", "not_reproducible"]
TOLERANCE_PPM: Final = 10


class Recorded(Struct, frozen=True):
    """A decision as the log has it, with its input where that could be opened."""

    event_id: str
    decision: Decision
    writer: Writer
    request: BoxedRequest | None
    reason: str = ""
    """Why there is no input."""


class Judged(Struct, frozen=True):
    """What came of running one decision again."""

    event_id: str
    verdict: Verdict
    reason: str = ""
    label: str | None = None
    score_ppm: int | None = None
    """What comes out now; None where nothing does."""
    batch_complete: bool = True
    """Whether all rows of the recorded batch were there."""


def rerun(recorded: Sequence[Recorded], catalog: Catalog) -> list[Judged]:
    """Run predictions again, batch by batch; one judgement each, in the order given."""
    batches: dict[tuple[ModelRef | None, str], list[Recorded]] = {}
    for each in recorded:
        batch = each.decision.batch
        batches.setdefault((each.decision.model, batch.id if batch else each.event_id), []).append(each)
    judged: dict[str, Judged] = {}
    for (ref, _), members in batches.items():
        for verdict in _rerun_batch(members, _artifact(ref, catalog), catalog.runtime):
            judged[verdict.event_id] = verdict
    return [judged[each.event_id] for each in recorded]


def _artifact(ref: ModelRef | None, catalog: Catalog) -> Model | None:
    """The bundle that decided, else another one around the same model file."""
    same = [model for model in catalog.models if ref is not None and model.ref.digest == ref.digest]
    return next((model for model in same if ref and model.ref.bundle_digest == ref.bundle_digest), (*same, None)[0])


def _rerun_batch(members: Sequence[Recorded], model: Model | None, runtime: Mapping[str, str | int]) -> list[Judged]:
    judged: list[Judged] = []
    rows: list[tuple[Recorded, Row]] = []
    for each in sorted(members, key=_place):
        reason = each.reason or _obstacle(each, model, runtime)
        if not reason and model is not None and each.request is not None:
            try:
                rows.append((each, model.prepare(each.request.to_request(each.decision.request_id))))
                continue
            except RequestError as error:
                reason = f"the model does not take its input any more: {error.code}"
        judged.append(Judged(each.event_id, "not_reproducible", reason))
    if rows and model is not None:
        batch = rows[0][0].decision.batch
        complete = batch is None or len(rows) == batch.size
        answers = model.run([row for _, row in rows])
        judged += [_judge(each, model, answer, complete) for (each, _), answer in zip(rows, answers, strict=True)]
    return judged


def _place(recorded: Recorded) -> int:
    return recorded.decision.batch.index if recorded.decision.batch else 0


def _obstacle(recorded: Recorded, model: Model | None, runtime: Mapping[str, str | int]) -> str:
    """Why it cannot be run at all; empty when it can."""
    if recorded.decision.model is None or recorded.request is None:
        return "no model or no input was recorded"
    if model is None:
        return f"no loaded model has the artifact {recorded.decision.model.digest[:16]}"
    before, now = recorded.writer.runtime.get("provider"), runtime.get("provider")
    return f"another execution provider: {before} then, {now} now" if before != now else ""


def _judge(recorded: Recorded, model: Model, answer: Output | RequestError, complete: bool) -> Judged:
    decision = recorded.decision
    if isinstance(answer, RequestError):
        return Judged(recorded.event_id, "label_flip", f"now rejected: {answer.code}", batch_complete=complete)
    again = Prediction(decision.request_id, model.ref, answer.tensors, decision.redactions, decision.degraded)
    verdict: Verdict
    reason = _other_bundle(decision.model, model.ref)
    if wire.stable_digest(again) == decision.output_digest:
        verdict = "exact"
    elif answer.label != decision.label:
        verdict = "label_flip"
    elif decision.score_ppm is None or answer.score_ppm is None:
        # Without a score there is nothing to be near to.
        verdict = "diverged"
    else:
        near = abs(answer.score_ppm - decision.score_ppm) <= TOLERANCE_PPM
        verdict = "within_tolerance" if near else "diverged"
    return Judged(recorded.event_id, verdict, reason, answer.label, answer.score_ppm, complete)


def _other_bundle(then: ModelRef | None, now: ModelRef) -> str:
    """What explains a difference although the model file is the same: tokenizer, vocabulary, labels or limits are of
    another bundle. Empty when they are not, or when nobody recorded them."""
    if then is None or then.bundle_digest in ("", now.bundle_digest):
        return ""
    return f"the same model file in another bundle: {then.bundle_digest[:16]} then, {now.bundle_digest[:16]} now"
