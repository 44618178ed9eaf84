"""What a verification can find wrong, by which check, and how findings and counts become a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Check = Literal["signature", "root", "chain", "witness", "receipt", "heartbeat", "anchor", "log"]
CHECKS: dict[Check, str] = {
    "signature": "checkpoints are signed by a trusted key",
    "root": "the log has the root of every checkpoint",
    "chain": "each writer session's events follow each other",
    "witness": "the log has the roots that a witness remembers",
    "receipt": "every receipt that a result carries has its event",
    "heartbeat": "every event belongs to a session that its writer signed",
    "anchor": "the log has what was anchored outside the broker",
    "log": "the log begins where it must",
}
MAX_FINDINGS = 1000
"""Findings that are kept one by one; the rest is counted. A log that somebody rewrote has millions."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction. `detail` has places and numbers, never a value of an event."""

    check: Check
    partition: int
    detail: str
    index: int | None = None
    """Leaf index of the event that is affected; of the first one, where `until` says that it may be a later one."""
    offset: int | None = None
    until: int | None = None
    """Leaf index after the last event that may be affected."""

    def document(self) -> dict[str, Any]:
        """As JSON members."""
        place = {"index": self.index, "until": self.until, "offset": self.offset}
        known = {name: value for name, value in place.items() if value is not None}
        return {"check": self.check, "partition": self.partition, "detail": self.detail, **known}


@dataclass(slots=True)
class Counts:
    """What one partition holds, as far as it was read."""

    events: int = 0
    sealed: int = 0
    """Events under the largest checkpoint that was found right."""
    decisions: int = 0
    duplicates: int = 0
    """Decisions on a request record that has one already (a crash without transactions), or a repeated event."""
    gaps: int = 0
    """Events that a writer session counted and the log does not have."""
    chains: int = 0
    unattested: int = 0
    """Events after the last signature of their session."""
    checkpoints: int = 0
    receipts: int = 0
    receipts_before: int = 0
    """Receipts of requests before the first one that was read: of events that were pruned or skipped."""
    deferred: int = 0
    """Events that waited in a worker's spool while the audit topic could not be written, and are here."""
    pending: int = 0
    """Results whose event still waits in a spool, as the results say."""
    pruned: int = 0
    """Events that an audited prune removed from the front."""
    skipped: int = 0
    """Events before the checkpoint that the verification started from."""

    @property
    def unsealed(self) -> int:
        """Events read that no checkpoint covers."""
        return max(0, self.pruned + self.skipped + self.events - self.sealed)

    def document(self) -> dict[str, int]:
        """As JSON members."""
        names = ("events", "sealed", "unsealed", "decisions", "duplicates", "gaps", "chains", "unattested")
        more = ("checkpoints", "receipts", "receipts_before", "deferred", "pending", "pruned", "skipped")
        return {name: getattr(self, name) for name in (*names, *more)}


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """How a writer session stands in one partition when the log was read to its end."""

    id: str
    writer: str
    started: str
    """`time` of its start event; "" where that was pruned or skipped."""
    events: int
    ended: bool
    supersedes: str | None


@dataclass(slots=True)
class PartitionReport:
    """The result for one partition."""

    partition: int
    origin: str
    counts: Counts = field(default_factory=Counts)
    findings: list[Finding] = field(default_factory=list)
    findings_count: int = 0
    sessions: list[SessionSummary] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Why the verdict is incomplete."""
    root: bytes = b""
    looked: set[Check] = field(default_factory=lambda: {"chain", "heartbeat", "log"})
    """Checks for which there was something to hold the log against."""
    failed: set[Check] = field(default_factory=set)

    def add(self, finding: Finding) -> None:
        """Keep a finding, or count it when there are too many."""
        self.findings_count += 1
        self.failed.add(finding.check)
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


VALID, TAMPERED, INCOMPLETE = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification over all partitions."""

    partitions: tuple[PartitionReport, ...]
    missing: tuple[str, ...] = ()
    """Why the verdict is incomplete, beyond what partitions say."""

    @property
    def findings(self) -> list[Finding]:
        """All of them, by partition and index."""
        found = [finding for report in self.partitions for finding in report.findings]
        return sorted(found, key=lambda finding: (finding.partition, finding.index is None, finding.index or 0))

    @property
    def exit_code(self) -> int:
        """0 valid, 1 tampering or gap, 3 incomplete."""
        if any(report.findings_count for report in self.partitions):
            return TAMPERED
        return INCOMPLETE if self.missing or any(report.missing for report in self.partitions) else VALID

    def totals(self) -> dict[str, int]:
        """Counts over all partitions, and what only all together tell: sessions and their ends."""
        totals: dict[str, int] = {}
        for report in self.partitions:
            for name, count in report.counts.document().items():
                totals[name] = totals.get(name, 0) + count
        return totals | self._session_counts()

    def _session_counts(self) -> dict[str, int]:
        """`unclean_ends`: sessions without an end whose writer has started another one since. The newest session of a
        writer without an end is `open`: it runs, or it died and nothing in the log says so yet."""
        chains: dict[str, list[SessionSummary]] = {}
        for summary in (summary for report in self.partitions for summary in report.sessions):
            chains.setdefault(summary.id, []).append(summary)
        superseded = {summary.supersedes for group in chains.values() for summary in group if summary.supersedes}
        newest: dict[str, tuple[str, str]] = {}
        for name, group in chains.items():
            key = (min(summary.started for summary in group), name)
            newest[group[0].writer] = max(newest.get(group[0].writer, key), key)
        ends = {name: all(summary.ended for summary in group) for name, group in chains.items()}
        left = [name for name, ended in ends.items() if not ended and name not in superseded]
        running = [name for name in left if newest[chains[name][0].writer][1] == name]
        return {
            "sessions": len(chains),
            "clean_ends": sum(ends.values()),
            "superseded": len(superseded & chains.keys()),
            "unclean_ends": len(left) - len(running),
            "open_sessions": len(running),
        }

    def checks(self) -> Mapping[str, str]:
        """Check -> "failed" or "ok"; the checks for which there was nothing to hold the log against are left out."""
        looked = {check for report in self.partitions for check in report.looked}
        failed = {check for report in self.partitions for check in report.failed}
        return {check: "failed" if check in failed else "ok" for check in CHECKS if check in looked | failed}

    def first_bad(self) -> Finding | None:
        """The first event that a check points at; where no check points at one, the first range that holds one."""
        placed = [finding for finding in self.findings if finding.index is not None]
        exact = [finding for finding in placed if finding.until is None]
        return next(iter(exact or placed), None)

    def document(self) -> dict[str, Any]:
        """The JSON report of `audit verify --json`."""
        findings, first = self.findings, self.first_bad()
        return {
            "verdict": {VALID: "valid", TAMPERED: "tampered", INCOMPLETE: "incomplete"}[self.exit_code],
            "exit_code": self.exit_code,
            **self.totals(),
            "first_bad": None if first is None else first.document(),
            "checks": dict(self.checks()),
            "findings_count": sum(report.findings_count for report in self.partitions),
            "findings": [finding.document() for finding in findings],
            "incomplete": [
                *self.missing,
                *(f"partition {report.partition}: {reason}" for report in self.partitions for reason in report.missing),
            ],
            "partitions": [
                {"partition": report.partition, "origin": report.origin, "root": report.root.hex(),
                 **report.counts.document()}
                for report in self.partitions
            ],
        }  # fmt: skip
