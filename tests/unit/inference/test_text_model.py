"""Text models: the tokenizer's numbers, pooling and class probabilities are the ones computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stream_maas.errors import InvalidInputError, TooLargeError
from stream_maas.inference import Model, check
from tests.unit.inference.conftest import Bundles
from tests.unit.inference.graphs import request, tensor, text_request
from tests.unit.inference.texts import (
    classifier_fields,
    hidden_graph,
    logits_graph,
    table,
    text_fields,
    tokenizer_file,
)

Open = Callable[..., Model]
FILES = {"tokenizer.json": tokenizer_file()}
GOOD_FILMS = [2, 4, 6, 7, 3]
"""[CLS] good film ##s [SEP]"""


def ask(model: Model, *asked: Any) -> list[Any]:
    return model.run([model.prepare(each) for each in asked])


@pytest.fixture
def embedder(open_bundle: Open) -> Model:
    return open_bundle(hidden_graph(), files=FILES, **text_fields())


def test_a_text_becomes_the_mean_of_its_tokens(embedder: Model) -> None:
    (answer,) = ask(embedder, text_request("good films"))
    mean = table()[GOOD_FILMS].astype(np.float64).mean(axis=0)
    (embedding,) = answer.tensors
    assert (embedding.name, embedding.datatype, embedding.shape) == ("embedding", "FP32", (1, 4))
    np.testing.assert_allclose(embedding.data, mean / np.linalg.norm(mean), atol=1e-7)
    assert (answer.label, answer.score_ppm) == (None, None)


def test_the_first_token_without_normalisation(open_bundle: Open) -> None:
    pooling = {"hidden": "last_hidden_state", "mode": "first", "normalise": False}
    model = open_bundle(hidden_graph(), files=FILES, **text_fields(pooling=pooling))
    (answer,) = ask(model, text_request("bad"))
    assert answer.tensors[0].data == table()[2].tolist()


@pytest.mark.parametrize("batching", ["exact", "alone", "loose"])
def test_company_and_padding_move_no_bit(open_bundle: Open, batching: str) -> None:
    model = open_bundle(hidden_graph(), files=FILES, **text_fields(batching=batching))
    texts = ["", "good", "a good film", "the long bad film " * 3, "good films", "film"]
    alone = [ask(model, text_request(text))[0].tensors[0].data for text in texts]
    crowded = ask(model, *map(text_request, texts), text_request(*texts[::-1]))
    assert [answer.tensors[0].data for answer in crowded[:-1]] == alone
    assert crowded[-1].tensors[0].data == [value for row in alone[::-1] for value in row]


def test_logits_become_probabilities(open_bundle: Open) -> None:
    model = open_bundle(logits_graph(), files=FILES, **classifier_fields())
    (answer,) = ask(model, text_request("good films"))
    logits = table()[GOOD_FILMS, :2].astype(np.float64).sum(axis=0)
    expected = np.exp(logits) / np.exp(logits).sum()
    by_name = {each.name: each for each in answer.tensors}
    assert list(by_name) == ["label", "probabilities", "logits"]
    np.testing.assert_allclose(by_name["probabilities"].data, expected, atol=1e-6)
    assert by_name["label"].data == [["no", "yes"][int(expected.argmax())]]
    assert answer.score_ppm == pytest.approx(expected.max() * 1e6, abs=1)


def test_with_sigmoid_each_class_stands_alone(open_bundle: Open) -> None:
    model = open_bundle(logits_graph(), files=FILES, **classifier_fields("sigmoid"))
    (answer,) = ask(model, text_request("good films"))
    logits = table()[GOOD_FILMS, :2].astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(answer.tensors[1].data, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_long_texts_are_cut_or_refused_as_declared(open_bundle: Open, embedder: Model) -> None:
    with pytest.raises(TooLargeError, match=r"inputs\[0\].data\[1\]: 22 tokens, the limit is 16"):
        embedder.prepare(text_request("good", "film " * 20))
    with pytest.raises(TooLargeError, match=r"inputs\[0\].data\[0\]: 1025 characters"):
        embedder.prepare(text_request("x" * 1025))
    steps = {"tokenizer": {"file": "tokenizer.json", "max_length": 5, "truncate": True}}
    cutting = open_bundle(hidden_graph(), files=FILES, **text_fields(name="cutting", preprocessing=steps))
    long, short = ask(cutting, text_request("good films bad bad bad"), text_request("good films"))
    assert long.tensors[0].data == short.tensors[0].data


def test_what_is_no_text_is_refused(embedder: Model) -> None:
    for bad in (
        request(tensor("text", "FP32", (1,), [1.0])),
        request(tensor("other", "BYTES", (1,), ["good"])),
        request(tensor("text", "BYTES", (1, 2), ["good", "bad"])),
        request(tensor("text", "BYTES", (2,), ["good"])),
    ):
        with pytest.raises(InvalidInputError):
            embedder.prepare(bad)


def test_texts_of_like_length_share_a_call(embedder: Model) -> None:
    rows = [embedder.prepare(text_request("film " * count)) for count in (1, 12, 1, 11, 2, 12)]
    embedder.shares_calls = True
    assert embedder.plan(rows) == [[0, 2], [4], [1, 3, 5]]
    embedder.shares_calls = False
    assert embedder.plan(rows) == [[0], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize(
    ("fields", "files", "message"),
    [
        ({}, {"tokenizer.json": b"{}"}, "tokenizer.json: not a tokenizer.json"),
        ({"preprocessing": {"tokenizer": {"file": "t", "max_length": 8, "truncate": True}}}, FILES, "tokenizer.file"),
        ({"preprocessing": {"tokenizer": {"file": "tokenizer.json"}}}, FILES, "preprocessing: tokenizer"),
        ({"pooling": {"hidden": "x", "mode": "mean", "normalise": True}}, FILES, "pooling.hidden: the graph has no"),
        ({"pooling": None}, FILES, "outputs[0]: the graph has no tensor embedding"),
        ({"outputs": [{"name": "v", "datatype": "FP32", "shape": [-1, 4]}]}, FILES, "pooling.output: expected"),
        ({"inputs": [{"name": "t", "datatype": "BYTES", "shape": [-1, 1]}]}, FILES, "expected one BYTES tensor"),
    ],
)
def test_a_text_bundle_that_does_not_fit_is_refused(
    make_bundle: Bundles, fields: dict[str, Any], files: dict[str, bytes], message: str
) -> None:
    problems = check(make_bundle(hidden_graph(), files=files, **text_fields(**fields)))
    assert any(message in problem for problem in problems), problems


def test_the_graph_takes_exactly_the_declared_inputs(make_bundle: Bundles) -> None:
    (problem,) = check(make_bundle(hidden_graph(types=True), files=FILES, **text_fields()))
    assert "expected the inputs attention_mask (INT64), input_ids (INT64)" in problem


def test_without_the_library_the_extra_is_named(make_bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    (problem,) = check(make_bundle(hidden_graph(), files=FILES, **text_fields()))
    assert "pip install 'stream-maas[text]'" in problem
