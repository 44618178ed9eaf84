"""Options that several `audit` commands share, spelled once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_maas.cli.common import usage_error

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


def span(text: str | None, option: str) -> tuple[str, str]:
    """`A..B` -> (A, B); either may be empty. Ends the command for anything else."""
    if text is None:
        return "", ""
    first, dots, last = text.partition("..")
    if not dots:
        usage_error(f"{option} takes FROM..TO; either may be left out, as in {option} FROM..")
    return first.strip(), last.strip()
