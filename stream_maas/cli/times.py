"""How moments are written and read on the command line: RFC 3339 in UTC, and epoch milliseconds for scripts."""

from __future__ import annotations

from datetime import UTC, datetime

from stream_maas.cli.common import usage_error

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def written(time_us: int) -> str:
    """Epoch microseconds as `2026-11-22T15:00:00Z`; parts of a second are cut off."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def time_us(text: str | None, option: str) -> int | None:
    """Epoch microseconds of what was given for `option`; None for nothing. No zone means UTC.

    Ends the command for anything else, moments before 1970 and after the year 9999 included.
    """
    if not text:
        return None
    try:
        moment = _moment(text)
        found = (moment - _EPOCH) // _EPOCH.resolution
    except (ValueError, OverflowError, OSError):
        found = -1
    if found < 0:
        usage_error(f"{option} takes times such as 2026-11-22T15:00:00Z, or epoch milliseconds")
    return found


def _moment(text: str) -> datetime:
    if text.isascii() and text.isdecimal():
        seconds, milliseconds = divmod(int(text), 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def time_ms(text: str | None, option: str) -> int | None:
    """`time_us` in milliseconds."""
    found = time_us(text, option)
    return None if found is None else found // 1000
