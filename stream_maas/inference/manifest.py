"""What bundle.yaml says: the statements of a model about itself, and which of them contradict each other. Pure.

docs/models.md describes the format for people; bundle.py compares it with the files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from stream_maas.records import Datatype

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_UNBOUNDED = frozenset({"BOOL", "BYTES"})

Kind = Literal["tensor", "word-bag", "text"]
Batching = Literal["exact", "alone", "loose"]
Activation = Literal["none", "softmax", "sigmoid"]


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One declared input or output. `shape[0]` is -1 (rows), or 1 for a graph that takes one row at a time;
    another -1 is any size."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    description: str = ""
    minimum: int | float | None = None
    """Smallest accepted value; the guard of e.g. Gather, which takes a negative index without complaint."""
    maximum: int | float | None = None
    columns: tuple[str, ...] = ()
    """Names of the last axis of an input [-1, k]: a request may then send one tensor per column instead."""


class Labels(Struct, frozen=True, forbid_unknown_fields=True):
    """Class names in the order of the last axis of `output`, a float tensor of shape [-1, len(names)].

    `activation` "none": the output is probabilities. "softmax", "sigmoid": it is logits, and the answer gets one more
    output `probabilities`. With "sigmoid" and two names, `output` may also be one logit of the second class.
    """

    output: str
    names: tuple[str, ...]
    activation: Activation = "none"


class BundleLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one record and one model call may carry. A token is a word of a text, a token of the tokenizer, or one
    value of a tensor row."""

    max_record_rows: int
    max_row_tokens: int
    max_batch_rows: int
    max_batch_tokens: int


class TrainingData(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the weights come from. `sha256` is 64 hex digits, or the word "unknown", written on purpose."""

    source: str
    sha256: str


class Pooling(Struct, frozen=True, forbid_unknown_fields=True):
    """One vector per text, made of a graph output [b, s, h] (float): the mean over the text's tokens, or the first
    token's (BERT's [CLS]); `normalise`: divided by its Euclidean length. Served as `output`, FP32 [-1, h]."""

    hidden: str
    mode: Literal["mean", "first"]
    normalise: bool
    output: str = "embedding"


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """How a quantity was distributed when the model was made: what drift is measured against.

    `name`: `label`, `score` (winning probability), or an input, column or output. Numbers: `edges` ascending, and
    `counts[i]` values in [edges[i - 1], edges[i]), the first and last bin open. Otherwise `categories` beside `counts`.
    """

    name: str
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()


class WordBagSteps(Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of kind word-bag: the term list, one term per line (see features.py for the steps)."""

    vocabulary: str


class TokenizerInputs(Struct, frozen=True, forbid_unknown_fields=True):
    """Names of the graph's INT64 inputs [b, s]. None: the graph has no such input."""

    ids: str = "input_ids"
    mask: str | None = "attention_mask"
    types: str | None = None


class Tokenizer(Struct, frozen=True, forbid_unknown_fields=True):
    """A tokenizer.json of the Hugging Face `tokenizers` library. What it says of padding and truncation is not used."""

    file: str
    max_length: int
    """Tokens per text, special ones included."""
    truncate: bool
    """Longer texts: True cuts them at `max_length`, False refuses the record."""
    pad_id: int = 0
    """Token that fills short texts up where texts share a call; masked out."""
    inputs: TokenizerInputs = TokenizerInputs()


class TextSteps(Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of kind text. With `vocabulary` the graph also takes the word bag's `ids` INT32 [n] and `offsets`
    INT64 [b + 1] of the same texts."""

    tokenizer: Tokenizer
    vocabulary: str | None = None


class NoSteps(Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of kind tensor: none, what arrives goes into the graph."""


Steps = WordBagSteps | TextSteps | NoSteps
STEPS: dict[str, type[WordBagSteps] | type[TextSteps] | type[NoSteps]] = {
    "word-bag": WordBagSteps,
    "text": TextSteps,
    "tensor": NoSteps,
}


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
    """True: one call is so short that a thread switch would cost more. None: judged by the size of
    model.onnx and by how long it took when it was loaded."""
    batching: Batching = "exact"
    """exact: records share a call only where a test at load finds the same bits in every batch, else one record per
    call. alone: always one record per call. loose: they share calls although the last bits depend on the company,
    so that a replay can be compared with a tolerance only."""
    pooling: Pooling | None = None
    """Kind text only. None: the graph pools itself."""
    reference: tuple[Reference, ...] = ()


def steps_of(manifest: Manifest) -> Steps:
    """`manifest.preprocessing`, typed by kind. Raises `msgspec.ValidationError`."""
    return msgspec.convert(manifest.preprocessing, STEPS[manifest.kind])


def named_files(steps: Steps) -> Iterator[tuple[str, str]]:
    """(field, file) of the files that the preprocessing names."""
    if isinstance(steps, TextSteps):
        yield "preprocessing.tokenizer.file", steps.tokenizer.file
    if not isinstance(steps, NoSteps) and steps.vocabulary is not None:
        yield "preprocessing.vocabulary", steps.vocabulary


def statement_problems(manifest: Manifest, licences: Collection[str]) -> Iterator[str]:
    """What keeps the manifest from being served, each "field: what is wrong"; files are not looked at."""
    if not NAME.fullmatch(manifest.name):
        yield "name: expected lower case letters, digits, '.', '_' and '-', at most 64"
    if not VERSION.fullmatch(manifest.version):
        yield "version: expected letters, digits, '.', '+', '_' and '-', at most 64"
    if manifest.licence not in licences:
        yield f"licence: {manifest.licence!r} is not among the allowed ones (setting inference.licences)"
    for field in ("description", "intended_use"):
        if not getattr(manifest, field).strip():
            yield f"{field}: empty"
    if not manifest.training_data.source.strip():
        yield "training_data.source: empty"
    digest = manifest.training_data.sha256
    if digest != "unknown" and not SHA256.fullmatch(digest):
        yield "training_data.sha256: expected 64 hex digits, or unknown"
    yield from _spec_problems("inputs", manifest.inputs)
    yield from _spec_problems("outputs", manifest.outputs)
    yield from _row_problems(manifest)
    yield from _column_problems(manifest)
    yield from _label_problems(manifest.labels, manifest.outputs)
    yield from _limit_problems(manifest)
    yield from _pooling_problems(manifest)
    yield from _reference_problems(manifest.reference)


def _limit_problems(manifest: Manifest) -> Iterator[str]:
    limits = manifest.limits
    for field in limits.__struct_fields__:
        if getattr(limits, field) < 1:
            yield f"limits.{field}: must be at least 1"
    if limits.max_record_rows > limits.max_batch_rows:
        yield "limits.max_batch_rows: must not be smaller than limits.max_record_rows"


def takes_one_row(manifest: Manifest) -> bool:
    """The graph's first dimension is fixed at 1."""
    return any(spec.shape[:1] == (1,) for spec in manifest.inputs)


def _spec_problems(place: str, specs: tuple[TensorSpec, ...]) -> Iterator[str]:
    if not specs:
        yield f"{place}: empty"
    if len({spec.name for spec in specs}) != len(specs):
        yield f"{place}: a name occurs twice"
    for index, spec in enumerate(specs):
        if not spec.shape or spec.shape[0] not in (-1, 1):
            yield f"{place}[{index}].shape: the first dimension must be -1 (rows), or 1 for one row at a time"
        if any(size < 1 and size != -1 for size in spec.shape):
            yield f"{place}[{index}].shape: a dimension must be positive, or -1 for any size"
        low, high = spec.minimum, spec.maximum
        if spec.datatype in _UNBOUNDED and (low is not None or high is not None):
            yield f"{place}[{index}]: {spec.datatype} takes no minimum or maximum"
        elif low is not None and high is not None and low > high:
            yield f"{place}[{index}].minimum: larger than maximum"


def _row_problems(manifest: Manifest) -> Iterator[str]:
    if takes_one_row(manifest):
        if manifest.limits.max_record_rows != 1:
            yield "limits.max_record_rows: must be 1, because the graph takes one row at a time (shape[0] is 1)"
        return
    for index, spec in enumerate(manifest.outputs):
        if spec.shape[:1] == (1,):
            yield f"outputs[{index}].shape: the first dimension must be -1 (rows), as that of the inputs"


def _column_problems(manifest: Manifest) -> Iterator[str]:
    if any(spec.columns for spec in manifest.outputs):
        yield "outputs: only inputs have columns"
    taken = [spec.name for spec in manifest.inputs]
    for index, spec in enumerate(manifest.inputs):
        if not spec.columns:
            continue
        if manifest.kind != "tensor":
            yield f"inputs[{index}].columns: for kind tensor only"
        if len(spec.shape) != 2 or spec.shape[1] != len(spec.columns):
            yield f"inputs[{index}].columns: expected an input of shape [-1, {len(spec.columns)}]"
        taken += spec.columns
    if len(set(taken)) != len(taken) and len({spec.name for spec in manifest.inputs}) == len(manifest.inputs):
        yield "inputs: a column has the name of another column or input"


def _label_problems(labels: Labels | None, outputs: tuple[TensorSpec, ...]) -> Iterator[str]:
    if labels is None:
        return
    count = len(labels.names)
    if count < 2 or len(set(labels.names)) != count:
        yield "labels.names: expected two or more different names"
    if labels.activation != "none" and any(spec.name == "probabilities" for spec in outputs):
        yield "labels.activation: there is an output probabilities already"
    spec = next((spec for spec in outputs if spec.name == labels.output), None)
    if spec is None:
        yield "labels.output: not one of the outputs"
        return
    single = labels.activation == "sigmoid" and count == 2 and spec.shape[1:] in ((), (1,))
    if spec.datatype not in _FLOATS or not (single or spec.shape[1:] == (count,)):
        yield f"labels.output: expected a float tensor of shape [-1, {count}]"


def _pooling_problems(manifest: Manifest) -> Iterator[str]:
    pooling = manifest.pooling
    if pooling is None:
        return
    if manifest.kind != "text":
        yield "pooling: for kind text only"
    spec = next((spec for spec in manifest.outputs if spec.name == pooling.output), None)
    if spec is None or spec.datatype != "FP32" or len(spec.shape) != 2:
        yield f"pooling.output: expected an output {pooling.output}, FP32 of shape [-1, h]"


def _reference_problems(reference: tuple[Reference, ...]) -> Iterator[str]:
    for index, entry in enumerate(reference):
        place = f"reference[{index}]"
        if bool(entry.edges) == bool(entry.categories):
            yield f"{place}: expected either edges or categories"
        elif len(entry.counts) != (len(entry.edges) + 1 if entry.edges else len(entry.categories)):
            yield f"{place}.counts: expected one count per bin (edges + 1) or category"
        if any(count < 0 for count in entry.counts):
            yield f"{place}.counts: expected no negative number"
        if any(low >= high for low, high in zip(entry.edges, entry.edges[1:], strict=False)):
            yield f"{place}.edges: expected ascending numbers"
