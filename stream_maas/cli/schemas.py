"""`schemas`: the JSON Schemas and the AsyncAPI document that belong to this version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from stream_maas.cli.common import Json, Output, usage_error
from stream_maas.errors import ServiceError

ASYNCAPI = "asyncapi"


def schemas(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="request, result, ... or asyncapi. Default: list them.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the schemas of everything that goes over Kafka, or print one.

    JSON Schema 2020-12, closed objects; "asyncapi" is an AsyncAPI 3 document of all topics (YAML).

    Example: stream-maas schemas request > request.schema.json
    """
    output = Output(as_json=as_json)
    files = schema_files()
    if name is not None:
        if name not in files:
            usage_error(f"no schema of this name; there are {', '.join(files)}")
        text = files[name].read_bytes()
        if as_json:
            output.emit(_as_json(name, text))
        else:
            sys.stdout.buffer.write(text)
        return
    rows = []
    for stem, path in files.items():
        document = _as_json(stem, path.read_bytes())
        info = document.get("info", document)
        what = str(info.get("description", "")).partition("\n")[0]
        if as_json:
            output.emit({"name": stem, "path": str(path), "description": what})
        rows.append((stem, what))
    output.table(("name", "what"), rows)


def schema_files() -> dict[str, Path]:
    """Name -> file. Raises `ServiceError` when they were not installed."""
    from stream_maas.wire import SCHEMA_NAMES, schemas_dir

    try:
        folder = schemas_dir()
    except FileNotFoundError as error:
        raise ServiceError(f"{error}; next: install the package again") from error
    files = {stem: folder / f"{stem}.schema.json" for stem in SCHEMA_NAMES}
    asyncapi = folder / f"{ASYNCAPI}.yaml"
    return files | ({ASYNCAPI: asyncapi} if asyncapi.is_file() else {})


def _as_json(name: str, text: bytes) -> dict[str, Any]:
    if name == ASYNCAPI:
        import yaml

        loaded: dict[str, Any] = yaml.safe_load(text)
        return loaded
    document: dict[str, Any] = orjson.loads(text)
    return document
