"""The model as an engineer serves it by hand in an afternoon: regular expression, dictionary, ONNX Runtime, orjson.

The peers run in environments of their own, so nothing here may import stream_maas. `bare_loop.py` has the same code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import yaml


class BadRequestError(Exception):
    """A record that is no request with one text."""


class HandmadeModel:
    """The bundle of a word-bag model, opened by hand."""

    def __init__(self, directory: str) -> None:
        folder = Path(directory)
        manifest = yaml.safe_load((folder / "bundle.yaml").read_bytes())
        self.name, self.version = manifest["name"], str(manifest["version"])
        self._labels = manifest["labels"]["names"]
        terms = (folder / manifest["preprocessing"]["vocabulary"]).read_text(encoding="utf-8").splitlines()
        self._find = re.compile(r"\w+").findall
        self._single = {term: number for number, term in enumerate(terms)}.get
        seconds: dict[str, dict[str, int]] = {}
        for number, term in enumerate(terms):
            first, _, second = term.partition(" ")
            if second:
                seconds.setdefault(first, {})[second] = number
        self._seconds = seconds.get
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.predict(["warm up"])

    def predict(self, texts: Sequence[str]) -> list[list[float]]:
        """Probabilities [b, 2] of b texts, negative label first."""
        bags = [self._bag(text) for text in texts]
        offsets = np.zeros(len(bags) + 1, dtype=np.int64)
        np.cumsum([len(bag) for bag in bags], out=offsets[1:])
        ids = np.fromiter(chain.from_iterable(bags), dtype=np.int32, count=int(offsets[-1]))
        (probabilities,) = self._session.run(["probabilities"], {"ids": ids, "offsets": offsets})
        rows: list[list[float]] = probabilities.tolist()
        return rows

    def document(self, request_id: str, pair: Sequence[float]) -> dict[str, Any]:
        """The answer in the Open Inference Protocol."""
        label = self._labels[1] if pair[1] > pair[0] else self._labels[0]
        return {
            "model_name": self.name,
            "model_version": self.version,
            "id": request_id,
            "outputs": [
                {"name": "label", "shape": [1], "datatype": "BYTES", "data": [label]},
                {"name": "probabilities", "shape": [1, 2], "datatype": "FP32", "data": list(pair)},
            ],
        }

    def _bag(self, text: str) -> set[Any]:
        words = self._find(text.lower())
        bag: set[Any] = set(map(self._single, words))
        bag.update(
            [
                after[word]
                for after, word in zip(map(self._seconds, words), words[1:], strict=False)
                if after is not None and word in after
            ]
        )
        bag.discard(None)
        return bag


def read_request(value: bytes | None) -> tuple[str, str]:
    """(id, text) of a record's value. Raises `BadRequestError`: a poison record must not stop the others."""
    try:
        return read_document(orjson.loads(value or b""))
    except orjson.JSONDecodeError as error:
        raise BadRequestError(type(error).__name__) from error


def read_document(document: Any) -> tuple[str, str]:
    """As `read_request`, of JSON that somebody else has parsed."""
    try:
        text = document["inputs"][0]["data"][0]
        request_id = document["id"]
    except (LookupError, TypeError) as error:
        raise BadRequestError(type(error).__name__) from error
    if not isinstance(text, str) or not isinstance(request_id, str):
        raise BadRequestError("not a text")
    return request_id, text


def refusal(request_id: str, reason: str) -> dict[str, str]:
    """The answer to a record that is no request."""
    return {"id": request_id, "error": reason}
