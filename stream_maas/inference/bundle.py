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
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct

from stream_maas.errors import BundleError
from stream_maas.inference.config import RuntimeConfig
from stream_maas.records import Datatype, ModelRef

MANIFEST = "bundle.yaml"
MODEL = "model.onnx"
CARD = "MODEL_CARD.md"
MAX_MANIFEST_BYTES = 1 << 20

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_UNBOUNDED = frozenset({"BOOL", "BYTES"})

Kind = Literal["tensor", "word-bag"]


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One declared input or output. `shape[0]` is always -1 (rows); another -1 is any size."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    description: str = ""
    minimum: int | float | None = None
    """Smallest accepted value; the guard of e.g. Gather, which takes a negative index without complaint."""
    maximum: int | float | None = None


class Labels(Struct, frozen=True, forbid_unknown_fields=True):
    """Class names in the order of the last axis of `output`, a probability tensor of shape [-1, len(names)]."""

    output: str
    names: tuple[str, ...]


class BundleLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one record and one model call may carry. A token is a word of a text, or one value of a tensor row."""

    max_record_rows: int
    max_row_tokens: int
    max_batch_rows: int
    max_batch_tokens: int


class TrainingData(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the weights come from. `sha256` is 64 hex digits, or the word "unknown", written on purpose."""

    source: str
    sha256: str


class WordBagSteps(Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of kind word-bag: the term list, one term per line (see features.py for the steps)."""

    vocabulary: str


class NoSteps(Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of kind tensor: none, what arrives goes into the graph."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """bundle.yaml as written. Only the fields with a default may be left out."""

    bundle: Literal[1]
    """Version of this format."""
    name: str
    version: str
    kind: Kind
    licence: str
    """SPDX identifier of the weights."""
    description: str
    intended_use: str
    sha256: dict[str, str]
    """Path inside the folder -> SHA-256 hex. Every file but bundle.yaml itself."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: Labels | None
    """None: the model is no classifier."""
    preprocessing: dict[str, Any]
    limits: BundleLimits
    training_data: TrainingData
    metrics: dict[str, Any]
    not_for: tuple[str, ...] = ()
    tiny: bool | None = None
    """True: one call is so short that a thread switch would cost more. None: judged by the size of model.onnx."""


class Bundle(Struct, frozen=True):
    """A checked bundle. `steps` is `manifest.preprocessing`, typed by kind."""

    directory: Path
    manifest: Manifest
    steps: WordBagSteps | NoSteps
    ref: ModelRef

    def path(self, name: str) -> Path:
        """The file `name` of this bundle."""
        return self.directory / name


_STEPS: dict[str, type[WordBagSteps] | type[NoSteps]] = {"word-bag": WordBagSteps, "tensor": NoSteps}


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
    problems = [f"{MANIFEST}: {problem}" for problem in _statement_problems(manifest, licences)]
    problems += _file_problems(directory, manifest.sha256)
    steps: WordBagSteps | NoSteps = NoSteps()
    try:
        steps = msgspec.convert(manifest.preprocessing, _STEPS[manifest.kind])
    except msgspec.ValidationError as error:
        problems.append(f"{MANIFEST}: preprocessing: {_sentence(error)}")
    if isinstance(steps, WordBagSteps) and steps.vocabulary not in manifest.sha256:
        problems.append(f"{MANIFEST}: preprocessing.vocabulary: not one of the files in sha256")
    if problems:
        return None, problems
    ref = ModelRef(manifest.name, manifest.version, manifest.sha256[MODEL], manifest.licence)
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
        "kind": manifest.kind,
        "licence": bundle.ref.licence,
        "description": manifest.description,
        "intended_use": manifest.intended_use,
        "not_for": list(manifest.not_for),
        "inputs": [_plain(spec) for spec in manifest.inputs],
        "outputs": [_plain(spec) for spec in manifest.outputs],
        "labels": list(manifest.labels.names) if manifest.labels else [],
        "limits": msgspec.to_builtins(manifest.limits),
        "training_data": msgspec.to_builtins(manifest.training_data),
        "metrics": manifest.metrics,
        "files": dict(manifest.sha256),
        "size_bytes": sum(bundle.path(name).stat().st_size for name in manifest.sha256),
        "directory": str(bundle.directory),
    }


def _plain(spec: TensorSpec) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(spec).items() if value not in (None, "")}


def _sentence(error: msgspec.ValidationError) -> str:
    """ "Expected `str`, got `float` - at `$.version`" -> "version: expected `str`, got `float`"."""
    text, _, place = str(error).partition(" - at `$.")
    field = place.rstrip("`")
    return f"{field}: {text[0].lower()}{text[1:]}" if field else text[0].lower() + text[1:]


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
    try:
        return msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"{MANIFEST}: {_sentence(error)}") from error


def _statement_problems(manifest: Manifest, licences: Collection[str]) -> Iterator[str]:
    if not _NAME.fullmatch(manifest.name):
        yield "name: expected lower case letters, digits, '.', '_' and '-', at most 64"
    if not _VERSION.fullmatch(manifest.version):
        yield "version: expected letters, digits, '.', '+', '_' and '-', at most 64"
    if manifest.licence not in licences:
        yield f"licence: {manifest.licence!r} is not among the allowed ones (setting inference.licences)"
    for field in ("description", "intended_use"):
        if not getattr(manifest, field).strip():
            yield f"{field}: empty"
    if not manifest.training_data.source.strip():
        yield "training_data.source: empty"
    digest = manifest.training_data.sha256
    if digest != "unknown" and not _SHA256.fullmatch(digest):
        yield "training_data.sha256: expected 64 hex digits, or unknown"
    yield from _spec_problems("inputs", manifest.inputs)
    yield from _spec_problems("outputs", manifest.outputs)
    yield from _label_problems(manifest.labels, manifest.outputs)
    limits = manifest.limits
    for field in limits.__struct_fields__:
        if getattr(limits, field) < 1:
            yield f"limits.{field}: must be at least 1"
    if limits.max_record_rows > limits.max_batch_rows:
        yield "limits.max_batch_rows: must not be smaller than limits.max_record_rows"


def _spec_problems(place: str, specs: tuple[TensorSpec, ...]) -> Iterator[str]:
    if not specs:
        yield f"{place}: empty"
    if len({spec.name for spec in specs}) != len(specs):
        yield f"{place}: a name occurs twice"
    for index, spec in enumerate(specs):
        if not spec.shape or spec.shape[0] != -1:
            yield f"{place}[{index}].shape: the first dimension must be -1 (rows)"
        if any(size < 1 and size != -1 for size in spec.shape):
            yield f"{place}[{index}].shape: a dimension must be positive, or -1 for any size"
        low, high = spec.minimum, spec.maximum
        if spec.datatype in _UNBOUNDED and (low is not None or high is not None):
            yield f"{place}[{index}]: {spec.datatype} takes no minimum or maximum"
        elif low is not None and high is not None and low > high:
            yield f"{place}[{index}].minimum: larger than maximum"


def _label_problems(labels: Labels | None, outputs: tuple[TensorSpec, ...]) -> Iterator[str]:
    if labels is None:
        return
    if len(labels.names) < 2 or len(set(labels.names)) != len(labels.names):
        yield "labels.names: expected two or more different names"
    spec = next((spec for spec in outputs if spec.name == labels.output), None)
    if spec is None:
        yield "labels.output: not one of the outputs"
    elif spec.datatype not in _FLOATS or spec.shape != (-1, len(labels.names)):
        yield f"labels.output: expected a float tensor of shape [-1, {len(labels.names)}]"


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
        elif not _SHA256.fullmatch(digest):
            yield f"{MANIFEST}: sha256.{name}: expected 64 hex digits"
        elif sha256_file(path) != digest:
            yield f"{name}: its SHA-256 is not the one in {MANIFEST}"
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
