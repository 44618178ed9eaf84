"""How a sentiment model is judged: which figures, on which texts, cut into which slices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from stream_maas.errors import RequestError, ServiceError
from stream_maas.inference.bundle import load_bundle
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.model import Model, open_model
from stream_maas.inference.train.corpus import DOMAINS, Example
from stream_maas.records import Request, Tensor

Floats = NDArray[np.float64]
SCORE_EDGES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_CHUNK = 256
_NEGATION = re.compile(r"\b(?:not|no|never|nor|cannot|nothing)\b|n't\b", re.IGNORECASE)


def measure(probabilities: Floats, examples: Sequence[Example]) -> dict[str, Any]:
    """Accuracy and AUC per domain, accuracy of slices, and the calibration error over ten bins.

    `probabilities`: float64 [examples], of the label positive.
    """
    positive = np.array([example.rating > 0 for example in examples])
    right = (probabilities > 0.5) == positive
    domains = np.array([example.domain for example in examples])
    metrics: dict[str, Any] = {"accuracy": {}, "auc": {}}
    for domain in DOMAINS:
        chosen = domains == domain
        metrics["accuracy"][domain] = rounded(right[chosen].mean())
        metrics["auc"][domain] = rounded(roc_auc_score(positive[chosen], probabilities[chosen]))
    for name in ("accuracy", "auc"):
        metrics[name]["mean of domains"] = rounded(np.mean([metrics[name][domain] for domain in DOMAINS]))
    metrics["slices"] = {
        name: {"accuracy": rounded(right[chosen].mean()), "texts": int(chosen.sum())}
        for name, chosen in _slices(examples).items()
        if chosen.any()
    }
    metrics["calibration_error"] = rounded(calibration_error(probabilities, positive))
    metrics["majority_class"] = {
        domain: rounded(max(positive[domains == domain].mean(), 1 - positive[domains == domain].mean()))
        for domain in DOMAINS
    }
    return metrics


def reached(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures that floors are about."""
    return {
        "movie accuracy": metrics["accuracy"]["movie"],
        "movie auc": metrics["auc"]["movie"],
        "mean accuracy": metrics["accuracy"]["mean of domains"],
    }


def check_floors(name: str, figures: Mapping[str, float], floors: Mapping[str, float]) -> None:
    """Raise `ServiceError` when a model is worse than it has to be."""
    for figure, floor in floors.items():
        if figures[figure] < floor:
            raise ServiceError(
                f"{name}: {figure} {figures[figure]:.3f} is below its floor {floor}; nothing was written"
            )


def evaluate_texts(directory: Path, texts: Sequence[str], positive: Sequence[bool]) -> float:
    """Accuracy of the text classifier in `directory` on texts of yours, e.g. redacted ones, as it serves them.

    Raises `BundleError`, or `ServiceError` when the model refuses a text.
    """
    probabilities = served_probabilities(open_model(load_bundle(directory), RuntimeConfig()), texts)
    return float(((probabilities > 0.5) == np.asarray(positive, dtype=bool)).mean())


def served_probabilities(model: Model, texts: Sequence[str]) -> Floats:
    """float64 [texts]: what a client is told for the second label, text by text. Raises `ServiceError`."""
    served: list[float] = []
    for start in range(0, len(texts), _CHUNK):
        rows = [
            model.prepare(Request(str(index), "body", (Tensor("text", "BYTES", (1,), [text]),)))
            for index, text in enumerate(texts[start : start + _CHUNK], start)
        ]
        for answer in model.run(rows):
            if isinstance(answer, RequestError):
                raise ServiceError(f"{model.ref.name}: refuses a text of the evaluation ({answer.code})")
            served.append(next(tensor for tensor in answer.tensors if tensor.name == "probabilities").data[1])
    return np.array(served)


def reference_histograms(probabilities: Floats, labels: tuple[str, str]) -> list[dict[str, Any]]:
    """The `reference` of bundle.yaml for a model of two labels: labels and winning probabilities on held-out data."""
    winning = np.maximum(probabilities, 1 - probabilities)
    second = int((probabilities > 0.5).sum())
    return [
        {"name": "label", "categories": list(labels), "counts": [len(probabilities) - second, second]},
        {"name": "score", "edges": list(SCORE_EDGES), "counts": histogram(winning, SCORE_EDGES)},
    ]


def histogram(values: Floats, edges: Sequence[float]) -> list[int]:
    """How many of `values` lie below the first edge, between each two, and from the last on; a value on an edge counts
    to its right."""
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return [int(count) for count in counts]


def calibration_error(probabilities: Floats, positive: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean gap of stated and observed share of positives over ten equal bins."""
    bins = np.minimum((probabilities * 10).astype(int), 9)
    gaps = [
        abs(probabilities[bins == index].mean() - positive[bins == index].mean()) * (bins == index).mean()
        for index in range(10)
        if (bins == index).any()
    ]
    return float(sum(gaps))


def rounded(value: Any) -> float:
    """Four decimals: more would be noise."""
    return round(float(value), 4)


def _slices(examples: Sequence[Example]) -> dict[str, NDArray[np.bool_]]:
    words = np.array([len(example.text.split()) for example in examples])
    strength = np.array([abs(example.rating) for example in examples])
    negated = np.array([bool(_NEGATION.search(example.text)) for example in examples])
    return {
        "clear (mean rating 0.5 or more from 0)": strength >= 0.5,
        "unclear (less than 0.5 from 0)": strength < 0.5,
        "up to 10 words": words <= 10,
        "11 to 25 words": (words > 10) & (words <= 25),
        "more than 25 words": words > 25,
        "with a negation": negated,
        "without a negation": ~negated,
    }
