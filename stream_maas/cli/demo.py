"""`demo`: the whole way of a record, on a real broker with a real worker, checked on what the topics hold."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_maas.cli import demo_fault, demo_ledger
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
from stream_maas.cli.demo_processes import Running, running
from stream_maas.cli.demo_texts import SENTENCES, Sentence

if TYPE_CHECKING:
    from stream_maas.cli.demo_checks import Check
    from stream_maas.client import Pending
    from stream_maas.records import KafkaRecord
    from stream_maas.settings import Settings

MODEL = "sentiment-lite"
PARTITIONS = 4
SUBJECT = "customer jonas.brandt@example.com"
"""Data subject, key and id of one request each: personal data stands in such places, too."""
ANSWER_S = 30.0
# A small group of one: waiting for other members, as the defaults do, only makes the demo slow.
_GROUP_SETTINGS = {
    "worker.session_timeout_ms": 6_000,
    "worker.heartbeat_interval_ms": 1_000,
    "worker.rebalance_timeout_ms": 3_000,
    "worker.fetch_max_wait_ms": 20,
    "worker.web_port": -1,
    "worker.log_format": "json",
}
_TOPICS = ("requests", "results", "audit", "dead-letters", "alerts")
_NOT_JSON = b'{"id": "broken", "inputs": [{"name": "text", "data": ["call me at +1 415 555 0132'
_TOMBSTONE = None


def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Go on afterwards, with traffic, until Ctrl-C: to look at the page.")
    ] = False,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Watch real sentences being redacted, classified and audited, and an alert firing and resolving; about a minute.

    Starts an embedded broker (or takes --bootstrap), makes topics, starts a worker with the packaged sentiment-lite, a
    monitor, a sealer and the live page, whose address it prints. It sends sentences with planted, synthetic personal
    data and some broken records, lets the worker hang for a moment, and then checks on what the topics hold: one answer
    and one audit event for each request, no personal value anywhere, an alert that fired and was resolved, and an audit
    log that is sealed, valid and provable offline. Ends with 1 if not.
    """
    settings = kafka_settings(bootstrap, prefix, config)
    exit_with(run_async(_demo(settings, config, Output(as_json=as_json), stay=stay)))


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the demo and its fate."""

    sentence: Sentence
    pending: Pending
    latency_ms: float


async def _demo(settings: Settings, config_file: str | None, output: Output, *, stay: bool) -> int:
    from stream_maas import kafka, topics, wire

    started = time.monotonic()
    with _broker(settings, output) as kafka_config, tempfile.TemporaryDirectory(prefix="stream-maas-demo-") as folder:
        settings = replace(settings, kafka=kafka_config, topics=replace(settings.topics, prefix=_prefix(settings)))
        await kafka.create_topics(settings.kafka, topics.table(settings.topics.prefix), PARTITIONS, 1)
        output.print(f"topics    {settings.topics.prefix}.requests, .results, .audit, ... with {PARTITIONS} partitions")
        async with AsyncExitStack() as stack:
            processes = await _start(settings, config_file, Path(folder), output, stack)
            asked = await _ask(settings, output)
            told = await demo_fault.hang_and_recover(settings, processes["worker"], MODEL, output)
            await _settled(settings)
            held = {name: await _read(settings, name) for name in _TOPICS}
            held["service"] = [record for record in held["audit"] if not wire.is_decision(record.value or b"")]
            held["audit"] = [record for record in held["audit"] if wire.is_decision(record.value or b"")]
            _show_answers(asked, output)
            _show_rejections(held, output)
            _show_audit(held["audit"], output)
            checks = [*_checks(held, b"".join(each.log.read_bytes() for each in processes.values())), told]
            checks += await demo_ledger.check_log(settings, Path(folder) / "ledger")
            for check in checks:
                if output.as_json:
                    output.emit({"event": "check", "claim": check.claim, "holds": check.holds, "detail": check.detail})
                output.print(f"{'ok' if check.holds else 'FAILED':<7} {check.claim}: {check.detail}",
                             style="green" if check.holds else "red")  # fmt: skip
            code = _summary(held, checks, time.monotonic() - started, output)
            if stay:
                output.print(f"The page stays at {processes['dashboard'].facts['url']} until Ctrl-C.", style="bold")
                await demo_fault.go_on(settings, MODEL)
    return code


# Broker, topics, worker ---------------------------------------------------------------------------------------------


@contextmanager
def _broker(settings: Settings, output: Output) -> Iterator[Any]:
    """The named cluster, or an embedded broker for as long as the demo runs."""
    if "kafka.bootstrap" in settings.sources:
        output.print(f"broker    {settings.kafka.bootstrap}, named by {settings.sources['kafka.bootstrap']}")
        yield settings.kafka
        return
    from stream_maas.brokers import EmbeddedBroker

    with EmbeddedBroker() as broker:
        output.print(f"broker    embedded, in memory, on {broker.bootstrap}")
        yield replace(settings.kafka, bootstrap=broker.bootstrap)


def _prefix(settings: Settings) -> str:
    """A name of its own on a cluster that others use, unless one was asked for."""
    if "topics.prefix" in settings.sources or "kafka.bootstrap" not in settings.sources:
        return settings.topics.prefix
    return f"{settings.topics.prefix}-demo-{secrets.token_hex(3)}"


async def _start(
    settings: Settings, config_file: str | None, folder: Path, output: Output, stack: AsyncExitStack
) -> dict[str, Running]:
    """Worker, monitor and page, until the stack is unwound."""
    prefix = settings.topics.prefix
    common = ["--bootstrap", settings.kafka.bootstrap, "--prefix", prefix]
    if config_file is not None:
        common += ["--config", config_file]
    for name, value in ({"worker.app_id": f"{prefix}-demo"} | _GROUP_SETTINGS).items():
        common += ["--set", f"{name}={value}"]
    monitor = ["--instance", "demo-monitor", "--time-scale", str(demo_fault.TIME_SCALE)]
    ledger = str(folder / "ledger")
    starting = {
        "worker": [*common, "--instance", "demo"],
        "monitor": [*common, *monitor],
        "sealer": [*common, "--instance", "demo-sealer", "--folder", ledger],
        "dashboard": [*common, "--port", "0", "--set", f"ledger.folder={ledger}"],
    }
    found = await asyncio.gather(
        *(stack.enter_async_context(running(name, arguments, folder)) for name, arguments in starting.items())
    )
    processes = {each.name: each for each in found}
    facts = processes["worker"].facts
    output.print(f"worker    ready: {MODEL}, delivery {facts.get('delivery')}")
    output.print(f"monitor   ready: its hour is {3600 * demo_fault.TIME_SCALE:g} s long")
    output.print(f"page      {processes['dashboard'].facts['url']}", style="bold")
    if output.as_json:
        output.emit({"event": "ready", **facts})
        output.emit({"event": "page", "url": processes["dashboard"].facts["url"]})
    return processes


# Requests -----------------------------------------------------------------------------------------------------------


async def _ask(settings: Settings, output: Output) -> list[Asked]:
    """Send everything and wait for the answers to what carries an id of ours."""
    from stream_maas.client import Call, Client

    async with Client(kafka=settings.kafka, prefix=settings.topics.prefix) as client:
        with output.progress("sentences") as bar:
            task = bar.add_task("", total=len(SENTENCES))

            async def ask(number: int, sentence: Sentence) -> Asked:
                call = Call(
                    MODEL, sentence.text, tenant="demo-shop", purpose="support", data_subject=SUBJECT,
                    key=SENTENCES[-1].planted[0] if number == 1 else None,
                    id=f"ticket of {SENTENCES[30].planted[0]}" if number == 2 else f"demo-{number:02d}",
                )  # fmt: skip
                begun = time.perf_counter()
                pending = await client.begin(call, timeout=ANSWER_S)
                await asyncio.wait([pending.answer])
                bar.advance(task)
                return Asked(sentence, pending, (time.perf_counter() - begun) * 1000)

            asked = await asyncio.gather(*(ask(number, text) for number, text in enumerate(SENTENCES, 1)))
        await asyncio.wait([(await client.begin(call, timeout=ANSWER_S)).answer for call in _bad_calls()])
    await _send_raw(settings, [_NOT_JSON, _TOMBSTONE])
    return list(asked)


def _bad_calls() -> list[Any]:
    from stream_maas.client import Call

    numbers = [{"name": "text", "datatype": "FP32", "shape": [3], "data": [0.5, 1.5, 2.5]}]
    return [
        Call("sentiment-pro", "No model of this name is loaded.", id="bad-model"),
        Call(MODEL, inputs=numbers, id="bad-tensor"),
        Call(MODEL, inputs=[{"name": "text", "shape": "three"}], id="bad-shape"),
        Call(MODEL, "Too late to be of use.", id="bad-deadline", timeout_us=1),
    ]


async def _send_raw(settings: Settings, values: Sequence[bytes | None]) -> None:
    """What no SDK would send: broken JSON, a tombstone."""
    from aiokafka import AIOKafkaProducer

    from stream_maas import kafka, topics

    producer = AIOKafkaProducer(**kafka.connection(settings.kafka), acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topics.requests(settings.topics.prefix), value, key=b"raw")
    finally:
        await producer.stop()


async def _settled(settings: Settings) -> None:
    """Return when there are as many answers as requests, or when that takes too long (the checks will say)."""
    give_up = time.monotonic() + ANSWER_S
    while time.monotonic() < give_up:
        requests, results = await _read(settings, "requests"), await _read(settings, "results")
        if len(results) >= len(requests):
            return
        await asyncio.sleep(0.2)


async def _read(settings: Settings, name: str) -> list[KafkaRecord]:
    from stream_maas.replay import read

    topic = f"{settings.topics.prefix}.{name}"
    async with aclosing(read(settings.kafka, topic, until_end=True)) as records:
        return [record async for record in records]


# What is shown ------------------------------------------------------------------------------------------------------


def _show_answers(asked: Sequence[Asked], output: Output) -> None:
    """One row per sentence. The text is shown as the model saw it: redacted."""
    from rich.text import Text

    from stream_maas.privacy import RedactionConfig, Redactor

    redactor = Redactor(RedactionConfig())
    rows = []
    for item in asked:
        error = item.pending.answer.exception()
        if error is not None:
            output.warn(f"{item.pending.id}: {error}")
            continue
        prediction = item.pending.answer.result()
        found = ", ".join(f"{entity} {count}" for entity, count in prediction.redactions.items())
        if output.as_json:
            output.emit(
                {"event": "prediction", "id": prediction.id, "label": prediction.label, "score": prediction.score,
                 "redactions": dict(prediction.redactions), "latency_ms": round(item.latency_ms, 1)}
            )  # fmt: skip
        style = {"positive": "green", "negative": "red"}.get(prediction.label or "", "")
        seen = redactor.redact_text(item.sentence.text).value
        rows.append(
            (
                seen,
                Text(prediction.label or "", style=style),
                f"{prediction.score or 0:.2f}",
                found,
                f"{item.latency_ms:.0f} ms",
            )
        )
    output.print()
    columns = ("what the model saw", "label", "score", "redacted", "latency")
    output.table(columns, rows, title="Predictions", cut=columns[0])
    output.print(
        "The first request had an account number as its key, the second an e-mail address in its id.", style="dim"
    )


def _show_rejections(held: dict[str, list[KafkaRecord]], output: Output) -> None:
    from stream_maas import wire
    from stream_maas.records import Rejection

    answers = [wire.decode_answer(record.value or b"") for record in held["results"]]
    rows = []
    for answer in answers:
        if isinstance(answer, Rejection) and not answer.id.startswith(demo_fault.TRAFFIC):
            if output.as_json:
                output.emit({"event": "rejection", "id": answer.id, "code": answer.code, "message": answer.message,
                             "retryable": answer.retryable})  # fmt: skip
            rows.append((answer.id, answer.code, "yes" if answer.retryable else "no", answer.message))
    output.print()
    output.table(("id", "code", "retryable", "message"), rows, title="Rejections")
    output.print(f"{len(held['dead-letters'])} dead letters for an operator, redacted", style="dim")


def _show_audit(audits: Sequence[KafkaRecord], output: Output) -> None:
    """How many events there are of each outcome, and one of them closer."""
    from stream_maas import wire

    events = [wire.decode_audit(record.value or b"") for record in audits]
    outcomes = Counter(event.decision.code or event.decision.status for event in events)
    if output.as_json:
        output.emit({"event": "audit", "events": len(events), "outcomes": dict(outcomes)})
    output.print()
    output.table(("outcome", "events"), outcomes.most_common(), title="Audit trail")
    sample = next((event for event in events if event.decision.redactions), None)
    if sample is not None:
        decision = sample.decision
        facts = {
            "event": sample.id, "request": decision.request_id, "tenant": decision.tenant,
            "data subject (keyed reference)": (decision.subject_ref or "")[:16] + "…",
            "model": f"{decision.model.name} {decision.model.version}" if decision.model else "",
            "redacted": ", ".join(f"{entity} {count}" for entity, count in decision.redactions.items()),
            "decision": f"{decision.label} {(decision.score_ppm or 0) / 1e6:.3f}",
            "input (keyed digest)": (decision.input_digest or "")[:16] + "…",
        }  # fmt: skip
        output.table(("one of them", ""), facts.items())
    output.print()


def _checks(held: dict[str, list[KafkaRecord]], logs: bytes) -> list[Check]:
    from stream_maas.cli import demo_checks

    planted = sorted({value for sentence in SENTENCES for value in sentence.planted} | {SUBJECT})
    outputs = {name: records for name, records in held.items() if name != "requests"}
    return [
        demo_checks.check_answers(held["requests"], held["results"]),
        demo_checks.check_audit(held["requests"], held["audit"]),
        demo_checks.check_same_ids(held["results"], held["audit"]),
        demo_checks.check_privacy(outputs, logs, planted),
    ]


def _summary(held: dict[str, list[KafkaRecord]], checks: Sequence[Check], duration_s: float, output: Output) -> int:
    from stream_maas import wire

    kinds = Counter(wire.answer_kind(record.headers) for record in held["results"])
    ok = all(check.holds for check in checks)
    if output.as_json:
        output.emit(
            {
                "event": "summary",
                "ok": ok,
                "requests": len(held["requests"]),
                "predictions": kinds["prediction"],
                "rejections": kinds["rejection"],
                "audit_events": len(held["audit"]),
                "dead_letters": len(held["dead-letters"]),
                "duration_s": round(duration_s, 1),
            }
        )
    output.print(
        f"{len(held['requests'])} requests, {kinds['prediction']} predictions, {kinds['rejection']} rejections, "
        f"{len(held['audit'])} audit events, {len(held['dead-letters'])} dead letters in {duration_s:.1f} s: "
        + ("all is as promised" if ok else "NOT as promised"),
        style="bold green" if ok else "bold red",
    )
    return EXIT_OK if ok else EXIT_PROBLEM
