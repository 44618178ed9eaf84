"""`audit tail`, `get`, `search`, `timeline`: single events and their stories, for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_maas.cli.audit_options import Folder, Partitions, number_span, opened, time_span
from stream_maas.cli.common import (
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
    from stream_maas.records import KafkaRecord
    from stream_maas.replay.searching import Question
    from stream_maas.settings import Settings

Times = Annotated[
    str | None,
    typer.Option("--time", metavar="FROM..TO", help="When it was written: 2026-11-22T15:00:00Z, or epoch ms."),
]
Offsets = Annotated[
    str | None,
    typer.Option("--offset", metavar="FROM..TO", help="Kafka offsets in the audit topic, TO included."),
]
Request = Annotated[str | None, typer.Option("--request", metavar="ID", help="Id of the request.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="On whose behalf.")]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model that answered.")]
Version = Annotated[str | None, typer.Option("--version", metavar="V", help="Version of that model.")]
Status = Annotated[
    str | None, typer.Option("--status", metavar="NAME", help="prediction, rejection, or a rejection code.")
]
Label = Annotated[str | None, typer.Option("--label", metavar="NAME", help="Winning label.")]
Kind = Annotated[
    str | None,
    typer.Option("--type", metavar="NAME", help="Type of event, such as decision, decision.denied or session.start."),
]
Trace = Annotated[str | None, typer.Option("--trace", metavar="HEX", help="Trace id.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Stop after N events.", show_default=False)
]


def tail(
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, help="Start with the last N of each partition.")
    ] = 10,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at the present end.")] = False,
    limit: Limit = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print audit events as they are committed: decisions, sessions, and acts on the log itself."""
    from stream_maas.cli.tail import print_topic

    settings = kafka_settings(bootstrap, prefix, config)
    from stream_maas import topics

    where = {"from_beginning": False, "last": last, "until_end": until_end}
    run_async(print_topic(settings, topics.audit(settings.topics.prefix), where, limit, Output(as_json=as_json)))


def get(
    event: Annotated[str, typer.Argument(metavar="ID", help="Id of an audit event, or of the request it is about.")],
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print one event and its place in the log. Ends with 1 when there is none.

    With the sealer's files the event is found by their index, else the log is read until it comes.

    Example: stream-maas audit get maas.requests:0:42
    """
    settings = kafka_settings(bootstrap, prefix, config)
    exit_with(run_async(_get(settings, event, folder, Output(as_json=as_json))))


async def _get(settings: Settings, name: str, folder: Path | None, output: Output) -> int:
    import json

    from stream_maas.cli.audit_prove import raw_event
    from stream_maas.ledger.hashing import leaf_hash
    from stream_maas.replay.audit_log import find_event
    from stream_maas.replay.searching import parse

    logs = await opened(settings, folder, None)
    with output.progress("events") as bar:
        task = bar.add_task("", total=None)
        found = await find_event(logs, name, scan=lambda seen: bar.update(task, completed=seen))
    if found is None:
        output.warn("no event has this id, and none is about a request with it")
        return EXIT_PROBLEM
    record, leaf = found.record, leaf_hash(found.record.value or b"").hex()
    if output.as_json:
        output.emit({"partition": found.partition, "offset": record.offset, "index": found.index, "leaf": leaf,
                     "timestamp": record.timestamp, "event": raw_event(record.value)})  # fmt: skip
    output.print(
        f"# partition {found.partition}, offset {record.offset}, index {found.index}, leaf {leaf}", style="dim"
    )
    output.print(json.dumps(parse(record), indent=2, ensure_ascii=False))
    return EXIT_OK


def search(
    times: Times = None,
    offsets: Offsets = None,
    request: Request = None,
    tenant: Tenant = None,
    model: Model = None,
    version: Version = None,
    status: Status = None,
    label: Label = None,
    kind: Kind = None,
    trace: Trace = None,
    limit: Limit = None,
    partitions: Partitions = None,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print the events to which everything given applies, in the order of each partition.

    Times are looked up by the broker and request ids in the sealer's index; anything else is read. Ends with 1 when
    there is none.

    Example: stream-maas audit search --tenant shop --status rejection --time 2026-11-22T15:00:00Z..
    """
    settings = kafka_settings(bootstrap, prefix, config)
    question = _question(times, offsets, request, tenant, model, version, status, label, kind, trace)
    output = Output(as_json=as_json)
    exit_with(run_async(_search(settings, question, limit, partitions, folder, output, in_order=False)))


def timeline(
    times: Times = None,
    request: Request = None,
    tenant: Tenant = None,
    model: Model = None,
    version: Version = None,
    status: Status = None,
    kind: Kind = None,
    trace: Trace = None,
    incident: Annotated[
        str | None,
        typer.Option("--incident", metavar="ID", help="From five minutes before an alert's incident to its end."),
    ] = None,
    limit: Limit = 1000,
    partitions: Partitions = None,
    folder: Folder = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Tell what happened, over all partitions in the order of time: decisions, sessions, models, acts on the log.

    Example: stream-maas audit timeline --time 2026-11-22T15:00:00Z..2026-11-22T15:10:00Z --status rejection
    """
    settings = kafka_settings(bootstrap, prefix, config)
    question = _question(times, None, request, tenant, model, version, status, None, kind, trace)
    output = Output(as_json=as_json)
    if incident is not None:
        question = run_async(_around(settings, incident, question))
    exit_with(run_async(_search(settings, question, limit, partitions, folder, output, in_order=True)))


def _question(
    times: str | None, offsets: str | None, request: str | None, tenant: str | None, model: str | None,
    version: str | None, status: str | None, label: str | None, kind: str | None, trace: str | None,
) -> Question:  # fmt: skip
    from stream_maas.errors import ERRORS_BY_CODE
    from stream_maas.replay.searching import Question

    begin, end = time_span(times)
    places = number_span(offsets, "--offset", last_included=True)
    if status is not None and status not in (known := {"prediction", "rejection", *ERRORS_BY_CODE}):
        usage_error(f"--status takes one of {', '.join(sorted(known))}")
    return Question(
        from_ms=begin, to_ms=end, offsets=places, request=request, tenant=tenant, model=model, version=version,
        status=status, label=label, kind=kind, trace=trace,
    )  # fmt: skip


async def _around(settings: Settings, incident: str, question: Question) -> Question:
    """The time of an incident, from the alerts topic: five minutes before its first alert to five after its last."""
    from dataclasses import replace

    from stream_maas import topics
    from stream_maas.errors import TopicsError
    from stream_maas.replay.reading import read
    from stream_maas.replay.searching import parse

    found = []
    async with aclosing(read(settings.kafka, topics.alerts(settings.topics.prefix), until_end=True)) as records:
        async for record in records:
            alert = parse(record)
            alert = alert.get("data", alert)
            if alert.get("incident_id") == incident:
                found += [int(alert["at_us"]), int(alert.get("started_at_us", alert["at_us"]))]
    if not found:
        raise TopicsError("no alert belongs to this incident; next: `stream-maas tail alerts --from-beginning`")
    margin_ms = 5 * 60_000
    return replace(question, from_ms=min(found) // 1000 - margin_ms, to_ms=max(found) // 1000 + margin_ms)


async def _search(
    settings: Settings, question: Question, limit: int | None, partitions: Sequence[int] | None, folder: Path | None,
    output: Output, *, in_order: bool,
) -> int:  # fmt: skip
    from stream_maas.replay.searching import search as run

    logs = await opened(settings, folder, partitions)
    earliest: list[tuple[str, int, int, KafkaRecord]] = []
    count = 0
    with output.progress("events", wanted=in_order) as bar:
        task = bar.add_task("", total=None)
        # In the order of time: an event of another partition may be earlier than all that were read so far.
        found = run(
            logs, question, limit=None if in_order else limit, progress=lambda seen: bar.update(task, completed=seen)
        )
        async with aclosing(found) as events:
            async for record, event in events:
                count += 1
                if not in_order:
                    _print_event(record, output)
                    continue
                earliest.append((str(event.get("time", "")), record.partition, record.offset, record))
                if limit is not None and len(earliest) >= 2 * limit:
                    earliest = sorted(earliest, key=_place)[:limit]
    for *_, record in sorted(earliest, key=_place)[:limit]:
        _print_event(record, output)
    if in_order and limit is not None and count > limit:
        output.note(f"the first {limit} of {count} events; --limit N prints more")
    elif not in_order and count == limit:
        output.note(f"stopped after {limit} events")
    if not count:
        output.note("no event matches")
    return EXIT_OK if count else EXIT_PROBLEM


def _place(found: tuple[str, int, int, KafkaRecord]) -> tuple[str, int, int]:
    return found[:3]


def _print_event(record: KafkaRecord, output: Output) -> None:
    from stream_maas.cli.audit_prove import raw_event
    from stream_maas.cli.tail import line

    if output.as_json:
        output.emit({"partition": record.partition, "offset": record.offset, "timestamp": record.timestamp,
                     "event": raw_event(record.value)})  # fmt: skip
        return
    output.print(line(record))
