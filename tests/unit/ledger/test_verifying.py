"""Verification of one partition: honest logs in all shapes pass, and each contradiction is found at its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.findings import INCOMPLETE, TAMPERED, VALID, PartitionReport, Report
from stream_maas.ledger.hashing import leaf_hash, leaf_hashes
from stream_maas.ledger.keys import NOTE, SigningKey, VerifierKey
from stream_maas.ledger.verifying import Expectations, Head, LogVerifier, Start
from stream_maas.wire.audit_link import read_link
from tests.support.audit_log import Stored, Writer, stored

OTHER_KEY = SigningKey("maas/other", NOTE, b"o" * 32)


def head(values: Sequence[bytes], size: int) -> Head:
    tree = CompactRange()
    tree.extend(leaf_hashes(values[:size]))
    return Head(size, tree.root(), "root")


def verify(
    records: Sequence[Stored],
    heads: Sequence[Head] = (),
    *,
    chunk: int = 37,
    keys: Sequence[VerifierKey] = (),
    expected: Expectations | None = None,
    start: Start | None = None,
    pruned: Start | None = None,
    first_offset: int = 0,
) -> PartitionReport:
    expected = expected or Expectations()
    expected.heads += heads
    verifier = LogVerifier(
        topic="maas.audit", partition=0, origin="example.org/0", writer_keys=keys, expected=expected, start=start,
        pruned=pruned,
    )  # fmt: skip
    for at in range(0, len(records), chunk):
        verifier.feed(records[at : at + chunk])
    return verifier.finish(first_offset=first_offset)


def two_writers(count: int = 200) -> list[bytes]:
    """Two sessions that write in turns, each with heartbeats and an end."""
    first, second = Writer("worker-0", "a" * 32), Writer("worker-1", "b" * 32)
    second.events = 10_000
    values = [first.start(), second.start()]
    for number in range(count):
        writer = (first, second)[number % 2]
        values.append(writer.decision())
        if number % 20 > 17:
            values += [first.heartbeat(), second.heartbeat()]
    return [*values, first.end(), second.end()]


@given(st.integers(1, 120), st.lists(st.integers(1, 500), max_size=5), st.integers(0, 7))
def test_an_honest_log_is_valid_however_it_comes_in(chunk: int, sizes: list[int], gap_every: int) -> None:
    values = two_writers()
    heads = [head(values, min(size, len(values))) for size in sizes] + [head(values, len(values))]
    key = Writer().key.public
    report = verify(stored(values, gap_every=gap_every), heads, chunk=chunk, keys=[key])
    assert report.findings == []
    assert Report((report,)).exit_code == VALID
    counts = report.counts
    assert (counts.events, counts.sealed, counts.unsealed) == (len(values), len(values), 0)
    assert (counts.decisions, counts.unattested, counts.chains, counts.gaps) == (200, 0, 2, 0)


def test_an_unsealed_tail_is_incomplete() -> None:
    values = two_writers()
    report = verify(stored(values), [head(values, 100)])
    assert Report((report,)).exit_code == INCOMPLETE
    assert report.counts.unsealed == len(values) - 100


def test_a_head_that_is_published_while_the_log_is_read_counts() -> None:
    values = two_writers()
    verifier = LogVerifier(topic="maas.audit", partition=0, origin="o", expected=Expectations([head(values, 50)]))
    for at in range(0, len(values), 30):
        verifier.feed(stored(values)[at : at + 30])
    verifier.late([head(values, 90), head(values, len(values)), head(values, 20)])
    report = verifier.finish()
    assert report.counts.unsealed == 0
    assert not report.findings_count
    verifier.late([Head(len(values) - 1, bytes(32), "root")])
    assert report.failed == {"root"}


Attack = Callable[[list[bytes]], None]


def change(values: list[bytes]) -> None:
    values[40] = values[40].replace(b"positive", b"negative")


def drop(values: list[bytes]) -> None:
    del values[40]


def swap(values: list[bytes]) -> None:
    values[40], values[41] = values[41], values[40]


def swap_own(values: list[bytes]) -> None:
    values[40], values[42] = values[42], values[40]


def repeat(values: list[bytes]) -> None:
    values.append(values[-1])


def forge(values: list[bytes]) -> None:
    values.insert(40, Writer("worker-0", "c" * 32).decision())


def forge_as_session(values: list[bytes]) -> None:
    values[40:40] = Writer("worker-0", "c" * 32, key=OTHER_KEY).run(3)


def junk(values: list[bytes]) -> None:
    values.insert(40, b"not an event")


@pytest.mark.parametrize(
    ("attack", "failed"),
    [
        (change, {"chain", "root"}),
        (drop, {"chain", "root"}),
        (swap, {"root"}),
        (swap_own, {"chain", "root"}),
        (repeat, {"chain"}),
        (forge, {"root", "heartbeat"}),
        (forge_as_session, {"root", "heartbeat"}),
        (junk, {"root", "heartbeat"}),
    ],
)
def test_what_each_change_contradicts(attack: Attack, failed: set[str]) -> None:
    values = two_writers()
    heads = [head(values, size) for size in (30, 100, len(values))]
    attack(values)
    report = verify(stored(values), heads, keys=[Writer().key.public])
    assert failed <= report.failed
    assert Report((report,)).exit_code == TAMPERED


def test_the_first_bad_event_is_named() -> None:
    values = two_writers()
    heads = [head(values, size) for size in (30, 100, len(values))]
    change(values)
    report = Report((verify(stored(values, gap_every=3), heads),))
    first = report.first_bad()
    assert first is not None
    assert first.index == 40
    root = next(finding for finding in report.findings if finding.check == "root")
    assert (root.index, root.until) == (30, 100)


def test_a_swap_without_own_traces_is_narrowed_down_to_a_checkpoint_interval() -> None:
    values = two_writers()
    heads = [head(values, size) for size in (30, 100, len(values))]
    swap(values)
    first = Report((verify(stored(values), heads),)).first_bad()
    assert first is not None
    assert (first.index, first.until) == (30, 100)


def test_a_log_cut_off_below_a_checkpoint() -> None:
    values = two_writers()
    report = verify(stored(values[:-5]), [head(values, len(values))])
    assert report.failed == {"root"}


def test_gaps_are_counted() -> None:
    values = two_writers()
    writer = Writer()
    values = writer.run(20)
    del values[5:8]
    report = verify(stored(values), [head(values, len(values))])
    assert report.counts.gaps == 3
    assert report.failed == {"chain"}


def test_repeated_requests_are_counted_and_no_tampering() -> None:
    first, second = Writer(), Writer("worker-1", "b" * 32)
    values = [first.start(), *(first.decision() for _ in range(5)), second.start()]
    values += [second.decision(request_offset=offset) for offset in (3, 4, 5)]
    report = verify(stored(values), [head(values, len(values))])
    assert report.counts.duplicates == 2
    assert not report.findings_count


def test_sessions_and_how_they_ended() -> None:
    crashed, again = Writer("worker-0", "a" * 32), Writer("worker-0", "b" * 32)
    replaced, other = Writer("worker-1", "c" * 32), Writer("worker-1", "d" * 32)
    for writer, first in ((again, 10), (replaced, 20), (other, 30)):
        writer.events, writer.counter = first, 0
    values = crashed.run(3) + replaced.run(3)
    # A later start has a later time; the chain counter stands in for the clock here.
    values += [again.start().replace(b"14:13:00", b"14:14:00")]
    values += [other.start(after="c" * 32).replace(b"14:13:00", b"14:14:00")]
    report = Report((verify(stored(values), [head(values, len(values))]),))
    assert report.findings == []
    wanted = {"sessions": 4, "clean_ends": 0, "unclean_ends": 1, "superseded": 1, "open_sessions": 2}
    assert {name: report.totals()[name] for name in wanted} == wanted


def test_a_key_that_is_not_trusted() -> None:
    values = Writer(key=OTHER_KEY).run(5)
    assert verify(stored(values), [head(values, len(values))]).failed == set()
    assert "heartbeat" in verify(stored(values), [], keys=[Writer().key.public]).failed


def test_a_rewritten_chain_does_not_fit_the_writer_s_signatures() -> None:
    honest = Writer()
    values = honest.run(40, heartbeat_every=10)
    forger = Writer(key=OTHER_KEY)
    forged = forger.run(40, heartbeat_every=10)
    # All links recomputed; the signatures of the honest writer are put back in, he cannot be made to sign again.
    mixed, prev = [], None
    for own, theirs in zip(values, forged, strict=True):
        event = theirs.replace(OTHER_KEY.vkey.encode(), honest.key.vkey.encode())
        if prev is not None:
            event = event.replace(b'"prev":"' + event.partition(b'"prev":"')[2][:64], b'"prev":"' + prev.encode())
        if b'"signature":"' in own:
            signature = own.partition(b'"signature":"')[2][:88]
            event = event.replace(event.partition(b'"signature":"')[2][:88], signature)
        else:
            event = event.replace(b"positive", b"negative")
        mixed.append(event)
        prev = leaf_hash(event).hex()
    report = verify(stored(mixed), [head(mixed, len(mixed))], keys=[honest.key.public])
    assert report.failed == {"heartbeat"}


def test_nothing_may_follow_the_end_of_a_session() -> None:
    writer = Writer()
    values = [*writer.run(3), writer.end(), writer.decision()]
    assert verify(stored(values), [head(values, len(values))]).failed == {"chain"}


def test_an_event_in_the_place_that_the_writer_signed() -> None:
    """A forger who may write goes on from the public head; the writer's own next signed event shows it."""
    writer = Writer()
    values = writer.run(5)
    values += [writer.fork().decision(), writer.heartbeat()]
    assert {"chain", "heartbeat"} <= verify(stored(values), [head(values, len(values))]).failed


def test_receipts_and_anchored_events() -> None:
    values = two_writers()
    expected = Expectations(
        leaves=[(40, leaf_hash(values[40]), "anchor"), (41, leaf_hash(b"x"), "anchor"), (9999, bytes(32), "anchor")],
        receipts={leaf_hash(values[50]): "held", leaf_hash(b"gone"): "maas.requests:0:77"},
    )
    report = verify(stored(values), [head(values, len(values))], expected=expected)
    assert report.counts.receipts == 1
    assert sorted(finding.check for finding in report.findings) == ["anchor", "anchor", "receipt"]
    assert "maas.requests:0:77" in str([finding.detail for finding in report.findings])


def test_verification_goes_on_from_a_checkpoint() -> None:
    values = two_writers()
    tree = CompactRange()
    tree.extend(leaf_hashes(values[:77]))
    records = stored(values, gap_every=4)
    start = Start(77, tuple(tree.frontier()), records[77].offset)
    report = verify(records[77:], [head(values, 50), head(values, len(values))], start=start)
    assert Report((report,)).exit_code == VALID
    assert (report.counts.skipped, report.counts.events) == (77, len(values) - 77)
    changed_index = next(index for index in range(120, len(values)) if b"positive" in values[index])
    values[changed_index] = values[changed_index].replace(b"positive", b"negative")
    changed = verify(stored(values)[77:], [head(two_writers(), len(values))], start=start)
    assert {"root", "chain"} <= changed.failed


def pruned_log(size: int) -> tuple[list[Stored], list[bytes], Start]:
    """A log whose first `size` events were pruned, with the event that says so."""
    writer = Writer()
    values = writer.run(100)
    tree = CompactRange()
    tree.extend(leaf_hashes(values[:size]))
    offsets = [record.offset for record in stored(values, gap_every=5)]
    said = {
        "partition": 0, "size": size, "next_offset": offsets[size], "root": tree.root().hex(),
        "frontier": [node.hex() for node in tree.frontier()],
    }  # fmt: skip
    values += [writer.service("pruned.v1", {"pruned": said}), writer.end()]
    start = Start(size, tuple(tree.frontier()), offsets[size])
    return stored(values, gap_every=5)[size:], values, start


def test_an_announced_prune_leaves_a_valid_log() -> None:
    records, values, start = pruned_log(60)
    report = verify(
        records, [head(values, len(values))], pruned=start, first_offset=records[0].offset, keys=[Writer().key.public]
    )
    assert Report((report,)).findings == []
    assert report.counts.pruned == 60
    assert report.counts.unsealed == 0


def test_receipts_of_pruned_events_are_counted_and_no_finding() -> None:
    """Results outlive the events that were pruned; a receipt of an event that should be there still is missed."""
    records, values, start = pruned_log(60)
    names = {index: link.id for index, value in enumerate(values) if (link := read_link(value)) and link.is_decision}
    gone, left = [index for index in names if index < 60], [index for index in names if index >= 60]
    held = {leaf_hash(values[index]): names[index] for index in (*gone, *left)}
    expected = Expectations(receipts=held | {leaf_hash(b"never written"): names[left[-1]]})
    report = verify(
        records, [head(values, len(values))], pruned=start, first_offset=records[0].offset,
        keys=[Writer().key.public], expected=expected,
    )  # fmt: skip
    assert (report.counts.receipts, report.counts.receipts_before) == (len(left), len(gone))
    assert [(finding.check, names[left[-1]] in finding.detail) for finding in report.findings] == [("receipt", True)]


def test_an_unannounced_prune_is_found() -> None:
    records, values, _ = pruned_log(60)
    assert "log" in verify(records, [head(values, len(values))], first_offset=records[0].offset).failed
    # What was announced is not what is missing.
    more = records[5:]
    assert "log" in verify(more, [], first_offset=more[0].offset).failed


def test_a_wrong_hint_gives_a_wrong_root() -> None:
    records, values, start = pruned_log(60)
    wrong = Start(start.size, tuple(reversed(start.frontier)), start.next_offset)
    report = verify(records, [head(values, len(values))], pruned=wrong, first_offset=records[0].offset)
    assert "root" in report.failed


def test_findings_of_a_rewritten_log_do_not_fill_the_memory() -> None:
    values = [b"junk %d" % number for number in range(3000)]
    report = verify(stored(values))
    assert report.findings_count == 3000
    assert len(report.findings) == 1000


# Events that waited in a spool --------------------------------------------------------------------------------------


def spooled_log() -> tuple[list[bytes], Expectations]:
    """A session of which four decisions waited, told by its own next event; and the receipts of all decisions."""
    writer = Writer()
    values = [writer.start(), writer.decision(), writer.decision()]
    first = writer.counter
    values += [writer.decision() for _ in range(4)]
    body = {
        "session": writer.session, "first": first, "events": 4, "since_us": 1, "first_us": 2, "last_us": 3,
        "reason": "TopicAuthorizationFailedError",
    }  # fmt: skip
    values += [writer.service("deferred.v1", {"deferred": body}), writer.heartbeat(), writer.decision(), writer.end()]
    receipts = {leaf_hash(value): str(at) for at, value in enumerate(values) if b"decision.v2" in value}
    deferred = {leaf_hash(values[at]): (writer.session, at) for at in range(first, first + 4)}
    return values, Expectations(receipts=receipts, deferred=deferred)


def test_deferred_events_are_counted_when_they_are_there() -> None:
    values, expected = spooled_log()
    report = verify(stored(values), [head(values, len(values))], expected=expected)
    assert Report((report,)).exit_code == VALID
    assert (report.counts.deferred, report.counts.pending, report.counts.gaps) == (4, 0, 0)
    assert report.counts.receipts == 7


@pytest.mark.parametrize("there", [3, 4, 6])
def test_a_result_whose_event_still_waits_makes_the_verdict_incomplete(there: int) -> None:
    """`there`: events of the session that are in the log; some may have been moved already."""
    values, expected = spooled_log()
    expected.receipts = dict(list(expected.receipts.items())[:6])  # nothing was answered after the outage yet
    report = verify(stored(values[:there]), [head(values, there)], expected=expected)
    assert Report((report,)).exit_code == INCOMPLETE
    assert (report.findings, report.counts.pending) == ([], 7 - there)


def test_a_deferred_event_that_is_missing_is_found() -> None:
    values, expected = spooled_log()
    without = values[:4] + values[5:]
    report = verify(stored(without), expected=expected)
    assert Report((report,)).exit_code == TAMPERED
    assert {"chain", "receipt"} <= report.failed


def test_announced_events_that_never_came_are_found() -> None:
    values, _ = spooled_log()
    other = Writer("worker-0", "c" * 32)
    body = {"session": "a" * 32, "first": 3, "events": 4}
    log = [*values[:5], other.start("a" * 32), other.service("deferred.v1", {"deferred": body}), other.end()]
    report = verify(stored(log))
    assert [finding.detail for finding in report.findings] == ["2 of the deferred events that it announces are missing"]
