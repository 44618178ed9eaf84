"""What `audit verify` says to people, and how an `audit` command ends."""

from __future__ import annotations

import pytest

from stream_maas.cli.audit import show
from stream_maas.cli.common import Output, exit_code
from stream_maas.errors import BrokerError, IncompleteError, LedgerError, SettingsError, TopicsError
from stream_maas.ledger.findings import Finding, PartitionReport, Report


def test_findings_are_told_with_their_place_and_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    report = PartitionReport(3, "example.org/log/3")
    report.add(Finding("log", 3, "begins too late"))
    report.add(Finding("root", 3, "another root", 10, None, 20))
    report.add(Finding("chain", 3, "a gap", 12, 99))
    show(Report((report,)), 1.0, Output(as_json=False))
    said = capsys.readouterr().out
    assert "partition 3, no place: log: begins too late" in said
    assert "partition 3, event 10..19: root: another root" in said
    assert "partition 3, event 12: chain: a gap" in said
    assert said.splitlines()[-1].startswith("tampered: ")
    assert "first bad event: partition 3 index 12" in said


@pytest.mark.parametrize(
    ("error", "code", "elsewhere"),
    [
        (SettingsError("wrong use"), 2, 2),
        (LedgerError("another root"), 1, 1),
        (IncompleteError("no key"), 3, 3),
        (BrokerError("refused"), 3, 1),
        (TopicsError("missing"), 3, 1),
        (ValueError("a defect"), 1, 1),
    ],
)
def test_what_could_not_be_looked_at_is_no_tampering(error: Exception, code: int, elsewhere: int) -> None:
    assert exit_code(error, about_the_log=True) == code
    assert exit_code(error) == elsewhere
