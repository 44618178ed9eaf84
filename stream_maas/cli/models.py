"""`model`: bundles as an operator sees them: what there is, what it says, whether it can be served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_maas.cli.common import (
    EXIT_OK,
    EXIT_PROBLEM,
    ConfigFile,
    Json,
    Output,
    exit_with,
    load_settings,
)
from stream_maas.errors import BundleError

if TYPE_CHECKING:
    from stream_maas.inference.config import RuntimeConfig

Directories = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DIR",
        help="Bundles, or folders of bundles. Default: STREAM_MAAS_MODELS, else the packaged ones.",
        show_default=False,
    ),
]
DEFAULT = "sentiment-lite"


def list_models(directories: Directories = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """List bundles with version, licence and digest. A broken one is listed with its problem; ends with 1 then."""
    from stream_maas.inference import describe, load_bundle

    output = Output(as_json=as_json)
    runtime = _runtime(directories, config)
    rows, broken = [], 0
    for directory in bundle_directories(runtime):
        try:
            facts = describe(load_bundle(directory, runtime.licences))
        except BundleError as error:
            broken += 1
            if as_json:
                output.emit({"directory": str(directory), "status": "problem", "problem": str(error)})
            rows.append((directory.name, "", "", "", "", f"problem: {error}"))
            continue
        if as_json:
            output.emit({"status": "ok", **facts})
        size = f"{facts['size_bytes'] / 1e6:.1f} MB"
        rows.append(
            (facts["name"], facts["version"], facts["licence"], facts["digest"][:12], size, facts["description"])
        )
    output.table(("name", "version", "licence", "digest", "size", "what"), rows)
    exit_with(EXIT_PROBLEM if broken else EXIT_OK)


def show(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a bundle, or the name of a packaged or configured model.")
    ] = DEFAULT,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show what a bundle says about itself: inputs, outputs, limits, training data, figures, model card."""
    from stream_maas.inference import describe, load_bundle

    output = Output(as_json=as_json)
    runtime = _runtime(None, config)
    directory = _find(model, runtime)
    bundle = load_bundle(directory, runtime.licences)
    facts = describe(bundle)
    if as_json:
        output.emit(facts)
        return
    output.table(("", ""), [(name, _cell(value)) for name, value in facts.items()])
    from rich.markdown import Markdown

    output.print()
    output.print(Markdown(bundle.path("MODEL_CARD.md").read_text(encoding="utf-8")))


def check(directories: Directories = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """Check that bundles can be served: files, digests, licence, statements, graph. Ends with 1 when one cannot."""
    from stream_maas.inference import check as problems_of

    output = Output(as_json=as_json)
    runtime = _runtime(directories, config)
    failed = 0
    for directory in bundle_directories(runtime):
        problems = problems_of(directory, runtime)
        failed += bool(problems)
        if as_json:
            status = "problem" if problems else "ok"
            output.emit({"directory": str(directory), "status": status, "problems": problems})
        for problem in problems:
            output.print(f"problem: {problem}", style="yellow")
        if not problems:
            output.print(f"ok: {directory}", style="green")
    exit_with(EXIT_PROBLEM if failed else EXIT_OK)


def bundle_directories(runtime: RuntimeConfig) -> Iterator[Path]:
    """Folders with a bundle.yaml: those named, those one level below, or the packaged ones when none is named.

    Raises `BundleError` for a path that leads to none.
    """
    from stream_maas.inference.bundle import MANIFEST
    from stream_maas.inference.catalog import PACKAGED

    for path in [Path(text) for text in runtime.models] or [PACKAGED]:
        if (path / MANIFEST).is_file():
            yield path
            continue
        below = sorted(file.parent for file in path.glob(f"*/{MANIFEST}"))
        if not below:
            raise BundleError(f"{path}: no {MANIFEST} here or one folder below; next: name the folder of a bundle")
        yield from below


def _find(model: str, runtime: RuntimeConfig) -> Path:
    from stream_maas.inference import load_bundle
    from stream_maas.inference.bundle import MANIFEST

    if (Path(model) / MANIFEST).is_file():
        return Path(model)
    for directory in bundle_directories(runtime):
        try:
            if load_bundle(directory, runtime.licences).ref.name == model:
                return directory
        except BundleError:
            continue
    raise BundleError(f"{model}: neither the folder of a bundle nor the name of one; next: `stream-maas model list`")


def _runtime(directories: list[str] | None, config: str | None) -> RuntimeConfig:
    return load_settings(config, {"inference.models": ",".join(directories or ()) or None}).inference


def _cell(value: Any) -> str:
    """Nested facts, one per line."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_flat(member)}" for name, member in value.items())
    if isinstance(value, list):
        return "\n".join(_flat(member) for member in value)
    return str(value)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_flat(member)}" for name, member in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list) else str(value)
