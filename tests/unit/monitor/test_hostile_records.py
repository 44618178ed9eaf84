"""Records in the monitor's topics that nobody of us wrote: whatever they are, they are no defect."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec
import pytest

from stream_maas.errors import UndecodableError
from stream_maas.ledger import boxes
from stream_maas.monitor.commands import decode_command
from stream_maas.monitor.journal import decode_entry
from stream_maas.monitor.outcomes import read_outcomes
from stream_maas.monitor.snapshot import _unpack
from stream_maas.records import InputRecord

DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
HOSTILE = {
    "nested": DEEP,
    "nested and cut off": DEEP[:100_000],
    "nested in the data": b'{"data":' + DEEP + b',"type":"org.stream-maas.audit.decision.v2"}',
    "a service event of ours, nested": b'{"data":' + DEEP + b',"type":"org.stream-maas.audit.session.start"}',
    "a list": b"[]",
    "null": b"null",
    "digits": b"1" * 5000,
    "no text": b"\xff\xfe",
    "nothing": b"",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_event_is_unreadable_and_stops_nothing(value: bytes) -> None:
    read = read_outcomes(
        [InputRecord("maas.audit", 0, 7, 0, b"k", value), InputRecord("maas.audit", 0, 8, 0, b"k", None)]
    )
    assert list(read.unreadable) == [7, 8]
    assert read.next_offset == 9


@pytest.mark.parametrize("decode", [decode_command, decode_entry])
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_command_and_no_journal_entry_is_undecodable(
    decode: Callable[[bytes], object], value: bytes
) -> None:
    with pytest.raises(UndecodableError):
        decode(value)


def test_state_that_is_none_is_undecodable() -> None:
    for value in (b"", b"x", zlib.compress(b"\x91" * 50_000), zlib.compress(msgspec.msgpack.encode([1]))):
        with pytest.raises(UndecodableError):
            _unpack(value)


def test_a_box_with_nested_content_is_refused() -> None:
    with pytest.raises(boxes.LedgerError):
        boxes.unpack(b'{"e":' + DEEP + b"}")


def event(**changes: str) -> bytes:
    text = (
        '{"data":{"request":{"lane":"default","offset":OFFSET,"partition":0,"timestamp_ms":0,"topic":"maas.requests"},'
        '"timings_us":{"queue":1,"total":TOTAL},"writer":{"session":{"counter":COUNTER,"id":"s"}}},'
        '"time":"TIME","type":"org.stream-maas.audit.decision.v2"}'
    )
    filled = {"OFFSET": "5", "TOTAL": "2", "COUNTER": "0", "TIME": "2026-11-22T15:00:00.000000Z"} | changes
    for name, value in filled.items():
        text = text.replace(name, value)
    return text.encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"TIME": "9999-99-99"},
        {"TIME": "9999-99-99T00:00:00.000000Z"},
        {"TIME": "0001-01-01T00:00:00.000000Z"},
        {"TIME": "now"},
        {"TIME": "NaT"},
        {"TIME": ""},
        {"OFFSET": "9223372036854775808"},
        {"TOTAL": "1" * 30},
        {"COUNTER": "18446744073709551615"},
    ],
    ids=str,
)
def test_an_event_that_none_of_us_could_have_written_is_unreadable_and_its_neighbours_are_not(
    changes: dict[str, str],
) -> None:
    values = [event(), event(**changes), event(TOTAL="3")]
    read = read_outcomes([InputRecord("maas.audit", 0, offset, 0, b"k", value) for offset, value in enumerate(values)])
    assert list(read.unreadable) == [1]
    assert list(read.offset) == [0, 2]
    assert list(read.total_us) == [2, 3]
    assert set(read.event_us.tolist()) == {1_795_359_600_000_000}
