"""Training in small: a made-up source distribution goes all the way to a served bundle."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.cli.train import NAMES
from stream_maas.errors import ServiceError
from stream_maas.inference import Catalog, RuntimeConfig, check, load_bundle, train_model
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.inference.train import RECIPES
from stream_maas.inference.train.corpus import DOMAINS, Example, proper_names, read_corpus
from stream_maas.inference.train.evaluation import check_floors, histogram, measure, reached, reference_histograms
from stream_maas.inference.train.graph import FRACTION_BITS, word_bag_graph
from stream_maas.inference.train.sentiment_lite import FLOORS, card, choose_terms, fit, write_bundle
from stream_maas.inference.train.stages import Stages
from tests.unit.inference.graphs import text_request

GOOD = ["a great film", "I love this phone", "wonderful and moving", "not bad at all", "great great fun"]
BAD = ["a dull film", "I hate this phone", "awful and boring", "not good at all", "dull dull mess"]


def examples(domain: str) -> list[Example]:
    return [
        Example(domain, f"{index}", 2.0 if texts is GOOD else -1.5, f"{text} said Kowalski, {domain} {index}")
        for texts in (GOOD, BAD)
        for index, text in enumerate(texts * 6, start=0 if texts is GOOD else 100)
    ]


ALL = [example for domain in DOMAINS for example in examples(domain)]
LEXICON_TABLE = b":)\t2.0\t1\t[2]\ngreat\t3.1\t0.7\t[3]\n42\t1.0\t1\t[1]\n"
LEXICON = {"great": 3.1, "awful": -2.0, "splendid": 2.8}


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def source_distribution(table: bytes) -> bytes:
    inner = archive({f"hutto_ICWSM_2014/{stem}_GroundTruth.txt": table for stem, _ in DOMAINS.values()})
    return archive(
        {
            "vaderSentiment-3.3.2/vaderSentiment/vader_lexicon.txt": LEXICON_TABLE,
            "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": inner,
        }
    )


def test_the_source_is_read_with_its_traps() -> None:
    """A byte order mark, CRLF, a tab in a text, a rating of 0, entities and what the authors took out."""
    table = (
        "\ufeff1_1\t1.5\tTom &amp; I\r\n2\t0.0\tneither\r\n3\t-0.25\ta\tb @anonymous http://url_removed!\r\n".encode()
    )
    corpus = read_corpus(source_distribution(table))
    assert corpus.lexicon == {"great": 3.1}
    assert [(e.id, e.rating, e.text.split()) for e in corpus.examples if e.domain == "movie"] == [
        ("1_1", 1.5, ["Tom", "&", "I"]), ("3", -0.25, ["a", "b"]),
    ]  # fmt: skip
    assert {example.domain for example in corpus.examples} == set(DOMAINS)


def test_a_source_without_its_files_is_an_error() -> None:
    with pytest.raises(ServiceError, match=r"vader_lexicon.txt is missing"):
        read_corpus(archive({"readme": b""}))


@pytest.mark.parametrize("content", [b"", source_distribution(b"1\t1.0\ttext\r\n")])
def test_only_the_pinned_source_is_trained_on(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source.tar.gz"
    source.write_bytes(content)
    for path, reason in ((source, "other SHA-256"), (tmp_path / "nowhere", "cannot be read")):
        with pytest.raises(ServiceError, match=reason):
            train_model("sentiment-lite", tmp_path / "out", cache=tmp_path / "cache", source=path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()


def test_the_command_knows_the_recipes() -> None:
    assert tuple(RECIPES) == NAMES


def test_an_unknown_recipe_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        train_model("sentiment-max", tmp_path, cache=tmp_path)


def test_a_fifth_is_held_out_and_never_moves() -> None:
    many = [Example("movie", str(number), 1.0, "") for number in range(5000)]
    share = sum(example.held_out for example in many) / len(many)
    assert 0.18 < share < 0.22
    assert [number for number in range(30) if many[number].held_out] == [
        3, 4, 11, 13, 14, 15, 16, 21, 22, 23, 27, 28,
    ]  # fmt: skip


def test_names_are_what_is_capitalised_inside_sentences() -> None:
    texts = [
        "We met Anna. Anna said: hope is Hope",
        "A hope for Anna's friends",
        "hope for GREAT I am",
        "(Bravo) 'Yes'",
    ]
    names = proper_names([Example("movie", "1", 1.0, text) for text in texts])
    assert names == {"anna"}
    assert proper_names([Example("amazon", "1", 1.0, "meet Anna")]) == frozenset()


def test_the_vocabulary_has_no_names_numbers_or_rarities() -> None:
    terms = choose_terms(ALL, LEXICON)
    assert {"great", "not bad", "splendid"} <= set(terms)
    assert terms == sorted(terms)
    assert not [term for term in terms if "kowalski" in term or any(letter.isdigit() for letter in term)]
    once = [*ALL, Example("movie", "x", 1.0, "unheard of thing"), Example("movie", "y", 1.0, "unheard of thing")]
    assert "unheard" not in choose_terms(once, LEXICON)


def test_a_fit_learns_leans_on_the_lexicon_and_repeats() -> None:
    fitted = fit(ALL, LEXICON)
    weight = dict(zip(fitted.terms, fitted.coefficients, strict=True))
    assert weight["love"] > 0 > weight["hate"]
    assert weight["not good"] < 0 < weight["not bad"]
    assert weight["splendid"] > 0
    assert np.array_equal(fit(ALL, LEXICON).coefficients, fitted.coefficients)


def test_what_is_served_is_what_was_trained(tmp_path: Path) -> None:
    fitted = fit(ALL, LEXICON)
    metrics = measure(fitted.probabilities([example.text for example in ALL]), ALL)
    metrics["texts"] = {"training": len(ALL), "held_out": len(ALL), "terms": len(fitted.terms)}
    assert metrics["accuracy"]["movie"] == metrics["auc"]["nyt"] == 1.0
    write_bundle(tmp_path / "made", fitted, metrics, ALL)
    assert check(tmp_path / "made") == []
    model = Catalog.load(RuntimeConfig(models=(str(tmp_path / "made"),))).resolve("sentiment-lite", None)
    assert model.bundle.manifest.metrics == metrics
    assert 0 <= metrics["max_difference_to_scikit_learn"] <= 1e-5
    texts = ["a great mess", "", "Ünknöwn", "not bad, not good"]
    answers = model.run([model.prepare(text_request(text)) for text in texts])
    served = [answer.tensors[1].data[1] for answer in answers]  # type: ignore[union-attr]
    assert served == pytest.approx(fitted.probabilities(texts).tolist(), abs=1e-6)
    assert f"{metrics['accuracy']['tweets']:.3f}" in (tmp_path / "made" / "MODEL_CARD.md").read_text()


def test_a_weak_model_is_not_written() -> None:
    metrics = {"accuracy": {"movie": FLOORS["movie accuracy"], "mean of domains": 0.5}, "auc": {"movie": 0.87}}
    check_floors("lite", reached(metrics), FLOORS)
    metrics["auc"]["movie"] -= 0.001
    with pytest.raises(ServiceError, match=r"lite: movie auc 0\.869 is below its floor 0\.87; nothing was written"):
        check_floors("lite", reached(metrics), FLOORS)


def test_progress_grows_from_nothing_to_everything() -> None:
    seen: list[tuple[str, int, int]] = []
    stages = Stages(lambda *said: seen.append(said), {"read": 1, "fit": 8, "write": 1})
    stages.start("read")
    stages.start("fit")
    stages.advance(1, 4)
    stages.advance(4, 4)
    stages.start("write")
    stages.finish()
    assert seen == [
        ("read", 0, 10), ("fit", 1, 10), ("fit", 3, 10), ("fit", 9, 10), ("write", 9, 10), ("done", 10, 10),
    ]  # fmt: skip


def test_a_value_on_an_edge_counts_to_its_right() -> None:
    assert histogram(np.array([0.0, 1.0, 1.5, 2.0, 9.0]), [1.0, 2.0]) == [1, 2, 2]
    labels, scores = reference_histograms(np.array([0.5, 0.1, 0.97]), ("no", "yes"))
    assert labels["counts"] == [2, 1]  # 0.5 is the first label, as in the answers
    assert scores["counts"] == [1, 0, 0, 0, 0, 0, 0, 0, 1, 1]


def test_measures_by_hand() -> None:
    chosen = [
        Example(domain, str(index), 1.0 if index % 2 else -0.25, "word") for domain in DOMAINS for index in range(4)
    ]
    metrics = measure(np.array([0.3, 0.7, 0.6, 0.9] * len(DOMAINS)), chosen)
    assert metrics["accuracy"]["movie"] == 0.75
    assert metrics["auc"]["movie"] == 1.0
    assert metrics["slices"]["unclear (less than 0.5 from 0)"] == {"accuracy": 0.5, "texts": 8}
    assert metrics["majority_class"]["tweets"] == 0.5
    assert metrics["calibration_error"] == pytest.approx((0.3 + 0.3 + 0.6 + 0.1) / 4)


WEIGHTS, IDF = np.random.default_rng(3).normal(size=20) * 9, np.random.default_rng(4).uniform(1, 11, size=20)
bags = st.lists(st.lists(st.integers(0, 19), unique=True, max_size=20), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def bag_graph() -> ort.InferenceSession:
    return ort.InferenceSession(word_bag_graph(WEIGHTS, IDF, 0.25, {"k": "v"}))


@given(bags)
def test_the_graph_sums_exactly(bag_graph: ort.InferenceSession, batch: list[list[int]]) -> None:
    """Against Python's integers, in another order of terms, alone and together."""
    unit = 2.0**-FRACTION_BITS
    table = [(round(weight / unit), round(square / unit)) for weight, square in zip(WEIGHTS, IDF**2, strict=True)]
    expected = []
    for bag in batch:
        total, square = (sum(table[term][column] for term in bag) for column in (0, 1))
        expected.append(0.25 + (total * unit / np.sqrt(square * unit) if bag else 0.0))
    for order in (batch, [bag[::-1] for bag in batch]):
        ids = np.array([term for bag in order for term in bag], dtype=np.int32)
        offsets = np.cumsum([0, *map(len, order)])
        log_odds, probabilities = bag_graph.run(["log_odds", "probabilities"], {"ids": ids, "offsets": offsets})
        assert log_odds.tolist() == expected
        assert probabilities[:, 1] == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-6)


def test_the_graph_carries_its_metadata(bag_graph: ort.InferenceSession) -> None:
    assert bag_graph.get_modelmeta().custom_metadata_map == {"k": "v"}


def test_a_weight_beyond_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="must stay below 512"):
        word_bag_graph(np.array([513.0]), np.array([1.0]), 0.0, {})


def test_the_packaged_card_says_what_the_packaged_bundle_says() -> None:
    metrics = load_bundle(DEFAULT_BUNDLE).manifest.metrics
    assert (DEFAULT_BUNDLE / "MODEL_CARD.md").read_text(encoding="utf-8") == card(metrics)
