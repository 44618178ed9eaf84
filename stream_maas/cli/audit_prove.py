"""`audit prove` and `audit export`: evidence that leaves the house, and who is told that it did."""

from __future__ import annotations

import asyncio
import base64
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer

from stream_maas.cli.audit_options import Folder, Keys, Partitions, number_span, opened, time_span
from stream_maas.cli.audit_trust import trusted_keys, trusted_writers
from stream_maas.cli.common import (
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Output,
    Prefix,
    Purpose,
    exit_with,
    kafka_settings,
    run_async,
    usage_error,
)
from stream_maas.cli.times import written

if TYPE_CHECKING:
    from stream_maas.ledger.bundle import BundledLog
    from stream_maas.ledger.keys import VerifierKey
    from stream_maas.records import KafkaRecord
    from stream_maas.replay.audit_log import Found, Logs
    from stream_maas.replay.exporting import Range
    from stream_maas.settings import Settings


def prove(
    event: Annotated[str, typer.Argument(metavar="ID", help="Id of an audit event, or of the request it is about.")],
    keys: Keys = None,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print the proof that one event is in the log, as C2SP tlog-proof@v1.

    With --json also the event's exact bytes, leaf hash, index, path, checkpoint and keys, which is what the live page
    checks in the browser. With the sealer's files a proof reads two blocks of 256 events at most. Ends with 1 when
    there is no such event or it does not fit the checkpoint, and with 3 when it is not sealed yet.

    Example: stream-maas audit prove maas.requests:0:42 > event.tlog-proof
    """
    settings = kafka_settings(bootstrap, prefix, config)
    exit_with(run_async(_prove(settings, event, keys, folder, Output(as_json=as_json))))


async def _prove(
    settings: Settings, name: str, given: Sequence[str] | None, folder: Path | None, output: Output
) -> int:
    from stream_maas.ledger.findings import INCOMPLETE
    from stream_maas.replay.audit_log import find_event, newest_checkpoint
    from stream_maas.replay.exporting import prove as build

    keys = trusted_keys(settings, given, folder)
    logs = await opened(settings, folder, None)
    found = await find_event(logs, name)
    if found is None:
        output.warn("no event has this id, and none is about a request with it")
        return EXIT_PROBLEM
    newest = await newest_checkpoint(logs, found.partition, keys)
    if found.index >= newest.checkpoint.size:
        output.warn(f"event {found.index} is not sealed yet; the newest checkpoint has {newest.checkpoint.size} events")
        return INCOMPLETE
    proven = await build(logs, found, keys)
    if output.as_json:
        output.emit(_proof_document(found, proven, keys))
    else:
        output.print(proven.proof().encode().rstrip("\n"))
    return EXIT_OK


def _proof_document(found: Found, proven: Any, keys: Sequence[VerifierKey]) -> dict[str, Any]:
    from stream_maas.ledger.hashing import leaf_hash

    value, head = found.record.value or b"", proven.published.checkpoint
    return {
        "partition": found.partition, "offset": found.record.offset, "origin": head.origin,
        "leaf_index": found.index, "leaf_hash": leaf_hash(value).hex(),
        "leaf_input_b64": base64.b64encode(value).decode(), "tree_size": head.size, "root": head.root.hex(),
        "path": [base64.b64encode(node).decode() for node in proven.hashes],
        "checkpoint": proven.published.note.encode(), "vkeys": [key.vkey for key in keys],
        "vkey": next((key.vkey for key in keys if key.kind == 1), None),
        "tlog_proof": proven.proof().encode(),
    }  # fmt: skip


def export(
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="DIR", help="New folder for a proof bundle: events, proofs, verifier."),
    ] = None,
    file_format: Annotated[
        Literal["jsonl", "parquet"],
        typer.Option("--format", help="jsonl: exact bytes, one event a line. parquet: a table as well, for DuckDB."),
    ] = "jsonl",
    output_file: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Events only, without proofs; - is standard output."),
    ] = None,
    indices: Annotated[
        str | None, typer.Option("--index", metavar="FROM..TO", help="Leaf indices, TO excluded; or one.")
    ] = None,
    times: Annotated[
        str | None, typer.Option("--time", metavar="FROM..TO", help="Times as in 2026-11-22T15:00:00Z, or epoch ms.")
    ] = None,
    partitions: Partitions = None,
    keys: Keys = None,
    writer_keys: Annotated[
        list[str] | None,
        typer.Option(
            "--writer-key",
            metavar="VKEY",
            help="Keys of workers that go into keys.txt.",
            show_default="ledger.writer_keys",
        ),
    ] = None,
    purpose: Purpose = None,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Export sealed events, with everything that proves them to somebody who trusts neither the broker nor us.

    A bundle is a folder with its own verifier: `python DIR/verify_bundle.py DIR` needs Python and nothing else, and
    ends with 0 only when every byte is what was sealed. The export is itself an event in the audit log; where that
    cannot be written, nothing is exported.

    Example: stream-maas audit export --bundle evidence --time 2026-11-22T00:00:00Z..2026-11-23T00:00:00Z
    """  # fmt: skip
    from stream_maas.replay.exporting import Range

    if (bundle is None) == (output_file is None):
        usage_error("give either --bundle DIR or --output FILE")
    if bundle is not None and bundle.exists() and (not bundle.is_dir() or any(bundle.iterdir())):
        usage_error(f"--bundle {bundle}: is there already; a bundle has its folder for itself")
    if file_format == "parquet" and output_file is not None and str(output_file) == "-":
        usage_error("--format parquet needs a file")
    settings = kafka_settings(bootstrap, prefix, config)
    wanted = Range(*number_span(indices, "--index", last_included=False), *time_span(times))
    target = bundle or output_file or Path()
    sources = (trusted_keys(settings, keys, folder), trusted_writers(settings, writer_keys))
    exit_with(
        run_async(
            _export(settings, wanted, target, bundle is not None, file_format, partitions, sources, folder, purpose,
                    Output(as_json=as_json))
        )
    )  # fmt: skip


async def _export(
    settings: Settings, wanted: Range, target: Path, is_bundle: bool, file_format: str,
    partitions: Sequence[int] | None, sources: tuple[list[VerifierKey], list[VerifierKey]], folder: Path | None,
    purpose: str | None, output: Output,
) -> int:  # fmt: skip
    from stream_maas.ledger.bundle import bundle_files, write_bundle
    from stream_maas.replay.exporting import collect

    keys, writers = sources
    logs = await opened(settings, folder, partitions)
    with output.progress("partitions"):
        bundled, records = await collect(logs, wanted, keys)
    events = sum(len(log.values) for log in bundled)
    await _say_so(logs, bundled, file_format, purpose)
    if is_bundle:
        created = written(time.time_ns() // 1000)
        files = bundle_files(logs.topic, bundled, [*keys, *writers], created)
        if file_format == "parquet":
            files["events.parquet"] = _parquet(bundled, records)
        write_bundle(target, files)
    else:
        lines = b"".join(value + b"\n" for log in bundled for value in log.values)
        await asyncio.to_thread(_write, target, _parquet(bundled, records) if file_format == "parquet" else lines)
    document = {
        "events": events, "target": str(target), "format": file_format,
        "logs": [{"partition": log.partition, "start": log.start, "end": log.start + len(log.values),
                  "proof_hashes": len(log.proof)} for log in bundled],
    }  # fmt: skip
    if output.as_json and str(target) != "-":
        output.emit(document)
    hashes = sum(len(log.proof) for log in bundled)
    where = f"{target}: {events} events of {len(bundled)} partitions, {hashes} proof hashes"
    if str(target) != "-":
        verifier, folder_name = shlex.quote(str(target / "verify_bundle.py")), shlex.quote(str(target))
        output.print(where + (f"; check with: python {verifier} {folder_name}" if is_bundle else ""))
    return EXIT_OK


async def _say_so(logs: Logs, bundled: Sequence[BundledLog], file_format: str, purpose: str | None) -> None:
    """What leaves of each partition is an event of that partition, committed before it does (CJEU C-579/21)."""
    from stream_maas.kafka.acts import by_operator, record_act
    from stream_maas.ledger.notes import parse_checkpoint

    for log in bundled:
        head = parse_checkpoint(log.note.text)
        body: dict[str, Any] = {
            "topic": logs.topic, "partition": log.partition, "first_index": log.start,
            "end_index": log.start + len(log.values), "size": head.size, "root": head.root.hex(),
            "format": file_format, **by_operator(purpose=purpose),
        }  # fmt: skip
        await record_act(logs.settings, "exported", body, partition=log.partition)


def _parquet(bundled: Sequence[BundledLog], records: Sequence[Sequence[KafkaRecord]]) -> bytes:
    from stream_maas.replay.exporting import write_parquet

    indices = [(log.partition, log.start + at) for log in bundled for at in range(len(log.values))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        write_parquet(path, [record for each in records for record in each], indices)
        return path.read_bytes()


def _write(target: Path, data: bytes) -> None:
    if str(target) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        target.write_bytes(data)


def raw_event(value: bytes | None) -> Any:
    """The event for a JSON line: the bytes themselves where they are JSON."""
    try:
        orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return base64.b64encode(value or b"").decode()
    return orjson.Fragment(value or b"null")
