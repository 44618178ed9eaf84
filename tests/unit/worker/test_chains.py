"""Chains follow the transaction: an abort takes them back, an unknown outcome ends the session."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.session import Session
from stream_maas.records import Decision, Link, Outgoing, Unlinked, Writer
from stream_maas.worker.chains import SessionChains

WRITER = Writer("app", "w-1", "0.1.0")
ENCODER = wire.AuditEncoder(WRITER)


def new_chains() -> SessionChains:
    return SessionChains(
        Session("0" * 32, WRITER, "maas.audit", SigningKey("w", NOTE, b"s" * 32), heartbeat_us=0, heartbeat_events=2)
    )


def events(count: int) -> list[Unlinked]:
    decision = Decision("maas.requests", 0, 0, 1, "default", "r", "body", "prediction")
    return [Unlinked(None, *ENCODER.encode(decision, time_us=1), []) for _ in range(count)]


def place(row: Outgoing) -> Link:
    if wire.is_decision(row.value):
        return wire.decode_audit(row.value).link
    return wire.decode_service_event(row.value).link


STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=3),
        st.sampled_from(["commit", "commit", "abort", "unknown"]),
    ),
    max_size=8,
)


@given(STEPS)
def test_what_is_committed_is_chains_without_a_gap_or_a_fork(steps: list[tuple[list[tuple[int, int]], str]]) -> None:
    """Whatever aborts: in the committed log every event points at the committed one before it."""
    chains = new_chains()
    committed: dict[int, list[Outgoing]] = {0: [], 1: [], 2: []}
    for joins, ending in steps:
        written: dict[int, list[Outgoing]] = {}
        for partition, count in joins:
            written.setdefault(partition, []).extend(chains.link(partition, events(count)))
        for partition, rows in chains.heartbeats().items():
            written.setdefault(partition, []).extend(rows)
        if ending == "abort":
            chains.roll_back(certain=True)
            continue
        for partition, rows in written.items():
            committed[partition] += rows
        if ending == "commit":
            chains.commit()
        else:  # it was committed, and nobody told us
            chains.roll_back(certain=False)
    for partition, rows in chains.ends().items():
        committed[partition] += rows
    for rows in committed.values():
        ends: dict[str, Link] = {}
        leaves: dict[str, str] = {}
        for row in rows:
            link = place(row)
            before = ends.get(link.session)
            assert link.counter == (before.counter + 1 if before else 0)
            assert link.prev == leaves.get(link.session)
            ends[link.session] = link
            leaves[link.session] = wire_leaf(row.value)


def wire_leaf(value: bytes) -> str:
    from hashlib import sha256

    return sha256(b"\0" + value).hexdigest()


def test_a_new_session_names_the_one_whose_end_nobody_knows() -> None:
    chains = new_chains()
    chains.link(0, events(1))
    chains.roll_back(certain=False)
    start = wire.decode_service_event(chains.link(0, events(1))[0].value)
    assert start.kind == "session.start"
    assert start.after == ("0" * 32, "outcome_unknown")
    assert start.link.session != "0" * 32


def test_ends_are_written_once() -> None:
    chains = new_chains()
    chains.link(0, events(1))
    chains.link(2, events(1))
    assert sorted(chains.ends()) == [0, 2]
    assert chains.ends() == {}
