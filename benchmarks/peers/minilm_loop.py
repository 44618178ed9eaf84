"""The bare loop with a transformer: tokenise, sort a window by length, small batches on two threads, answer in order.

As `bare_loop.py` in all else: at-least-once, no checks, no governance. Written by somebody who has measured that
batches in order of arrival halve the throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from tokenizers import Tokenizer

from benchmarks.bare_loop import BATCH_BYTES, FETCH_WAIT_MS, Loop
from stream_maas import topics

WINDOW_ROWS = 64
BATCH_TOKENS = 256
LENGTH_RATIO = 1.25
THREADS = 2
MAX_TOKENS = 256


class Embedder:
    """The bundle of a text model that pools in its graph, opened by hand."""

    def __init__(self, directory: Path) -> None:
        manifest = yaml.safe_load((directory / "bundle.yaml").read_bytes())
        self.name, self.version, self.labels = manifest["name"], str(manifest["version"]), ("", "")
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

    _model: Any

    async def serve(self) -> None:
        while True:
            for tp, records in (await self._consumer.getmany(timeout_ms=200)).items():
                for start in range(0, len(records), WINDOW_ROWS):
                    await self._answer(tp, records[start : start + WINDOW_ROWS])

    async def _answer(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        requests = [orjson.loads(record.value) for record in records]
        vectors = await self._model.embed([request["inputs"][0]["data"][0] for request in requests])
        now_ms = time.time_ns() // 1_000_000
        batch = self._producer.create_batch()
        for record, request, vector in zip(records, requests, vectors, strict=True):
            value = self._result(request["id"], vector)
            if batch.append(key=record.key, value=value, timestamp=now_ms) is None:
                await self._send(tp, batch)
                batch = self._producer.create_batch()
                batch.append(key=record.key, value=value, timestamp=now_ms)
        await self._send(tp, batch)
        self._offsets[tp] = records[-1].offset + 1
        self._sent.set()

    def _result(self, request_id: str, pair: list[float]) -> bytes:
        output = {"name": "embedding", "shape": [1, len(pair)], "datatype": "FP32", "data": pair}
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
    consumer = AIOKafkaConsumer(
        topics.requests(options.prefix),
        bootstrap_servers=options.bootstrap,
        group_id=options.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=options.bootstrap, acks="all", max_batch_size=BATCH_BYTES, max_request_size=8 * BATCH_BYTES
    )
    await producer.start()
    await consumer.start()
    loop = MiniLmLoop(consumer, producer, model, topics.results(options.prefix))  # type: ignore[arg-type]
    tasks = [asyncio.create_task(loop.serve()), asyncio.create_task(loop.commit())]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: [task.cancel() for task in tasks])
    print(json.dumps({"status": "ready"}), flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    await consumer.stop()
    await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "prefix", "group", "model"):
        parser.add_argument(f"--{name}", required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
