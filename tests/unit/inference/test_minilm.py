"""The encoder graph with made-up weights, against BERT written down in NumPy."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import onnxruntime as ort
import pytest

from stream_maas.inference.train.embedder import embedder_graph
from stream_maas.inference.train.minilm import IDS, LAYERS, MASK, WIDTH, MiniLm
from stream_maas.inference.train.safetensors import read_safetensors

VOCABULARY, POSITIONS, HEADS, WIDE = 60, 40, 12, 1536
EPSILON = 1e-12


@pytest.fixture(scope="module")
def model() -> MiniLm:
    rng = np.random.default_rng(7)

    def normal(*shape: int, scale: float = 0.05) -> np.ndarray:
        return rng.normal(scale=scale, size=shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": normal(VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": normal(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": normal(2, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        place = f"encoder.layer.{layer}"
        norms += [f"{place}.attention.output.LayerNorm", f"{place}.output.LayerNorm"]
        shapes = {
            **{f"{place}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")},
            f"{place}.attention.output.dense": (WIDTH, WIDTH),
            f"{place}.intermediate.dense": (WIDE, WIDTH),
            f"{place}.output.dense": (WIDTH, WIDE),
        }
        for name, (rows, columns) in shapes.items():
            weights[f"{name}.weight"], weights[f"{name}.bias"] = normal(rows, columns), normal(rows)
    for name in norms:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = 1 + normal(WIDTH), normal(WIDTH)
    config = {"num_attention_heads": HEADS, "layer_norm_eps": EPSILON}
    return MiniLm(weights, config, b"{}", b"", b"")


@pytest.fixture(scope="module")
def sessions(model: MiniLm) -> dict[bool, ort.InferenceSession]:
    """By eight_bit; one thread, as served."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return {
        eight_bit: ort.InferenceSession(embedder_graph(model, eight_bit=eight_bit), options)
        for eight_bit in (False, True)
    }


def embed(session: ort.InferenceSession, texts: list[list[int]], padded_to: int = 0) -> np.ndarray:
    length = max(padded_to, *map(len, texts))
    ids = np.array([text + [0] * (length - len(text)) for text in texts], dtype=np.int64)
    mask = np.array([[1] * len(text) + [0] * (length - len(text)) for text in texts], dtype=np.int64)
    return session.run(None, {IDS: ids, MASK: mask})[0]


def reference(model: MiniLm, text: list[int]) -> np.ndarray:
    """Devlin et al. 2019, one text, float64."""
    weights = {name: value.astype(np.float64) for name, value in model.weights.items()}

    def linear(x: np.ndarray, place: str) -> np.ndarray:
        return x @ weights[f"{place}.weight"].T + weights[f"{place}.bias"]

    def norm(x: np.ndarray, place: str) -> np.ndarray:
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + EPSILON)
        return x * weights[f"{place}.weight"] + weights[f"{place}.bias"]

    x = weights["embeddings.word_embeddings.weight"][text]
    x = x + weights["embeddings.position_embeddings.weight"][: len(text)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        place = f"encoder.layer.{layer}"
        query, key, value = (
            linear(x, f"{place}.attention.self.{part}").reshape(len(text), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        mixed = (scores / scores.sum(axis=2, keepdims=True)) @ value
        mixed = mixed.transpose(1, 0, 2).reshape(len(text), WIDTH)
        x = norm(linear(mixed, f"{place}.attention.output.dense") + x, f"{place}.attention.output.LayerNorm")
        wide = linear(x, f"{place}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = norm(linear(wide, f"{place}.output.dense") + x, f"{place}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


TEXTS = [[1, 2, 3], [5, 9, 9, 14, 22, 3, 8], [4, 59], list(range(30, 55)), [7] * POSITIONS]


def test_the_graph_computes_bert(model: MiniLm, sessions: dict[bool, ort.InferenceSession]) -> None:
    expected = np.stack([reference(model, text) for text in TEXTS])
    assert embed(sessions[False], TEXTS) == pytest.approx(expected, abs=1e-5)
    assert (embed(sessions[True], TEXTS) * expected).sum(axis=1).min() > 0.99


@pytest.mark.parametrize("eight_bit", [False, True])
def test_a_text_gets_the_same_bits_in_any_company(sessions: dict[bool, ort.InferenceSession], eight_bit: bool) -> None:
    session = sessions[eight_bit]
    alone = np.concatenate([embed(session, [text]) for text in TEXTS])
    assert alone.tobytes() == embed(session, TEXTS).tobytes()
    assert alone.tobytes() == embed(session, TEXTS * 3, POSITIONS)[: len(TEXTS)].tobytes()
    assert alone[::-1].tobytes() == embed(session, TEXTS[::-1]).tobytes()
    for size in range(2, 6):
        assert embed(session, [TEXTS[1]] * size, 9)[-1].tobytes() == alone[1].tobytes()


def test_eight_bits_take_a_quarter(model: MiniLm) -> None:
    assert len(embedder_graph(model, eight_bit=True)) < 0.3 * len(embedder_graph(model, eight_bit=False))


def safetensors(table: dict[str, object], data: bytes) -> bytes:
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + data


def test_safetensors_are_read() -> None:
    values = np.arange(6, dtype="<f4")
    table = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
        "n": {"dtype": "I64", "shape": [], "data_offsets": [24, 32]},
    }
    tensors = read_safetensors(safetensors(table, values.tobytes() + struct.pack("<q", -3)))
    assert tensors["a"].tolist() == [[0, 1], [2, 3]]
    assert tensors["b"].tolist() == [4, 5]
    assert tensors["n"].shape == ()
    assert tensors["n"] == -3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"short", "too short"),
        (struct.pack("<Q", 99) + b"{}", "longer than the file"),
        (safetensors({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"00"), "dtype BF16"),
        (safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"00"), "out of the file"),
    ],
)
def test_broken_safetensors_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_safetensors(content)
