"""Contenders (b) and (e): FastStream, a batch subscriber that acknowledges after its answers were acknowledged.

`--govern` puts in front what a team would take today: Presidio's pattern recognisers (no language model) with its
anonymiser, and an audit record per request to a topic of its own. At-least-once, both with and without.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage, KafkaPublishMessage

from benchmarks.peers.handmade import BadRequestError, HandmadeModel, read_request, refusal

BATCH_BYTES = 1 << 20
BATCH_ROWS = 2_000
WAIT_MS = 50
SESSION_MS = 6_000
"""Who is killed is missed after this long; Kafka's 45 s would only make the measurement wait."""

Redact = Callable[[str], tuple[str, dict[str, int]]]


def presidio() -> Redact:
    """Presidio's pattern recognisers, called one by one: its engine would insist on a language model."""
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        PhoneRecognizer,
        UsSsnRecognizer,
    )
    from presidio_anonymizer import AnonymizerEngine
    from presidio_anonymizer.entities import RecognizerResult

    kinds = (CreditCardRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer, PhoneRecognizer, UsSsnRecognizer)
    recognizers = [kind(supported_language="en") for kind in kinds]
    anonymizer = AnonymizerEngine()

    def redact(text: str) -> tuple[str, dict[str, int]]:
        found = [
            RecognizerResult(item.entity_type, item.start, item.end, item.score)
            for recognizer in recognizers
            for item in recognizer.analyze(text, recognizer.supported_entities, None) or ()
            if item.score >= 0.4
        ]
        if not found:
            return text, {}
        counts: dict[str, int] = {}
        for item in found:
            counts[item.entity_type] = counts.get(item.entity_type, 0) + 1
        return anonymizer.anonymize(text, found).text, counts

    return redact


class Server:
    """One handler for whole batches."""

    def __init__(self, broker: KafkaBroker, model: HandmadeModel, prefix: str, redact: Redact | None) -> None:
        self._broker, self._model, self._redact = broker, model, redact
        self._results, self._audit = f"{prefix}.results", f"{prefix}.audit"
        self._sent: list[Any] = []

    async def handle(self, polled: Sequence[Any]) -> None:
        """All records of one poll, answered partition by partition; what was sent is awaited together."""
        by_partition: dict[int, list[Any]] = {}
        for record in polled:
            by_partition.setdefault(record.partition, []).append(record)
        for partition, records in by_partition.items():
            await self._answer(partition, records)
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)

    async def _answer(self, partition: int, records: Sequence[Any]) -> None:
        answers: list[bytes] = [b""] * len(records)
        asked: list[tuple[int, str, str, dict[str, int]]] = []
        for place, record in enumerate(records):
            try:
                request_id, text = read_request(record.value)
            except BadRequestError as error:
                answers[place] = refusal(f"{record.topic}:{record.partition}:{record.offset}", str(error))
                continue
            text, counts = self._redact(text) if self._redact is not None else (text, {})
            asked.append((place, request_id, text, counts))
        audits = []
        pairs = self._model.predict([text for _, _, text, _ in asked]) if asked else []
        for (place, request_id, text, counts), pair in zip(asked, pairs, strict=True):
            document = self._model.document(request_id, pair)
            answers[place] = orjson.dumps(document)
            if self._redact is not None:
                audits.append(self._audit_record(records[place], document, text, counts))
        await self._publish(
            self._results, partition, [(record.key, answer) for record, answer in zip(records, answers, strict=True)]
        )
        if audits:
            await self._publish(self._audit, partition, audits)

    def _audit_record(self, record: Any, document: dict[str, Any], text: str, counts: dict[str, int]) -> Any:
        event = {
            "time": time.time_ns() // 1000,
            "request": {"id": document["id"], "partition": record.partition, "offset": record.offset},
            "model": {"name": self._model.name, "version": self._model.version},
            "input_digest": hashlib.sha256(text.encode()).hexdigest(),
            "redactions": counts,
            "output": document["outputs"],
        }
        return record.key, orjson.dumps(event)

    async def _publish(self, topic: str, partition: int, rows: Sequence[tuple[bytes | None, bytes]]) -> None:
        messages = [KafkaPublishMessage(value, key=key) for key, value in rows]
        self._sent.append(
            await self._broker.publish_batch(*messages, topic=topic, partition=partition, no_confirm=True)
        )


async def run(options: argparse.Namespace) -> None:
    broker = KafkaBroker(
        options.bootstrap, acks="all", max_batch_size=BATCH_BYTES, max_request_size=8 * BATCH_BYTES,
        apply_types=False, logger=None, graceful_timeout=5,
    )  # fmt: skip
    server = Server(broker, HandmadeModel(options.model), options.prefix, presidio() if options.govern else None)
    subscriber = broker.subscriber(
        f"{options.prefix}.requests", batch=True, group_id=options.group, auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR, isolation_level="read_committed", max_records=BATCH_ROWS,
        batch_timeout_ms=WAIT_MS, fetch_max_wait_ms=WAIT_MS, session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=SESSION_MS // 4, decoder=raw, no_reply=True,
    )  # fmt: skip
    subscriber(server.handle)
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
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
