"""Writer chains: dense counters, each event bound to the one before, receipts, signatures that cover it all."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.ledger.chain import Head, leaf_hex, link
from stream_maas.ledger.keys import NOTE, SigningKey, VerifierKey
from stream_maas.ledger.session import Chain, Session
from stream_maas.records import Decision, Link, Outgoing, Unlinked, Writer

WRITER = Writer("app", "w-1", "0.1.0", {"onnxruntime": "1.31.1"}, "node-1")
KEY = SigningKey("app/w-1", NOTE, b"s" * 32)
MODEL = {"name": "m", "version": "1", "digest": "d" * 64, "licence": "MIT"}
ID = "0123456789abcdef" * 2
NOW_US = 1_790_000_000_000_000


def session(**changes: Any) -> Session:
    return Session(ID, WRITER, "maas.audit", KEY, **changes)


def decisions(count: int, first_offset: int = 0) -> tuple[list[Unlinked], list[Decision], list[Outgoing]]:
    encoder = wire.AuditEncoder(WRITER)
    made = [
        Decision("maas.requests", 3, offset, 1, "default", f"r-{offset}", "body", "prediction")
        for offset in range(first_offset, first_offset + count)
    ]
    answers = [Outgoing(None, b"{}", []) for _ in made]
    unlinked = [
        Unlinked(d.request_id.encode(), *encoder.encode(d, time_us=5), wire.audit_headers(), answer)
        for d, answer in zip(made, answers, strict=True)
    ]
    return unlinked, made, answers


def places(rows: list[Outgoing]) -> list[tuple[str, int, str | None]]:
    found = [orjson.loads(row.value)["data"]["writer"]["session"] for row in rows]
    return [(place["id"], place["counter"], place.get("prev")) for place in found]


def assert_chained(rows: list[Outgoing]) -> None:
    """By the documented rule and nothing of ours: SHA-256(0x00 || value) of the event before."""
    prev = None
    for counter, (row, place) in enumerate(zip(rows, places(rows), strict=True)):
        assert place == (ID, counter, prev)
        prev = hashlib.sha256(b"\0" + row.value).hexdigest()


def kinds(rows: list[Outgoing]) -> list[str]:
    names = [wire.audit_type(row.value) or "" for row in rows]
    return [name.removeprefix("org.stream-maas.audit.").rpartition(".")[0] for name in names]


@given(st.integers(1, 5), st.integers(1, 2**40))
def test_linking_writes_what_encode_audit_writes_and_hands_out_receipts(count: int, counter: int) -> None:
    unlinked, made, answers = decisions(count)
    head = Head(counter, "ab" * 32)
    rows, end = link(unlinked, ID, head)
    for row, decision, answer in zip(rows, made, answers, strict=True):
        assert row.value == wire.encode_audit(decision, WRITER, time_us=5, link=head.next(ID))
        head = Head(head.counter + 1, leaf_hex(row.value))
        assert answer.headers == [("maas-audit-leaf", head.leaf.encode())]
    assert end == head


def test_a_looped_record_has_an_event_and_no_receipt() -> None:
    unlinked, _, _ = decisions(1)
    rows, _ = link([Unlinked(unlinked[0].key, unlinked[0].head, unlinked[0].tail, [])], ID, Head(1, "0" * 64))
    assert len(rows) == 1


@given(st.lists(st.integers(0, 4), max_size=6))
def test_a_chain_is_dense_whatever_comes_in_one_go(sizes: list[int]) -> None:
    facts = (("model.loaded", MODEL),)
    writing = session(facts=facts, heartbeat_events=3)
    rows: list[Outgoing] = []
    chain: Chain | None = None
    offset = 0
    for step, size in enumerate(sizes):
        more, chain = writing.extend(chain, 3, decisions(size, offset)[0], NOW_US + step)
        rows += more
        offset += size
    if chain is not None:
        rows.append(writing.end(chain, 3, NOW_US + 100))
        assert kinds(rows)[:2] == ["session.start", "model.loaded"]
        assert kinds(rows)[-1] == "session.end"
        unsigned = max((len(run) for run in "".join(kind[0] for kind in kinds(rows)).split("s")), default=0)
        assert unsigned <= 3 + 4, "a heartbeat after three events, and one batch of at most four joins at once"
    assert_chained(rows)


def test_heartbeats_come_by_time_and_only_while_the_chain_grows() -> None:
    writing = session(heartbeat_us=1000)
    rows, chain = writing.extend(None, 3, decisions(2)[0], NOW_US)
    assert kinds(rows) == ["session.start", "decision", "decision"]
    beats, chain = writing.vouch(chain, 3, NOW_US + 500)
    assert kinds(beats) == ["session.heartbeat"]
    assert writing.vouch(chain, 3, NOW_US + 5000) == ([], chain)
    rows, chain = writing.extend(chain, 3, decisions(1, 2)[0], NOW_US + 1499)
    assert kinds(rows) == ["decision"]
    rows, chain = writing.extend(chain, 3, decisions(1, 3)[0], NOW_US + 1500)
    assert kinds(rows) == ["decision", "session.heartbeat"]


@pytest.mark.parametrize("kind", ["session.start", "session.heartbeat", "session.end"])
def test_signatures_are_over_the_place_in_the_log(kind: str) -> None:
    writing = session()
    started, chain = writing.extend(None, 3, decisions(1)[0], NOW_US)
    beats, after = writing.vouch(chain, 3, NOW_US)
    row = {"session.start": started[0], "session.heartbeat": beats[0], "session.end": writing.end(after, 3, NOW_US)}[
        kind
    ]
    event = wire.decode_service_event(row.value)
    vkey = wire.decode_service_event(started[0].value).key or ""
    signature = base64.b64decode(event.signature or "")
    place = event.link
    text = (
        f"stream-maas/audit-session/v1\norg.stream-maas.audit.{kind}.v1\nmaas.audit\n3\n"
        f"{ID}\n{place.counter}\n{place.prev or '-'}\n"
    )
    assert VerifierKey.parse(vkey).verify(signature, text.encode())
    for other in (text.replace("\n3\n", "\n4\n"), text.replace("maas.audit\n", "maas.other\n"), text + "\n"):
        assert not VerifierKey.parse(vkey).verify(signature, other.encode())


def test_a_successor_names_the_session_before_it() -> None:
    rows, _ = session().successor("f" * 32, "outcome_unknown").start(0, NOW_US)
    event = wire.decode_service_event(rows[0].value)
    assert event.after == (ID, "outcome_unknown")
    assert event.link == Link("f" * 32, 0)


def test_an_act_stands_in_the_chain_of_its_command() -> None:
    writing = session()
    rows, chain = writing.start(0, NOW_US)
    body = {"what": "rerun", "topic": "maas.audit", "records": 3}
    row, chain = writing.act(chain, 0, "replayed", body, NOW_US)
    rows += [row, writing.end(chain, 0, NOW_US)]
    assert_chained(rows)
    assert wire.decode_service_event(row.value).body == body


def test_a_new_fact_is_told_before_the_next_decision_and_once() -> None:
    first, second = ("model.loaded", MODEL), ("model.loaded", MODEL | {"version": "2"})
    writing = session(facts=(first,))
    rows, chain = writing.extend(None, 3, decisions(1)[0], NOW_US)
    swapped = writing.knowing((second,))
    more, chain = swapped.extend(chain, 3, decisions(1, 1)[0], NOW_US)
    again, _ = swapped.extend(chain, 3, decisions(1, 2)[0], NOW_US)
    assert [kinds(part) for part in (rows, more, again)] == [
        ["session.start", "model.loaded", "decision"],
        ["model.loaded", "decision"],
        ["decision"],
    ]
    assert_chained(rows + more + again)
    assert wire.decode_service_event(more[0].value).body["version"] == "2"
