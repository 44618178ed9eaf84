"""How many texts go through an encoder graph during training: batches of like length, all cores, progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stream_maas.inference.train.minilm import IDS, MASK

MAX_TOKENS = 256
"""Of one text, as its authors trained the model; later tokens are cut off."""
_BATCH_TOKENS = 256


class TextEncoder:
    """A graph with the inputs of MiniLM and the tokenizer in front of it."""

    def __init__(self, graph: bytes, tokenizer: bytes) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.decode("utf-8"))
        # The published file pads and cuts to 128 tokens.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_mem_pattern = False
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids, [CLS] and [SEP] included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def encode(
        self, texts: Sequence[str], output: str, advance: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float64]:
        """The graph's `output` for each text, [texts, width]. `advance(done, total)` as it goes."""
        tokens = self.tokens(texts)
        batches = list(_batches(tokens))
        rows: NDArray[np.float64] | None = None
        done = 0
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for batch, values in zip(
                batches, pool.map(lambda b: self._run([tokens[i] for i in b], output), batches), strict=True
            ):
                if rows is None:
                    rows = np.zeros((len(texts), values.shape[1]))
                rows[batch] = values
                done += len(batch)
                if advance is not None:
                    advance(done, len(texts))
        assert rows is not None, "no text"
        return rows

    def _run(self, tokens: Sequence[Sequence[int]], output: str) -> NDArray[np.generic]:
        """Texts of equal length, so that nothing is padded."""
        ids = np.array(tokens, dtype=np.int64)
        (values,) = self._session.run([output], {IDS: ids, MASK: np.ones_like(ids)})
        return np.asarray(values)


def _batches(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Indexes of texts of equal length, at most _BATCH_TOKENS tokens (or one text) together."""
    batch: list[int] = []
    for index in sorted(range(len(tokens)), key=lambda index: (len(tokens[index]), index)):
        length = len(tokens[index])
        if batch and (len(tokens[batch[0]]) != length or (len(batch) + 1) * length > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
