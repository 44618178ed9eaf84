"""`model init`: from an ONNX file to a first bundle, and what a person still has to write."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from stream_maas.cli.common import Json, Output, usage_error


def init(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.ONNX", exists=True, dir_okay=False, help="The graph to serve.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the new bundle. Default: ./NAME.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Model name. Default: of the file.", show_default=False)
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Model version. Default: 0.1.0.", show_default=False)
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="SPDX", help="Licence of the weights, for example MIT.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Class names in the order of the output: one per line, or a JSON list.",
            show_default=False,
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            "--tokenizer",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="tokenizer.json of a text model. Default: the one beside the graph.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a first bundle of an ONNX file: a copy of it, bundle.yaml from its inputs, outputs and metadata, a card.

    What the graph does not say is written as "unknown" and listed as a thing to do. Class names are taken from the
    metadata or from a config.json beside the graph, names of columns from the metadata, a tokenizer from a
    tokenizer.json. Stateful models and sequences are refused.
    """
    from stream_maas.errors import BundleError
    from stream_maas.inference import check
    from stream_maas.inference.draft import Known, draft_bundle, write_bundle

    output = Output(as_json=as_json)
    known = Known(name, version, licence, _class_names(labels) if labels is not None else (), tokenizer)
    try:
        draft = draft_bundle(model, known)
    except BundleError as error:
        raise BundleError(f"{error}; next: docs/models.md says which graphs can be served") from error
    directory = out or Path(draft.manifest["name"])
    write_bundle(draft, directory)
    problems = check(directory)
    if as_json:
        output.emit(
            {
                "status": "ok",
                "directory": str(directory),
                "name": draft.manifest["name"],
                "kind": draft.manifest["kind"],
                "servable": not problems,
                "problems": problems,
                "to_do": list(draft.to_do),
            }
        )
    output.print(f"written: {directory}", style="green")
    for item in draft.to_do:
        output.print(f"to do: {item}")
    for problem in problems:
        output.print(f"not servable yet: {problem}", style="yellow")
    folder = shlex.quote(str(directory))
    output.print(f"next: `stream-maas model check {folder}`, then `stream-maas worker --models {folder}`")


def _class_names(path: Path) -> tuple[str, ...]:
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        try:
            names = json.loads(text)
        except ValueError:
            usage_error("--labels: not a JSON list")
        if not all(isinstance(each, str) for each in names):
            usage_error("--labels: expected a JSON list of strings")
        return tuple(names)
    return tuple(line for line in text.splitlines() if line)
