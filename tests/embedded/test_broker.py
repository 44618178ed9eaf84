"""The embedded broker's life, and how a client waits for a broker; on a broker because sockets are the subject."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stream_maas import kafka, topics
from stream_maas.brokers import EmbeddedBroker, answers, free_port
from stream_maas.errors import BrokerError, SettingsError
from stream_maas.settings import KafkaConfig, TopicsConfig

pytestmark = pytest.mark.embedded
StartEmbedded = Callable[[], EmbeddedBroker]


# The broker itself ------------------------------------------------------------------------------------------------


async def test_records_and_headers_come_back(
    embedded_broker: str, prefix: str, create_topic: Any, produce: Any, read_all: Any
) -> None:
    topic = await create_topic(embedded_broker, f"{prefix}.things", 3)
    values = [b"%d" % number for number in range(300)]
    await produce(embedded_broker, topic, values, partitions=3)
    records = await read_all(embedded_broker, topic)
    assert [record.offset for record in records] == [*range(100)] * 3
    assert sorted(int(record.value) for record in records) == list(range(300))


def test_stop_and_start_on_the_same_port(start_embedded: StartEmbedded) -> None:
    broker = start_embedded()
    bootstrap, port = broker.bootstrap, broker.port
    assert answers(port)
    broker.stop()
    assert not broker.running
    assert not answers(port)
    broker.start()
    assert (broker.bootstrap, answers(port)) == (bootstrap, True)
    broker.kill()
    assert not broker.running


def test_frozen_broker_is_there_but_does_not_answer(start_embedded: StartEmbedded) -> None:
    broker = start_embedded()
    broker.freeze()
    assert broker.running
    assert not answers(broker.port, timeout_s=0.2)
    broker.thaw()
    assert answers(broker.port)
    broker.freeze()
    broker.stop()  # a frozen process cannot act on SIGTERM
    assert not broker.running


def test_close_leaves_nothing(start_embedded: StartEmbedded) -> None:
    broker = start_embedded()
    assert broker.folder.exists()
    broker.close()
    assert not broker.running
    assert not broker.folder.exists()
    broker.close()


def test_taken_port_is_told(start_embedded: StartEmbedded) -> None:
    with pytest.raises(BrokerError, match="is taken by a running broker"), EmbeddedBroker(start_embedded().port):
        pass


def test_port_of_something_else_gives_the_log() -> None:
    """Not a broker, so it does not answer; then the broker's own log says why it cannot start."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(BrokerError, match="end of its log"), EmbeddedBroker(other.getsockname()[1]):
            pass


def test_never_started_broker_says_so() -> None:
    broker = EmbeddedBroker()
    for action in (broker.stop, broker.kill, broker.freeze, broker.log_tail):
        with pytest.raises(BrokerError, match="has not been started"):
            action()
    broker.close()


def test_unusable_binary_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/nowhere/tansu")
    assert "CALF_TANSU_BIN" in (EmbeddedBroker.unavailable_reason() or "")
    with pytest.raises(BrokerError, match="cannot be used here"), EmbeddedBroker():
        pass


def test_free_ports_are_no_ports_of_clients() -> None:
    """A client's own port is ephemeral; a broker that comes back must not find its port taken by one."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < max(lowest, 16_000) or lowest <= 16_000 for _ in range(20))


PROGRAM = """
import sys, time
from stream_maas.brokers import EmbeddedBroker, run_embedded
if sys.argv[1] == "run":
    run_embedded(None, lambda bootstrap: print(bootstrap, flush=True))
    print("stopped", flush=True)
else:
    broker = EmbeddedBroker().start()
    print(broker.bootstrap, flush=True)
    print(broker.folder, flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def owner(mode: str) -> Any:
    """Another process that owns a broker; gives the process and the broker's port."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, mode], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("embedded_broker")
def test_broker_dies_with_a_killed_owner() -> None:
    with owner("hold") as (process, port):
        folder = Path(process.stdout.readline().strip())
        assert answers(port)
        assert folder.is_dir()
        process.kill()
        process.wait()
        while answers(port, timeout_s=0.2) or folder.exists():  # ends, or the test's own timeout does
            time.sleep(0.02)


@pytest.mark.usefixtures("embedded_broker")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_embedded_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with owner("run") as (process, port):
        assert answers(port)
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, "stopped\n")
        assert not answers(port)


# Waiting for a broker ---------------------------------------------------------------------------------------------


def config(port: int, **changes: Any) -> KafkaConfig:
    return KafkaConfig(bootstrap=f"127.0.0.1:{port}", **changes)


@asynccontextmanager
async def server(reply: bytes | None) -> AsyncIterator[int]:
    """Something that is no broker: says `reply` to whoever connects, or hangs up at once (None)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reply is not None:
            await reader.read(1)
            writer.write(reply)
            await writer.drain()
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def test_waiting_is_told_once_per_reason_and_ends_when_the_broker_comes(start_embedded: StartEmbedded) -> None:
    broker = start_embedded()
    broker.stop()
    said: asyncio.Queue[str] = asyncio.Queue()
    waiting = asyncio.create_task(kafka.wait_for_broker(config(broker.port), on_wait=said.put_nowait))
    assert await said.get() == f"waiting for a broker: 127.0.0.1:{broker.port}: connection refused"
    await asyncio.sleep(1.0)  # several tries
    assert not waiting.done()
    broker.start()
    cluster = await asyncio.wait_for(waiting, 20)
    assert list(cluster.brokers.values()) == [("127.0.0.1", broker.port)]
    assert said.empty()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (None, "the broker ended the connection; is PLAINTEXT"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no answer in time"),
    ],
    ids=["hangs up", "speaks HTTP"],
)
async def test_something_that_is_no_broker(reply: bytes | None, says: str) -> None:
    said: list[str] = []
    async with server(reply) as port:
        with pytest.raises(BrokerError, match="next: check --bootstrap"):
            await kafka.wait_for_broker(config(port, request_timeout_ms=300), on_wait=said.append, give_up_after_ms=400)
    assert [line.startswith(f"waiting for a broker: 127.0.0.1:{port}: {says}") for line in said] == [True]


async def test_frozen_broker_is_waited_for(start_embedded: StartEmbedded) -> None:
    broker = start_embedded()
    broker.freeze()
    said: asyncio.Queue[str] = asyncio.Queue()
    waiting = asyncio.create_task(
        kafka.wait_for_broker(config(broker.port, request_timeout_ms=300), on_wait=said.put_nowait)
    )
    assert "no answer in time" in await said.get()
    broker.thaw()
    await asyncio.wait_for(waiting, 20)


async def test_second_bootstrap_address_is_enough(embedded_broker: str) -> None:
    both = KafkaConfig(bootstrap=f"127.0.0.1:{free_port()},{embedded_broker}")
    said: list[str] = []
    await kafka.wait_for_broker(both, on_wait=said.append)
    assert said == []


async def test_wrong_settings_are_not_waited_for(embedded_broker: str) -> None:
    with pytest.raises(SettingsError):
        await kafka.wait_for_broker(KafkaConfig(bootstrap=embedded_broker, ssl_cafile="/x"), on_wait=pytest.fail)


async def test_unresolvable_host_is_named() -> None:
    with pytest.raises(BrokerError, match=r"broker\.invalid:9092: the host name cannot be resolved"):
        await kafka.describe_cluster(KafkaConfig(bootstrap="broker.invalid:9092"))


# What it can do ---------------------------------------------------------------------------------------------------


async def test_probe_sees_through_what_is_advertised(embedded_broker: str) -> None:
    found = await kafka.probe(KafkaConfig(bootstrap=embedded_broker), transactional_id="any")
    assert not found.exactly_once
    assert (found.transactions, found.idempotence, found.delete_records) == (False, False, False)
    assert found.reason == (
        "the broker has no idempotent producer, and so no transactions (InitProducerId is answered with UnknownError)"
    )
    assert found.broker == "1 broker, cluster stream-maas-embedded"


async def test_topics_are_created_once_and_then_fit(embedded_broker: str, prefix: str) -> None:
    where, names = KafkaConfig(bootstrap=embedded_broker), TopicsConfig(prefix=prefix, lanes=("fast",))
    table = topics.table(prefix, names.lanes)
    assert len(await kafka.check_topics(where, names)) == len(table)
    assert await kafka.create_topics(where, table, 3, 1) == ([spec.name for spec in table], [])
    assert await kafka.create_topics(where, table, 3, 1) == ([], [spec.name for spec in table])
    assert await kafka.check_topics(where, names) == []
