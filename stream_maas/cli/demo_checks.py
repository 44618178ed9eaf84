"""What the demo claims, checked on what the topics really hold.

Pure functions over records, so that tests can hand them logs in which something is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_maas.records import KafkaRecord


@dataclass(frozen=True, slots=True)
class Check:
    """One claim and whether it holds. `detail` has numbers and places, never a value of a record."""

    claim: str
    holds: bool
    detail: str


def check_answers(requests: Sequence[KafkaRecord], results: Sequence[KafkaRecord]) -> Check:
    """Exactly one result names each request record."""
    return _one_each("one answer per request", requests, Counter(_audit_id(record) for record in results))


def check_audit(requests: Sequence[KafkaRecord], audits: Sequence[KafkaRecord]) -> Check:
    """Exactly one audit event has the id of each request record."""
    from stream_maas import wire

    ids = Counter(wire.decode_audit(record.value or b"").id for record in audits)
    return _one_each("one audit event per request", requests, ids)


def check_same_ids(results: Sequence[KafkaRecord], audits: Sequence[KafkaRecord]) -> Check:
    """Results and audit events carry the same request ids, equally often: `id` of both."""
    from stream_maas import wire

    answered = Counter(wire.decode_answer(record.value or b"").id for record in results)
    audited = Counter(wire.decode_audit(record.value or b"").decision.request_id for record in audits)
    different = sum(((answered - audited) + (audited - answered)).values())
    detail = f"{len(answered)} different ids" if not different else f"{different} ids in only one of the two"
    return Check("answers and audit events have the same ids", not different, detail)


def check_privacy(outputs: Mapping[str, Iterable[KafkaRecord]], logs: bytes, planted: Sequence[str]) -> Check:
    """No planted value stands in any byte of what left the worker: values, keys, headers, logs."""
    places = Counter[str]()
    for topic, records in outputs.items():
        for record in records:
            parts = [record.value or b"", record.key or b"", *(value or b"" for _, value in record.headers)]
            places[topic] += sum(_holds(b"\0".join(parts), value) for value in planted)
    places["the worker's log"] += sum(_holds(logs, value) for value in planted)
    found = ", ".join(f"{count} in {place}" for place, count in places.items() if count)
    detail = found or f"{len(planted)} planted values, none in {', '.join(places)}"
    return Check("no personal data came out", not found, detail)


def _one_each(claim: str, requests: Sequence[KafkaRecord], named: Counter[str]) -> Check:
    from stream_maas import wire

    wanted = {wire.audit_id(record.topic, record.partition, record.offset) for record in requests}
    missing, foreign = len(wanted - named.keys()), len(named.keys() - wanted)
    repeated = sum(count - 1 for count in named.values())
    holds = bool(wanted) and not (missing or foreign or repeated)
    wrong = f"{missing} missing, {foreign} foreign, {repeated} repeated"
    return Check(claim, holds, f"{len(wanted)} of {len(wanted)}" if holds else wrong)


def _audit_id(record: KafkaRecord) -> str:
    from stream_maas.wire.headers import AUDIT_ID

    return next((value.decode() for name, value in record.headers if name == AUDIT_ID), "")


def _holds(data: bytes, value: str) -> bool:
    return value.encode() in data
