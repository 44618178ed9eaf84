"""Moments on the command line: what is written can be read, and what is no moment ends the command with one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.cli.audit_options import number_span, time_span
from stream_maas.cli.common import UsageProblem
from stream_maas.cli.times import time_ms, time_us, written

NOON_US = 1_795_348_800_000_000
LAST_US = 253_402_300_799_999_999


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T12:00:00Z", NOON_US),
        ("2026-11-22T12:00:00", NOON_US),
        ("2026-11-22T13:30:00+01:30", NOON_US),
        ("2026-11-22T12:00:00.000123Z", NOON_US + 123),
        ("2026-11-22", NOON_US - 12 * 3_600_000_000),
        ("1795348800123", NOON_US + 123_000),
        ("0", 0),
        ("", None),
        (None, None),
    ],
)
def test_what_is_read(text: str | None, expected: int | None) -> None:
    assert time_us(text, "--time") == expected
    assert time_ms(text, "--time") == (None if expected is None else expected // 1000)


@pytest.mark.parametrize(
    "text",
    [
        "noon",
        "2026-13-01",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "-5",
        "\u00b2",
        "\u0663",
        "9" * 30,
        "9" * 5000,
    ],
)
def test_what_is_no_moment_ends_the_command(text: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        time_us(text, "--time")
    assert "--time takes times such as 2026-11-22T15:00:00Z" in caught.value.message


@given(st.integers(0, LAST_US))
def test_what_is_written_is_read_again_to_the_second(moment_us: int) -> None:
    assert written(moment_us).endswith("Z")
    assert time_us(written(moment_us), "--time") == moment_us // 1_000_000 * 1_000_000
    assert time_ms(str(moment_us // 1000), "--time") == moment_us // 1000


def test_spans_have_open_ends_and_an_order() -> None:
    assert time_span("2026-11-22T12:00:00Z..") == (NOON_US // 1000, None)
    assert time_span(None) == (None, None)
    assert number_span("..7", "--offset", last_included=True) == (None, 7)
    assert number_span("7", "--offset", last_included=True) == (7, 7)
    assert number_span("7", "--index", last_included=False) == (7, 8)
    for text in ("2026-11-23..2026-11-22", "2026-11-22"):
        with pytest.raises(UsageProblem):
            time_span(text)
    for text in ("9..3", "x..", "\u00b2", "-1", "1.5", ""):
        with pytest.raises(UsageProblem):
            number_span(text, "--offset", last_included=True)
