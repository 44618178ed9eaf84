"""sentiment-lite as served: scikit-learn's probabilities, the same bits in any company, and its reasons."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from sklearn.feature_extraction.text import TfidfVectorizer

from stream_maas import wire
from stream_maas.errors import BundleError, InvalidInputError, RequestError, TooLargeError
from stream_maas.inference import Model, Output, RuntimeConfig, check, load_bundle
from stream_maas.inference.bundle import sha256_file
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from tests.unit.inference.graphs import read_manifest, request, tensor, text_request, write_manifest

TERMS = (DEFAULT_BUNDLE / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
SAMPLE = [term for index, term in enumerate(TERMS) if index % 97 == 0]
words = st.one_of(
    st.sampled_from(SAMPLE),
    st.sampled_from(["not", "good", "the", "[EMAIL]", "Ärger", "é", "!", "x9"]),
    st.text(max_size=5),
)
texts = st.lists(words, max_size=40).map(" ".join)


def bits(answer: Output | RequestError) -> bytes:
    assert isinstance(answer, Output)
    return b"".join(np.float32(value).tobytes() for value in output(answer, "probabilities").data)


def output(answer: Any, name: str) -> Any:
    return next(tensor for tensor in answer.tensors if tensor.name == name)


def ask(model: Model, *asked: Any) -> list[Any]:
    return model.run([model.prepare(each) for each in asked])


@pytest.fixture(scope="module")
def oracle() -> Any:
    """scikit-learn's featurizer and a NumPy linear model, fed with nothing but the numbers in model.onnx."""
    constants = {
        value.name: numpy_helper.to_array(value) for value in onnx.load(DEFAULT_BUNDLE / "model.onnx").graph.initializer
    }
    table = constants["table"] * float(constants["unit"])
    idf = np.sqrt(table[:, 1])
    vectorizer = TfidfVectorizer(
        preprocessor=lambda text: re.sub(r"\[[A-Z][A-Z0-9_]*\]", " ", text).lower(),
        token_pattern=r"\w+",
        ngram_range=(1, 2),
        binary=True,
        vocabulary=TERMS,
    )
    vectorizer.idf_ = idf

    def probability(text: str) -> float:
        features = vectorizer.transform([text])
        return 1 / (1 + math.exp(-float((features @ (table[:, 0] / idf))[0]) - float(constants["bias"])))

    return probability


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A wonderful, moving film with great performances.", "positive"),
        ("Boring, badly acted and a waste of time.", "negative"),
        ("I love it :)", "positive"),
        ("Does not work, I want my money back", "negative"),
    ],
)
def test_it_has_learnt_something(sentiment: Model, text: str, label: str) -> None:
    (answer,) = ask(sentiment, text_request(text))
    assert answer.label == label
    assert output(answer, "label").data == [label]
    assert answer.score_ppm == round(max(output(answer, "probabilities").data) * 1_000_000) > 600_000


@given(text=texts)
def test_the_probability_is_scikit_learns(sentiment: Model, oracle: Any, text: str) -> None:
    (answer,) = ask(sentiment, text_request(text))
    negative, positive = output(answer, "probabilities").data
    assert abs(positive - oracle(text)) < 1e-6
    assert abs(negative + positive - 1) < 1e-6


@settings(max_examples=40)
@given(batch=st.lists(texts, min_size=1, max_size=40))
def test_a_score_is_the_same_bits_in_any_company(sentiment: Model, batch: list[str]) -> None:
    alone = [bits(ask(sentiment, text_request(text))[0]) for text in batch]
    together = ask(sentiment, *(text_request(text) for text in batch))
    assert [bits(answer) for answer in together] == alone
    reversed_ = ask(sentiment, *(text_request(text) for text in reversed(batch)))
    assert [bits(answer) for answer in reversed_] == alone[::-1]
    (one_record,) = ask(sentiment, text_request(*batch))
    assert bits(one_record) == b"".join(alone)


@given(st.lists(texts, min_size=1, max_size=20))
def test_what_is_encoded_for_all_rows_together_is_the_tensors_own_json(sentiment: Model, batch: list[str]) -> None:
    for answer in ask(sentiment, *map(text_request, batch)):
        assert answer.encoded == wire.encode_outputs(answer.tensors)


def test_a_very_long_neighbour_changes_nothing(sentiment: Model) -> None:
    short = text_request("not good")
    long = text_request(" ".join(SAMPLE * 15))
    assert bits(ask(sentiment, short, long)[0]) == bits(ask(sentiment, short)[0])


def test_redacted_words_have_no_weight(sentiment: Model) -> None:
    answers = ask(sentiment, text_request("call me at [PHONE_NUMBER] good"), text_request("call me at good"))
    assert bits(answers[0]) == bits(answers[1])


def test_many_rows_in_one_record(sentiment: Model) -> None:
    (answer,) = ask(sentiment, text_request("great", "awful", ""))
    assert (answer.label, answer.score_ppm) == (None, None)
    assert output(answer, "label").shape == (3,)
    assert output(answer, "label").data[:2] == ["positive", "negative"]
    assert output(answer, "probabilities").shape == (3, 2)
    assert len(output(answer, "probabilities").data) == 6


def test_a_column_of_texts_is_accepted(sentiment: Model) -> None:
    column = request(tensor("text", "BYTES", (2, 1), [["great"], ["awful"]]))
    assert output(ask(sentiment, column)[0], "label").data == ["positive", "negative"]


@given(text=texts)
def test_reasons_add_up_and_name_terms_of_the_text_only(sentiment: Model, text: str) -> None:
    (answer,) = ask(sentiment, text_request(text, explain=True))
    reason = json.loads(output(answer, "contributions").data[0])
    total = reason["bias"] + sum(term["log_odds"] for term in reason["terms"]) + reason["rest"]
    assert total == pytest.approx(reason["log_odds"], abs=1e-5)
    positive = output(answer, "probabilities").data[1]
    assert 1 / (1 + math.exp(-reason["log_odds"])) == pytest.approx(positive, abs=1e-6)
    weights = [abs(term["log_odds"]) for term in reason["terms"]]
    assert weights == sorted(weights, reverse=True)
    assert len(weights) <= 10
    spoken = " " + " ".join(re.findall(r"\w+", text.replace("[EMAIL]", " ").lower())) + " "
    assert all(f" {term['term']} " in spoken for term in reason["terms"])


def test_only_who_asks_gets_reasons_and_scores_stay_the_same(sentiment: Model) -> None:
    plain, explained = text_request("great film"), text_request("great film", explain=True)
    answers = ask(sentiment, plain, explained, plain)
    assert [[tensor.name for tensor in answer.tensors] for answer in answers] == [
        ["label", "probabilities"], ["label", "probabilities", "contributions"], ["label", "probabilities"],
    ]  # fmt: skip
    assert len({bits(answer) for answer in answers}) == 1
    assert bits(ask(sentiment, plain)[0]) == bits(answers[1])


def test_explain_adds_to_the_requested_outputs(sentiment: Model) -> None:
    (answer,) = ask(sentiment, text_request("great", outputs=("label",), explain=True))
    assert [tensor.name for tensor in answer.tensors] == ["label", "contributions"]


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        (("probabilities",), ["probabilities"]),
        (("probabilities", "label"), ["label", "probabilities"]),
        (("contributions",), ["contributions"]),
    ],
)
def test_requested_outputs(sentiment: Model, asked: tuple[str, ...], got: list[str]) -> None:
    (answer,) = ask(sentiment, text_request("great", outputs=asked))
    assert [tensor.name for tensor in answer.tensors] == got
    assert answer.label == "positive"
    with pytest.raises(InvalidInputError, match=r"outputs\[1\].name: not an output"):
        sentiment.prepare(text_request("great", outputs=("label", "secret")))


@pytest.mark.parametrize(
    "bad",
    [
        tensor("text", "BYTES", (2,), ["one"]),
        tensor("text", "BYTES", (1,), [7]),
        tensor("text", "BYTES", (1,), "one"),
        tensor("text", "BYTES", (1,), None),
        tensor("text", "FP32", (1,), [1.0]),
        tensor("texts", "BYTES", (1,), ["one"]),
        tensor("text", "BYTES", (), ["one"]),
        tensor("text", "BYTES", (0,), []),
        tensor("text", "BYTES", (1, 2), ["one", "two"]),
        tensor("text", "BYTES", (1, 1, 1), ["one"]),
    ],
)
def test_bad_inputs_are_refused(sentiment: Model, bad: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^inputs"):
        sentiment.prepare(request(bad))


def test_limits(sentiment: Model) -> None:
    limits = sentiment.bundle.manifest.limits
    longest = "a " * limits.max_row_tokens
    assert sentiment.prepare(text_request(longest)).length == limits.max_row_tokens
    with pytest.raises(TooLargeError) as caught:
        sentiment.prepare(text_request("fine", longest + "a"))
    assert str(caught.value).startswith("inputs[0].data[1]: ")
    most = ["a"] * limits.max_record_rows
    assert sentiment.prepare(text_request(*most)).size == limits.max_record_rows
    with pytest.raises(TooLargeError):
        sentiment.prepare(text_request(*most, "a"))


def test_a_name_has_no_weight() -> None:
    known = {word for term in TERMS for word in term.split(" ")}
    names = "john mary michael david robert james william linda susan george peter anna maria jennifer sarah kevin"
    peoples = "american french german chinese jewish muslim christian republican democrat"
    assert not known & set(names.split())
    assert not known & set(peoples.split()) - {"christian"}
    assert not any(re.search(r"[\d_@]", term) for term in TERMS)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "copy"))


def restate(directory: Path, name: str) -> None:
    """Make bundle.yaml agree with the changed file, so that only the model's own knowledge is left to notice."""
    manifest = read_manifest(directory)
    manifest["sha256"][name] = sha256_file(directory / name)
    write_manifest(directory, manifest)


def test_the_graph_knows_its_vocabulary(copy: Path) -> None:
    """Swapping two words keeps all sizes and would change meanings silently."""
    lines = (copy / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    awful, great = lines.index("awful"), lines.index("great")
    lines[awful], lines[great] = lines[great], lines[awful]
    (copy / "vocabulary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    restate(copy, "vocabulary.txt")
    assert check(copy) == [f"{copy}/model.onnx: metadata stream_maas.vocabulary_sha256: made for another vocabulary"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stream_maas.features", "word-bag/2", "metadata stream_maas.features: expected word-bag/1"),
        ("stream_maas.vocabulary_sha256", "0" * 64, "made for another vocabulary"),
    ],
)
def test_other_steps_are_refused(copy: Path, key: str, value: str, message: str) -> None:
    model = onnx.load(copy / "model.onnx")
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
    onnx.save(model, copy / "model.onnx")
    restate(copy, "model.onnx")
    with pytest.raises(BundleError, match=message):
        Model(load_bundle(copy), RuntimeConfig())


def test_a_vocabulary_longer_than_the_table_is_refused(copy: Path) -> None:
    with (copy / "vocabulary.txt").open("a", encoding="utf-8") as file:
        file.write("zzz zzz\n")
    restate(copy, "vocabulary.txt")
    model = onnx.load(copy / "model.onnx")
    for entry in model.metadata_props:
        if entry.key == "stream_maas.vocabulary_sha256":
            entry.value = sha256_file(copy / "vocabulary.txt")
    onnx.save(model, copy / "model.onnx")
    restate(copy, "model.onnx")
    with pytest.raises(BundleError, match="fails on the vocabulary's last term"):
        Model(load_bundle(copy), RuntimeConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "labels: expected two names"),
        ({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}]}, "inputs: expected one BYTES tensor"),
        ({"outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}]}, "outputs: expected label"),
        ({"kind": "tensor", "preprocessing": {}}, "inputs: ids, offsets of the graph is not declared"),
    ],
)
def test_statements_that_do_not_fit_the_kind(copy: Path, change: dict[str, Any], message: str) -> None:
    write_manifest(copy, read_manifest(copy) | change)
    assert any(message in problem for problem in check(copy))


def test_a_broken_vocabulary_is_named_by_line(copy: Path) -> None:
    (copy / "vocabulary.txt").write_text("good\nGood\n", encoding="utf-8")
    restate(copy, "vocabulary.txt")
    assert check(copy) == [
        f"{copy}/vocabulary.txt: line 2: expected one or two lower case words with one space between"
    ]
    (copy / "vocabulary.txt").write_bytes(b"caf\xe9\n")
    restate(copy, "vocabulary.txt")
    assert check(copy) == [f"{copy}/vocabulary.txt: not UTF-8"]
