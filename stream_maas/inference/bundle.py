"""The model bundle: which files and statements make an artifact servable, and how they are checked.

A bundle is a folder with `bundle.yaml`, `model.onnx` and `MODEL_CARD.md`, plus whatever the model's kind needs.
Rules of this file:
1. Every file of the folder is listed with its SHA-256, so nothing that is loaded later escapes the digests.
2. A statement that is missing is a refusal: what is unknown has to be written down as unknown.
3. The message names file and field. A bundle is the operator's own, so its field names may be quoted.

docs/models.md describes the format for people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import msgspec
import yaml
from msgspec import Struct

from stream_maas.errors import BundleError
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.manifest import (
    SHA256,
    Activation,
    Batching,
    Kind,
    Manifest,
    NoSteps,
    Reference,
    Steps,
    TensorSpec,
    named_files,
    statement_problems,
    steps_of,
)
from stream_maas.records import Datatype, ModelRef

MANIFEST = "bundle.yaml"
MODEL = "model.onnx"
CARD = "MODEL_CARD.md"
MAX_MANIFEST_BYTES = 1 << 20
_CHOICES: Mapping[str, tuple[object, ...]] = {
    "bundle": (1,), "kind": get_args(Kind), "batching": get_args(Batching), "datatype": get_args(Datatype),
    "activation": get_args(Activation), "mode": ("mean", "first"),
}  # fmt: skip
"""Field of bundle.yaml -> what it may be."""


class Bundle(Struct, frozen=True):
    """A checked bundle. `steps` is `manifest.preprocessing`, typed by kind."""

    directory: Path
    manifest: Manifest
    steps: Steps
    ref: ModelRef

    def path(self, name: str) -> Path:
        """The file `name` of this bundle."""
        return self.directory / name


def load_bundle(directory: Path, licences: Collection[str] = RuntimeConfig().licences) -> Bundle:
    """Read and check a bundle; the graph itself is not opened here.

    Raises `BundleError` that lists every problem found: unreadable or incomplete bundle.yaml, a file that is
    missing, altered, unlisted or outside the folder, a licence that is not in `licences`.
    """
    bundle, problems = inspect(directory, licences)
    if bundle is None:
        raise BundleError(f"{directory}: " + "; ".join(problems))
    return bundle


def inspect(directory: Path, licences: Collection[str]) -> tuple[Bundle | None, list[str]]:
    """The bundle, or None and all of its problems, each "file: field: what is wrong"."""
    try:
        manifest = _read_manifest(directory)
    except BundleError as error:
        return None, [str(error)]
    problems = [f"{MANIFEST}: {problem}" for problem in statement_problems(manifest, licences)]
    problems += _file_problems(directory, manifest.sha256)
    steps: Steps = NoSteps()
    try:
        steps = steps_of(manifest)
    except msgspec.ValidationError as error:
        problems.append(f"{MANIFEST}: preprocessing: {_sentence(error)}")
    for field, name in named_files(steps):
        if name not in manifest.sha256:
            problems.append(f"{MANIFEST}: {field}: not one of the files in sha256")
    if problems:
        return None, problems
    ref = ModelRef(
        manifest.name, manifest.version, manifest.sha256[MODEL], manifest.licence, sha256_file(directory / MANIFEST)
    )
    return Bundle(directory, manifest, steps, ref), []


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(bundle: Bundle) -> dict[str, Any]:
    """What `model list` and `model show` print: JSON-ready, in reading order."""
    manifest = bundle.manifest
    return {
        "name": bundle.ref.name,
        "version": bundle.ref.version,
        "digest": bundle.ref.digest,
        "bundle_digest": bundle.ref.bundle_digest,
        "kind": manifest.kind,
        "licence": bundle.ref.licence,
        "description": manifest.description,
        "intended_use": manifest.intended_use,
        "not_for": list(manifest.not_for),
        "inputs": [_plain(spec) for spec in manifest.inputs],
        "outputs": [_plain(spec) for spec in manifest.outputs],
        "labels": list(manifest.labels.names) if manifest.labels else [],
        "limits": msgspec.to_builtins(manifest.limits),
        "batching": manifest.batching,
        "reference": [_plain(entry) for entry in manifest.reference],
        "training_data": msgspec.to_builtins(manifest.training_data),
        "metrics": manifest.metrics,
        "files": dict(manifest.sha256),
        "size_bytes": sum(bundle.path(name).stat().st_size for name in manifest.sha256),
        "directory": str(bundle.directory),
    }


def _plain(spec: TensorSpec | Reference) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(spec).items() if value not in (None, "", ())}


def _sentence(error: msgspec.ValidationError) -> str:
    """ "Expected `str`, got `float` - at `$.version`" -> "version: expected `str`, got `float`"."""
    text, _, place = str(error).partition(" - at `$.")
    field = place.rstrip("`")
    sentence = text[0].lower() + text[1:]
    if "expected `str`, got" in sentence:
        sentence += " (quote it)"
    choices = next((words for end, words in _CHOICES.items() if field == end or field.endswith(f".{end}")), None)
    if sentence.startswith("invalid enum value") and choices:
        sentence += f", expected one of {', '.join(map(str, choices))}"
    return f"{field}: {sentence}" if field else sentence


def _check_members(document: object) -> None:
    """Raise `BundleError` that names every member of bundle.yaml that is missing or unknown, not only the first."""
    if not isinstance(document, dict):
        raise BundleError(f"{MANIFEST}: expected a mapping of fields (docs/models.md), not {type(document).__name__}")
    fields = msgspec.structs.fields(Manifest)
    missing = [field.name for field in fields if field.required and field.name not in document]
    unknown = sorted(map(str, document.keys() - {field.name for field in fields}))
    said = [f"missing {', '.join(missing)}"] if missing else []
    said += [f"unknown {', '.join(unknown)}"] if unknown else []
    if said:
        raise BundleError(f"{MANIFEST}: fields: {'; '.join(said)}")


def _read_manifest(directory: Path) -> Manifest:
    """bundle.yaml as a typed value: fields present and of the right type, not yet compared with the files."""
    path = directory / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{MANIFEST}: larger than {MAX_MANIFEST_BYTES} bytes")
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{MANIFEST}: cannot be read ({type(error).__name__})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST}: not valid YAML ({type(error).__name__})") from error
    _check_members(document)
    try:
        return msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"{MANIFEST}: {_sentence(error)}") from error


def _file_problems(directory: Path, digests: Mapping[str, str]) -> Iterator[str]:
    root = directory.resolve()
    for name in (MODEL, CARD):
        if name not in digests:
            yield f"{MANIFEST}: sha256: {name} is missing"
    for name, digest in digests.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            yield f"{MANIFEST}: sha256: {name!r} is not a path inside the bundle"
            continue
        path = directory / pure
        if not path.resolve().is_relative_to(root):
            yield f"{name}: leads out of the bundle"
        elif not path.is_file():
            yield f"{name}: missing"
        elif not SHA256.fullmatch(digest):
            yield f"{MANIFEST}: sha256.{name}: expected 64 hex digits"
        elif sha256_file(path) != digest:
            yield f"{name}: its SHA-256 is not the one in {MANIFEST}"
        elif name == CARD and not path.read_bytes().strip():
            yield f"{CARD}: empty"
    listed = {str(PurePosixPath(name)) for name in digests}
    for name in sorted(_files_of(directory)):
        if name not in listed and name != MANIFEST:
            yield f"{name}: not listed in {MANIFEST} (sha256)"


def _files_of(directory: Path) -> Iterator[str]:
    """Relative paths of all files. Names that start with ".." are the symlink farm of a Kubernetes volume."""
    for path in directory.rglob("*"):
        relative = path.relative_to(directory)
        if not path.is_dir() and not any(part.startswith("..") for part in relative.parts):
            yield relative.as_posix()
