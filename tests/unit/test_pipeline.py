"""`pipeline.serve` under random batches: conservation, order, isolation, no personal data, determinism."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_maas import pipeline, wire
from stream_maas.admission import Limits, verdicts
from stream_maas.errors import ERRORS_BY_CODE
from stream_maas.inference import Catalog
from stream_maas.inference.config import RuntimeConfig
from stream_maas.ledger import boxes
from stream_maas.ledger.boxes import DataKey, Owner
from stream_maas.ledger.chain import Head, link
from stream_maas.privacy import Redactor
from stream_maas.records import Answered, InputRecord, Outgoing, Writer

NOW_US = 1_700_000_000_000_000
NOW_MS = NOW_US // 1000
EMAIL = "zoe.canary@example.org"
CARD = "4111 1111 1111 1111"


@cache
def service(max_record_bytes: int = 4000, max_answer_bytes: int = 1_000_000) -> pipeline.Service:
    return pipeline.Service(
        redactor=Redactor(),
        catalog=Catalog.load(RuntimeConfig()),
        limits=Limits(max_record_bytes, max_key_bytes=200, max_answer_bytes=max_answer_bytes),
        audit=wire.AuditEncoder(Writer(app="app", instance="w1", build="test")),
        source="/maas/app",
        digest_key=b"k" * 32,
    )


def frozen_clock() -> int:
    return 0


def body(text: str = "a fine film", **extra: object) -> dict[str, object]:
    return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}], **extra}


def record(
    offset: int,
    value: bytes | dict[str, object] | None,
    *,
    key: bytes | None = None,
    timestamp: int = NOW_MS,
    headers: tuple[tuple[str, bytes], ...] = (),
) -> InputRecord:
    raw = json.dumps(value).encode() if isinstance(value, dict) else value
    return InputRecord("maas.requests", 3, offset, timestamp, key, raw, headers)


def serve(records: list[InputRecord], **limits: int) -> Answered:
    return pipeline.serve(records, lane="default", now_us=NOW_US, clock=frozen_clock, service=service(**limits))


def answers(answered: Answered) -> list[dict[str, object]]:
    return [json.loads(row.value) for row in answered.results]


def linked(answered: Answered) -> list[Outgoing]:
    """The audit records as the publisher would write them."""
    return link(answered.audits, "0" * 32, Head(1, "0" * 64))[0]


def audits(answered: Answered) -> list[dict[str, object]]:
    return [json.loads(row.value) for row in linked(answered)]


# One bad record of each kind, with the code it must be answered with.
BAD: dict[str, tuple[object, dict[str, object]]] = {
    "not json": (b"{", {"code": "undecodable"}),
    "not utf-8": (b'{"id": "\xff"}', {"code": "undecodable"}),
    "tombstone": (None, {"code": "undecodable"}),
    "empty": (b"", {"code": "undecodable"}),
    "no inputs": ({"id": "x"}, {"code": "invalid_input"}),
    "unknown field": (body(surprise=1), {"code": "invalid_input"}),
    "wrong datatype": (
        {"inputs": [{"name": "text", "shape": [1], "datatype": "FP32", "data": [1.0]}]},
        {"code": "invalid_input"},
    ),
    "shape mismatch": (
        {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["one"]}]},
        {"code": "invalid_input"},
    ),
    "unknown model": (body(model_name="no-such-model"), {"code": "unknown_model"}),
    "too large": (body("x" * 5000), {"code": "too_large"}),
    "expired": (body(parameters={"timeout": 1}), {"code": "expired"}),
}


def bad_record(kind: str, offset: int) -> InputRecord:
    timestamp = NOW_MS - 1 if kind == "expired" else NOW_MS
    return record(offset, BAD[kind][0], key=b"k", timestamp=timestamp)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", BAD)
def test_each_bad_record_gets_its_code(kind: str) -> None:
    answered = serve([bad_record(kind, 7)])
    (answer,) = answers(answered)
    assert answer["code"] == BAD[kind][1]["code"]
    assert answer["id"] == ("x" if kind == "no inputs" else "maas.requests:3:7")
    assert answer["retryable"] is ERRORS_BY_CODE[str(answer["code"])].retryable
    assert len(answered.dead_letters) == int(ERRORS_BY_CODE[str(answer["code"])].dead_letter)


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[InputRecord, str]]:
    """Random chunks: good rows, every kind of bad row, duplicates, boundary deadlines, personal data anywhere."""
    chosen = []
    for offset in range(draw(st.integers(0, 24))):
        kind = draw(st.sampled_from(["good", "personal", "boundary", "duplicate", *BAD]))
        if kind == "good":
            text = draw(st.text(max_size=40))
            chosen.append((record(offset, body(text, id=f"id-{offset}"), key=f"key-{offset}".encode()), "prediction"))
        elif kind == "personal":
            place = draw(st.sampled_from(["text", "id", "key", "tenant", "parameter"]))
            chosen.append((personal_record(offset, place), "prediction"))
        elif kind == "boundary":
            late = draw(st.booleans())
            stamp = NOW_MS - 5 - late
            chosen.append(
                (
                    record(offset, body(parameters={"timeout": 5000}), timestamp=stamp),
                    "expired" if late else "prediction",
                )
            )
        elif kind == "duplicate":
            chosen.append((record(offset, body(id="the-same")), "prediction"))
        else:
            chosen.append((bad_record(kind, offset), str(BAD[kind][1]["code"])))
    return chosen


def personal_record(offset: int, place: str) -> InputRecord:
    secret = f"{EMAIL} {CARD}"
    if place == "text":
        return record(offset, body(f"write to {secret} about it"))
    if place == "id":
        return record(offset, body(id=EMAIL))
    if place == "key":
        return record(offset, body(), key=EMAIL.encode())
    if place == "tenant":
        return record(offset, body(parameters={"tenant": EMAIL}))
    return record(offset, body(parameters={"note": secret}))


@settings(deadline=None)
@given(batches())
def test_every_record_gets_one_answer_and_one_audit_event_in_order(chunk: list[tuple[InputRecord, str]]) -> None:
    answered = serve([item for item, _ in chunk])
    assert len(answered.results) == len(answered.audits) == len(chunk)
    assert sum(answered.codes.values()) == len(chunk)
    for (source, expected), answer, event in zip(chunk, answers(answered), audits(answered), strict=True):
        assert answer.get("code", "prediction") == expected
        assert event["data"]["request"]["offset"] == source.offset
        assert event["data"]["request"]["id"] == answer["id"]
    assert [row.key for row in answered.audits] == [str(a["id"]).encode() for a in answers(answered)]


@settings(deadline=None)
@given(batches())
def test_no_personal_data_in_any_output(chunk: list[tuple[InputRecord, str]]) -> None:
    answered = serve([item for item, _ in chunk])
    for row in [*linked(answered), *answered.results, *answered.dead_letters]:
        for part in (row.key or b"", row.value, *(value for _, value in row.headers)):
            assert EMAIL.encode() not in part
            assert b"4111 1111" not in part


@settings(deadline=None)
@given(batches(), st.integers(0, 24))
def test_a_row_is_answered_alike_in_any_company(chunk: list[tuple[InputRecord, str]], cut: int) -> None:
    """Batch mates change the batch coordinates and nothing else; so does a duplicate delivery."""
    together = serve([item for item, _ in chunk])
    parts = [part for part in (chunk[:cut], chunk[cut:]) if part]
    apart = [row for part in parts for row in serve([item for item, _ in part]).results]
    assert [row.value for row in together.results] == [row.value for row in apart]
    assert [row.key for row in together.results] == [row.key for row in apart]


@settings(deadline=None)
@given(batches(), st.lists(st.integers(0, 24), max_size=3))
def test_a_plan_finished_in_parts_gives_the_same_answers(chunk: list[tuple[InputRecord, str]], cuts: list[int]) -> None:
    records = [item for item, _ in chunk]
    edges = sorted({0, len(records), *(min(cut, len(records)) for cut in cuts)})
    plan = pipeline.prepare(records, lane="default", now_us=NOW_US, clock=frozen_clock, service=service())
    for batch in plan.batches:
        pipeline.infer(batch, frozen_clock)
    sizes = [end - start for start, end in itertools.pairwise(edges)] or [0]
    parts = [pipeline.finish(part, clock=frozen_clock, service=service()) for part in plan.split(sizes)]
    whole = serve(records)
    assert [row for part in parts for row in part.results] == whole.results
    assert [row for part in parts for row in part.audits] == whole.audits
    assert [row for part in parts for row in part.dead_letters] == whole.dead_letters
    assert [size for part in parts for size in part.batch_sizes] == list(whole.batch_sizes)
    codes: Counter[str] = Counter()
    for part in parts:
        codes.update(part.codes)
    assert codes == whole.codes


@settings(deadline=None)
@given(batches())
def test_serving_twice_gives_the_same_bytes(chunk: list[tuple[InputRecord, str]]) -> None:
    records = [item for item, _ in chunk]
    assert serve(records) == serve(records)


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=60), st.one_of(st.none(), st.binary(max_size=20))), max_size=8))
def test_arbitrary_bytes_are_answered(rows: list[tuple[bytes, bytes | None]]) -> None:
    records = [record(offset, value, key=key) for offset, (value, key) in enumerate(rows)]
    answered = serve(records)
    assert len(answered.results) == len(answered.audits) == len(rows)


def test_nothing_of_a_pass_waits_for_the_collector() -> None:
    """Cycles would keep every record of a pass, good or bad, until the collector finds them."""
    records = [record(n, body(f"film {n}")) if n % 4 else bad_record(list(BAD)[n % len(BAD)], n) for n in range(200)]
    serve(records)  # what is made once is made
    gc.collect()
    gc.disable()
    try:
        serve(records)
        assert gc.collect() < len(records) // 10
    finally:
        gc.enable()


def test_id_with_personal_data_is_replaced_by_coordinates() -> None:
    answered = serve([record(9, body(id=EMAIL))])
    assert answers(answered)[0]["id"] == "maas.requests:3:9"


def test_key_is_kept_when_it_is_not_personal() -> None:
    assert serve([record(0, body(), key=b"customer-17")]).results[0].key == b"customer-17"


def test_data_subject_leaves_only_as_a_keyed_reference() -> None:
    subject = "subject-4711"
    answered = serve([record(0, body(parameters={"data_subject": subject, "tenant": "acme"}))])
    event = linked(answered)[0].value
    assert subject.encode() not in event + answered.results[0].value
    expected = pipeline.digest(b"k" * 32, "subject", "acme", subject.encode())
    assert expected.encode() in event


def test_deadline_exactly_met_is_in_time_and_one_microsecond_later_is_not() -> None:
    at = record(0, body(parameters={"timeout": 2000}), timestamp=NOW_MS - 2)
    past = record(1, body(parameters={"timeout": 1999}), timestamp=NOW_MS - 2)
    assert [a.get("code") for a in answers(serve([at, past]))] == [None, "expired"]


@pytest.mark.parametrize("kind", ["prediction", "rejection"])
def test_our_own_answer_is_never_answered(kind: str) -> None:
    headers = wire.answer_headers(kind, request_id="r", audit_id="a", source="/maas/app", traceparent=None)  # type: ignore[arg-type]
    answered = serve([record(0, body(), headers=tuple(headers))])
    assert answered.results == []
    assert len(answered.audits) == 1
    assert len(answered.dead_letters) == 1


def test_events_say_what_admission_decided_and_by_which_settings() -> None:
    late = record(1, body(parameters={"timeout": 1}), timestamp=NOW_MS - 1000)
    chunk = [record(0, body()), late, record(2, b"{"), record(3, body(model_name="nobody's"))]
    said = [json.loads(row.value)["data"].get("policy") for row in linked(serve(chunk))]
    version = verdicts(service().limits).allow[0].version
    assert said == [
        [{"outcome": "allow", "rule": "admission", "version": version}],
        [{"outcome": "deny", "rule": "admission.deadline", "version": version}],
        None,
        None,
    ]
    assert verdicts(Limits(tenants=("shop",))).allow[0].version != verdicts(Limits()).allow[0].version


def test_dead_letter_holds_the_redacted_record_when_it_can_be_parsed() -> None:
    answered = serve([record(0, body(f"mail {EMAIL}", surprise=1))])
    letter = answered.dead_letters[0].value.decode()
    assert "[EMAIL]" in letter
    assert EMAIL not in letter


def test_dead_letter_of_unparseable_bytes_holds_a_digest_only() -> None:
    raw = f"{EMAIL} is not JSON".encode()
    letter = serve([record(0, raw)]).dead_letters[0].value
    assert pipeline.digest(b"k" * 32, "raw", None, raw).encode() in letter
    assert EMAIL.encode() not in letter


def test_key_at_its_limit_is_kept_and_one_byte_more_is_too_large() -> None:
    answered = serve([record(0, body(), key=b"k" * 200), record(1, body(), key=b"k" * 201)])
    assert [answer.get("code") for answer in answers(answered)] == [None, "too_large"]
    assert [row.key for row in answered.results] == [b"k" * 200, None]


def test_a_value_that_is_too_large_keeps_its_key_and_id() -> None:
    answered = serve([record(0, {"id": "r-1", **body("x" * 5000)}, key=b"customer-17")])
    assert answered.results[0].key == b"customer-17"
    assert answers(answered)[0]["id"] == "r-1"


def test_a_timeout_above_the_limit_is_cut_to_it() -> None:
    limits = Limits(max_timeout_us=2_000_000)
    chunk = [
        record(offset, body(parameters={"timeout": 2**53 - 1}), timestamp=NOW_MS - age_ms)
        for offset, age_ms in enumerate((2000, 2001))
    ]
    cut = dataclasses.replace(service(), limits=limits)
    answered = pipeline.serve(chunk, lane="default", now_us=NOW_US, clock=frozen_clock, service=cut)
    assert [answer.get("code") for answer in answers(answered)] == [None, "expired"]


def test_an_answer_that_no_topic_would_take_becomes_a_rejection() -> None:
    size = len(serve([record(0, body())]).results[0].value)
    assert "code" not in answers(serve([record(0, body())], max_answer_bytes=size))[0]
    assert answers(serve([record(0, body())], max_answer_bytes=size - 1))[0]["code"] == "bad_output"


def test_a_record_that_only_we_cannot_decode_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of the decoder must not become a record that ends every worker that meets it."""
    decode = wire.decode_request

    def decode_or_fail(taken: InputRecord) -> object:
        if taken.offset == 1:
            raise ValueError(f"what the client wrote: {EMAIL}")
        return decode(taken)

    monkeypatch.setattr(wire, "decode_request", decode_or_fail)
    answered = serve([record(offset, body(id=f"id-{offset}")) for offset in range(3)])
    assert [(answer["id"], answer.get("code")) for answer in answers(answered)] == [
        ("id-0", None), ("id-1", "undecodable"), ("id-2", None)
    ]  # fmt: skip
    assert answers(answered)[1]["message"] == "value: decoding failed with ValueError"
    assert EMAIL not in str([linked(answered), answered.results, answered.dead_letters])


def test_a_dead_letter_that_no_topic_would_take_shrinks_to_its_digest() -> None:
    bad = record(0, body("x" * 1000, surprise=1))
    assert b"xxx" in serve([bad]).dead_letters[0].value
    assert set(json.loads(serve([bad], max_answer_bytes=500).dead_letters[0].value)) == {"digest", "bytes"}


def test_traceparent_is_passed_on_and_recorded() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answered = serve([record(0, body(), headers=(("traceparent", trace),))])
    assert ("traceparent", trace) in answered.results[0].headers
    assert b"0af7651916cd43dd8448eb211c80319c" in linked(answered)[0].value


class OneKeyEach:
    """Keys without a store: derived from the owner."""

    def __init__(self) -> None:
        self.made: dict[bytes, DataKey] = {}

    def for_owners(self, owners: Collection[Owner]) -> dict[Owner, DataKey]:
        keys = {}
        for owner in owners:
            name = hashlib.sha256("/".join(owner).encode()).digest()
            keys[owner] = self.made[name[:16]] = DataKey(name[:16], name)
        return keys


def serve_boxed(
    records: list[InputRecord], limits: Limits | None = None
) -> tuple[Answered, dict[str, dict[str, boxes.BoxedRequest]]]:
    """The answers, and digest -> content of every box, opened with the key that it names."""
    keys = OneKeyEach()
    boxing = dataclasses.replace(service(), boxes=keys, limits=limits or service().limits)
    answered = pipeline.serve(records, lane="default", now_us=NOW_US, clock=frozen_clock, service=boxing)
    values = [row.value for row in answered.boxes]
    return answered, {boxes.digest(value): boxes.unpack(keys.made[boxes.key_id(value)].open(value)) for value in values}


@settings(deadline=None)
@given(batches())
def test_every_redacted_input_is_in_the_box_that_its_event_names(chunk: list[tuple[InputRecord, str]]) -> None:
    answered, contents = serve_boxed([item for item, _ in chunk])
    for (source, code), event in zip(chunk, audits(answered), strict=True):
        name = event["data"]["input"].get("box")
        if code == "prediction":
            assert str(event["id"]) in contents[name]
        if name is not None:
            assert EMAIL not in str(contents[name][f"maas.requests:3:{source.offset}"])
            assert CARD not in str(contents[name])
    named = {event["data"]["input"].get("box") for event in audits(answered)} - {None}
    assert contents.keys() == named


def test_a_box_holds_what_the_model_was_given_and_one_owner_only() -> None:
    parameters = [
        {},
        {"tenant": "acme"},
        {"tenant": "acme", "data_subject": "subject-1"},
        {"tenant": "beta", "data_subject": "subject-1"},
        {"tenant": "acme"},
    ]
    records = [record(offset, body(f"film {offset}", parameters=each)) for offset, each in enumerate(parameters)]
    answered, contents = serve_boxed(records)
    assert len(contents) == 4, "two of them have one owner"
    texts = {name: found.inputs[0].data for content in contents.values() for name, found in content.items()}
    assert texts == {f"maas.requests:3:{offset}": [f"film {offset}"] for offset in range(5)}
    assert {row.key for row in answered.boxes} == {name.encode() for name in contents}


def test_large_inputs_are_spread_over_boxes() -> None:
    long = "word " * (boxes.MAX_BOX_BYTES // 20)
    records = [record(offset, body(long)) for offset in range(8)]
    answered, contents = serve_boxed(records, Limits(max_record_bytes=10**6))
    assert 1 < len(answered.boxes) < 8
    assert all(len(row.value) < boxes.MAX_BOX_BYTES + 1000 for row in answered.boxes)
    assert sum(len(content) for content in contents.values()) == 8


def test_an_input_that_no_box_takes_is_refused() -> None:
    """Redaction and JSON may make inputs several times as long; a box that no topic takes would never be written."""
    small, large = body("a@b.co " * 20), body("a@b.co " * 200)
    limits = Limits(max_record_bytes=1550, max_answer_bytes=1550)
    answered, contents = serve_boxed([record(0, small), record(1, large), record(2, b"{")], limits)
    assert [answer.get("code", "prediction") for answer in answers(answered)] == [
        "prediction", "too_large", "undecodable"
    ]  # fmt: skip
    assert [list(content) for content in contents.values()] == [["maas.requests:3:0"]]
    assert [event["data"]["input"].get("box") is None for event in audits(answered)] == [False, True, True]
    assert all(len(row.value) < 3000 for row in answered.boxes)
    assert answered.codes == {"prediction": 1, "too_large": 1, "undecodable": 1}


def test_without_keys_there_are_no_boxes() -> None:
    answered = serve([record(0, body())])
    assert answered.boxes == []
    assert "box" not in audits(answered)[0]["data"]["input"]


def test_digest_depends_on_key_domain_tenant_and_data() -> None:
    def variants() -> Iterator[str]:
        for key in (b"a" * 32, b"b" * 32):
            for domain in ("input", "subject"):
                for tenant in (None, "t", "u"):
                    for data in (b"", b"x"):
                        yield pipeline.digest(key, domain, tenant, data)

    values = list(variants())
    assert len(set(values)) == len(values) == 24
