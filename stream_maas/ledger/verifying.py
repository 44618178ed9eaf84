"""How one partition is verified: its events in order, held against everything that somebody else remembers of it.

Rules of this file (docs/audit-format.md, "What verify checks"):
1. The tree is built over stored bytes. Nothing is parsed for it, so a record that is no audit event is a leaf as well.
2. What is remembered elsewhere comes in as expectations: heads (size -> root), leaves (index -> leaf hash), receipts.
   An expectation that the log does not meet is a finding of the check it came from.
3. Hints (where to start reading, what lies before it) are not believed: a wrong one gives a wrong root.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream_maas.ledger.chain_check import ChainCheck
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.findings import Check, Finding, PartitionReport
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.keys import VerifierKey
from stream_maas.wire.audit_link import AuditLink, PrunedRange, read_link

TAIL_LEAVES = 1 << 18
"""Leaf hashes kept after the last head that was known, for heads that come in while the log is read."""
_PAGE_BITS = 16


class StoredRecord(Protocol):
    """What the verifier needs of a record; `aiokafka.ConsumerRecord` already is one."""

    offset: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Head:
    """Somebody says that the log had `root` at `size`."""

    size: int
    root: bytes
    check: Check


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins when it is not at the first event: what lies before it, by its frontier."""

    size: int
    frontier: tuple[bytes, ...]
    next_offset: int


@dataclass(slots=True)
class Expectations:
    """Everything that is remembered elsewhere of one partition."""

    heads: list[Head] = field(default_factory=list)
    leaves: list[tuple[int, bytes, Check]] = field(default_factory=list)
    """Leaf hashes at known indices: anchored heartbeats."""
    receipts: Mapping[bytes, str] = field(default_factory=dict)
    """Leaf hash -> id of the audit event that a result names."""
    deferred: Mapping[bytes, tuple[str, int]] = field(default_factory=dict)
    """Leaf hash -> (session, counter) of an event that waited in a spool when its result went out."""


class LogVerifier:
    """One partition, from its first event (or `start`) to its end. Feed it chunks in offset order, then `finish`."""

    def __init__(
        self,
        *,
        topic: str,
        partition: int,
        origin: str,
        writer_keys: Collection[VerifierKey] = (),
        expected: Expectations | None = None,
        start: Start | None = None,
        pruned: Start | None = None,
    ) -> None:
        """`start`: a checkpoint that the caller trusts, everything before it is skipped. `pruned`: what a hint says
        was removed from the front; it must be borne out by a sealed event of type pruned."""
        self.report = PartitionReport(partition, origin)
        before = start or pruned
        self._tree = CompactRange(before.size, before.frontier) if before else CompactRange()
        self._skipped, self._pruned = (start.size if start else 0), (pruned if start is None else None)
        self.report.counts.skipped = self._skipped
        self.report.counts.pruned = self._pruned.size if self._pruned else 0
        self._chains = ChainCheck(topic, partition, writer_keys, self._find, joins=before is not None)
        self._expected = expected or Expectations()
        self._receipts = dict(self._expected.receipts)
        self._leaves = {index: (leaf, check) for index, leaf, check in self._expected.leaves}
        self._tail: list[bytes] = []
        self._tail_base = self._tree.copy()
        self._prunes: list[tuple[int, PrunedRange]] = []
        self._seen: dict[tuple[str, int], bytearray] = {}
        self._lowest: dict[str, int] = {}
        """Request topic -> lowest offset of a request whose decision was read."""
        self._offset: int | None = None
        self._heads: list[Head] = []
        self._refuted: set[Check] = set()
        self.report.looked |= {check for _, _, check in self._expected.leaves}
        if self._receipts:
            self.report.looked.add("receipt")
        for head in sorted(self._expected.heads, key=lambda head: head.size, reverse=True):
            self._plan(head)

    @property
    def size(self) -> int:
        """Leaves so far, those before the start among them."""
        return self._tree.size

    def feed(self, records: Sequence[StoredRecord]) -> None:
        """The next records of the partition."""
        values = [record.value or b"" for record in records]
        leaves = leaf_hashes(values)
        index, first = self._tree.size, self._tree.size
        for record, value, leaf in zip(records, values, leaves, strict=True):
            self._offset = record.offset
            link = read_link(value)
            if link is None:
                self._find("heartbeat", index, "a record that is no audit event")
            else:
                self._chains.add(index, leaf, link)
                if link.data.request is not None or link.data.pruned is not None:
                    self._note(index, link)
            if leaf in self._receipts:
                del self._receipts[leaf]
                self.report.counts.receipts += 1
            index += 1
        self.report.counts.events += len(records)
        self._expect_leaves(first, leaves)
        self._grow(leaves)

    def _note(self, index: int, link: AuditLink) -> None:
        """Decisions are counted, and told from repeated ones by the request record that they name."""
        request, pruned = link.data.request, link.data.pruned
        if pruned is not None:
            self._prunes.append((index, pruned))
        if request is None or not link.is_decision:
            return
        self.report.counts.decisions += 1
        if self._pruned is not None or self._skipped:
            self._lowest[request.topic] = min(request.offset, self._lowest.get(request.topic, request.offset))
        # One bit per request record: a set of ids would not fit in memory for a long log.
        page = self._seen.get((request.topic, request.offset >> _PAGE_BITS))
        if page is None:
            page = self._seen[request.topic, request.offset >> _PAGE_BITS] = bytearray(1 << _PAGE_BITS - 3)
        byte, bit = request.offset >> 3 & 0x1FFF, 1 << (request.offset & 7)
        if page[byte] & bit:
            self.report.counts.duplicates += 1
        page[byte] |= bit

    def _grow(self, leaves: list[bytes]) -> None:
        """Append leaves, stopping at each size that somebody remembers."""
        done = 0
        while self._heads and self._heads[-1].size <= self._tree.size + len(leaves) - done:
            step = self._heads[-1].size - self._tree.size
            self._tree.extend(leaves[done : done + step])
            done += step
            self._check(self._heads.pop(), self._tree.root())
            if not self._heads or self._heads[-1].size > self._tree.size:
                self._tail, self._tail_base = [], self._tree.copy()
        rest = leaves[done:]
        self._tree.extend(rest)
        self._tail += rest
        if len(self._tail) > TAIL_LEAVES:
            self._tail_base.extend(self._tail[:-TAIL_LEAVES])
            del self._tail[:-TAIL_LEAVES]

    def _plan(self, head: Head) -> None:
        """Expect a head that lies ahead. One before the place where reading began cannot be checked."""
        if head.size == self._tree.size:
            self._check(head, self._tree.root())
        elif head.size > self._tree.size:
            self._heads.append(head)

    def late(self, heads: Iterable[Head]) -> None:
        """Heads that were published while the log was read: those within the tail are checked, larger ones wait."""
        for head in sorted(heads, key=lambda head: head.size):
            if self._tail_base.size <= head.size <= self._tree.size:
                tree = self._tail_base.copy()
                tree.extend(self._tail[: head.size - tree.size])
                self._check(head, tree.root())

    def _check(self, head: Head, root: bytes) -> None:
        self.report.looked.add(head.check)
        if head.check == "root":
            self.report.counts.checkpoints += 1
        if head.root == root:
            if head.check == "root":
                self.report.counts.sealed = max(self.report.counts.sealed, head.size)
            return
        if head.check in self._refuted:
            return  # every later head differs as well, and says nothing new
        self._refuted.add(head.check)
        first = min(self.report.counts.sealed, head.size)
        self.report.add(
            Finding(
                head.check, self.report.partition, f"another root at size {head.size}: something before it was changed",
                first, None, head.size,
            )
        )  # fmt: skip

    def _expect_leaves(self, first: int, leaves: list[bytes]) -> None:
        if not self._leaves:
            return
        for index in [index for index in self._leaves if first <= index < first + len(leaves)]:
            leaf, check = self._leaves.pop(index)
            if leaves[index - first] != leaf:
                self._find(check, index, "another event than the one that was remembered here")

    def finish(self, *, first_offset: int = 0) -> PartitionReport:
        """The report. `first_offset`: where the partition begins; above 0 something was removed from its front."""
        counts = self.report.counts
        for head in {head.check: head for head in self._heads}.values():  # the smallest of each check
            self._find(head.check, None, f"the log ends at {self.size}, but there is a head of size {head.size}")
        for index, (_, check) in self._leaves.items():
            if index >= self.size:
                self._find(check, None, f"the log ends at {self.size}, but event {index} was remembered")
        for leaf, name in self._owed():
            session, counter = self._expected.deferred.get(leaf, ("", -1))
            if self._chains.events_of(session) <= counter:
                counts.pending += 1  # the chain has not come so far: it waits
                continue
            self._find("receipt", None, f"a result has a receipt of event {name}, which the log does not have")
        self._chains.finish()
        self._check_pruning(first_offset)
        counts.chains, counts.gaps = self._chains.chains_count, self._chains.gaps
        counts.unattested = self._chains.unattested_count
        counts.deferred = self._chains.deferred_count
        counts.duplicates += self._chains.duplicates
        self.report.sessions = self._chains.summaries()
        self.report.root = self._tree.root()
        if counts.pending:
            self.report.missing.append(f"{counts.pending} results say that their events wait in the spool of a worker")
        if counts.unsealed:
            self.report.missing.append(f"{counts.unsealed} events are under no checkpoint")
        return self.report

    def _owed(self) -> list[tuple[bytes, str]]:
        """Receipts that the log should have had. Where reading did not begin at the first event, those of requests
        before the first one that is left are of events that were pruned or skipped."""
        if self._pruned is None and not self._skipped:
            return list(self._receipts.items())
        owed = []
        for leaf, name in self._receipts.items():
            topic, _, offset = name.rsplit(":", 2)
            first = self._lowest.get(topic)
            if first is not None and (not offset.isdigit() or int(offset) >= first):
                owed.append((leaf, name))
        self.report.counts.receipts_before = len(self._receipts) - len(owed)
        return owed

    def _check_pruning(self, first_offset: int) -> None:
        if first_offset == 0 or self._skipped:
            return
        told = [
            pruned
            for index, pruned in self._prunes
            if pruned.next_offset == first_offset and index < self.report.counts.sealed
        ]
        if self._pruned is None or not any(pruned.size == self._pruned.size for pruned in told):
            self._find("log", None, f"it begins at offset {first_offset}, and no sealed event says that it was pruned")

    def _find(self, check: Check, index: int | None, detail: str) -> None:
        self.report.add(Finding(check, self.report.partition, detail, index, None if index is None else self._offset))
