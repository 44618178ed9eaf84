"""Keeps what makes a run count: every request answered once, audited once, and with the baseline's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from aiokafka import ConsumerRecord

from benchmarks import cluster
from benchmarks.cluster import Run
from benchmarks.servers import Contender
from benchmarks.workload import Request
from stream_maas import wire

PROBABILITY_TOLERANCE = 1e-5


class WrongOutputError(Exception):
    """A contender's output is not what it has to be; its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    label: str
    positive: float


async def outputs(
    contender: Contender, run: Run, requests: Sequence[Request]
) -> tuple[list[ConsumerRecord], list[ConsumerRecord]]:
    """Result and audit records of a run. Raises `WrongOutputError` unless there is exactly one of each per request."""
    wanted = {request.key for request in requests}
    read = {}
    for topic in (run.results, *((run.audit,) if contender.audits else ())):
        records = await cluster.read(run, topic)
        if topic == run.audit:
            records = [record for record in records if wire.is_decision(record.value)]
        read[topic] = records
        if len(records) != len(requests) or {record.key for record in records} != wanted:
            raise WrongOutputError(f"{contender.title}: {len(records)} records in {topic} for {len(requests)} requests")
    return read[run.results], read.get(run.audit, [])


def answers(contender: Contender, results: Sequence[ConsumerRecord]) -> dict[str, Answer]:
    """Request id -> answer. Raises `WrongOutputError` for a rejection: the load holds no bad request."""
    found = {}
    for record in results:
        document = orjson.loads(record.value)
        outputs = {tensor["name"]: tensor["data"] for tensor in document.get("outputs", ())}
        if not outputs:
            raise WrongOutputError(f"{contender.title}: a request was rejected with {document.get('code')}")
        found[document["id"]] = Answer(outputs["label"][0], outputs["probabilities"][1])
    return found


def agreement(requests: Sequence[Request], bare: dict[str, Answer], worker: dict[str, Answer]) -> float:
    """Share of all requests with equal labels. Where nothing was redacted, labels and probabilities have to be equal.

    A redacted text is another text, so its probability may differ. Raises `WrongOutputError`.
    """
    equal = 0
    for request in requests:
        ours, theirs = worker[request.id], bare[request.id]
        same = ours.label == theirs.label
        if not request.personal and (not same or abs(ours.positive - theirs.positive) > PROBABILITY_TOLERANCE):
            raise WrongOutputError(f"{request.id}: the worker and the bare loop do not agree")
        equal += same
    return equal / len(requests)
