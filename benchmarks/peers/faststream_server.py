"""Contenders (b) and (e): FastStream, a batch subscriber that acknowledges after its answers were acknowledged.

Written as its documentation shows it: FastStream parses the records' JSON and encodes the answers, `publish_batch`
waits for the broker, a record that is no request gets an answer that says so. `--tuned` leaves FastStream the consumer,
the producer and the acknowledgement only: bytes in and out, no dependency injection, batches confirmed together.

`--govern` puts in front what a team would take today: Presidio's analyzer with its pattern recognisers (a blank spaCy
pipeline, no language model), its anonymiser, and an audit record per request to a topic of its own. With `--tuned` six
of its recognisers are called without the analyzer. At-least-once, all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaPublishMessage
from faststream.kafka.annotations import KafkaMessage

from benchmarks.peers.handmade import BadRequestError, HandmadeModel, read_document, read_request, refusal

BATCH_BYTES = 1 << 20
BATCH_ROWS = 2_000
WAIT_MS = 50
SESSION_MS = 6_000
"""Who is killed is missed after this long; Kafka's 45 s would only make the measurement wait."""

LEAST_SCORE = 0.4

Read = Callable[[Any], tuple[str, str]]
Redact = Callable[[str], tuple[str, dict[str, int]]]


def presidio() -> Redact:
    """Presidio's engines with every pattern recogniser that they load for English."""
    import spacy
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        """Tokens, which context words need, and no model."""

        def __init__(self) -> None:
            super().__init__(ner_model_configuration=NerModelConfiguration())
            self.nlp = {"en": spacy.blank("en")}

        def load(self) -> None:
            """Nothing to download."""

    analyzer = AnalyzerEngine(nlp_engine=Blank())
    return _redacting(lambda text: analyzer.analyze(text, language="en", score_threshold=LEAST_SCORE))


def presidio_recognizers() -> Redact:
    """Six of Presidio's pattern recognisers, called one by one: nothing of its own is cheaper."""
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        PhoneRecognizer,
        UsSsnRecognizer,
    )
    from presidio_anonymizer.entities import RecognizerResult

    kinds = (CreditCardRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer, PhoneRecognizer, UsSsnRecognizer)
    recognizers = [kind(supported_language="en") for kind in kinds]

    def find(text: str) -> list[Any]:
        return [
            RecognizerResult(item.entity_type, item.start, item.end, item.score)
            for recognizer in recognizers
            for item in recognizer.analyze(text, recognizer.supported_entities, None) or ()
            if item.score >= LEAST_SCORE
        ]

    return _redacting(find)


def _redacting(find: Callable[[str], list[Any]]) -> Redact:
    from presidio_anonymizer import AnonymizerEngine

    anonymizer = AnonymizerEngine()

    def redact(text: str) -> tuple[str, dict[str, int]]:
        found = find(text)
        if not found:
            return text, {}
        counts: dict[str, int] = {}
        for item in found:
            counts[item.entity_type] = counts.get(item.entity_type, 0) + 1
        return anonymizer.anonymize(text, found).text, counts

    return redact


class Server:
    """One handler for whole batches."""

    def __init__(
        self, broker: KafkaBroker, model: HandmadeModel, prefix: str, redact: Redact | None, *, tuned: bool
    ) -> None:
        self._broker, self._model, self._redact, self._tuned = broker, model, redact, tuned
        self._results, self._audit = f"{prefix}.results", f"{prefix}.audit"

    async def handle(self, bodies: list[Any], message: KafkaMessage) -> None:
        """What FastStream has parsed; bytes where it could not."""
        await self._serve(message.raw_message, bodies, read_document)

    async def handle_raw(self, polled: Any) -> None:
        """The records as they came."""
        await self._serve(polled, [record.value for record in polled], read_request)

    async def _serve(self, records: Sequence[Any], bodies: Sequence[Any], read: Read) -> None:
        """All records of one poll, partition by partition."""
        by_partition: dict[int, list[tuple[Any, Any]]] = {}
        for record, body in zip(records, bodies, strict=True):
            by_partition.setdefault(record.partition, []).append((record, body))
        sending = [
            publishing
            for partition, polled in by_partition.items()
            for publishing in self._answer(partition, polled, read)
        ]
        if self._tuned:
            await asyncio.gather(*[await publishing for publishing in sending])
        else:
            await asyncio.gather(*sending)

    def _answer(self, partition: int, polled: Sequence[tuple[Any, Any]], read: Read) -> Iterator[Any]:
        """What is to be published for these records of one partition."""
        answers: list[dict[str, Any]] = [{}] * len(polled)
        asked: list[tuple[int, str, str, dict[str, int]]] = []
        for place, (record, body) in enumerate(polled):
            try:
                request_id, text = read(body)
            except BadRequestError as error:
                answers[place] = refusal(f"{record.topic}:{record.partition}:{record.offset}", str(error))
                continue
            text, counts = self._redact(text) if self._redact is not None else (text, {})
            asked.append((place, request_id, text, counts))
        audits = []
        pairs = self._model.predict([text for _, _, text, _ in asked]) if asked else []
        for (place, request_id, text, counts), pair in zip(asked, pairs, strict=True):
            answers[place] = self._model.document(request_id, pair)
            if self._redact is not None:
                audits.append(self._audit_record(polled[place][0], answers[place], text, counts))
        keys = [record.key for record, _ in polled]
        yield self._publish(self._results, partition, list(zip(keys, answers, strict=True)))
        if audits:
            yield self._publish(self._audit, partition, audits)

    def _audit_record(self, record: Any, document: dict[str, Any], text: str, counts: dict[str, int]) -> Any:
        event = {
            "time": time.time_ns() // 1000,
            "request": {"id": document["id"], "partition": record.partition, "offset": record.offset},
            "model": {"name": self._model.name, "version": self._model.version},
            "input_digest": hashlib.sha256(text.encode()).hexdigest(),
            "redactions": counts,
            "output": document["outputs"],
        }
        return record.key, event

    async def _publish(self, topic: str, partition: int, rows: Sequence[tuple[bytes | None, dict[str, Any]]]) -> Any:
        messages = [KafkaPublishMessage(orjson.dumps(row) if self._tuned else row, key=key) for key, row in rows]
        return await self._broker.publish_batch(*messages, topic=topic, partition=partition, no_confirm=self._tuned)


async def run(options: argparse.Namespace) -> None:
    tuned = options.tuned
    redact = (presidio_recognizers() if tuned else presidio()) if options.govern else None
    broker = KafkaBroker(
        options.bootstrap, acks="all", max_batch_size=BATCH_BYTES, max_request_size=8 * BATCH_BYTES,
        apply_types=not tuned, logger=None, graceful_timeout=5,
    )  # fmt: skip
    server = Server(broker, HandmadeModel(options.model), options.prefix, redact, tuned=tuned)
    subscriber = broker.subscriber(
        f"{options.prefix}.requests", batch=True, group_id=options.group, auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR, isolation_level="read_committed", max_records=BATCH_ROWS,
        batch_timeout_ms=WAIT_MS, fetch_max_wait_ms=WAIT_MS, session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=SESSION_MS // 4, no_reply=True, **({"decoder": raw} if tuned else {}),
    )  # fmt: skip
    subscriber(server.handle_raw if tuned else server.handle)
    app = FastStream(broker, logger=None)

    @app.after_startup
    async def say() -> None:
        print(json.dumps({"status": "ready"}), flush=True)

    await app.run()


async def raw(message: KafkaMessage) -> Any:
    """The records of the batch as they are: orjson reads them in the handler, one by one."""
    return message.raw_message


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "prefix", "group", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--govern", action="store_true")
    parser.add_argument("--tuned", action="store_true")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
