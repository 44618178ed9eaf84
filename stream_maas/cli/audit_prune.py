"""`audit prune`: the front of the log goes, announced and sealed, and what is left verifies as before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_maas.cli.audit_options import Folder, Keys, Partitions, opened
from stream_maas.cli.audit_trust import trusted_keys
from stream_maas.cli.common import (
    EXIT_INCOMPLETE,
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Output,
    Prefix,
    exit_with,
    kafka_settings,
    run_async,
    usage_error,
)

if TYPE_CHECKING:
    from stream_maas.settings import Settings

_OLDEST_YEAR = 2000


def prune(
    before: Annotated[
        str, typer.Option("--before", metavar="TIME", help="Sealed before then goes; ISO 8601, UTC unless said.")
    ],
    policy: Annotated[
        str, typer.Option("--policy", metavar="ID", help="The written retention policy that demands it.")
    ],
    approver: Annotated[str, typer.Option("--approver", metavar="ID", help="Who approved it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, it is only said what would go.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Longest wait for the sealer.")
    ] = 60.0,
    keys: Keys = None,
    partitions: Partitions = None,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Delete the beginning of the audit log, so that everything later still verifies.

    What goes is read once more and must have its signed root. An event says what goes and why, the sealer seals it,
    and only then the broker deletes. Export first what has to be kept: this cannot be undone. Ends with 0, with 1 when
    the log does not verify, with 3 when the sealer does not answer or a legal hold (`audit hold`) is in the way: then
    nothing is deleted.

    Example: stream-maas audit prune --before 2026-05-01 --policy retention-6-months --approver dpo --yes
    """
    try:
        moment = datetime.fromisoformat(before)
    except ValueError:
        usage_error("--before takes an ISO 8601 moment, as in 2026-05-01 or 2026-05-01T00:00+02:00")
    if moment.year < _OLDEST_YEAR or not policy or not approver:
        usage_error("--before, --policy and --approver must say something")
    before_ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    settings = kafka_settings(bootstrap, prefix, config)
    exit_with(
        run_async(
            _prune(settings, before_ms, policy, approver, yes, wait, keys, folder, partitions, Output(as_json=as_json))
        )
    )


async def _prune(
    settings: Settings, before_ms: int, policy: str, approver: str, yes: bool, wait_s: float,
    given: Sequence[str] | None, folder: Path | None, partitions: Sequence[int] | None, output: Output,
) -> int:  # fmt: skip
    from stream_maas.errors import IncompleteError, LedgerError
    from stream_maas.ledger.keys import NOTE
    from stream_maas.replay import pruning

    keys = trusted_keys(settings, given, folder)
    if not any(key.kind == NOTE for key in keys):
        raise IncompleteError("no key of a sealer is trusted, so nothing can be known to be sealed; next: --key VKEY")
    logs = await opened(settings, folder, partitions)
    code, gone = EXIT_OK, 0
    for partition in logs.partitions:
        try:
            cut = await pruning.plan(logs, partition, before_ms, keys)
            if cut is not None and yes:
                await pruning.prune(
                    logs, cut, keys, before_ms=before_ms, policy=policy, approver=approver, wait_s=wait_s
                )
        except LedgerError as error:
            output.warn(str(error))
            if code != EXIT_PROBLEM:
                code = EXIT_INCOMPLETE if isinstance(error, IncompleteError) else EXIT_PROBLEM
            continue
        events = cut.events if cut is not None else 0
        gone += events
        begins = cut.next_offset if cut is not None else logs.beginnings[partition]
        if output.as_json:
            output.emit({
                "partition": partition, "events": events, "begins_at_offset": begins, "done": yes and cut is not None,
                "size": cut.size if cut else None, "root": cut.root.hex() if cut else None,
            })  # fmt: skip
        output.print(f"partition {partition}: {events} events before offset {begins}")
    did = "are deleted" if yes else "would go; --yes does it" if gone else "would go"
    output.print(f"{gone} events {did}", style="bold yellow" if code == EXIT_OK else "bold red")
    return code
