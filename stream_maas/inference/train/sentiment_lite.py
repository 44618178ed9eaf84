"""sentiment-lite: which terms it knows, how they get their weights, and what it must reach to be written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from stream_maas.errors import ServiceError
from stream_maas.inference.bundle import MODEL, load_bundle
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.features import WORD_PATTERN, normalise
from stream_maas.inference.model import Model
from stream_maas.inference.train.card import model_card, sentiment_tables
from stream_maas.inference.train.corpus import Example, load_corpus, proper_names
from stream_maas.inference.train.draft import Draft, digest, drafted
from stream_maas.inference.train.evaluation import (
    check_floors,
    measure,
    reached,
    reference_histograms,
    served_probabilities,
)
from stream_maas.inference.train.graph import word_bag_graph
from stream_maas.inference.train.packages import SENTIMENT_TEXTS, Shelf
from stream_maas.inference.train.stages import Progress, Stages
from stream_maas.inference.word_bag import FEATURES, FEATURES_KEY, VOCABULARY_KEY

NAME, VERSION, LICENCE = "sentiment-lite", "1.0.0", "Apache-2.0"
LABELS = ("negative", "positive")
VOCABULARY = "vocabulary.txt"
MIN_TEXTS = 3
"""A term of fewer training texts is left out: it says little, and could say whose text it was."""
INVERSE_REGULARISATION = 4.0
LEXICON_SCALE = 0.03
"""How freely the fit may lean on the lexicon.

These two by 4-fold cross-validation on the training texts: best mean AUC of the domains (.847, without the lexicon
.822) among 0 to 0.03 and 2 to 8, before movie reviews begin to lose.
"""
FLOORS = {"movie accuracy": 0.78, "movie auc": 0.87}
MAX_DIFFERENCE = 1e-5
"""Between a probability served and scikit-learn's own."""
_NO_TERM = re.compile(r"[\d_]")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model. `coefficients`: float64 [terms], on l2-normalised binary TF-IDF; positive is positive."""

    vectorizer: TfidfVectorizer
    terms: tuple[str, ...]
    coefficients: Floats
    bias: float

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """What scikit-learn says: float64 [texts], of the label positive."""
        log_odds = self.vectorizer.transform(texts) @ self.coefficients + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float64)


def train(out_dir: Path, shelf: Shelf, progress: Progress) -> dict[str, Any]:
    """See `train_model`."""
    stages = Stages(progress, {"read the rated texts": 2, "fit": 4, "measure": 1, "write the bundle": 1})
    stages.start("read the rated texts")
    corpus = load_corpus(shelf)
    training = [example for example in corpus.examples if not example.held_out]
    held_out = [example for example in corpus.examples if example.held_out]
    stages.start("fit")
    fitted = fit(training, corpus.lexicon)
    stages.start("measure")
    metrics = measure(fitted.probabilities([example.text for example in held_out]), held_out)
    metrics["texts"] = {"training": len(training), "held_out": len(held_out), "terms": len(fitted.terms)}
    check_floors(NAME, reached(metrics), FLOORS)
    stages.start("write the bundle")
    write_bundle(out_dir, fitted, metrics, held_out)
    stages.finish()
    return metrics


def fit(examples: Sequence[Example], lexicon: dict[str, float]) -> Fitted:
    """Logistic regression on binary TF-IDF of words and pairs; the more decided the raters, the more a text weighs.

    One extra column carries each text's mean lexicon valence. Its coefficient is added to those of the lexicon's
    words afterwards, so the result is a plain linear model that starts from the lexicon where data is thin.
    """
    texts = [example.text for example in examples]
    ratings = np.array([example.rating for example in examples])
    terms = choose_terms(examples, lexicon)
    vectorizer = TfidfVectorizer(
        preprocessor=normalise, token_pattern=WORD_PATTERN, ngram_range=(1, 2), binary=True, vocabulary=terms
    )
    features = vectorizer.fit_transform(texts)
    valence = np.array([lexicon.get(term, 0.0) for term in terms])
    column = sparse.csr_matrix(LEXICON_SCALE * (features @ valence)[:, None])
    strength = np.abs(ratings)
    model = LogisticRegression(C=INVERSE_REGULARISATION, tol=1e-8, max_iter=10_000)
    model.fit(sparse.hstack([features, column]).tocsr(), ratings > 0, sample_weight=strength / strength.mean())
    weights = model.coef_[0]
    coefficients = weights[:-1] + weights[-1] * LEXICON_SCALE * valence
    return Fitted(vectorizer, tuple(terms), coefficients, float(model.intercept_[0]))


def choose_terms(examples: Sequence[Example], lexicon: dict[str, float]) -> list[str]:
    """Words and pairs of at least MIN_TEXTS texts, and the lexicon, sorted.

    Left out: whatever contains a digit, an underscore or a proper name.
    """
    counter = CountVectorizer(
        preprocessor=normalise, token_pattern=WORD_PATTERN, ngram_range=(1, 2), min_df=MIN_TEXTS, binary=True
    )
    names = proper_names(examples)
    frequent = counter.fit([example.text for example in examples]).vocabulary_
    kept = {
        term
        for term in frequent
        if not _NO_TERM.search(term) and not any(word in names and word not in lexicon for word in term.split(" "))
    }
    return sorted(kept | lexicon.keys())


def write_bundle(out_dir: Path, fitted: Fitted, metrics: dict[str, Any], held_out: Sequence[Example]) -> None:
    """Write the bundle, compare what it serves with scikit-learn on the held-out texts, and add that to `metrics`.

    Raises `ServiceError` above MAX_DIFFERENCE; `out_dir` is then left as it was.
    """
    vocabulary = vocabulary_file(fitted.terms)
    idf = np.asarray(fitted.vectorizer.idf_, dtype=np.float64)
    metadata = {
        FEATURES_KEY: FEATURES,
        VOCABULARY_KEY: digest(vocabulary),
        "stream_maas.training_data_sha256": SENTIMENT_TEXTS.sha256,
    }
    with drafted(out_dir) as draft:
        draft.write(MODEL, word_bag_graph(fitted.coefficients * idf, idf, fitted.bias, metadata))
        draft.write(VOCABULARY, vocabulary)
        probabilities = fitted.probabilities([example.text for example in held_out])
        reference = reference_histograms(probabilities, LABELS)
        _state(draft, metrics, reference)
        # The difference is measured through the bundle, and then stated in it.
        metrics["max_difference_to_scikit_learn"] = _difference(draft, probabilities, held_out)
        _state(draft, metrics, reference)


def vocabulary_file(terms: Sequence[str]) -> bytes:
    """One term per line, as kind word-bag and kind text read it."""
    return "".join(f"{term}\n" for term in terms).encode()


def card(metrics: dict[str, Any]) -> str:
    """Markdown. `metrics` as in bundle.yaml."""
    return model_card(
        NAME,
        **sentiment_tables(metrics),
        **metrics["texts"],
        calibration_error=metrics["calibration_error"],
        difference=metrics.get("max_difference_to_scikit_learn", "not measured yet"),
    )


def _state(draft: Draft, metrics: dict[str, Any], reference: list[dict[str, Any]]) -> None:
    draft.state(_manifest(metrics) | {"reference": reference}, card(metrics))


def _difference(draft: Draft, probabilities: Floats, examples: Sequence[Example]) -> float:
    """Largest difference of a served probability to scikit-learn's."""
    texts = [example.text for example in examples]
    served = served_probabilities(Model(load_bundle(draft.directory), RuntimeConfig()), texts)
    difference = float(np.abs(served - probabilities).max())
    if difference > MAX_DIFFERENCE:
        raise ServiceError(f"{NAME}: served and trained probabilities differ by {difference:.1e}")
    return float(f"{difference:.1e}")


def _manifest(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "bundle": 1,
        "name": NAME,
        "version": VERSION,
        "kind": "word-bag",
        "licence": LICENCE,
        "description": "Whether an English text sounds positive or negative: a linear model over words and pairs.",
        "intended_use": "Trends over many short English texts: reviews, comments, messages. First or fallback tier.",
        "not_for": [
            "decisions about a person, such as hiring, credit, insurance, moderation sanctions or care",
            "inferring health, emotion or opinion of an identified person",
            "languages other than English",
        ],
        "sha256": {},
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1], "description": "UTF-8 texts, one per row"}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1], "description": "the likelier label"},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "description": "in the order of labels"},
            {
                "name": "contributions",
                "datatype": "BYTES",
                "shape": [-1],
                "description": "on request: JSON with the terms that weighed most, in log-odds of the second label",
            },
        ],
        "labels": {"output": "probabilities", "names": list(LABELS)},
        "preprocessing": {"vocabulary": VOCABULARY},
        "limits": {
            "max_record_rows": 1024,
            "max_row_tokens": 8192,
            "max_batch_rows": 1024,
            "max_batch_tokens": 262_144,
        },
        "training_data": {
            "source": f"{SENTIMENT_TEXTS.requirement}, source distribution: {SENTIMENT_TEXTS.what} (MIT)",
            "sha256": SENTIMENT_TEXTS.sha256,
        },
        "metrics": metrics,
        "tiny": True,
    }
