"""What runs a broker: a child process or a Docker container, neither of which outlives the process that started it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from stream_maas.errors import BrokerError

LOOPBACK = "127.0.0.1"
STOP_TIMEOUT_S = 20.0
_GUARD = 'read -r _; kill -9 "$1"; rm -rf "$2"'
_EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A loopback TCP port that nothing listens on.

    Taken from below the ephemeral range: a client that reconnects to a stopped broker on an ephemeral port can be
    given that very port as its own and so connect to itself, after which the broker cannot come back.
    """
    with contextlib.suppress(OSError, ValueError):
        lowest_ephemeral = int(_EPHEMERAL_PORTS.read_text().split()[0])
        for _ in range(100 if lowest_ephemeral > 16_000 else 0):
            port = random.randrange(15_000, lowest_ephemeral)  # noqa: S311  # a port, not a secret
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(port: int, *, timeout_s: float = 2.0) -> bool:
    """Whether a Kafka-compatible broker on this loopback port answers ApiVersions v0 (open port is not enough)."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection((LOOPBACK, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            head = connection.recv(10, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 10 and struct.unpack(">iih", head)[1:] == (1, 0)


class Engine(Protocol):
    """What can run a broker: a child process or a container."""

    def start(self) -> None: ...
    def running(self) -> bool: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def close(self) -> None: ...
    def log(self) -> str: ...


class Child:
    """A child process in its own session, with a guard that kills it and removes `folder` when this process ends.

    The guard is a shell that waits for the end of a pipe which only this process holds: the kernel closes it on
    SIGKILL too. PR_SET_PDEATHSIG would do on Linux, but it fires when the *thread* that forked ends.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, log_path: Path, env: Mapping[str, str] | None) -> None:
        self.command, self.folder, self.log_path, self.env = list(command), folder, log_path, env
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self.command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        self._reap(STOP_TIMEOUT_S)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._reap(STOP_TIMEOUT_S)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        if self._process is not None and hasattr(os, "waitid"):  # macOS has none
            # The signal is on its way only: threads on other cores go on answering until it arrives.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _reap(self, timeout_s: float) -> None:
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._guard is not None:
            self._guard.kill()
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            self._guard.wait()
            self._guard = None


@contextlib.contextmanager
def _docker_errors(image: str) -> Iterator[None]:
    """The engine, its registry and its network have errors of their own each; one of ours for all of them."""
    try:
        yield
    except Exception as error:
        raise BrokerError(f"Docker could not run {image} ({type(error).__name__}).") from error


class Container:
    """A Docker container. Its data lives in it until `close`; `ports` are published on loopback under their number.

    Testcontainers' reaper removes it when this process ends without `close`.
    """

    def __init__(self, image: str, command: Sequence[str], *, env: Mapping[str, str], ports: Sequence[int]) -> None:
        from testcontainers.core.container import DockerContainer

        self._image = image
        with _docker_errors(image):
            container: Any = DockerContainer(image)
        self._container = container.with_envs(**env).with_command(list(command))
        for port in ports:
            self._container.ports[f"{port}/tcp"] = (LOOPBACK, port)  # with_bind_ports would publish on every interface
        self._created = False

    def start(self) -> None:
        with _docker_errors(self._image):
            if self._created:
                self._raw().start()
            else:
                self._container.start()
                self._created = True

    def running(self) -> bool:
        if not self._created:
            return False
        self._raw().reload()
        return self._raw().status in ("running", "paused")

    def stop(self) -> None:
        self.thaw()
        self._raw().stop(timeout=int(STOP_TIMEOUT_S))

    def kill(self) -> None:
        if self.running():
            self._raw().kill()

    def freeze(self) -> None:
        self._raw().pause()

    def thaw(self) -> None:
        self._raw().reload()
        if self._raw().status == "paused":
            self._raw().unpause()

    def close(self) -> None:
        self._container.stop(force=True)

    def log(self) -> str:
        return self._raw().logs(tail=50).decode(errors="replace") if self._created else ""

    def _raw(self) -> Any:
        return self._container.get_wrapped_container()
