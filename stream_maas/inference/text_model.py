"""Models of kind text: a Hugging Face tokenizer in front of a graph, pooling and normalisation behind it if declared.

Texts of one call are filled up to the longest of them with masked tokens, so texts of like length belong together
(`Row.longest`). Tokenising costs about a hundredth of a small transformer's call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream_maas.errors import BadOutputError, BundleError, RequestError, TooLargeError
from stream_maas.inference.adapter import SAMPLE_ROWS, Output, Row, spread, wanted_outputs
from stream_maas.inference.answers import Answers, check_graph
from stream_maas.inference.bundle import MANIFEST, Bundle
from stream_maas.inference.features import WordBag, read_vocabulary
from stream_maas.inference.manifest import Pooling, TextSteps
from stream_maas.inference.oip import read_texts
from stream_maas.inference.session import Array, Session
from stream_maas.records import Request

BAG_INPUTS = {"ids": "INT32", "offsets": "INT64"}
"""The word bag's inputs of a graph that also takes a vocabulary (see word_bag.py)."""
MAX_CHARS_PER_TOKEN = 32
"""Texts longer than this many characters per allowed token are refused unread; words of real text have 4 to 8."""
MAX_SAMPLE_WORDS = 40


class TextAdapter:
    """Texts in; token numbers, mask and (on demand) a word bag into the graph."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        """Raises `BundleError` when tokenizer, bundle.yaml and graph do not belong together."""
        assert isinstance(bundle.steps, TextSteps)
        manifest = bundle.manifest
        place = bundle.path(MANIFEST)
        if [(spec.datatype, spec.shape) for spec in manifest.inputs] != [("BYTES", (-1,))]:
            raise BundleError(f"{place}: inputs: expected one BYTES tensor of shape [-1]")
        self._text = manifest.inputs[0]
        self._limits = manifest.limits
        self._steps = bundle.steps.tokenizer
        self._pooling = manifest.pooling
        self._bag = _bag_of(bundle)
        self._check_inputs(bundle, session)
        graph_outputs = tuple(
            spec for spec in manifest.outputs if self._pooling is None or spec.name != self._pooling.output
        )
        check_graph(bundle, "outputs", graph_outputs, session.outputs, exact=False)
        if self._pooling is not None and session.outputs.get(self._pooling.hidden) is None:
            raise BundleError(f"{place}: pooling.hidden: the graph has no output {self._pooling.hidden}")
        self._fetches = [spec.name for spec in graph_outputs]
        if self._pooling is not None and self._pooling.hidden not in self._fetches:
            self._fetches.append(self._pooling.hidden)
        self._answers = Answers(bundle)
        self._tokenizer = _open_tokenizer(bundle)

    def prepare(self, request: Request) -> Row:
        """One BYTES tensor of shape [n] or [n, 1] -> token numbers of n texts."""
        wanted = wanted_outputs(request, self._answers.names, self._answers.names)
        place, texts = read_texts(request, self._text, self._limits.max_record_rows)
        encoded = [self._encode(text, f"{place}.data[{index}]") for index, text in enumerate(texts)]
        bags = [self._bag.bag(text).terms for text in texts] if self._bag is not None else None
        lengths = [len(ids) for ids, _ in encoded]
        return Row(len(texts), sum(lengths), None, wanted, (encoded, bags), longest=max(lengths))

    def fetches(self, rows: Sequence[Row]) -> Sequence[str]:
        """The declared outputs, and what pooling needs."""
        return self._fetches

    def feeds(self, rows: Sequence[Row]) -> Mapping[str, Array]:
        """Token numbers, mask and token types INT64 [b, s], s the longest text; the word bag if there is one."""
        encoded = [text for row in rows for text in row.features[0]]
        shape = (len(encoded), max(row.longest for row in rows))
        ids = np.full(shape, self._steps.pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        for index, (numbers, kinds) in enumerate(encoded):
            ids[index, : len(numbers)] = numbers
            mask[index, : len(numbers)] = 1
            types[index, : len(numbers)] = kinds
        names = self._steps.inputs
        feeds: dict[str, Array] = {names.ids: ids}
        if names.mask is not None:
            feeds[names.mask] = mask
        if names.types is not None:
            feeds[names.types] = types
        if self._bag is not None:
            feeds["ids"], feeds["offsets"] = self._bag.bags([terms for row in rows for terms in row.features[1]])
        return feeds

    def answers(self, rows: Sequence[Row], arrays: Mapping[str, Array]) -> list[Output | RequestError]:
        """The outputs, pooled if declared and cut at the records' borders."""
        if self._pooling is None:
            return self._answers.cut(rows, arrays)
        lengths = [len(ids) for row in rows for ids, _ in row.features[0]]
        pooled = pool(arrays[self._pooling.hidden], lengths, self._pooling)
        return self._answers.cut(rows, {**arrays, self._pooling.output: pooled})

    def neutral(self) -> Row:
        """The empty text; one padding token where the tokenizer makes nothing of it."""
        encoded = self._encode("", "neutral") if self._tokenizer.num_special_tokens_to_add(False) else None
        ids, kinds = encoded or ([self._steps.pad_id], [0])
        return Row(1, len(ids), None, self._answers.names, ([(ids, kinds)], [b""]), longest=len(ids))

    def samples(self) -> list[Row]:
        """Texts of one to forty of the tokenizer's own words, far apart in length."""
        words = [word for word in sorted(self._tokenizer.get_vocab()) if word.isalpha()] or ["a"]
        longest = min(MAX_SAMPLE_WORDS, max(1, (self._steps.max_length - 2) // 2))
        rows = []
        for number, place in enumerate(spread(SAMPLE_ROWS)):
            count = 1 + int(place * longest)
            chosen = (spread(count, number * MAX_SAMPLE_WORDS) * len(words)).astype(int).tolist()
            text = " ".join(words[index] for index in chosen)
            ids, kinds = self._encode(text, "sample")
            bags = [self._bag.bag(text).terms] if self._bag is not None else None
            rows.append(Row(1, len(ids), None, self._answers.names, ([(ids, kinds)], bags), longest=len(ids)))
        return rows

    def _encode(self, text: str, place: str) -> tuple[list[int], list[int]]:
        """Token numbers and token types of one text."""
        limit = self._limits.max_row_tokens
        if len(text) > limit * MAX_CHARS_PER_TOKEN:
            raise TooLargeError(
                f"{place}: {len(text)} characters, the limit is {MAX_CHARS_PER_TOKEN} for each of {limit} tokens"
            )
        encoding = self._tokenizer.encode(text)
        ids: list[int] = encoding.ids
        if len(ids) > self._steps.max_length or len(ids) > limit:
            raise TooLargeError(f"{place}: {len(ids)} tokens, the limit is {min(self._steps.max_length, limit)}")
        if not ids:
            ids = [self._steps.pad_id]
        return ids, encoding.type_ids or [0]

    def _check_inputs(self, bundle: Bundle, session: Session) -> None:
        names = self._steps.inputs
        declared = dict.fromkeys((name for name in (names.ids, names.mask, names.types) if name is not None), "INT64")
        if self._bag is not None:
            declared |= BAG_INPUTS
        found = {name: node.datatype for name, node in session.inputs.items()}
        if found != declared:
            expected = ", ".join(f"{name} ({datatype})" for name, datatype in sorted(declared.items()))
            raise BundleError(f"{bundle.path('model.onnx')}: expected the inputs {expected}")


def pool(hidden: Array, lengths: Sequence[int], pooling: Pooling) -> Array:
    """`hidden` float [b, s, h] -> FP32 [b, h]. Text by text over its own tokens, so neither neighbours nor padding
    can move a bit. Raises `BadOutputError` for another shape."""
    if hidden.ndim != 3 or len(hidden) != len(lengths) or hidden.shape[1] < max(lengths):
        raise BadOutputError(f"{pooling.hidden}.shape: not [texts, tokens, size]")
    vectors = np.empty((len(hidden), hidden.shape[2]), dtype=np.float64)
    for index, length in enumerate(lengths):
        tokens = hidden[index, :length].astype(np.float64)
        vectors[index] = tokens[0] if pooling.mode == "first" else tokens.mean(axis=0)
        if pooling.normalise:
            # The smallest norm keeps a text of zeros a vector of zeros, as PyTorch's `normalize` does.
            vectors[index] /= max(float(np.sqrt(np.square(vectors[index]).sum())), 1e-12)
    pooled: Array = vectors.astype(np.float32)
    return pooled


def _bag_of(bundle: Bundle) -> WordBag | None:
    assert isinstance(bundle.steps, TextSteps)
    return read_vocabulary(bundle.path(bundle.steps.vocabulary)) if bundle.steps.vocabulary is not None else None


def _open_tokenizer(bundle: Bundle) -> Any:
    """The tokenizer with the bundle's truncation and no padding of its own. Raises `BundleError`."""
    assert isinstance(bundle.steps, TextSteps)
    steps = bundle.steps.tokenizer
    path = bundle.path(steps.file)
    try:
        import tokenizers
    except ImportError as error:
        raise BundleError(f"{path}: text models need the extra: pip install 'stream-maas[text]'") from error
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise BundleError(f"{path}: not a tokenizer.json of the Hugging Face tokenizers library") from error
    tokenizer.no_padding()
    if steps.truncate:
        tokenizer.enable_truncation(steps.max_length)
    else:
        tokenizer.no_truncation()
    return tokenizer
