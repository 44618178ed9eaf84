"""`tail`: what stands in a topic, for people as lines that tell the story, for scripts as JSON lines."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from stream_maas.cli.common import Bootstrap, ConfigFile, Json, Output, Prefix, kafka_settings, run_async, usage_error

if TYPE_CHECKING:
    from stream_maas.records import KafkaRecord
    from stream_maas.settings import Settings


def tail(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="results, audit, dead-letters, requests, ... or a full topic name.")
    ],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start at the oldest record.")] = False,
    last: Annotated[
        int | None,
        typer.Option(
            "--last", metavar="N", min=1, help="Start N offsets before the end of each partition.", show_default=False
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
    run_async(_tail(settings, name, where, limit, output))


async def _tail(settings: Settings, topic: str, where: Mapping[str, Any], limit: int | None, output: Output) -> None:
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
    """One line for people: when, where, and the gist of the value."""
    moment = datetime.fromtimestamp(record.timestamp / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    value = parse(record.value)
    text = gist(value) if isinstance(value, Mapping) else f"{len(record.value or b'')} bytes"
    return f"{moment}  {record.partition}:{record.offset:<6} {text}"


def gist(value: Mapping[str, Any]) -> str:
    """The story of one value in a few words, whichever of our topics it comes from."""
    if "specversion" in value and isinstance(value.get("data"), Mapping):
        return _audit_gist(value["data"])
    if "outputs" in value and "inputs" not in value:
        return _prediction_gist(value)
    if "code" in value and "retryable" in value:
        again = "retryable" if value["retryable"] else "final"
        return f"rejection   {value.get('id')}  {value['code']}: {value.get('message')} ({again})"
    if "inputs" in value:
        model = value.get("model_name", "(default model)")
        return f"request     {value.get('id', '(no id)')}  {model}, {len(value['inputs'])} input tensors"
    return "  ".join(f"{name}={_short(member)}" for name, member in value.items())


def _prediction_gist(value: Mapping[str, Any]) -> str:
    outputs = {tensor.get("name"): tensor.get("data") for tensor in value["outputs"]}
    label = outputs.pop("label", None)
    said = "" if label is None else f"{_short(label)}  "
    parameters = value.get("parameters", {})
    redacted = f"  {parameters['redactions']} redactions" if parameters.get("redactions") else ""
    numbers = "  ".join(f"{name}={_short(data)}" for name, data in outputs.items())
    model = f"{value.get('model_name')} {value.get('model_version')}"
    return f"prediction  {value.get('id')}  {said}{numbers}  {model}{redacted}"


def _audit_gist(data: Mapping[str, Any]) -> str:
    request, model, output = data.get("request", {}), data.get("model", {}), data.get("output", {})
    parts = [f"audit       {request.get('id')}", data.get("code") or data.get("status")]
    if "label" in output:
        parts.append(f"{output['label']} {output.get('score_ppm', 0) / 1_000_000:.3f}")
    if model:
        parts.append(f"{model.get('name')} {model.get('version')}")
    if counts := data.get("redaction", {}).get("counts"):
        parts.append("redacted " + ", ".join(f"{entity} {count}" for entity, count in counts.items()))
    parts.append(f"from {request.get('topic')}:{request.get('partition')}:{request.get('offset')}")
    return "  ".join(str(part) for part in parts)


def _short(member: Any) -> str:
    if isinstance(member, list):
        items = ", ".join(_short(item) for item in member[:4])
        return items if len(member) == 1 else f"[{items}{', ...' if len(member) > 4 else ''}]"
    if isinstance(member, float):
        return f"{member:.3f}"
    text = str(member)
    return text if len(text) <= 60 else f"{text[:57]}..."
