"""`doctor`: what is wrong, before somebody else finds out. Looks only: nothing is written to the cluster."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stream_maas import native
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
)
from stream_maas.errors import StreamMaasError

if TYPE_CHECKING:
    from stream_maas.settings import Settings

Status = Literal["ok", "warning", "problem", "skipped"]
_STYLES: dict[Status, str] = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}
_CLOCK_EVENTS = 50
"""Audit events looked at per partition."""
_CLOCK_TOLERANCE_MS = 500
"""Kafka timestamps have milliseconds, and NTP keeps machines of one site within a few of them."""
_CLOCK_READ_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A `problem` makes the command end with 1, a `warning` does not."""

    check: str
    status: Status
    detail: str


def doctor(
    show_settings: Annotated[
        bool, typer.Option("--settings", help="Print every setting with value, source and unit instead.")
    ] = False,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Look for problems: broker, what it can do, topics and rights, models, redactor, clocks.

    Nothing is written to the cluster. Ends with 1 when there is a problem; warnings are for you to judge.
    """
    settings = kafka_settings(bootstrap, prefix, config)
    output = Output(as_json=as_json)
    if show_settings:
        _print_settings(settings, output)
        return
    exit_with(run_async(_examine(settings, output)))


async def _examine(settings: Settings, output: Output) -> int:
    worst = EXIT_OK
    async for finding in findings(settings):
        if finding.status == "problem":
            worst = EXIT_PROBLEM
        if output.as_json:
            output.emit({"check": finding.check, "status": finding.status, "detail": finding.detail})
        output.print(f"{finding.status:<8} {finding.check:<10} {finding.detail}", style=_STYLES[finding.status])
    return worst


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Every check in turn; those that need a broker are skipped when there is none."""
    for finding in (*_settings(settings), *_redactor(settings), *_models(settings)):
        yield finding
    reachable = False
    for check, examine in _BROKER_CHECKS.items():
        if check != "broker" and not reachable:
            yield Finding(check, "skipped", "needs the broker")
            continue
        try:
            found = await examine(settings)
        except StreamMaasError as error:
            found = [Finding(check, "problem", str(error))]
        for finding in found:
            yield finding
        if check == "broker":
            reachable = found[-1].status != "problem"


def _settings(settings: Settings) -> Iterator[Finding]:
    from stream_maas.settings import strangers

    if not settings.worker.digest_key:
        detail = (
            "worker.digest_key is not set: digests in the audit trail can be guessed; next: set 32 or more characters"
        )
        yield Finding("settings", "warning", detail)
    if settings.kafka.security_protocol in ("PLAINTEXT", "SASL_PLAINTEXT") and not _is_local(settings.kafka.bootstrap):
        protocol = settings.kafka.security_protocol
        yield Finding(
            "settings", "warning", f"kafka.security_protocol={protocol}: requests go over the network in the clear"
        )
    for name in strangers():
        yield Finding("settings", "warning", f"environment {name}: no such setting; next: look at its spelling")
    named = len(settings.sources)
    yield Finding(
        "settings", "ok", f"{named} set, the others at their defaults; `stream-maas doctor --settings` lists them"
    )


def _redactor(settings: Settings) -> Iterator[Finding]:
    from stream_maas import ner
    from stream_maas.privacy import Redactor

    try:
        redactor = Redactor(settings.privacy)
        redactor.self_test()
        if (model := ner.model_for(settings.privacy)) is not None:
            model.close()
            yield Finding("redactor", "ok", f"the model of names loads: {settings.privacy.ner_model}")
    except StreamMaasError as error:
        yield Finding("redactor", "problem", str(error))
    else:
        if redactor.warning:
            yield Finding("redactor", "warning", redactor.warning)
        yield Finding(
            "redactor", "ok", f"finds what it must in its own test; engine {redactor.engine}, policy {redactor.policy}"
        )
    if slow := native.missing():
        if native.IS_OFF:
            step = "unset STREAM_MAAS_NATIVE"
        elif native.stale():
            step = "python hatch_build.py, they were compiled of older sources"
        else:
            step = "install a C compiler, then stream-maas again"
        yield Finding("kernels", "warning", f"Python does the work of {', '.join(slow)}, slower; next: {step}")
    else:
        yield Finding("kernels", "ok", "compiled")


def _models(settings: Settings) -> Iterator[Finding]:
    from stream_maas.inference import Catalog

    try:
        catalog = Catalog.load(settings.inference)
    except StreamMaasError as error:
        yield Finding("models", "problem", str(error))
        return
    for reason in catalog.failures.values():
        yield Finding("models", "problem", reason)
    for model in catalog.models:
        yield Finding("models", "ok", f"{model.ref.name} {model.ref.version} loads ({model.ref.licence})")


async def _broker(settings: Settings) -> list[Finding]:
    from stream_maas import kafka

    started = time.perf_counter()
    cluster = await kafka.describe_cluster(settings.kafka)
    duration_ms = (time.perf_counter() - started) * 1000
    protocol = settings.kafka.security_protocol
    return [
        Finding("broker", "ok", f"{settings.kafka.bootstrap} answers in {duration_ms:.0f} ms: {cluster}, {protocol}")
    ]


async def _delivery(settings: Settings) -> list[Finding]:
    from stream_maas import kafka

    capabilities = await kafka.probe(settings.kafka)
    if capabilities.exactly_once:
        return [Finding("delivery", "ok", "exactly-once: transactions fenced by the consumer group")]
    wanted = settings.worker.delivery
    status: Status = "problem" if wanted == "exactly-once" else "warning"
    return [Finding("delivery", status, f"at-least-once (worker.delivery={wanted}): {capabilities.reason}")]


async def _topics(settings: Settings) -> list[Finding]:
    from stream_maas import kafka

    problems = await kafka.check_topics(settings.kafka, settings.topics)
    if problems:
        return [Finding("topics", "problem", problem) for problem in problems]
    return [Finding("topics", "ok", f"all of {settings.topics.prefix} exist, may be described and are as they must be")]


async def _clocks(settings: Settings) -> list[Finding]:
    """Compare clocks by what is in the log already: producers set request times, workers event times.

    A request that was answered before it was sent shows a producer whose clock is ahead; an event from the future
    shows that this machine's clock is behind the workers'. Deadlines depend on both.
    """
    from stream_maas import topics, wire
    from stream_maas.replay import read

    now_us = time.time_ns() // 1000
    ahead_ms: list[float] = []
    newest_us = 0
    topic = topics.audit(settings.topics.prefix)
    try:
        async with (
            asyncio.timeout(_CLOCK_READ_S),
            aclosing(read(settings.kafka, topic, last=_CLOCK_EVENTS, until_end=True)) as events,
        ):
            async for record in events:
                if not wire.is_decision(record.value or b""):
                    continue  # the service's own events tell nothing of producers
                event = wire.decode_audit(record.value or b"")
                newest_us = max(newest_us, event.time_us)
                ahead_ms.append(event.decision.timestamp_ms - event.time_us / 1000)
    except TimeoutError:
        return [Finding("clocks", "skipped", f"the audit topic could not be read within {_CLOCK_READ_S:g} s")]
    except StreamMaasError as error:
        return [Finding("clocks", "skipped", f"the audit topic cannot be read here: {error}")]
    if not ahead_ms:
        return [Finding("clocks", "skipped", "no audit events yet, so there are no times to compare")]
    found = []
    if max(ahead_ms) > _CLOCK_TOLERANCE_MS:
        detail = (
            f"a producer's clock is at least {max(ahead_ms):.0f} ms ahead of a worker's: deadlines move; next: use NTP"
        )
        found.append(Finding("clocks", "warning", detail))
    if (newest_us - now_us) / 1000 > _CLOCK_TOLERANCE_MS:
        detail = f"this machine is at least {(newest_us - now_us) / 1000:.0f} ms behind a worker; next: use NTP"
        found.append(Finding("clocks", "warning", detail))
    return found or [Finding("clocks", "ok", f"{len(ahead_ms)} audit events show no clock ahead of another")]


_BROKER_CHECKS: dict[str, Callable[[Settings], Awaitable[list[Finding]]]] = {
    "broker": _broker,
    "delivery": _delivery,
    "topics": _topics,
    "clocks": _clocks,
}


def _is_local(bootstrap: str) -> bool:
    hosts = [part.strip().rpartition(":")[0].strip("[]") for part in bootstrap.split(",")]
    return all(host == "localhost" or _is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _print_settings(settings: Settings, output: Output) -> None:
    from stream_maas.settings import describe

    rows = describe(settings)
    if output.as_json:
        for row in rows:
            output.emit(
                {
                    "name": row.name,
                    "value": row.value,
                    "unit": row.unit,
                    "source": row.source,
                    "environment": row.env,
                    "help": row.help,
                }
            )
    output.table(
        ("setting", "value", "unit", "source", "environment"),
        [(row.name, row.value, row.unit, row.source, row.env) for row in rows],
    )
