"""A first bundle.yaml: what a graph, its metadata and the files beside it say, and what only a person can.

Nothing is guessed in silence: whatever could not be read is written as "unknown" and comes back as a thing to do.
"""

from __future__ import annotations

import ast
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stream_maas.errors import BundleError
from stream_maas.inference.answers import LABEL
from stream_maas.inference.bundle import CARD, MANIFEST, MODEL, sha256_file
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.session import GraphTensor, Session
from stream_maas.inference.suitability import unservable

UNKNOWN = "unknown"
DEFAULT_MAX_LENGTH = 512
"""Tokens per text where nothing says how many: BERT's positions."""
FREE_SIZE = 4096
"""What an open dimension is taken for when limits are proposed."""
_FLOATS = ("FP16", "FP32", "FP64")
_COLUMN_KEYS = ("columns", "column_names", "feature_names", "features", "feature_names_in")
_LABEL_KEYS = ("labels", "classes", "names", "class_names", "id2label")
_TOKEN_INPUTS = {"input_ids": "ids", "attention_mask": "mask", "token_type_ids": "types"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A manifest without digests, and what a person has to settle."""

    manifest: dict[str, Any]
    card: str
    """Text of MODEL_CARD.md."""
    files: Mapping[str, Path]
    """Name in the bundle -> where it is now."""
    to_do: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the caller knows; None is read from graph and files."""

    name: str | None = None
    version: str | None = None
    licence: str | None = None
    labels: tuple[str, ...] = ()
    tokenizer: Path | None = None


@dataclass(slots=True)
class _Notes:
    to_do: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.to_do.append(text)


def draft_bundle(model: Path, known: Known) -> Draft:
    """Read `model` (an ONNX file) and what lies beside it. Raises `BundleError` for a graph that cannot be served."""
    session = Session(model, RuntimeConfig())
    for reason in unservable(session.inputs, session.outputs):
        raise BundleError(f"{model}: {reason}")
    notes = _Notes()
    beside = _json_beside(model, "config.json")
    names = known.labels or _names_in(session.metadata, _LABEL_KEYS) or _names_in(beside, _LABEL_KEYS)
    tokenizer = known.tokenizer or model.with_name("tokenizer.json")
    files = {MODEL: model, **_external_data(model)}
    if "input_ids" in session.inputs and tokenizer.is_file():
        body = _text_body(model, session, beside, notes)
        files["tokenizer.json"] = tokenizer
    else:
        if "input_ids" in session.inputs:
            notes.add("token numbers are asked of the client; for texts name a tokenizer.json with --tokenizer")
        body = _tensor_body(model, session, notes)
    labels = _labels(body["outputs"], names, notes)
    name = known.name or _slug(model)
    about = _about(session, name)
    manifest = {
        "bundle": 1,
        "name": name,
        "version": known.version or "0.1.0",
        "kind": body.pop("kind"),
        "licence": known.licence or session.metadata.get("license") or session.metadata.get("licence") or UNKNOWN,
        "description": session.description or about,
        "intended_use": UNKNOWN,
        "not_for": [],
        "inputs": body.pop("inputs"),
        "outputs": _answered(body.pop("outputs"), labels),
        "labels": labels,
        **body,
        "training_data": {"source": UNKNOWN, "sha256": UNKNOWN},
        "metrics": {},
    }
    if manifest["licence"] == UNKNOWN:
        notes.add("licence: write the SPDX id of the weights; until then the bundle is refused (or use --licence)")
    notes.add("intended_use, not_for, training_data, metrics and MODEL_CARD.md: write what you know")
    return Draft(manifest, _card(manifest, about), files, tuple(notes.to_do))


def write_bundle(draft: Draft, directory: Path) -> None:
    """Copy the files, write card and bundle.yaml. Raises `BundleError` when there is a bundle already."""
    if (directory / MANIFEST).exists():
        raise BundleError(f"{directory}: has a {MANIFEST} already; next: name another folder with --out")
    directory.mkdir(parents=True, exist_ok=True)
    for name, source in draft.files.items():
        target = directory / name
        if target.resolve() != source.resolve():
            shutil.copyfile(source, target)
    if not (directory / CARD).exists():
        (directory / CARD).write_text(draft.card, encoding="utf-8")
    digests = {name: sha256_file(directory / name) for name in (*draft.files, CARD)}
    place = list(draft.manifest).index("inputs")
    members = list(draft.manifest.items())
    manifest = dict([*members[:place], ("sha256", digests), *members[place:]])
    (directory / MANIFEST).write_text(
        yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8"
    )


def _tensor_body(model: Path, session: Session, notes: _Notes) -> dict[str, Any]:
    inputs = [_input_spec(model, name, node) for name, node in session.inputs.items()]
    columns = _names_in(session.metadata, _COLUMN_KEYS)
    if (
        len(inputs) == 1
        and columns
        and inputs[0]["shape"][1:] == [len(columns)]
        and session.inputs.keys().isdisjoint(columns)
    ):
        inputs[0]["columns"] = list(columns)
    one_row = any(spec["shape"][0] == 1 for spec in inputs)
    if one_row:
        notes.add("the graph takes exactly one row; exported with a free first dimension it could take batches")
    values = sum(_values(spec["shape"]) for spec in inputs)
    if any(spec["datatype"] not in ("BYTES", "BOOL") for spec in inputs):
        notes.add("inputs: declare minimum and maximum where values have bounds, above all for indexes")
    rows = 1 if one_row else 64
    return {
        "kind": "tensor",
        "inputs": inputs,
        "outputs": _output_specs(model, session.outputs, one_row=one_row, notes=notes),
        "preprocessing": {},
        "limits": {
            "max_record_rows": rows,
            "max_row_tokens": values,
            "max_batch_rows": 1 if one_row else 256,
            "max_batch_tokens": values if one_row else max(values * 64, 65_536),
        },
    }


def _text_body(model: Path, session: Session, beside: Mapping[str, Any], notes: _Notes) -> dict[str, Any]:
    strange = sorted(set(session.inputs) - set(_TOKEN_INPUTS))
    if strange:
        raise BundleError(f"{model}: besides token numbers the graph wants {', '.join(strange)}; export it without")
    positions = beside.get("max_position_embeddings")
    length = min(positions, DEFAULT_MAX_LENGTH) if isinstance(positions, int) and positions > 0 else DEFAULT_MAX_LENGTH
    outputs = _output_specs(model, session.outputs, one_row=False, notes=notes)
    pooling = None
    if all(len(spec["shape"]) == 3 for spec in outputs):
        hidden = outputs[0]
        pooling = {"hidden": hidden["name"], "mode": "mean", "normalise": True, "output": "embedding"}
        outputs = [{"name": "embedding", "datatype": "FP32", "shape": [-1, hidden["shape"][2]]}]
        notes.add("pooling: mean and normalised is what most sentence embedders want; ask the model's card")
    names = {role: name for name, role in _TOKEN_INPUTS.items() if name in session.inputs}
    body = {
        "kind": "text",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [spec for spec in outputs if len(spec["shape"]) < 3],
        "preprocessing": {
            "tokenizer": {
                "file": "tokenizer.json",
                "max_length": length,
                "truncate": True,
                "inputs": {"ids": "input_ids", "mask": names.get("mask"), "types": names.get("types")},
            }
        },
        "limits": {
            "max_record_rows": 64,
            "max_row_tokens": length,
            "max_batch_rows": 64,
            "max_batch_tokens": max(4096, 64 * length),
        },
    }
    return body if pooling is None else {**body, "pooling": pooling}


def _input_spec(model: Path, name: str, node: GraphTensor) -> dict[str, Any]:
    if not node.shape:
        raise BundleError(
            f"{model}: input {name} is a scalar or says no shape; every input needs a first dimension, rows"
        )
    if node.shape[0] not in (-1, 1):
        raise BundleError(
            f"{model}: input {name} is fixed at {node.shape[0]} rows; export it with a free first dimension"
        )
    return {"name": name, "datatype": node.datatype, "shape": list(node.shape)}


def _output_specs(
    model: Path, outputs: Mapping[str, GraphTensor], *, one_row: bool, notes: _Notes
) -> list[dict[str, Any]]:
    specs = []
    for name, node in outputs.items():
        if node.datatype is None:
            notes.add(f"output {name} is left out: it {node.strangeness}")
        elif not node.shape:
            notes.add(f"output {name} is a scalar or says no shape and is left out")
        elif node.shape[0] not in (-1, 1) and not one_row:
            notes.add(f"output {name} is fixed at {node.shape[0]} rows and left out")
        else:
            first = -1 if not one_row or node.shape[0] != 1 else 1
            specs.append({"name": name, "datatype": node.datatype, "shape": [first, *node.shape[1:]]})
    if not specs:
        left_out = [note for note in notes.to_do if note.startswith("output ")]
        raise BundleError(f"{model}: it has no output that is a tensor with rows; " + "; ".join(left_out))
    return specs


def _labels(outputs: Sequence[Mapping[str, Any]], names: Sequence[str], notes: _Notes) -> dict[str, Any] | None:
    """Class names for the float output that has as many numbers; its name tells probabilities from logits."""
    if len(names) < 2:
        return None
    for spec in outputs:
        if spec["datatype"] in _FLOATS and spec["shape"][1:] == [len(names)]:
            activation = "softmax" if "logit" in spec["name"].lower() else "none"
            if activation == "none":
                notes.add(
                    f"labels.activation: none takes {spec['name']} for probabilities; write softmax if it is logits"
                )
            return {"output": spec["name"], "names": list(names), "activation": activation}
    notes.add(f"{len(names)} class names were found, but no float output of shape [-1, {len(names)}]")
    return None


def _answered(outputs: Sequence[Mapping[str, Any]], labels: object) -> list[Mapping[str, Any]]:
    """Exporters of scikit-learn and LightGBM add the number of the class as `label`; with class names known, the
    answer's `label` is the name instead."""
    numbered = labels is not None
    return [spec for spec in outputs if not (numbered and spec["name"] == LABEL and spec["datatype"].startswith("INT"))]


def _names_in(metadata: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    """Names of classes or columns as exporters write them: a list, a map from number to name, or lines. Empty: none."""
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, str):
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                value = value.split("\n") if "\n" in value else value.split(",")
        if isinstance(value, Mapping):
            value = (
                [value[number] for number in sorted(value, key=lambda number: int(number))] if _numbered(value) else []
            )
        if isinstance(value, list | tuple) and len(value) > 1 and len(set(map(str, value))) == len(value):
            return tuple(map(str, value))
    return ()


def _numbered(mapping: Mapping[Any, Any]) -> bool:
    return all(str(number).isdigit() for number in mapping)


def _json_beside(model: Path, name: str) -> Mapping[str, Any]:
    try:
        document = json.loads(model.with_name(name).read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _external_data(model: Path) -> dict[str, Path]:
    """Files beside the model whose names stand in it: weights that were too large for one protobuf message."""
    content = model.read_bytes()
    found = {}
    for path in sorted(model.parent.iterdir()):
        name = path.name.encode()
        # A protobuf string: its length, then its bytes. Names of 128 bytes and more have a longer length.
        if path != model and len(name) < 128 and bytes((len(name),)) + name in content and path.is_file():
            found[path.name] = path
    return found


def _values(shape: Sequence[int]) -> int:
    return math.prod(FREE_SIZE if size == -1 else size for size in shape[1:])


def _slug(model: Path) -> str:
    stem = model.parent.resolve().name if model.stem == "model" else model.stem
    slug = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:64]
    return slug or "model"


def _about(session: Session, name: str) -> str:
    made = f", made by {session.producer}" if session.producer else ""
    return f"ONNX graph {name}{made}: inputs {', '.join(session.inputs)}; outputs {', '.join(session.outputs)}."


def _card(manifest: Mapping[str, Any], about: str) -> str:
    return f"""# {manifest["name"]} {manifest["version"]}

{about}

| | |
|---|---|
| Licence of the weights | {manifest["licence"]} |
| Trained on | {UNKNOWN} |
| Intended use | {UNKNOWN} |
| Must not be used for | {UNKNOWN} |
| Results, and for whom they are worse | {UNKNOWN} |

Written by `stream-maas model init` from the graph alone. Replace every "unknown" that you can.
"""
