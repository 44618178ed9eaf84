"""`audit hold`, `release`, `holds`: what a court or a regulator wants kept is not pruned, whoever prunes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_maas.cli.audit_options import Folder, opened, time_span
from stream_maas.cli.common import (
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Output,
    Prefix,
    Reason,
    exit_with,
    kafka_settings,
    run_async,
    usage_error,
)
from stream_maas.cli.times import written

if TYPE_CHECKING:
    from stream_maas.settings import Settings

HoldId = Annotated[str, typer.Argument(metavar="ID", help="Id of the hold, such as that of the case.")]


def hold(
    hold_id: HoldId,
    times: Annotated[
        str | None,
        typer.Option(
            "--time", metavar="FROM..TO", help="Events written then: 2026-11-22T15:00:00Z, or epoch ms.",
            show_default="all, those to come as well",
        ),
    ] = None,
    reason: Reason = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Place a legal hold: `audit prune` deletes nothing of what it covers until it is released.

    The hold is itself an event in every partition of the audit log. Placed again under the same id it takes the place
    of the earlier one.

    Example: stream-maas audit hold case-17 --time 2026-03-01T00:00:00Z..2026-04-01T00:00:00Z --reason "litigation"
    """
    if not hold_id.strip():
        usage_error("ID must say something")
    settings = kafka_settings(bootstrap, prefix, config)
    begin, end = time_span(times)
    bounds = {"from_us": begin, "to_us": end}
    body: dict[str, Any] = {"hold": hold_id} | {
        name: value * 1000 + (999 if name == "to_us" else 0) for name, value in bounds.items() if value is not None
    }
    output = Output(as_json=as_json)
    exit_with(run_async(_record(settings, "hold.placed", body, reason, output)))


def release(
    hold_id: HoldId,
    reason: Reason = None,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """End a legal hold. Ends with 1 when no hold of this id is in force.

    Example: stream-maas audit release case-17 --reason "judgment is final"
    """
    settings = kafka_settings(bootstrap, prefix, config)
    output = Output(as_json=as_json)
    exit_with(run_async(_release(settings, hold_id, reason, folder, output)))


def holds(
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the legal holds that are in force."""
    settings = kafka_settings(bootstrap, prefix, config)
    exit_with(run_async(_list(settings, folder, Output(as_json=as_json))))


async def _in_force(settings: Settings, folder: Path | None) -> dict[str, dict[str, Any]]:
    from stream_maas.replay.holds import living

    logs = await opened(settings, folder, None)
    found: dict[str, dict[str, Any]] = {}
    for partition in logs.partitions:
        for each in await living(logs, partition):
            row = {"hold": each.id, "from_us": each.from_us, "to_us": each.to_us, "reason": each.reason}
            found.setdefault(each.id, row | {"partitions": []})["partitions"].append(partition)
    return found


async def _list(settings: Settings, folder: Path | None, output: Output) -> int:
    found = await _in_force(settings, folder)
    for row in found.values():
        if output.as_json:
            output.emit(row)
    rows = [
        (row["hold"], *("" if row[at] is None else written(row[at]) for at in ("from_us", "to_us")), row["reason"])
        for row in found.values()
    ]
    if rows:
        output.table(("hold", "from", "to", "reason"), rows)
    output.print(f"{len(found)} {'hold is' if len(found) == 1 else 'holds are'} in force")
    return EXIT_OK


async def _release(settings: Settings, hold_id: str, reason: str | None, folder: Path | None, output: Output) -> int:
    if hold_id not in await _in_force(settings, folder):
        output.warn("no hold of this id is in force; next: `stream-maas audit holds`")
        return EXIT_PROBLEM
    return await _record(settings, "hold.released", {"hold": hold_id}, reason, output)


async def _record(settings: Settings, kind: Any, body: dict[str, Any], reason: str | None, output: Output) -> int:
    from stream_maas.kafka.acts import by_operator, record_act

    logs = await opened(settings, None, None)
    body = body | by_operator(reason=reason)
    for partition in logs.partitions:
        await record_act(settings, kind, body, partition=partition)
    if output.as_json:
        output.emit({"type": kind, **body, "partitions": logs.partitions})
    did = "is placed" if kind == "hold.placed" else "is released"
    output.print(f"hold {body['hold']} {did} in {len(logs.partitions)} partitions")
    return EXIT_OK
