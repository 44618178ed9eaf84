"""Contender (d): MLServer's Kafka mode, in-process, with adaptive batching.

Its consumer has no group and starts at the end of the topic, so "ready" here means that it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import socket
import tempfile

from mlserver import MLServer, ModelSettings, Settings
from mlserver.kafka.server import KafkaServer

MAX_BATCH_ROWS = 32
MAX_BATCH_WAIT_S = 0.005


def settings(options: argparse.Namespace, folder: str) -> tuple[Settings, ModelSettings]:
    """As its documentation has them in settings.json and model-settings.json."""
    ports = [_free_port() for _ in range(3)]
    server = Settings(
        kafka_enabled=True,
        kafka_servers=options.bootstrap,
        kafka_topic_input=f"{options.prefix}.requests",
        kafka_topic_output=f"{options.prefix}.results",
        parallel_workers=0,
        host="127.0.0.1",
        http_port=ports[0],
        grpc_port=ports[1],
        metrics_port=ports[2],
        metrics_dir=folder,
        debug=False,
    )
    model = ModelSettings(
        name="sentiment-lite",
        implementation="benchmarks.peers.mlserver_runtime.HandmadeRuntime",
        parameters={"uri": options.model, "version": "1.0.0"},
        max_batch_size=MAX_BATCH_ROWS,
        max_batch_time=MAX_BATCH_WAIT_S,
    )
    return server, model


class SayingKafkaServer(KafkaServer):
    """Says when its clients are started and one line per answer less."""

    async def _consumer_loop(self) -> None:
        await self._consumer.seek_to_end()
        print(json.dumps({"status": "ready"}), flush=True)
        await super()._consumer_loop()


async def run(options: argparse.Namespace) -> None:
    import mlserver.server

    mlserver.server.KafkaServer = SayingKafkaServer
    with tempfile.TemporaryDirectory() as folder:
        server_settings, model_settings = settings(options, folder)
        server = MLServer(server_settings)
        logging.getLogger("mlserver").setLevel(logging.CRITICAL)
        await server.start([model_settings])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "prefix", "group", "model"):
        parser.add_argument(f"--{name}", required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
