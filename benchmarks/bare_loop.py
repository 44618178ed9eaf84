"""The baseline: what a good engineer writes by hand when the only aim is to be fast.

One aiokafka consumer with prefetch, orjson, a regular expression and a dictionary for the terms, one ONNX Runtime
call per partition chunk, one produce batch per chunk, offsets committed in the background after the broker
acknowledged: at-least-once for records that are well formed. Nothing else: no validation, so that one bad record ends
the process; no redaction, no audit event, no rejections, no deadlines, no metrics, no exactly-once, no clean hand-over
in a rebalance.

`--terms worker` takes the worker's own featuriser instead, which nobody writes by hand: the ceiling of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from numpy.typing import NDArray

from stream_maas import topics
from stream_maas.inference.features import WordBag

CHUNK_ROWS = 512
"""Rows of one call; larger ones were not faster."""
COMMIT_INTERVAL_S = 0.05
"""As the worker's."""
BATCH_BYTES = 1 << 20
FETCH_WAIT_MS = 50
"""As the worker's."""


class Terms:
    """Words and pairs of neighbours by regular expression and dictionary; each term once per text, in any order."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._find = re.compile(r"\w+").findall
        self._single = {term: number for number, term in enumerate(terms)}.get
        seconds: dict[str, dict[str, int]] = {}
        for number, term in enumerate(terms):
            first, _, second = term.partition(" ")
            if second:
                seconds.setdefault(first, {})[second] = number
        self._seconds = seconds.get

    def bags(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(term numbers int32 [n], offsets int64 [b + 1]) of b texts."""
        single, seconds = self._single, self._seconds
        bags = []
        for text in texts:
            words = self._find(text.lower())
            bag = set(map(single, words))
            bag.update(
                [after[word] for after, word in zip(map(seconds, words), words[1:], strict=False)
                 if after is not None and word in after]
            )  # fmt: skip
            bag.discard(None)
            bags.append(bag)
        offsets = np.zeros(len(bags) + 1, dtype=np.int64)
        np.cumsum([len(bag) for bag in bags], out=offsets[1:])
        return np.fromiter(chain.from_iterable(bags), dtype=np.int32, count=int(offsets[-1])), offsets


class WorkerTerms:
    """The same by the worker's featuriser."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._bag = WordBag(terms)

    def bags(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """As `Terms.bags`."""
        return self._bag.bags([self._bag.bag(text).terms for text in texts])


class Model:
    """The bundle, opened by hand."""

    def __init__(self, directory: Path, terms: type[Terms] | type[WorkerTerms]) -> None:
        manifest = yaml.safe_load((directory / "bundle.yaml").read_bytes())
        self.name, self.version = manifest["name"], str(manifest["version"])
        self.labels = manifest["labels"]["names"]
        vocabulary = directory / manifest["preprocessing"]["vocabulary"]
        self._terms = terms(vocabulary.read_text(encoding="utf-8").splitlines())
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def predict(self, texts: Sequence[str]) -> list[list[float]]:
        """Probabilities [b, 2] of b texts, negative label first."""
        ids, offsets = self._terms.bags(texts)
        (probabilities,) = self._session.run(["probabilities"], {"ids": ids, "offsets": offsets})
        rows: list[list[float]] = probabilities.tolist()
        return rows


class Loop:
    """Consume, predict, produce; commit what was acknowledged. Another model is a class with two other methods."""

    chunk_rows = CHUNK_ROWS

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, model: Any, results: str) -> None:
        self._consumer, self._producer, self._model, self._results = consumer, producer, model, results
        self._deliveries: list[asyncio.Future[Any]] = []
        self._offsets: dict[TopicPartition, int] = {}
        self._sent = asyncio.Event()

    async def serve(self) -> None:
        while True:
            for tp, records in (await self._consumer.getmany(timeout_ms=200)).items():
                for start in range(0, len(records), self.chunk_rows):
                    await self._answer(tp, records[start : start + self.chunk_rows])

    async def commit(self) -> None:
        while True:
            await self._sent.wait()
            self._sent.clear()
            began_s = time.monotonic()
            deliveries, self._deliveries = self._deliveries, []
            offsets, self._offsets = self._offsets, {}
            await asyncio.gather(*deliveries)
            await self._consumer.commit(offsets)
            await asyncio.sleep(max(0.0, began_s + COMMIT_INTERVAL_S - time.monotonic()))

    async def _answer(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        requests = [orjson.loads(record.value) for record in records]
        rows = await self._predict([request["inputs"][0]["data"][0] for request in requests])
        now_ms = time.time_ns() // 1_000_000
        batch = self._producer.create_batch()
        for record, request, row in zip(records, requests, rows, strict=True):
            value = self._result(request["id"], row)
            if batch.append(key=record.key, value=value, timestamp=now_ms) is None:
                await self._send(tp, batch)
                batch = self._producer.create_batch()
                batch.append(key=record.key, value=value, timestamp=now_ms)
        await self._send(tp, batch)
        self._offsets[tp] = records[-1].offset + 1
        self._sent.set()

    async def _send(self, tp: TopicPartition, batch: Any) -> None:
        batch.close()
        self._deliveries.append(await self._producer.send_batch(batch, self._results, partition=tp.partition))

    async def _predict(self, texts: Sequence[str]) -> list[list[float]]:
        return self._model.predict(texts)

    def _result(self, request_id: str, pair: list[float]) -> bytes:
        model = self._model
        return orjson.dumps(
            {
                "model_name": model.name,
                "model_version": model.version,
                "id": request_id,
                "outputs": [
                    {
                        "name": "label",
                        "shape": [1],
                        "datatype": "BYTES",
                        "data": [model.labels[1] if pair[1] > pair[0] else model.labels[0]],
                    },
                    {"name": "probabilities", "shape": [1, 2], "datatype": "FP32", "data": pair},
                ],
            }
        )


async def serve(options: argparse.Namespace, model: Any, kind: type[Loop]) -> None:
    """Run `kind` around a warm `model` until SIGTERM; says so in a line of JSON once it listens."""
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
    loop = kind(consumer, producer, model, topics.results(options.prefix))
    tasks = [asyncio.create_task(loop.serve()), asyncio.create_task(loop.commit())]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: [task.cancel() for task in tasks])
    print(json.dumps({"status": "ready"}), flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    await consumer.stop()
    await producer.stop()


def arguments() -> argparse.ArgumentParser:
    """What every server of the benchmark takes."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "prefix", "group", "model"):
        parser.add_argument(f"--{name}", required=True)
    return parser


def main() -> None:
    parser = arguments()
    parser.add_argument("--terms", choices=("regex", "worker"), default="regex")
    options = parser.parse_args()
    model = Model(Path(options.model), WorkerTerms if options.terms == "worker" else Terms)
    model.predict(["warm up"])
    asyncio.run(serve(options, model, Loop))


if __name__ == "__main__":
    main()
