"""`redact`: what the worker's redactor does to texts, what it knows, and whether a policy is right."""

from __future__ import annotations

import codecs
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from stream_maas.cli.common import (
    EXIT_PROBLEM,
    EXIT_USAGE,
    ConfigFile,
    Json,
    Output,
    exit_with,
    load_settings,
    usage_error,
)
from stream_maas.cli.text_pipe import Source, standard_input
from stream_maas.errors import RequestError, SettingsError

if TYPE_CHECKING:
    from stream_maas.privacy import Entity, Redactor


def redact(
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Policy (YAML). Default: privacy.policy.", show_default=False),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="Whose rules of the policy.", show_default=False)
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say of every find which rule of the policy decided.")
    ] = False,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="Default: standard input.", show_default=False)
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Standard input is plain text, even if it looks like JSON lines.")
    ] = False,
    list_types: Annotated[bool, typer.Option("--list", help="Print every entity type that can be found.")] = False,
    check_policy: Annotated[
        Path | None,
        typer.Option("--check-policy", metavar="FILE", help="Say what is wrong with a policy.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Redact texts as the worker would.

    JSON lines with `text` (and `id`, if you like) give JSON lines with `id`, the redacted `text` and `entities`; their
    offsets are Unicode code points of the original text. A line that cannot be redacted gives an error line on
    standard error instead, and exit code 1. Anything else on standard input is plain text: redacted it goes to standard
    output, line by line where it comes slowly, the counts by entity type to standard error.

    Example: stream-maas redact --text "Write to ada@example.org"
    """
    output = Output(as_json=as_json)
    if list_types:
        _list(output)
        return
    if check_policy is not None:
        _check(check_policy, output)
        return
    redactor = _redactor(policy, config)
    if redactor.warning:
        output.note(f"warning: {redactor.warning}")
    if text is None and sys.stdin.isatty():
        output.note("Reading a text from the terminal; end with Ctrl-D.")
    source = Source(standard_input()) if text is None else None
    if source is not None and not plain and _is_json_line(source.first_line()):
        _redact_lines(source.lines(), redactor, tenant, output, explain=explain)
        return
    try:
        if as_json:
            _redact_whole(source.everything() if source else text or "", redactor, tenant, output, explain=explain)
        else:
            _redact_texts(source.blocks() if source else [text or ""], redactor, tenant, output, explain=explain)
    except UnicodeDecodeError:
        line = source.line_count + 1 if source is not None else 1
        usage_error(f"standard input: line {line} is not UTF-8 text")


def _redactor(policy: Path | None, config: str | None) -> Redactor:
    from stream_maas import ner
    from stream_maas.privacy import Redactor

    settings = load_settings(config, {}).privacy
    if policy is not None:
        settings = replace(settings, policy=str(policy))
    return Redactor(settings, model=ner.model_for(settings))


def _is_json_line(line: bytes) -> bool:
    """Whether this is meant to be a JSON object with a text, right or wrong."""
    line = line.removeprefix(codecs.BOM_UTF8).strip()
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.startswith(b"{") and b'"text"' in line
    return isinstance(document, dict) and not document.keys().isdisjoint(("id", "text"))


def _redact_lines(
    lines: Iterable[bytes], redactor: Redactor, tenant: str | None, output: Output, *, explain: bool
) -> None:
    counts: Counter[str] = Counter()
    failed = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            answer, found = _redact_line(line, redactor, tenant, explain=explain)
        except (orjson.JSONDecodeError, TypeError):
            _error(output, f'line {number}: expected a JSON object with a string "text"; plain text needs --plain')
            failed = True
        except RequestError as error:
            _error(output, f"line {number}: {error}")
            failed = True
        else:
            counts.update(found)
            output.emit(answer)
    output.note(_summary(counts))
    if failed:
        exit_with(EXIT_PROBLEM)


def _redact_line(
    line: bytes, redactor: Redactor, tenant: str | None, *, explain: bool
) -> tuple[dict[str, Any], dict[str, int]]:
    document = orjson.loads(line.removeprefix(codecs.BOM_UTF8))
    if not isinstance(document, dict) or not isinstance(document.get("text"), str):
        raise TypeError
    redacted, entities = redactor.explain(document["text"], tenant=tenant)
    # An id is often an e-mail address or an account number.
    given = redactor.redact_document(document.get("id")).value
    answer = {
        "id": given,
        "text": redacted.value,
        "entities": [_entity(entity, explain=explain) for entity in entities],
    }
    return answer, dict(redacted.counts)


def _entity(entity: Entity, *, explain: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": entity.type,
        "start": entity.start,
        "end": entity.end,
        "score": entity.score,
        "recognizer": entity.recognizer,
        "operator": entity.operator,
    }
    if explain:
        told["rule"] = entity.rule
    return told


def _redact_whole(text: str, redactor: Redactor, tenant: str | None, output: Output, *, explain: bool) -> None:
    redacted, entities = redactor.explain(text, tenant=tenant)
    answer: dict[str, Any] = {"text": redacted.value, "redactions": dict(redacted.counts)}
    if explain:
        answer["entities"] = [_entity(entity, explain=True) for entity in entities]
    output.emit(answer)


def _redact_texts(
    texts: Iterable[str], redactor: Redactor, tenant: str | None, output: Output, *, explain: bool
) -> None:
    """Texts of one input, one after the other; offsets count from its beginning."""
    counts: Counter[str] = Counter()
    offset = 0
    ends_line = True
    for text in texts:
        redacted, entities = redactor.explain(text, tenant=tenant)
        counts.update(redacted.counts)
        ends_line = text.endswith("\n")
        # A block that is one JSON document comes back without the line end behind it.
        output.write(redacted.value if redacted.value.endswith("\n") or not ends_line else f"{redacted.value}\n")
        if explain:
            for entity in entities:
                output.note(
                    f"{offset + entity.start}-{offset + entity.end} {entity.type} by {entity.recognizer} "
                    f"({entity.score:.2f}): {entity.operator} ({entity.rule})"
                )
        offset += len(text)
    if not ends_line:
        output.write("\n")
    output.note(_summary(counts))


def _summary(counts: Any) -> str:
    found = ", ".join(f"{entity} {count}" for entity, count in sorted(counts.items()))
    return f"redacted: {found}" if found else "nothing to redact"


def _list(output: Output) -> None:
    from stream_maas.privacy import catalogue

    rows = [
        {
            "type": row.entity_type,
            "jurisdiction": row.pack,
            "recognizer": row.name,
            "found_by": row.found_by,
            "validated_by": row.checked_by,
            "needs": row.needs,
        }
        for row in catalogue()
    ]
    if output.as_json:
        for row in rows:
            output.emit(row)
        return
    output.table(("type", "jurisdiction", "found by", "validated by", "needs"), [
        (row["type"], row["jurisdiction"], row["found_by"] or row["recognizer"], row["validated_by"], row["needs"])
        for row in rows
    ])  # fmt: skip


def _check(path: Path, output: Output) -> None:
    from stream_maas.privacy import Policy

    try:
        policy = Policy.load(path)
    except SettingsError as error:
        for line in str(error).splitlines():
            _error(output, line)
        exit_with(EXIT_USAGE)
    scopes = (policy.common, *policy.tenants.values())
    rule_count = len({rule.place for scope in scopes for rule in scope.rules})
    if output.as_json:
        output.emit({"policy": policy.id, "mode": policy.mode, "rules": rule_count, "tenants": len(policy.tenants)})
    output.print(f"{policy.id}: right; {rule_count} rules, {len(policy.tenants)} tenants of their own, {policy.mode}")
    if policy.needs_key:
        output.note("It makes pseudonyms: a worker needs STREAM_MAAS_PRIVACY_PSEUDONYM_KEY.")


def _error(output: Output, message: str) -> None:
    output.err.print(f"error: {message}", style="red", markup=False)
