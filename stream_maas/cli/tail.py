"""`tail`: what stands in a topic, for people as lines that tell the story, for scripts as JSON lines."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from stream_maas.cli.common import Bootstrap, ConfigFile, Json, Output, Prefix, kafka_settings, run_async, usage_error

if TYPE_CHECKING:
    from stream_maas.records import KafkaRecord, Prediction, Rejection, Request
    from stream_maas.settings import Settings
    from stream_maas.wire import AuditEvent, ServiceEvent


def tail(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="results, audit, dead-letters, requests, ... or a full topic name.")
    ],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start at the oldest record.")] = False,
    last: Annotated[
        int | None,
        typer.Option(
            "--last", metavar="N", min=1, help="Start with the last N records of each partition.", show_default=False
        ),
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at what the topic held when the command started.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Stop after N records.", show_default=False)
    ] = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print the records of a topic, committed ones only, and go on with new ones.

    With --json one line per record: "topic", "partition", "offset", "timestamp" (milliseconds), "key", "headers"
    (name -> text) and "value", which is parsed where it is JSON. What is neither JSON nor text is written in base64
    and "value_encoding" (or "key_encoding") says so. Order holds within a partition.

    Example: stream-maas tail audit --from-beginning --until-end --json
    """
    if from_beginning and last is not None:
        usage_error("--from-beginning and --last exclude each other")
    if until_end and not from_beginning and last is None:
        usage_error("--until-end alone leaves nothing to print; add --from-beginning or --last N")
    settings = kafka_settings(bootstrap, prefix, config)
    output = Output(as_json=as_json)
    name = full_name(topic, settings.topics.prefix)
    where = {"from_beginning": from_beginning, "last": last, "until_end": until_end}
    run_async(print_topic(settings, name, where, limit, output))


async def print_topic(
    settings: Settings, topic: str, where: Mapping[str, Any], limit: int | None, output: Output
) -> None:
    """Print a topic's records; `where` is what `replay.read` takes."""
    from stream_maas.replay import read

    said = False

    def waiting(partitions: int) -> None:
        nonlocal said
        if not said:
            output.note(f"waiting for open transactions on {partitions} partitions; they end, or time out")
            said = True

    printed = 0
    async with aclosing(read(settings.kafka, topic, waiting=waiting, **where)) as records:
        async for record in records:
            if output.as_json:
                output.emit(record_document(record))
            else:
                output.print(line(record))
            printed += 1
            if printed == limit:
                break


def full_name(topic: str, prefix: str) -> str:
    """The topic's full name: short names of the topic table and of request lanes get the prefix, others are kept."""
    from stream_maas import topics

    full = f"{prefix}.{topic}"
    known = {spec.name for spec in topics.table(prefix)}
    return full if full in known or topic.startswith("requests.") else topic


def record_document(record: KafkaRecord) -> dict[str, Any]:
    """A record as the JSON object that `tail --json` prints."""
    document: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
    }
    document |= _text("key", record.key)
    document["headers"] = headers_document(record.headers)
    if parse(record.value) is None or record.value is None:
        return document | _text("value", record.value)
    # The bytes themselves where they fit on a line: parsing would change large numbers and repeated members.
    whole = b"\n" in record.value or b"\r" in record.value
    return document | {"value": parse(record.value) if whole else orjson.Fragment(record.value)}


def headers_document(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, Any]:
    """Header name -> text; a list of texts where a name repeats; bytes that are no UTF-8 in base64."""
    document: dict[str, Any] = {}
    for name, value in headers:
        text = _text("value", value)["value"]
        if name in document:
            earlier = document[name]
            document[name] = [*(earlier if isinstance(earlier, list) else [earlier]), text]
        else:
            document[name] = text
    return document


def parse(value: bytes | None) -> Any:
    """The value when it is JSON, None otherwise (and for JSON null)."""
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None


def _text(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {name: base64.b64encode(data).decode(), f"{name}_encoding": "base64"}


def line(record: KafkaRecord) -> str:
    """One line for people: when, where, and the gist of the value. Whatever a record holds, it stays one line, and
    nothing in it reaches the terminal as a control sequence."""
    moment = datetime.fromtimestamp(max(record.timestamp, 0) / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    text = f"{moment}  {record.partition}:{record.offset:<6} {gist(record)}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def gist(record: KafkaRecord) -> str:
    """The story of a record in a few words, whichever of our topics it comes from."""
    from stream_maas import wire
    from stream_maas.errors import RequestError

    readers: tuple[Callable[[], str], ...] = (
        lambda: _answer_gist(wire.decode_answer(record.value or b"")),
        lambda: _audit_gist(wire.decode_audit(record.value or b"")),
        lambda: _service_gist(wire.decode_service_event(record.value or b"")),
        lambda: _request_gist(wire.decode_request(record)),
    )
    for reader in readers:
        try:
            return reader()
        except RequestError:
            continue
    value = parse(record.value)
    if isinstance(value, Mapping):
        return "  ".join(f"{name}={_short(member)}" for name, member in value.items())
    return "no value (a tombstone)" if record.value is None else f"{len(record.value)} bytes"


def _answer_gist(answer: Prediction | Rejection) -> str:
    from stream_maas.records import Rejection

    if isinstance(answer, Rejection):
        again = "retryable" if answer.retryable else "final"
        return f"rejection   {answer.id}  {answer.code}: {answer.message} ({again})"
    outputs = {tensor.name: tensor.data for tensor in answer.outputs}
    parts = ["prediction ", answer.id]
    if "label" in outputs:
        parts.append(_short(outputs.pop("label")))
    parts += [f"{name}={_short(data)}" for name, data in outputs.items()]
    parts.append(f"{answer.model.name} {answer.model.version}")
    if answer.redactions:
        parts.append(_counts(answer.redactions))
    return "  ".join(parts)


def _audit_gist(event: AuditEvent) -> str:
    decision = event.decision
    parts = ["audit      ", decision.request_id, decision.code or decision.status]
    if decision.label is not None:
        parts.append(f"{decision.label} {(decision.score_ppm or 0) / 1_000_000:.3f}")
    if decision.model is not None:
        parts.append(f"{decision.model.name} {decision.model.version}")
    if decision.redactions:
        parts.append(_counts(decision.redactions))
    return "  ".join([*parts, f"of {event.id}"])


def _service_gist(event: ServiceEvent) -> str:
    told = [f"{name}={_short(member)}" for name, member in event.body.items()]
    return "  ".join(["service    ", event.kind, *told, f"by {event.writer.instance}", f"of {event.link.session[:8]}"])


def _request_gist(request: Request) -> str:
    tensors = ", ".join(f"{tensor.name} {tensor.datatype}{list(tensor.shape)}" for tensor in request.inputs)
    return f"request     {request.id}  {request.model_name or '(default model)'}  {tensors}"


def _counts(redactions: Mapping[str, int]) -> str:
    return "redacted " + ", ".join(f"{entity} {count}" for entity, count in redactions.items())


def _short(member: Any) -> str:
    if isinstance(member, list):
        items = ", ".join(_short(item) for item in member[:4])
        return items if len(member) == 1 else f"[{items}{', ...' if len(member) > 4 else ''}]"
    if isinstance(member, float):
        return f"{member:.3f}"
    text = str(member)
    return text if len(text) <= 60 else f"{text[:57]}..."
