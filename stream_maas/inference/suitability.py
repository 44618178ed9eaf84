"""Which graphs cannot be served however they are declared, and which may not share a call: judged by the graph alone.

ONNX Runtime tells inputs and outputs but not operators. Those stand in the file as protobuf text fields (field 4 of
NodeProto: a tag byte, the length, the name), so looking for these bytes finds every use, in subgraphs too.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stream_maas.inference.session import GraphTensor

_OP_TYPE_TAG = 0x22
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
_NEIGHBOURLY = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
"""One scale for a whole tensor, taken from its largest value: a row's score depends strongly on its neighbours."""
_WORD, _HUMP = re.compile(r"[a-z]+"), re.compile(r"(?<=[a-z])(?=[A-Z])")
_STATE_WORDS = frozenset({"state", "states", "hidden", "memory", "cache", "carry"})
_AROUND_STATES = frozenset(
    {"in", "input", "out", "output", "initial", "init", "final", "prev", "previous", "past", "present", "current",
     "last", "next", "new", "updated", "rnn", "lstm", "gru", "cell", "conv", "layer", "decoder", "h", "c", "n"}
)  # fmt: skip
_DECORATION = re.compile(r"^(past_key_values|past|present|prev|next|new|last)[._]?|[._]?(in|out|n|next|new|prev|0)$")


def unservable(inputs: Mapping[str, GraphTensor], outputs: Mapping[str, GraphTensor]) -> Iterator[str]:
    """Sentences why a graph with these tensors cannot be served. Nothing: it can, as far as they tell."""
    for name, node in inputs.items():
        if node.datatype is None:
            yield f"input {name} {node.strangeness}"
    for name, node in inputs.items():
        partner = _carried_on(name, node, outputs)
        if partner is not None:
            yield (
                f"it carries a state from one call to the next (input {name}, output {partner}); every request stands "
                "alone here, so sequence and stateful models cannot be served"
            )
            return
    if not inputs:
        yield "it takes no input, so there is nothing that a request could ask it"


def draws_random_numbers(path: Path) -> bool:
    """The graph's answers differ from call to call."""
    return uses_operator(path, _RANDOM)


def depends_on_neighbours(path: Path) -> bool:
    """The graph quantises activations by the range of the whole batch."""
    return uses_operator(path, _NEIGHBOURLY)


def uses_operator(path: Path, names: tuple[str, ...]) -> bool:
    """Whether the ONNX file has a node of one of these operator types."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(bytes((_OP_TYPE_TAG, len(name))) + name.encode()) >= 0 for name in names)


def _carried_on(name: str, node: GraphTensor, outputs: Mapping[str, GraphTensor]) -> str | None:
    """The output that is this input's next value: same type and rank, and the same name but for past and present."""
    if len(node.shape) < 2 or node.datatype in ("BYTES", None):
        return None
    for other, output in outputs.items():
        if output.datatype != node.datatype or len(output.shape) != len(node.shape) or other == name:
            continue
        if _stem(other) == _stem(name) or (output.shape == node.shape and _states(name) & _states(other)):
            return other
    return None


def _states(name: str) -> frozenset[str]:
    """What a name of nothing but state words is about: `updatedMemory` -> {memory}; empty for `state_probability`."""
    words = set(_WORD.findall(_HUMP.sub(" ", name).lower()))
    return frozenset(words & _STATE_WORDS) if words <= _STATE_WORDS | _AROUND_STATES else frozenset()


def _stem(name: str) -> str:
    stem = name.lower()
    while True:
        shorter = _DECORATION.sub("", stem)
        if shorter == stem or not shorter:
            return stem
        stem = shorter
