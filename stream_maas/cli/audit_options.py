"""Options that several `audit` commands share, spelled once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_maas.cli.common import usage_error
from stream_maas.cli.times import time_ms

if TYPE_CHECKING:
    from stream_maas.replay.audit_log import Logs
    from stream_maas.settings import Settings

Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="VKEY",
        help="Verifier key of a sealer or witness to believe, or a file of them. May be given again.",
        show_default="ledger.keys, else the keys made on this machine",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="Files of the sealer (tiles and index), or a copy. Without them everything is read from the topic.",
        show_default="ledger.folder",
    ),
]
Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", metavar="N", min=0, help="This partition only. May be given again.",
                 show_default="all"),
]  # fmt: skip


async def opened(settings: Settings, folder: Path | None, partitions: Sequence[int] | None) -> Logs:
    """The logs that a command works on."""
    from stream_maas.replay.audit_log import open_logs
    from stream_maas.worker.sealer import ledger_folder

    return await open_logs(settings, folder or ledger_folder(settings), partitions)


def time_span(text: str | None, option: str = "--time") -> tuple[int | None, int | None]:
    """`FROM..TO` -> epoch milliseconds; either may be left out. Ends the command for anything else, and for a time
    that ends before it begins: a search would find nothing, and a legal hold would hold nothing."""
    first, last = _span(text, option)
    return _in_order(time_ms(first, option), time_ms(last, option), option)


def number_span(text: str | None, option: str, *, last_included: bool) -> tuple[int | None, int | None]:
    """`FROM..TO` -> numbers, `N` -> that one; either side may be left out. Ends the command for anything else."""
    if text is not None and _is_number(text):
        return int(text), int(text) + (not last_included)
    first, last = _span(text, option)
    if not all(side == "" or _is_number(side) for side in (first, last)):
        usage_error(f"{option} takes numbers, as in {option} 1000..2000")
    return _in_order(int(first) if first else None, int(last) if last else None, option)


def _span(text: str | None, option: str) -> tuple[str, str]:
    if text is None:
        return "", ""
    first, dots, last = text.partition("..")
    if not dots:
        usage_error(f"{option} takes FROM..TO; either may be left out, as in {option} FROM..")
    return first.strip(), last.strip()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _in_order(first: int | None, last: int | None, option: str) -> tuple[int | None, int | None]:
    if first is not None and last is not None and last < first:
        usage_error(f"{option} ends before it begins")
    return first, last
