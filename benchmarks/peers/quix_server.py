"""Contender (c): Quix Streams, exactly-once, one message at a time as its streaming data frame works.

Commits every 50 ms like everybody; values are bytes in and out, so that orjson does the work in both directions.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from typing import Any

import orjson
from quixstreams import Application

from benchmarks.peers.handmade import BadRequestError, HandmadeModel, read_request, refusal

COMMIT_INTERVAL_S = 0.05
SESSION_MS = 6_000


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "prefix", "group", "model"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    model = HandmadeModel(options.model)
    app = Application(
        options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_INTERVAL_S,
        processing_guarantee="exactly-once",
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="ERROR",
        state_dir=tempfile.mkdtemp(prefix="quix-"),
        consumer_poll_timeout=0.05,
        consumer_extra_config={
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 4,
        },
        producer_extra_config={"linger.ms": 5, "batch.size": 1 << 20},
    )
    requests = app.topic(f"{options.prefix}.requests", key_deserializer="bytes", value_deserializer="bytes")
    results = app.topic(f"{options.prefix}.results", key_serializer="bytes", value_serializer="bytes")

    def answer(value: bytes, key: Any, timestamp: int, headers: Any) -> bytes:
        try:
            request_id, text = read_request(value)
        except BadRequestError as error:
            return orjson.dumps(refusal("unknown", str(error)))
        (pair,) = model.predict([text])
        return orjson.dumps(model.document(request_id, pair))

    frame = app.dataframe(requests).apply(answer, metadata=True)
    frame.to_topic(results)
    threading.Thread(target=_say_ready, daemon=True).start()
    app.run(frame)


def _say_ready() -> None:
    """Quix says nothing when it has joined; the warm-up that follows finds out."""
    time.sleep(1.0)
    print(json.dumps({"status": "ready"}), flush=True)


if __name__ == "__main__":
    main()
