"""Development brokers: how a Kafka on this machine is found, fetched, started, frozen, killed and removed.

`EmbeddedBroker` is the Tansu binary of the `embedded` extra: in memory, up in milliseconds, no transactions.
`LocalKafka` is Apache Kafka itself, one KRaft node: from a Docker engine where one answers, else from Maven
Central with the machine's own Java. Both listen on loopback only, and neither outlives the process that started
it, however that process ends. Not for production: one node, no replication, data in a temporary folder.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from stream_maas.brokers.engines import answers, free_port
from stream_maas.brokers.installation import KAFKA_VERSION
from stream_maas.brokers.local import Broker, EmbeddedBroker, ListenerProtocol, LocalKafka
from stream_maas.errors import BrokerError

__all__ = [
    "KAFKA_VERSION", "Broker", "EmbeddedBroker", "ListenerProtocol", "LocalKafka", "answers", "free_port",
    "run_embedded", "run_kafka",
]  # fmt: skip

_WATCH_S = 0.2


def run_embedded(port: int | None, ready: Callable[[str], None]) -> None:
    """Run the embedded broker until SIGTERM or SIGINT; `ready` gets `HOST:PORT` once it answers.

    Call it from the main thread. Raises `BrokerError` when it cannot start or ends by itself.
    """
    _run(EmbeddedBroker(port), ready)


def run_kafka(port: int | None, ready: Callable[[str], None], say: Callable[[str], None]) -> None:
    """The same for Apache Kafka; `say` gets one line when something has to be fetched first."""
    _run(LocalKafka(port, say=say), ready)


def _run(broker: Broker, ready: Callable[[str], None]) -> None:
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with broker:
            ready(broker.bootstrap)
            while not asked.wait(_WATCH_S):
                if not broker.running:
                    raise BrokerError(f"{broker.name} ended by itself; end of its log:\n{broker.log_tail()}")
            broker.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
