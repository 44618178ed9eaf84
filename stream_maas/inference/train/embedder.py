"""embedder: MiniLM in 8 bits as a bundle, and how near it stays to the published weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from stream_maas.inference.bundle import MODEL
from stream_maas.inference.train.card import model_card, rows
from stream_maas.inference.train.corpus import DOMAINS, Example, load_corpus
from stream_maas.inference.train.draft import drafted
from stream_maas.inference.train.encoding import MAX_TOKENS, TextEncoder
from stream_maas.inference.train.evaluation import check_floors, rounded
from stream_maas.inference.train.graph_builder import GraphBuilder
from stream_maas.inference.train.minilm import (
    IDS,
    IR_VERSION,
    MASK,
    OPSET,
    WIDTH,
    Encoder,
    MiniLm,
    load_minilm,
)
from stream_maas.inference.train.packages import MINILM, Shelf
from stream_maas.inference.train.stages import Progress, Stages

NAME, VERSION, LICENCE = "embedder", "1.0.0", "Apache-2.0"
EMBEDDING = "embedding"
TOKENIZER = "tokenizer.json"
SAMPLE = 1_000
"""Held-out texts that the figures are taken on, the first of every domain alike."""
FLOORS = {
    "mean cosine to 32 bits": 0.999,
    "least cosine to 32 bits": 0.99,
    "neighbour accuracy": 0.8,
    "labels kept from 32 bits": 0.99,
}


def train(out_dir: Path, shelf: Shelf, progress: Progress) -> dict[str, Any]:
    """See `train_model`. Nothing is fitted: the weights are the published ones."""
    stages = Stages(
        progress, {"read the weights": 4, "write the graphs": 4, "compare 8 and 32 bits": 12, "write the bundle": 1}
    )
    stages.start("read the weights")
    model = load_minilm(shelf)
    sample = choose_sample(load_corpus(shelf).examples)
    stages.start("write the graphs")
    graph, reference = embedder_graph(model, eight_bit=True), embedder_graph(model, eight_bit=False)
    stages.start("compare 8 and 32 bits")
    metrics = measure(model, graph, reference, sample, stages)
    check_floors(NAME, metrics, FLOORS)
    stages.start("write the bundle")
    with drafted(out_dir) as draft:
        draft.write(MODEL, graph)
        draft.write(TOKENIZER, model.tokenizer)
        draft.write("LICENSE", model.licence)
        draft.write("NOTICE", model.notice)
        draft.state(_manifest(metrics), card(metrics))
    stages.finish()
    return metrics


def embedder_graph(model: MiniLm, *, eight_bit: bool) -> bytes:
    """`input_ids`, `attention_mask` INT64 [b, s] -> `embedding` FP32 [b, 384] of length 1."""
    graph = GraphBuilder()
    encoder = Encoder(graph, model, eight_bit=eight_bit)
    vectors = encoder.normalised(encoder.mean(encoder.hidden()[-1]))
    graph.cast(vectors, "FP32", name=EMBEDDING)
    tokens = ("INT64", ("b", "s"))
    return graph.serialise(
        "minilm",
        {IDS: tokens, MASK: tokens},
        {EMBEDDING: ("FP32", ("b", WIDTH))},
        {"stream_maas.weights_sha256": MINILM.sha256},
        opset=OPSET,
        ir_version=IR_VERSION,
    )


def choose_sample(examples: Sequence[Example]) -> list[Example]:
    """Equally many held-out texts of each domain, in the order of the source."""
    held_out = [example for example in examples if example.held_out]
    return [
        example
        for domain in DOMAINS
        for example in [e for e in held_out if e.domain == domain][: SAMPLE // len(DOMAINS)]
    ]


def measure(model: MiniLm, graph: bytes, reference: bytes, sample: Sequence[Example], stages: Stages) -> dict[str, Any]:
    """Cosine between the two graphs' vectors, how often a text's nearest neighbour is of its own domain, and how many
    labels of a linear model on 32-bit vectors stay the same when it is given 8-bit ones."""
    texts = [example.text for example in sample]
    ours = TextEncoder(graph, model.tokenizer).encode(texts, EMBEDDING, lambda n, of: stages.advance(n, 2 * of))
    theirs = TextEncoder(reference, model.tokenizer).encode(
        texts, EMBEDDING, lambda n, of: stages.advance(of + n, 2 * of)
    )
    cosines = (ours * theirs).sum(axis=1)
    domains = np.array([example.domain for example in sample])
    right = domains[_nearest(ours)] == domains
    positive = np.array([example.rating > 0 for example in sample])
    head = LogisticRegression(C=10, max_iter=1000).fit(theirs, positive)
    kept = head.predict(ours) == head.predict(theirs)
    words = np.array([len(text.split()) for text in texts])
    cuts = {
        **{domain: domains == domain for domain in DOMAINS},
        "up to 10 words": words <= 10,
        "11 to 25 words": (words > 10) & (words <= 25),
        "more than 25 words": words > 25,
    }
    return {
        "mean cosine to 32 bits": rounded(cosines.mean()),
        "least cosine to 32 bits": rounded(cosines.min()),
        "neighbour accuracy": rounded(right.mean()),
        "neighbour accuracy of 32 bits": rounded((domains[_nearest(theirs)] == domains).mean()),
        "labels kept from 32 bits": rounded(kept.mean()),
        "texts": len(texts),
        "slices": {
            name: {
                "neighbour accuracy": rounded(right[chosen].mean()),
                "least cosine to 32 bits": rounded(cosines[chosen].min()),
                "texts": int(chosen.sum()),
            }
            for name, chosen in cuts.items()
        },
    }


def card(metrics: dict[str, Any]) -> str:
    """Markdown. `metrics` as in bundle.yaml."""
    slices = (
        (name, f"{cut['neighbour accuracy']:.3f}", f"{cut['least cosine to 32 bits']:.4f}", f"{cut['texts']:,}")
        for name, cut in metrics["slices"].items()
    )
    return model_card(
        NAME,
        mean_cosine=metrics["mean cosine to 32 bits"],
        least_cosine=metrics["least cosine to 32 bits"],
        accuracy=metrics["neighbour accuracy"],
        accuracy_32=metrics["neighbour accuracy of 32 bits"],
        labels_kept=metrics["labels kept from 32 bits"],
        texts=metrics["texts"],
        slices=rows(*slices),
        max_tokens=MAX_TOKENS,
    )


def _nearest(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each vector of length 1, the index of the most similar other one."""
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -1.0)
    return np.asarray(similar.argmax(axis=1), dtype=np.int64)


def tokenizer_steps() -> dict[str, Any]:
    """The member `tokenizer` of `preprocessing`, for every model with a MiniLM encoder."""
    return {
        "file": TOKENIZER,
        "max_length": MAX_TOKENS,
        "truncate": True,
        "pad_id": 0,
        "inputs": {"ids": IDS, "mask": MASK},
    }


def _manifest(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "bundle": 1,
        "name": NAME,
        "version": VERSION,
        "kind": "text",
        "licence": LICENCE,
        "description": "An English sentence or paragraph as 384 numbers: all-MiniLM-L6-v2 with weights in 8 bits.",
        "intended_use": "Search, grouping and de-duplication of short English texts; features for a classifier.",
        "not_for": [
            "recognising or re-identifying people, or linking texts to their authors",
            "decisions about a person, such as hiring, credit, insurance or moderation sanctions",
            "languages other than English",
        ],
        "sha256": {},
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1], "description": "UTF-8 texts, one per row"}],
        "outputs": [
            {"name": EMBEDDING, "datatype": "FP32", "shape": [-1, WIDTH], "description": "a vector of length 1"}
        ],
        "labels": None,
        "preprocessing": {"tokenizer": tokenizer_steps()},
        "limits": {"max_record_rows": 32, "max_row_tokens": 512, "max_batch_rows": 64, "max_batch_tokens": 512},
        "training_data": {
            "source": f"{MINILM.requirement}: {MINILM.what} (Apache-2.0); its authors name 1.17 billion sentence pairs",
            "sha256": "unknown",
        },
        "metrics": metrics,
        "tiny": False,
    }
