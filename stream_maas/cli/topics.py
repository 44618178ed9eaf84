"""`topics`: making and checking the topics of a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream_maas.cli.common import (
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Lanes,
    Output,
    Prefix,
    exit_with,
    kafka_settings,
    run_async,
)

if TYPE_CHECKING:
    from stream_maas.settings import Settings


def create(
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions",
            metavar="N",
            min=1,
            show_default="4",
            help="Partitions of all topics on the way of a request. Some more than you will ever run workers.",
        ),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option("--replication", metavar="N", min=1, help="Replicas; 3 in production.", show_default="1"),
    ] = None,
    lanes: Lanes = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make the topics that do not exist; leave the others as they are and say where they differ.

    Example: stream-maas topics create --partitions 12 --replication 3
    """
    names = {"topics.partitions": partitions, "topics.replication_count": replication, "topics.lanes": lanes}
    settings = kafka_settings(bootstrap, prefix, config, names)
    exit_with(run_async(_create(settings, Output(as_json=as_json))))


async def _create(settings: Settings, output: Output) -> int:
    from stream_maas import kafka, topics

    names = settings.topics
    specs = topics.table(names.prefix, names.lanes)
    created, existing = await kafka.create_topics(settings.kafka, specs, names.partitions, names.replication_count)
    for spec in specs:
        status = "created" if spec.name in created else "exists"
        if output.as_json:
            output.emit({"topic": spec.name, "status": status})
    output.table(
        ("topic", "", "what"),
        [(spec.name, "created" if spec.name in created else "exists", spec.description) for spec in specs],
    )
    asked = "topics.partitions" in settings.sources
    return await _check(settings, output, quiet=True, asked=asked) if existing else EXIT_OK


def check(
    lanes: Lanes = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Compare topics and access rights of the cluster with what they must be; ends with 1 when one differs."""
    settings = kafka_settings(bootstrap, prefix, config, {"topics.lanes": lanes})
    exit_with(run_async(_check(settings, Output(as_json=as_json), quiet=False)))


async def _check(settings: Settings, output: Output, *, quiet: bool, asked: bool = False) -> int:
    """Print every difference. `quiet`: say nothing when all is well. `asked`: the number of partitions counts, too."""
    from stream_maas import kafka, topics

    problems = await kafka.check_topics(settings.kafka, settings.topics)
    name = topics.requests(settings.topics.prefix)
    there = (await kafka.describe_topics(settings.kafka, [name])).get(name) if asked else None
    if there is not None and there.partitions not in (0, settings.topics.partitions):
        problems.append(
            f"topic {name} has {there.partitions} partitions, {settings.topics.partitions} were asked for; next: add "
            "partitions to all topics of the prefix with kafka-topics.sh, or choose another --prefix"
        )
    wrong, acls = ([], "") if quiet else await kafka.check_acls(settings.kafka, settings.topics)
    problems += wrong
    for problem in problems:
        if output.as_json:
            output.emit({"status": "problem", "problem": problem})
        output.print(f"problem: {problem}", style="yellow")
    if not problems and not quiet:
        if output.as_json:
            output.emit({"status": "ok", "acls": acls})
        output.print(
            f"ok: all topics of {settings.topics.prefix} are as they must be (access rights: {acls})", style="green"
        )
    return EXIT_PROBLEM if problems else EXIT_OK
