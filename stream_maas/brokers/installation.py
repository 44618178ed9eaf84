"""Where Apache Kafka comes from on this machine, and why it cannot when it cannot.

Fetched and prepared once per version, in the user's cache folder: the jars from Maven Central (45 MB), a formatted
data folder to copy (saves a second per broker) and a class data archive (a start takes 1.2 s with it, 2.4 s without).
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stream_maas.brokers.engines import Child, answers, free_port
from stream_maas.brokers.server_properties import LOOPBACK, server_properties
from stream_maas.errors import BrokerError
from stream_maas.settings import cache_folder

KAFKA_VERSION = "4.2.1"
"""Not 4.3 or 4.4: there a broker that was killed while it ended a transaction may forget, when it comes back, to end it
in some of its partitions (KAFKA-20734), and nothing behind it can be read any more."""
KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
HEAP = ("-Xms256m", "-Xmx512m")
SHORT_LIFE = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A development broker lives for minutes: the optimising compiler would take more from its neighbours than it gives."""
_CLUSTER_ID = "c3RyZWFtLW1hYXMtZGV2MA"
"""Base64 of 16 bytes. Development clusters share it, so that one formatted folder serves them all."""
_LEAST_JAVA = 17
_FETCH_TIMEOUT_S = 600
_TOOL_TIMEOUT_S = 60
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>stream-maas</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies>
<build><pluginManagement><plugins><plugin><groupId>org.apache.maven.plugins</groupId>
<artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version></plugin></plugins></pluginManagement></build>
</project>
"""

Say = Callable[[str], None]


def docker_problem() -> str | None:
    """Why Docker cannot be used. The engine is asked: a client without an engine is common."""
    docker = shutil.which("docker")
    if docker is None:
        return "there is no Docker"
    try:
        done = _run([docker, "info", "--format", "{{.ServerVersion}}"], 10)
    except subprocess.TimeoutExpired:
        return "the Docker engine does not answer"
    if done.returncode != 0:
        return "the Docker engine does not answer"
    try:
        import testcontainers.core.container  # noqa: F401
    except ImportError:
        return "Docker answers, but the Python package testcontainers is not installed"
    return None


def java_problem() -> str | None:
    """Why Java cannot be used: none, too old, or no Maven to fetch Kafka with."""
    java = shutil.which("java")
    if java is None:
        return f"there is no Java (install a runtime of Java {_LEAST_JAVA} or later, and Maven)"
    version = re.search(r'version "(\d+)', _run([java, "-version"], _TOOL_TIMEOUT_S).stdout)
    if version is None or int(version[1]) < _LEAST_JAVA:
        return f"the Java found first on the PATH is older than {_LEAST_JAVA}"
    if not (_folder() / "libs").exists() and shutil.which("mvn") is None:
        return "there is no Maven (`mvn`) to fetch Kafka with"
    return None


def container_command(options: Sequence[str]) -> list[str]:
    """Command of a container of `KAFKA_IMAGE` that takes server.properties from the variable SERVER_PROPERTIES.

    It runs again when the container is started again, and formats only the first time.
    """
    home, path = "/opt/kafka/bin", "/tmp/server.properties"  # noqa: S108  # inside the container
    script = (
        f'printf "%s" "$SERVER_PROPERTIES" > {path} && '
        f'{home}/kafka-storage.sh format --ignore-formatted -t {_CLUSTER_ID} -c {path} "$@" && '
        f"exec {home}/kafka-server-start.sh {path}"
    )
    return ["bash", "-c", script, "kafka", *options]


class Installation:
    """The jars and what is made from them; complete when the constructor returns. Raises `BrokerError`."""

    def __init__(self, say: Say) -> None:
        self._java = shutil.which("java") or "java"
        self._libs, self._formatted = _folder() / "libs", _folder() / "formatted"
        self._archive = _folder() / "classes.jsa"
        _folder().mkdir(parents=True, exist_ok=True)
        with _locked(_folder() / "lock"):
            if not self._libs.exists():
                say(f"fetching Apache Kafka {KAFKA_VERSION} from Maven Central (45 MB, once) into {_folder()}")
                with _filling(self._libs) as folder:
                    self._fetch(folder)
            if not self._formatted.exists():
                with _filling(self._formatted) as folder:
                    self._prepare(folder)

    def server_command(self, properties: Path, *options: str, heap: Sequence[str] = HEAP) -> list[str]:
        """The command that runs a broker in the foreground; it logs warnings to standard error."""
        archive = [f"-XX:SharedArchiveFile={self._archive}"] if self._archive.exists() else []
        java = [*heap, *SHORT_LIFE, "-Xlog:disable", *archive, *options]
        return [*self._java_command(*java), "kafka.Kafka", str(properties)]

    def format(self, properties: Path, data: Path, options: Sequence[str] = ()) -> None:
        """Make the data folder `data` that `properties` names; `options` as `kafka-storage.sh format` takes them."""
        if not options:
            shutil.copytree(self._formatted, data)
            return
        self._format(properties, options)

    def _format(self, properties: Path, options: Sequence[str]) -> None:
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties), *options]
        done = _run([*self._java_command(), *tool], _TOOL_TIMEOUT_S)
        if done.returncode != 0:
            raise BrokerError(f"formatting the storage of Apache Kafka failed:\n{_tail(done.stdout)}")

    def _java_command(self, *options: str) -> list[str]:
        return [self._java, *options, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{self._libs}/*"]

    def _fetch(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory() as project:
            (Path(project) / "pom.xml").write_text(_POM, encoding="utf-8")
            command = [
                "mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", f"{project}/pom.xml",
                "dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime",
            ]  # fmt: skip
            done = _run(command, _FETCH_TIMEOUT_S)
        if done.returncode != 0 or not list(folder.glob("kafka-clients-*.jar")):
            raise BrokerError(f"Maven could not fetch Apache Kafka {KAFKA_VERSION}:\n{_tail(done.stdout)}")

    def _prepare(self, formatted: Path) -> None:
        """Format a folder and run a broker on a copy of it once, so that Java records the classes (JEP 350).

        The archive is an economy: without it, or after an upgrade of Java, brokers only start slower.
        """
        with tempfile.TemporaryDirectory() as name:
            folder, port = Path(name), free_port()
            data, path = folder / "data", folder / "server.properties"
            addresses = {"PLAINTEXT": f"{LOOPBACK}:{port}"}
            properties = server_properties(data=str(data), addresses=addresses, controller=f"{LOOPBACK}:{free_port()}")
            path.write_text(properties, encoding="utf-8")
            self._format(path, ())
            shutil.copytree(data, formatted, dirs_exist_ok=True)
            new = self._archive.with_suffix(".new")
            child = Child(
                self.server_command(path, f"-XX:ArchiveClassesAtExit={new}"),
                folder=folder, log_path=folder / "kafka.log", env=None,
            )  # fmt: skip
            child.start()
            while child.running() and not answers(port):
                time.sleep(0.1)
            child.stop()
            if new.exists():
                new.rename(self._archive)


def _folder() -> Path:
    return cache_folder() / "kafka" / KAFKA_VERSION


@contextmanager
def _filling(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` at the end, so that nobody ever sees half of it."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as parent:
        folder = Path(parent) / target.name
        folder.mkdir()
        yield folder
        folder.rename(target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the kernel drops the lock when its holder dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run to the end; standard output and error come back together."""
    return subprocess.run(  # noqa: S603
        list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-15:])
