"""The bare loop with a transformer: tokenise, sort a window by length, small batches on two threads, answer in order.

As `bare_loop.py` in all else: at-least-once, no checks, no governance. Written by somebody who has measured that
batches in order of arrival halve the throughput.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import yaml
from tokenizers import Tokenizer

from benchmarks.bare_loop import Loop, arguments, serve

WINDOW_ROWS = 64
BATCH_TOKENS = 256
LENGTH_RATIO = 1.25
THREADS = 2
MAX_TOKENS = 256


class Embedder:
    """The bundle of a text model that pools in its graph, opened by hand."""

    def __init__(self, directory: Path) -> None:
        manifest = yaml.safe_load((directory / "bundle.yaml").read_bytes())
        self.name, self.version = manifest["name"], str(manifest["version"])
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.pool = ThreadPoolExecutor(THREADS)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in order."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        loop = asyncio.get_running_loop()
        batches = _batches(tokens)
        calls = [loop.run_in_executor(self.pool, self._run, [tokens[index] for index in batch]) for batch in batches]
        rows: list[list[float]] = [[]] * len(texts)
        for batch, vectors in zip(batches, await asyncio.gather(*calls), strict=True):
            for index, vector in zip(batch, vectors.tolist(), strict=True):
                rows[index] = vector
        return rows

    def _run(self, tokens: Sequence[Sequence[int]]) -> Any:
        shape = (len(tokens), max(map(len, tokens)))
        ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        return self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]


class MiniLmLoop(Loop):
    """Windows of one partition, one after the other."""

    chunk_rows = WINDOW_ROWS

    async def _predict(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._model.embed(texts)

    def _result(self, request_id: str, vector: list[float]) -> bytes:
        output = {"name": "embedding", "shape": [1, len(vector)], "datatype": "FP32", "data": vector}
        document = {"model_name": self._model.name, "model_version": self._model.version, "id": request_id}
        return orjson.dumps({**document, "outputs": [output]})


def _batches(tokens: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indexes of texts of like length, within the token budget."""
    batches: list[list[int]] = []
    shortest = 0
    for index in sorted(range(len(tokens)), key=lambda index: len(tokens[index])):
        length = len(tokens[index])
        full = batches and ((len(batches[-1]) + 1) * length > BATCH_TOKENS or length > shortest * LENGTH_RATIO)
        if not batches or full:
            batches.append([])
            shortest = length
        batches[-1].append(index)
    return batches


async def run(options: argparse.Namespace) -> None:
    model = Embedder(Path(options.model))
    await model.embed(["warm up"] * THREADS)
    await serve(options, model, MiniLmLoop)


if __name__ == "__main__":
    asyncio.run(run(arguments().parse_args()))
