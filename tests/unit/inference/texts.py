"""A small text model of kind text: a WordPiece tokenizer and a graph that looks vectors up."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s", "long", "a", "the"]
SIZE = 4


def tokenizer_file() -> bytes:
    """BERT's steps over eleven words, saved with padding and truncation that the worker must not use."""
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(3)
    return json.dumps(json.loads(tokenizer.to_str())).encode()


def table() -> np.ndarray:
    """One vector per token, FP32 [tokens, SIZE]."""
    return np.random.default_rng(3).standard_normal((len(WORDS), SIZE)).astype(np.float32)


def hidden_graph(*, types: bool = False) -> bytes:
    """last_hidden_state = table[input_ids] * attention_mask: what pooling is declared for."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["vectors", "factor"], ["last_hidden_state"]),
    ]
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    constants = {"table": table(), "last": np.array([-1])}
    return _model(nodes, names, {"last_hidden_state": [SIZE]}, constants, sequence=True)


def logits_graph() -> bytes:
    """logits [b, 2] of a text: the sum of its tokens' vectors, first two numbers."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["vectors", "factor"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "one"], ["logits"], keepdims=0),
    ]
    constants = {"table": table()[:, :2].copy(), "last": np.array([-1]), "one": np.array([1])}
    return _model(nodes, ["input_ids", "attention_mask"], {"logits": [2]}, constants, sequence=False)


def _model(
    nodes: list[Any], inputs: list[str], outputs: dict[str, list[int]], constants: dict[str, Any], *, sequence: bool
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "s"]) for name in inputs],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", *(["s"] if sequence else []), *sizes])
            for name, sizes in outputs.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def text_fields(**more: Any) -> dict[str, Any]:
    """Manifest fields of an embedder around `hidden_graph`; `more` overrides."""
    return {
        "kind": "text",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, SIZE]}],
        "preprocessing": {"tokenizer": {"file": "tokenizer.json", "max_length": 16, "truncate": False}},
        "pooling": {"hidden": "last_hidden_state", "mode": "mean", "normalise": True},
        "limits": {"max_record_rows": 8, "max_row_tokens": 32, "max_batch_rows": 64, "max_batch_tokens": 256},
    } | more


def classifier_fields(activation: str = "softmax") -> dict[str, Any]:
    """Manifest fields of a classifier around `logits_graph`."""
    return text_fields(
        outputs=[{"name": "logits", "datatype": "FP32", "shape": [-1, 2]}],
        labels={"output": "logits", "names": ["no", "yes"], "activation": activation},
        pooling=None,
    )
