"""`replay`: what was concluded from the audit topic, concluded again and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from stream_maas.cli.times import time_us

if TYPE_CHECKING:
    from stream_maas.monitor.recompute import Comparison, Recomputation
    from stream_maas.settings import Settings


def alerts(
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="First event time that is compared.", show_default="all there is"),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Last event time that is compared.", show_default="the newest state"),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules", metavar="FILE", show_default=False,
            help="What if: recompute by these rules instead of those that were in force.",
        ),
    ] = None,
    purpose: Purpose = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Recompute windows and alerts from the audit topic and compare them with the published ones.

    TIME is ISO 8601 (2026-11-22T15:00:00Z; without a zone it is UTC) or epoch milliseconds. Ends with 0 when
    everything is the same, ids included, and with 1 when something differs. Nothing is written to the cluster but one
    event in the audit topic: that this was done. Where that cannot be written, nothing is told.

    Example: stream-maas replay alerts --from 2026-11-22T12:00:00Z --to 2026-11-22T13:00:00Z
    """
    from_us, to_us = time_us(begin, "--from"), time_us(end, "--to")
    if from_us is not None and to_us is not None and from_us > to_us:
        usage_error("--from must not be later than --to")
    settings = kafka_settings(bootstrap, prefix, config)
    output = Output(as_json=as_json)
    done, compared = run_async(_replay(settings, rules, from_us, to_us, purpose, output))
    _tell(done, compared, output)
    exit_with(EXIT_OK if compared.same else EXIT_PROBLEM)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the monitor left in its topics, read in the order that lets later reads only know more."""

    entries: Sequence[Any]
    published: Sequence[tuple[int, Mapping[str, Any]]]
    extent: Any


async def _read_stored(settings: Settings) -> _Stored:
    from stream_maas import topics
    from stream_maas.errors import ServiceError
    from stream_maas.monitor import journal, publication, snapshot
    from stream_maas.replay import read

    prefix, kafka = settings.topics.prefix, settings.kafka
    state = [
        (record.key or b"", record.value) async for record in read(kafka, topics.monitor_state(prefix), until_end=True)
    ]
    extent = snapshot.extent(state)
    if extent is None:
        raise ServiceError(f"topic {topics.monitor_state(prefix)}: holds no state; next: run `stream-maas monitor`")
    entries = [
        journal.decode_entry(record.value or b"")
        async for record in read(kafka, topics.monitor_journal(prefix), until_end=True)
    ]
    published = [
        (record.offset, data)
        async for record in read(kafka, topics.alerts(prefix), until_end=True)
        if (data := publication.alert_data(record.value or b"")) is not None
    ]
    return _Stored(entries, published, extent)


async def _replay(
    settings: Settings, rules: str | None, from_us: int | None, to_us: int | None, purpose: str | None, output: Output
) -> tuple[Recomputation, Comparison]:
    from stream_maas import topics
    from stream_maas.cli.monitor import read_rules
    from stream_maas.kafka.acts import by_operator, record_act
    from stream_maas.monitor.recompute import Recomputation, compare
    from stream_maas.replay import read_chunks

    topic = topics.audit(settings.topics.prefix)
    stored = await _read_stored(settings)
    recomputation = Recomputation(stored.entries, stored.extent)
    if rules is not None:
        recomputation.use_rules(read_rules(rules, recomputation.time_scale))
    total = sum(recomputation.left.values())
    with output.progress("audit events", wanted=not output.as_json) as bar:
        task = bar.add_task("", total=total)
        if total:
            chunks = read_chunks(settings.kafka, topic, offsets=recomputation.offsets, until_end=True)
            async with aclosing(chunks):
                async for chunk in chunks:
                    recomputation.take(chunk[0].partition, chunk)
                    bar.update(task, completed=total - sum(recomputation.left.values()))
                    if not any(recomputation.left.values()):
                        break
    recomputation.finish()
    what = "alerts" if rules is None else "alerts, by other rules"
    body = {"what": what, "topic": topic, "records": recomputation.events_read, **by_operator(purpose=purpose)}
    await record_act(settings, "replayed", body)
    return recomputation, compare(recomputation, stored.published, from_us=from_us, to_us=to_us)


def _tell(done: Recomputation, compared: Comparison, output: Output) -> None:
    document: dict[str, Any] = {
        "status": "same" if compared.same else "different",
        "from_us": compared.from_us,
        "to_us": compared.to_us,
        "audit_events": done.events_read,
        "instants": done.instants,
        "published": compared.published,
        "recomputed": compared.recomputed,
        "not_published": compared.not_published,
        "not_recomputed": compared.not_recomputed,
        "repeated": compared.repeated,
        "different": compared.different,
    }
    if output.as_json:
        output.emit(document)
        return
    for kind, what in (
        ("not_published", "recomputed, but not published"),
        ("not_recomputed", "published, but not recomputed"),
        ("repeated", "published more than once"),
        ("different", "published with another content"),
    ):
        for event in document[kind]:
            members = f" ({', '.join(event['members'])})" if "members" in event else ""
            output.print(f"{what}: {event['step']} {event['rule']} {event['event_id']}{members}", style="red")
    said = "no difference" if compared.same else "they differ"
    output.print(
        f"{done.events_read} audit events, {done.instants} evaluations: {compared.published} alert events published, "
        f"{compared.recomputed} recomputed, {said}",
        style="green" if compared.same else "red",
    )
