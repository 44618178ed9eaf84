"""embedder and sentiment-plus, made from the published weights: floors, and the same bits in any company."""

from __future__ import annotations

import numpy as np
import pytest

from stream_maas.errors import RequestError
from stream_maas.inference import Model, Output, check
from stream_maas.inference.train import sentiment_plus
from stream_maas.inference.train.corpus import Corpus, load_corpus
from stream_maas.inference.train.embedder import embedder_graph
from stream_maas.inference.train.encoding import TextEncoder
from stream_maas.inference.train.minilm import MiniLm, load_minilm
from stream_maas.inference.train.packages import MINILM, SENTIMENT_TEXTS, Shelf
from stream_maas.records import Request, Tensor
from tests.training.conftest import Trained

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def corpus(need, shelf: Shelf) -> Corpus:
    need(SENTIMENT_TEXTS)
    return load_corpus(shelf)


@pytest.fixture(scope="module")
def minilm(need, shelf: Shelf) -> MiniLm:
    need(MINILM)
    return load_minilm(shelf)


@pytest.fixture(scope="module")
def embedder(corpus: Corpus, minilm: MiniLm, trained) -> Trained:
    return trained("embedder")


@pytest.fixture(scope="module")
def plus(corpus: Corpus, minilm: MiniLm, trained) -> Trained:
    return trained("sentiment-plus")


def ask(model: Model, texts: list[str]) -> list[bytes]:
    """The numbers of each answer as bytes; the texts share calls as the model plans them."""
    rows = [model.prepare(Request(str(i), "body", (Tensor("text", "BYTES", (1,), [t]),))) for i, t in enumerate(texts)]
    answers = []
    for answer in model.run(rows):
        assert isinstance(answer, Output), answer
        numbers = next(tensor.data for tensor in answer.tensors if tensor.datatype == "FP32")
        answers.append(np.array(numbers, dtype=np.float32).tobytes())
    return answers


def held_out(corpus: Corpus, count: int) -> list[str]:
    return [example.text for example in corpus.examples if example.held_out][:count]


def test_the_embedder_stays_near_the_published_weights(embedder: Trained) -> None:
    assert check(embedder.directory) == []
    assert embedder.metrics["mean cosine to 32 bits"] >= 0.999
    assert embedder.metrics["least cosine to 32 bits"] >= 0.99
    assert embedder.metrics["neighbour accuracy"] >= 0.8
    assert embedder.metrics["labels kept from 32 bits"] >= 0.99
    assert {"LICENSE", "NOTICE", "MODEL_CARD.md"} <= {path.name for path in embedder.directory.iterdir()}


def test_the_embedder_knows_what_is_alike(embedder: Trained) -> None:
    first, same, other = (
        np.frombuffer(answer, dtype=np.float32)
        for answer in ask(embedder.model, ["A man eats pasta.", "Someone is eating noodles.", "The stock market fell."])
    )
    assert first @ same > first @ other + 0.3
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)


def test_the_same_weights_give_the_same_graph(embedder: Trained, minilm: MiniLm) -> None:
    assert (embedder.directory / "model.onnx").read_bytes() == embedder_graph(minilm, eight_bit=True)


def test_sentiment_plus_holds_its_floors(plus: Trained) -> None:
    assert check(plus.directory) == []
    assert plus.metrics["accuracy"]["movie"] >= 0.81
    assert plus.metrics["accuracy"]["mean of domains"] >= 0.81
    assert plus.metrics["max_difference_to_scikit_learn"] <= 1e-5
    done = [done for _, done, _ in plus.said]
    assert done == sorted(done)
    assert len(done) > 100, "the long stage tells how far it is"


@pytest.mark.parametrize("name", ["embedder", "plus"])
def test_a_text_gets_the_same_bits_in_any_company(name: str, corpus: Corpus, request: pytest.FixtureRequest) -> None:
    """Alone, in a crowd, in another crowd, and beside texts that no tokenizer likes."""
    model = request.getfixturevalue(name).model
    assert model.shares_calls, "a row alone would say nothing about company"
    texts = [*held_out(corpus, 60), "", "\u200b", "word " * 400, "\U0001f600" * 50]
    alone = [ask(model, [text])[0] for text in texts]
    assert ask(model, texts) == alone
    assert ask(model, texts[::-1])[::-1] == alone


def test_a_text_beyond_the_limit_is_its_own_problem(embedder: Trained) -> None:
    model = embedder.model
    with pytest.raises(RequestError):
        model.prepare(Request("1", "body", (Tensor("text", "BYTES", (1,), ["x" * 1_000_000]),)))


def test_the_fit_repeats_to_the_last_bit(corpus: Corpus, minilm: MiniLm) -> None:
    """Encoder in another order of texts, fit, graph: on a part of the texts, everything that training does."""
    part = Corpus(corpus.examples[::60], corpus.lexicon)
    encoder = TextEncoder(sentiment_plus.states_graph(minilm), minilm.tokenizer)
    texts = [example.text for example in part.examples]
    states = encoder.encode(texts, sentiment_plus.STATES)
    assert np.array_equal(encoder.encode(texts[::-1], sentiment_plus.STATES)[::-1], states)
    training = states[[not example.held_out for example in part.examples]]
    first, second = (sentiment_plus.fit(part, training) for _ in range(2))
    graphs = [sentiment_plus.plus_graph(minilm, fitted, b"made") for fitted in (first, second)]
    assert graphs[0] == graphs[1]
