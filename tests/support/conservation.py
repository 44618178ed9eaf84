"""The promise "one answer" as assertions over what stands in the topics in the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson
from aiokafka import ConsumerRecord

from tests.support.log_reading import header
from tests.support.traffic import DEAD_LETTERED, PREDICTED, Sent

_TIMING = re.compile(rb',"timing_[a-z]+_us":[0-9]+')


def coordinates(record: ConsumerRecord) -> str:
    """topic:partition:offset, as answers and audit events name the request they are about."""
    return f"{record.topic}:{record.partition}:{record.offset}"


def about(answer: ConsumerRecord) -> str:
    """Coordinates of the request that a result or dead letter is about."""
    audit_id = header(answer, "maas-audit-id")
    assert audit_id is not None, f"{coordinates(answer)} does not say what it is about"
    return audit_id


def match_requests(sent: Sequence[Sent], requests: Sequence[ConsumerRecord]) -> dict[str, Sent]:
    """Coordinates -> what was sent there, from the request topic itself (acknowledgements can be lost).

    Within a partition the log has the order of sending.
    """
    by_partition: dict[int, list[Sent]] = {}
    for one in sent:
        by_partition.setdefault(one.partition, []).append(one)
    logged: dict[int, list[ConsumerRecord]] = {}
    for record in requests:
        logged.setdefault(record.partition, []).append(record)
    assert {p: len(rows) for p, rows in logged.items()} == {p: len(rows) for p, rows in by_partition.items()}
    matched = {}
    for partition, records in logged.items():
        for record, one in zip(records, by_partition[partition], strict=True):
            assert record.value == one.value, f"{coordinates(record)} is not what was sent"
            matched[coordinates(record)] = one
    return matched


def assert_answered_once(expected: Mapping[str, Sent], results: Sequence[ConsumerRecord]) -> None:
    """One result for every request and none besides: on its partition, in its order, with its key, code and id."""
    counts = Counter(map(about, results))
    lost, repeated = expected.keys() - counts.keys(), [name for name, count in counts.items() if count > 1]
    assert not lost, f"{len(lost)} requests have no answer, for example {sorted(lost)[:3]}"
    assert not repeated, f"{len(repeated)} requests have several answers, for example {sorted(repeated)[:3]}"
    assert counts.keys() == expected.keys(), "answers to records that were never sent"
    last_offsets: dict[str, int] = {}
    for result in results:
        _assert_answer(expected[about(result)], result)
        partition, _, offset = about(result).rpartition(":")
        assert int(offset) > last_offsets.get(partition, -1), f"{about(result)} is answered out of order"
        last_offsets[partition] = int(offset)


def _assert_answer(sent: Sent, result: ConsumerRecord) -> None:
    where = about(result)
    assert int(where.split(":")[1]) == result.partition, f"{where}: answered on partition {result.partition}"
    if sent.keeps_key:
        assert result.key == sent.key, f"{where}: another key"
    else:
        assert result.key != sent.key, f"{where}: a personal key came back"
    answer = orjson.loads(result.value)
    assert answer["id"] == (sent.request_id or where), f"{where}: another id"
    assert answer.get("code", PREDICTED) == sent.code, f"{where}: answered with {answer.get('code', PREDICTED)}"
    assert ("outputs" in answer) == (sent.code == PREDICTED), where
    assert header(result, "ce_correlationid") == answer["id"]


def assert_audited_once(
    expected: Mapping[str, Sent], results: Sequence[ConsumerRecord], audits: Sequence[ConsumerRecord]
) -> None:
    """One audit event for every request, on its partition, that says the same as the result."""
    events = [(record, orjson.loads(record.value)) for record in audits]
    counts = Counter(event["id"] for _, event in events)
    assert all(count == 1 for count in counts.values()), f"{len(audits) - len(counts)} audit events repeat"
    assert counts.keys() == expected.keys(), f"{len(expected.keys() - counts.keys())} requests have no audit event"
    answers = {about(result): orjson.loads(result.value) for result in results}
    for record, event in events:
        request, answer = event["data"]["request"], answers[event["id"]]
        assert event["id"] == f"{request['topic']}:{request['partition']}:{request['offset']}"
        assert record.partition == request["partition"]
        assert record.key == request["id"].encode()
        assert request["id"] == answer["id"], event["id"]
        assert event["data"]["status"] == (PREDICTED if "outputs" in answer else "rejection")
        assert event["data"].get("code") == answer.get("code")


def assert_dead_lettered_once(expected: Mapping[str, Sent], dead_letters: Iterable[ConsumerRecord]) -> None:
    """A dead letter for each record whose code asks for one, once."""
    counts = Counter(map(about, dead_letters))
    assert counts == Counter({name: 1 for name, sent in expected.items() if sent.code in DEAD_LETTERED})


def assert_no_planted(planted: Collection[str], records: Iterable[ConsumerRecord], logs: str) -> None:
    """None of the personal values stands in any key, value or header, or in what the workers logged."""
    text = "\n".join(_texts(records)) + logs
    # One pass over megabytes of text for thousands of needles: collect everything shaped like one and look it up.
    shapes = re.compile(r"quill\.[0-9a-f]{10}@example\.org|\+1 415 \d{3} \d{4}|4\d{15}|DE\d{20}")
    leaked = set(shapes.findall(text)) & set(planted)
    assert not leaked, f"{len(leaked)} planted personal values came out, of {len(planted)}"


def _texts(records: Iterable[ConsumerRecord]) -> Iterable[str]:
    for record in records:
        for part in (record.key, record.value, *(value for _, value in record.headers)):
            if part:
                yield part.decode(errors="replace")


def stable_result(record: ConsumerRecord) -> tuple[Any, ...]:
    """A result record without its timings and its receipt: equal for every answer to the same request."""
    headers = sorted(header for header in record.headers if header[0] != "maas-audit-leaf")
    return record.partition, record.key, _TIMING.sub(b"", record.value), tuple(headers)


def stable_audit(record: ConsumerRecord) -> tuple[Any, ...]:
    """An audit event without its times, its place in a chain, and the batch and box that the record got into."""
    event = orjson.loads(record.value)
    del event["time"], event["data"]["timings_us"], event["data"]["writer"]["session"]
    event["data"].pop("batch", None)
    event["data"]["input"].pop("box", None)
    headers = tuple(sorted(record.headers))
    return record.partition, record.key, orjson.dumps(event, option=orjson.OPT_SORT_KEYS), headers
