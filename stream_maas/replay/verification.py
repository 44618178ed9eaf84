"""What a verification of the live log holds it against, and in which order that is read so that nothing races.

Whatever somebody remembers (checkpoints, cosignatures, anchor, receipts) is read before the log, so the log must have
it. Checkpoints are read once more afterwards: the sealer may be a second behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from stream_maas import topics
from stream_maas.errors import LedgerError
from stream_maas.ledger.anchors import AnchoredCheckpoint, AnchoredHeartbeat, open_anchor
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.findings import Finding, PartitionReport, Report
from stream_maas.ledger.hashing import HASH_BYTES
from stream_maas.ledger.keys import COSIGNATURE, NOTE, VerifierKey
from stream_maas.ledger.notes import Checkpoint, Note, parse_checkpoint, parse_note
from stream_maas.ledger.store import log_folder, replace_file
from stream_maas.ledger.verifying import Expectations, Head, LogVerifier, Start
from stream_maas.records import KafkaRecord
from stream_maas.replay.audit_log import Logs, Published, read_published
from stream_maas.replay.reading import read_chunks
from stream_maas.wire import read_deferral, read_receipt
from stream_maas.wire.audit_link import PRUNED, read_link
from stream_maas.wire.headers import AUDIT_DEFERRED, AUDIT_ID, AUDIT_LEAF

_SIGNATURES = 2_000
"""Checkpoints of a log whose signatures are checked, newest first: each takes a tenth of a millisecond. Roots are
checked of all of them."""
_SEAL_POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whom to believe, and what lies outside the broker. Everything may be empty; less is shown then."""

    keys: Sequence[VerifierKey] = ()
    writer_keys: Sequence[VerifierKey] = ()
    witness_folder: Path | None = None
    """Memory of a witness: notes that it cosigned, one file `checkpoint` per log."""
    anchor: Path | None = None
    receipts: Sequence[Path] = ()
    """JSON lines: `{"id", "leaf"}`, or results as `stream-maas tail results --json` prints them."""
    with_results: bool = False
    """Read the receipts that the results topic holds."""
    memory: Path | None = None
    """Folder in which this verifier remembers what it found valid."""
    from_memory: bool = False
    """Begin where the last verification ended."""
    wait_s: float = 5.0
    """How long to wait for a checkpoint over the newest events."""


@dataclass(slots=True)
class _Log:
    """Everything about one partition while it is verified."""

    partition: int
    verifier: LogVerifier
    offset: int
    keys: Sequence[VerifierKey]
    following: int = 0
    published: dict[tuple[int, bytes], Published] = field(default_factory=dict)


Progress = Callable[[int], None]


async def verify(logs: Logs, evidence: Evidence, *, progress: Progress | None = None) -> Report:
    """Read the log once and hold it against the evidence. `progress(events)` is told how many were read.

    Raises `LedgerError` for evidence that cannot be read, `BrokerError` and `TopicsError` as reading does."""
    prefix = logs.settings.topics.prefix
    published, following = await read_published(logs.settings, topics.audit_checkpoints(prefix))
    cosigned, _ = await read_published(logs.settings, topics.audit_cosignatures(prefix))
    receipts = await _receipts(logs, evidence)
    anchored = list(open_anchor(evidence.anchor).read()) if evidence.anchor is not None else []
    running = []
    for partition in logs.partitions:
        origin = logs.origin(partition)
        mine = [each for each in published if each.checkpoint.origin == origin]
        problems: list[Finding] = []
        own = receipts.get(partition, Receipts())
        expected = Expectations(receipts=own.names, deferred=own.deferred)
        expected.heads += _heads(mine, partition, evidence.keys, problems)
        expected.heads += _witnessed(cosigned, origin, partition, evidence, problems)
        for entry in anchored:
            if isinstance(entry, AnchoredHeartbeat) and entry.origin == origin:
                expected.leaves.append((entry.index, entry.leaf, "heartbeat"))
            elif isinstance(entry, AnchoredCheckpoint) and entry.origin == origin:
                expected.heads += _anchored_head(entry, evidence.keys, problems, partition)
        expected.heads += _verified_last(evidence, origin)
        running.append(await _begin(logs, partition, evidence, expected, mine, problems))
    await _read(logs, running, progress)
    await _wait_for_seal(logs, running, evidence, following)
    reports = tuple(_finish(logs, log, evidence) for log in running)
    return Report(reports, tuple(_missing(evidence, reports)))


def _missing(evidence: Evidence, reports: Sequence[PartitionReport]) -> list[str]:
    missing = []
    if not any(key.kind == NOTE for key in evidence.keys):
        missing.append("no key of a sealer is trusted, so no checkpoint could be believed; next: --key VKEY")
    if evidence.witness_folder is not None and not any("witness" in report.looked for report in reports):
        missing.append(
            "nothing of what the witness remembers could be believed: its key is not trusted, or it has seen nothing "
            "of this log; next: --key witness.vkey"
        )
    return missing


async def _begin(
    logs: Logs, partition: int, evidence: Evidence, expected: Expectations, mine: Sequence[Published],
    problems: list[Finding],
) -> _Log:  # fmt: skip
    beginning = logs.beginnings[partition]
    trusting = any(key.kind == NOTE for key in evidence.keys)
    start = _remembered(evidence, logs.origin(partition)) if evidence.from_memory and trusting else None
    pruned = None
    if start is None and beginning:
        pruned = await _pruned(logs, partition, mine)
    verifier = LogVerifier(
        topic=logs.topic, partition=partition, origin=logs.origin(partition), writer_keys=evidence.writer_keys,
        expected=expected, start=start, pruned=pruned,
    )  # fmt: skip
    for problem in problems:
        verifier.report.add(problem)
    verifier.report.looked |= {"signature"} if evidence.keys and mine else set()
    log = _Log(partition, verifier, start.next_offset if start else beginning, evidence.keys)
    log.published = {(each.checkpoint.size, each.checkpoint.root): each for each in mine}
    return log


async def _pruned(logs: Logs, partition: int, mine: Sequence[Published]) -> Start | None:
    """What lies before the first offset: told by the newest checkpoint's hint, else searched for in the log."""
    beginning = logs.beginnings[partition]
    for each in reversed(mine):
        if each.hint is not None and each.hint.pruned is not None and each.hint.pruned[1] == beginning:
            size, offset, frontier = each.hint.pruned
            if len(frontier) == size.bit_count() and all(len(node) == HASH_BYTES for node in frontier):
                return Start(size, frontier, offset)
    chunks = read_chunks(logs.settings.kafka, logs.topic, only=[partition], until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            for record in chunk:
                start = _announced(record, beginning)
                if start is not None:
                    return start
    return None


def _announced(record: KafkaRecord, beginning: int) -> Start | None:
    if PRUNED.encode() not in (record.value or b""):
        return None
    link = read_link(record.value)
    pruned = link.data.pruned if link is not None else None
    if pruned is None or pruned.next_offset != beginning:
        return None
    try:
        frontier = tuple(bytes.fromhex(node) for node in pruned.frontier)
        CompactRange(pruned.size, frontier)
    except (ValueError, LedgerError):
        return None
    return Start(pruned.size, frontier, pruned.next_offset)


async def _read(logs: Logs, running: Sequence[_Log], progress: Progress | None) -> None:
    by_partition = {log.partition: log for log in running}
    offsets = {log.partition: log.offset for log in running}
    seen = 0
    chunks = read_chunks(logs.settings.kafka, logs.topic, offsets=offsets, only=logs.partitions, until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            log = by_partition[chunk[0].partition]
            log.verifier.feed(chunk)
            log.following = chunk[-1].offset + 1
            seen += len(chunk)
            if progress is not None:
                progress(seen)


async def _wait_for_seal(logs: Logs, running: Sequence[_Log], evidence: Evidence, following: int) -> None:
    """Until checkpoints cover what was read, or no more come in time."""
    give_up = time.monotonic() + evidence.wait_s
    topic = topics.audit_checkpoints(logs.settings.topics.prefix)
    by_origin = {logs.origin(log.partition): log for log in running}
    if not any(log.published for log in running):
        return  # there is no sealer to wait for
    while True:
        published, following = await read_published(logs.settings, topic, offset=following)
        for origin, log in by_origin.items():
            mine = [each for each in published if each.checkpoint.origin == origin]
            problems: list[Finding] = []
            log.verifier.late(_heads(mine, log.partition, evidence.keys, problems))
            for problem in problems:
                log.verifier.report.add(problem)
            log.published |= {(each.checkpoint.size, each.checkpoint.root): each for each in mine}
        behind = [log for log in running if log.verifier.report.counts.sealed < log.verifier.size]
        if not behind or any(log.verifier.report.failed for log in behind) or time.monotonic() >= give_up:
            return
        await asyncio.sleep(_SEAL_POLL_S)


def _finish(logs: Logs, log: _Log, evidence: Evidence) -> PartitionReport:
    report = log.verifier.finish(first_offset=logs.beginnings[log.partition])
    if evidence.memory is not None and not report.findings_count and evidence.keys and log.published:
        # Where it cannot be written (a read-only container), the next verification begins at the first event again.
        with contextlib.suppress(OSError):
            _remember(evidence.memory, log)
    return report


# What is remembered elsewhere ---------------------------------------------------------------------------------------


def _heads(
    mine: Iterable[Published], partition: int, keys: Sequence[VerifierKey], problems: list[Finding]
) -> list[Head]:
    """Checkpoints of the topic. Without a trusted key none of them is anybody's word."""
    if not any(key.kind == NOTE for key in keys):
        return []
    ordered = sorted(mine, key=lambda each: each.checkpoint.size, reverse=True)
    heads = []
    for number, each in enumerate(ordered):
        if number < _SIGNATURES and (problem := _distrust(each.note, keys)) is not None:
            detail = f"the checkpoint of size {each.checkpoint.size} {problem}"
            problems.append(Finding("signature", partition, detail))
            continue
        heads.append(Head(each.checkpoint.size, each.checkpoint.root, "root"))
    return heads


def _distrust(note: Note, keys: Sequence[VerifierKey]) -> str | None:
    try:
        return None if note.signers(keys) else "is signed by no trusted key"
    except LedgerError:
        return "has a wrong signature"


def _witnessed(
    cosigned: Sequence[Published], origin: str, partition: int, evidence: Evidence, problems: list[Finding]
) -> list[Head]:
    """What witnesses cosigned: on their topic, and in the memory of the one whose folder is at hand."""
    notes = [each.note for each in cosigned if each.checkpoint.origin == origin]
    if evidence.witness_folder is not None:
        notes += _held_by_witness(evidence.witness_folder, origin)
    witnesses = [key for key in evidence.keys if key.kind == COSIGNATURE]
    heads = []
    for note in notes:
        try:
            if note.cosigners(witnesses):
                checkpoint = parse_checkpoint(note.text)
                heads.append(Head(checkpoint.size, checkpoint.root, "witness"))
        except LedgerError as error:
            problems.append(Finding("signature", partition, f"a cosigned checkpoint: {error}"))
    return heads


def _held_by_witness(folder: Path, origin: str) -> list[Note]:
    path = log_folder(folder, origin) / "checkpoint"
    try:
        return [parse_note(path.read_bytes())]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({type(error).__name__})") from error


def _anchored_head(
    entry: AnchoredCheckpoint, keys: Sequence[VerifierKey], problems: list[Finding], partition: int
) -> list[Head]:
    try:
        note = parse_note(entry.note.encode())
        checkpoint: Checkpoint = parse_checkpoint(note.text)
    except LedgerError:
        problems.append(Finding("anchor", partition, "what was anchored is no checkpoint"))
        return []
    if keys and (problem := _distrust(note, keys)) is not None:
        problems.append(Finding("anchor", partition, f"the anchored checkpoint of size {checkpoint.size} {problem}"))
        return []
    return [Head(checkpoint.size, checkpoint.root, "anchor")]


@dataclass(slots=True)
class Receipts:
    """What results say of one partition's events."""

    names: dict[bytes, str] = field(default_factory=dict)
    """Leaf hash -> event id."""
    deferred: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    """Leaf hash -> (session, counter), of events that waited in a spool."""


async def _receipts(logs: Logs, evidence: Evidence) -> dict[int, Receipts]:
    """By partition."""
    found: dict[int, Receipts] = {}
    for path in evidence.receipts:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise LedgerError(f"{path}: cannot be read ({type(error).__name__})") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                _keep(found, *_receipt(line, f"{path}: line {number}"))
    if evidence.with_results:
        topic = topics.results(logs.settings.topics.prefix)
        async with aclosing(read_chunks(logs.settings.kafka, topic, until_end=True)) as chunks:
            async for chunk in chunks:
                for record in chunk:
                    receipt = read_receipt(record.headers)
                    if receipt is not None:
                        _keep(found, *receipt, read_deferral(record.headers))
    return found


def _receipt(line: bytes, place: str) -> tuple[str, bytes, tuple[str, int] | None]:
    try:
        row = orjson.loads(line)
        headers: Mapping[str, str] = row.get("headers") or {}
        name = row.get("audit_id") or headers.get(AUDIT_ID) or row["id"]
        leaf = bytes.fromhex(row.get("audit_leaf") or headers.get(AUDIT_LEAF) or row["leaf"])
        if len(leaf) != HASH_BYTES:
            raise LedgerError(f"{place}: the leaf hash has not 32 bytes")
        deferred = str(row.get("audit_deferred") or headers.get(AUDIT_DEFERRED) or "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(f"{place}: not a receipt with id and leaf") from error
    return str(name), leaf, read_deferral(((AUDIT_DEFERRED, deferred.encode()),))


def _keep(found: dict[int, Receipts], name: str, leaf: bytes, deferred: tuple[str, int] | None) -> None:
    """The partition of an event stands in its id, topic:partition:offset."""
    partition = name.rsplit(":", 2)[-2:-1]
    if not partition or not partition[0].isdigit():
        raise LedgerError("a receipt names no event of a request")
    receipts = found.setdefault(int(partition[0]), Receipts())
    receipts.names[leaf] = name
    if deferred is not None:
        receipts.deferred[leaf] = deferred


# The verifier's own memory ------------------------------------------------------------------------------------------


def _remember(folder: Path, log: _Log) -> None:
    """Keep the newest checkpoint that was found right and is told how to go on from."""
    sealed = log.verifier.report.counts.sealed
    best = next((each for (size, _), each in log.published.items() if size == sealed and each.hint is not None), None)
    if best is None or best.hint is None:
        return
    place = log_folder(folder, best.checkpoint.origin)
    replace_file(place / "checkpoint", best.note.encode().encode(), sync=True)
    replace_file(place / "hint.json", best.hint.encode(), sync=True)


def _verified_last(evidence: Evidence, origin: str) -> list[Head]:
    """What a trusted key signed and this machine has verified: as good as an anchor. Nothing where it is not at hand,
    or of another key: then this is another deployment."""
    if evidence.memory is None:
        return []
    try:
        note = parse_note((log_folder(evidence.memory, origin) / "checkpoint").read_bytes())
        checkpoint = parse_checkpoint(note.text)
    except (OSError, LedgerError):
        return []
    known = checkpoint.origin == origin and _distrust(note, evidence.keys) is None
    return [Head(checkpoint.size, checkpoint.root, "anchor")] if known else []


def _remembered(evidence: Evidence, origin: str) -> Start | None:
    if evidence.memory is None:
        return None
    from stream_maas.ledger.hint import Hint

    place = log_folder(evidence.memory, origin)
    try:
        note, hint = parse_note((place / "checkpoint").read_bytes()), Hint.decode((place / "hint.json").read_bytes())
    except OSError:
        return None
    checkpoint = parse_checkpoint(note.text)
    if hint is None or _distrust(note, evidence.keys) is not None:
        raise LedgerError(f"{place}: what was verified last cannot be believed; next: verify from the beginning")
    # The hint came from the broker: only a frontier that has the signed root is gone on from.
    if CompactRange(checkpoint.size, hint.frontier).root() != checkpoint.root:
        raise LedgerError(f"{place}: its frontier is not that of its checkpoint; next: verify from the beginning")
    return Start(checkpoint.size, hint.frontier, hint.next_offset)
