"""`audit verify`, `checkpoint`, `keygen`: whether the audit log is what it was, said so that a person can act on it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_maas.cli.audit_options import Folder, Keys, Partitions, opened
from stream_maas.cli.audit_trust import trusted_keys, trusted_writers
from stream_maas.cli.common import (
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Output,
    Prefix,
    error_line,
    exit_with,
    kafka_settings,
    run_async,
    usage_error,
)

if TYPE_CHECKING:
    from stream_maas.ledger.findings import Report
    from stream_maas.replay.verification import Evidence
    from stream_maas.settings import Settings

_SHOWN = 20


def verify(
    from_checkpoint: Annotated[
        bool,
        typer.Option("--from-checkpoint", help="Begin where the last valid verification on this machine ended."),
    ] = False,
    keys: Keys = None,
    writer_keys: Annotated[
        list[str] | None,
        typer.Option(
            "--writer-key",
            metavar="VKEY",
            help="Verifier key of a worker, or a file of them. Without any, each session's own key is believed.",
            show_default="ledger.writer_keys",
        ),
    ] = None,
    witness: Annotated[
        Path | None,
        typer.Option("--witness", metavar="DIR", help="Memory of a witness; its topic is read in any case."),
    ] = None,
    anchor: Annotated[
        Path | None,
        typer.Option("--anchor", metavar="FILE", help="What the sealer anchored outside the broker: file or folder."),
    ] = None,
    receipts: Annotated[
        list[Path] | None,
        typer.Option(
            "--receipts",
            metavar="FILE",
            help="JSON lines with id and leaf hash, or results as `tail results --json` prints them. May be repeated.",
        ),
    ] = None,
    with_results: Annotated[
        bool, typer.Option("--with-results", help="Hold the receipts of the results topic against the log.")
    ] = False,
    partitions: Partitions = None,
    memory: Annotated[
        Path | None,
        typer.Option(
            "--memory",
            metavar="DIR",
            help="Where this verifier remembers what it found valid.",
            show_default="stream_maas/verified in the XDG state folder",
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Longest wait for the sealer's next checkpoint.")
    ] = 5.0,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Read the audit log and hold it against everything that is remembered of it.

    Ends with 0 when it is valid, 1 for tampering or a gap, 2 for wrong use, 3 when something is missing for a verdict
    (events under no checkpoint, no trusted key). Says how many events were read and sealed, how sessions ended, and
    which event is the first bad one.

    Example: stream-maas audit verify --key sealer.vkey --key witness.vkey --anchor /mnt/worm/anchor.jsonl
    """  # fmt: skip
    settings = kafka_settings(bootstrap, prefix, config)
    output = Output(as_json=as_json)
    from stream_maas.errors import ServiceError, SettingsError
    from stream_maas.ledger.findings import INCOMPLETE
    from stream_maas.replay.verification import Evidence
    from stream_maas.settings import state_folder

    evidence = Evidence(
        keys=trusted_keys(settings, keys, folder, witness), writer_keys=trusted_writers(settings, writer_keys),
        witness_folder=witness, anchor=anchor, receipts=receipts or (), with_results=with_results,
        memory=memory or state_folder() / "verified", from_memory=from_checkpoint, wait_s=wait,
    )  # fmt: skip
    try:
        code = run_async(_verify(settings, evidence, folder, partitions, output))
    except SettingsError:
        raise
    except ServiceError as error:  # nothing was found wrong and nothing was found right
        if as_json:
            output.emit({"verdict": "incomplete", "exit_code": INCOMPLETE, "incomplete": [str(error)]})
        output.err.print(error_line(error), style="red", markup=False)
        code = INCOMPLETE
    exit_with(code)


async def _verify(
    settings: Settings, evidence: Evidence, folder: Path | None, partitions: Sequence[int] | None, output: Output
) -> int:
    from stream_maas.replay.verification import verify as run

    started = time.monotonic()
    logs = await opened(settings, folder, partitions)
    with output.progress("events") as bar:
        task = bar.add_task("", total=None)
        report = await run(logs, evidence, progress=lambda seen: bar.update(task, completed=seen))
    show(report, time.monotonic() - started, output)
    return report.exit_code


def show(report: Report, duration_s: float, output: Output) -> None:
    """The report: one JSON document, or a few lines and the verdict in one."""
    document = report.document() | {"duration_seconds": round(duration_s, 3)}
    if output.as_json:
        output.emit(document)
        return
    columns = ("partition", "events", "sealed", "unsealed", "decisions", "gaps")
    output.table(columns, [[row[name] for name in columns] for row in document["partitions"]])
    checks = ", ".join(f"{name} {verdict}" for name, verdict in document["checks"].items())
    output.print(f"checks    {checks}")
    output.print(
        f"sessions  {document['sessions']}: {document['clean_ends']} ended, {document['unclean_ends']} without an end, "
        f"{document['superseded']} superseded, {document['open_sessions']} open; {document['unattested']} events after "
        "the last signature of their session"
    )
    if document["duplicates"]:
        output.print(f"repeats   {document['duplicates']} decisions on a request that has one already")
    for finding in document["findings"][:_SHOWN]:
        until = f"..{finding['until'] - 1}" if "until" in finding else ""
        where = f"event {finding['index']}{until}" if "index" in finding else "no place"
        output.print(f"FOUND     partition {finding['partition']}, {where}: {finding['check']}: {finding['detail']}",
                     style="red")  # fmt: skip
    if document["findings_count"] > _SHOWN:
        output.print(f"          and {document['findings_count'] - _SHOWN} more, see --json", style="red")
    for reason in document["incomplete"]:
        output.print(f"missing   {reason}", style="yellow")
    _verdict(document, output)


def _verdict(document: dict[str, Any], output: Output) -> None:
    read = f"{document['events']} events, {document['sealed']} sealed by {document['checkpoints']} checkpoints"
    bad = document["first_bad"]
    first = f"; first bad event: partition {bad['partition']} index {bad['index']}" if bad else ""
    style = {"valid": "bold green", "tampered": "bold red", "incomplete": "bold yellow"}[document["verdict"]]
    output.print(f"{document['verdict']}: {read}, {document['duration_seconds']:.1f} s{first}", style=style)


def checkpoint(
    keys: Keys = None,
    partitions: Partitions = None,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print the newest signed checkpoint of each partition, with its cosignatures.

    Ends with 3 when a partition has none that a trusted key signed. Keep one somewhere else: whoever holds a
    checkpoint can show later what the log was.
    """
    settings = kafka_settings(bootstrap, prefix, config)
    exit_with(run_async(_checkpoint(settings, keys, folder, partitions, Output(as_json=as_json))))


async def _checkpoint(
    settings: Settings, given: Sequence[str] | None, folder: Path | None, partitions: Sequence[int] | None,
    output: Output,
) -> int:  # fmt: skip
    from stream_maas.errors import LedgerError
    from stream_maas.ledger.findings import INCOMPLETE
    from stream_maas.replay.audit_log import newest_checkpoint

    keys = trusted_keys(settings, given, folder)
    logs = await opened(settings, folder, partitions)
    code = EXIT_OK
    for partition in logs.partitions:
        try:
            newest = await newest_checkpoint(logs, partition, keys)
        except LedgerError as error:
            output.warn(str(error))
            code = INCOMPLETE
            continue
        head, cosigners = newest.checkpoint, newest.note.cosigners(keys)
        moment = datetime.fromtimestamp(newest.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
        if output.as_json:
            output.emit({
                "partition": partition, "origin": head.origin, "size": head.size, "root": head.root.hex(),
                "published": moment, "note": newest.note.encode(), "cosigned": cosigners,
                "next_offset": newest.hint.next_offset if newest.hint else None,
            })  # fmt: skip
        output.print(newest.note.encode())
        output.print(f"# published {moment}; cosigned by {', '.join(cosigners) or 'no trusted witness'}\n", style="dim")
    return code


def keygen(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name in the key: a URL without scheme such as example.org/maas.audit; APP/INSTANCE for a worker.",
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Private key; the public one goes to FILE's .vkey.")],
    for_witness: Annotated[bool, typer.Option("--witness", help="A key that cosigns, for a witness.")] = False,
    as_json: Json = False,
) -> None:
    """Make a key pair for a sealer, a witness or a worker.

    The private key is written with mode 600 and never printed. Hand the public one, a line `name+id+key`, to everybody
    who verifies, by another way than the log itself.

    Example: stream-maas audit keygen example.org/maas.audit sealer.key
    """
    from stream_maas.errors import LedgerError
    from stream_maas.ledger.keyring import store_signing_key
    from stream_maas.ledger.keys import COSIGNATURE, NOTE, SigningKey, is_key_name

    if not is_key_name(name) or not name.isascii():
        usage_error("NAME must be ASCII without spaces and plus signs")
    if file.suffix == ".vkey":
        usage_error("FILE is the private key; the ending .vkey is the public one's")
    output = Output(as_json=as_json)
    key = SigningKey(name, COSIGNATURE if for_witness else NOTE, secrets.token_bytes(32))
    try:
        public = store_signing_key(file, key)
    except LedgerError as error:
        output.warn(str(error))
        exit_with(EXIT_PROBLEM)
    if output.as_json:
        output.emit({"name": name, "private": str(file), "public": str(public), "vkey": key.vkey})
    output.print(key.vkey)
