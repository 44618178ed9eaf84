"""The rights that deploy/acls.sh gives are enough for every role's work, and they are not more.

A real Apache Kafka with its standard authorizer and SCRAM log-ins; everything runs through the command line, as its
users would. The commands that the script prints are carried out over the protocol, because the tool that it calls
(kafka-acls.sh) belongs to an installed Kafka.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from stream_maas.brokers import LocalKafka

ROOT = Path(__file__).parents[2]
ROLES = ("worker", "client", "dashboard", "monitor", "sealer", "witness", "auditor", "operator")
PASSWORD = "not-a-secret"
RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional_id": 5}
OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
PATTERNS = {"literal": 3, "prefixed": 4}
DENY, ALLOW = 2, 3
TIMEOUT_S = 60


def parse(line: str) -> list[tuple[int, str, int, str, str, int, int]]:
    """One printed kafka-acls.sh command as the rights it adds; an option that the tool lacks ends the test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    principals = parser.add_mutually_exclusive_group(required=True)
    for option in ("--allow-principal", "--deny-principal"):
        principals.add_argument(option)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--operation", action="append", required=True, choices=OPERATIONS)
    parser.add_argument("--resource-pattern-type", default="literal", choices=PATTERNS)
    parser.add_argument("--cluster", action="append_const", const="kafka-cluster", default=[])
    for resource in RESOURCES.keys() - {"cluster"}:
        parser.add_argument(f"--{resource.replace('_', '-')}", action="append", default=[])
    tool, *words = shlex.split(line)
    assert tool == "kafka-acls.sh"
    said = parser.parse_args(words)
    permission = ALLOW if said.allow_principal else DENY
    principal = said.allow_principal or said.deny_principal
    return [
        (kind, name, PATTERNS[said.resource_pattern_type], principal, "*", OPERATIONS[operation], permission)
        for resource, kind in RESOURCES.items()
        for name in getattr(said, resource)
        for operation in said.operation
    ]


def printed_commands() -> list[str]:
    script = [ROOT / "deploy" / "acls.sh", "--print"]
    return subprocess.run(script, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout.splitlines()


async def apply(bootstrap: str, lines: list[str]) -> int:
    rights = [right for line in lines for right in parse(line)]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for right in rights:
            response = await admin._client.send(admin._client.get_random_node(), CreateAclsRequest(*right))
            assert [code for code, _ in response.creation_responses] == [0], response
    finally:
        await admin.close()
    return len(rights)


class Cluster:
    """A secured Kafka with the rights of deploy/acls.sh."""

    def __init__(self, broker: LocalKafka) -> None:
        self._broker = broker

    @property
    def bootstrap(self) -> str:
        """Of the listener on which everything is allowed."""
        return self._broker.bootstrap

    def environment(self, role: str) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("STREAM_MAAS_")} | {
            "STREAM_MAAS_BOOTSTRAP": self._broker.address("SASL_PLAINTEXT"),
            "STREAM_MAAS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "STREAM_MAAS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "STREAM_MAAS_KAFKA_SASL_USERNAME": f"stream-maas-{role}",
            "STREAM_MAAS_KAFKA_SASL_PASSWORD": PASSWORD,
            "STREAM_MAAS_WORKER_DIGEST_KEY": "0123456789abcdef0123456789abcdef",
        }

    def run(self, role: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """`stream-maas ARGUMENTS` logged in as a role."""
        return subprocess.run(
            [sys.executable, "-m", "stream_maas", *arguments], env=self.environment(role), input=text,
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip

    @contextlib.contextmanager
    def process(self, role: str, *arguments: str) -> Iterator[str]:
        """A process that has said `ready`, and that line; it ends with the block, cleanly unless the block failed."""
        command = [sys.executable, "-m", "stream_maas", role, *(arguments or ("--instance", f"{role}-1"))]
        command += ["--set", "worker.delivery=exactly-once"]
        with (
            tempfile.TemporaryFile("w+") as log,
            subprocess.Popen(
                command, env=self.environment(role), stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            watchdog = threading.Timer(TIMEOUT_S, process.kill)  # one that waits for ever for a right
            watchdog.start()
            try:
                assert process.stdout is not None
                ready = next((line for line in process.stdout if "ready" in line), "")
                if not ready:
                    log.seek(0)
                    pytest.fail(f"the {role} was never ready: {log.read()[-2000:]}")
                watchdog.cancel()
                yield ready
                process.terminate()
                code = process.wait(TIMEOUT_S)
                log.seek(0)
                assert code == 0, log.read()[-2000:]
            finally:
                watchdog.cancel()
                process.kill()


@pytest.fixture
async def cluster(start_kafka: Any) -> Cluster:
    broker = start_kafka(
        listeners=["SASL_PLAINTEXT"],
        users={f"stream-maas-{role}": PASSWORD for role in ROLES},
        properties={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # the broker itself, and this test when it sets up the rights
            "allow.everyone.if.no.acl.found": "false",
        },
    )
    assert await apply(broker.bootstrap, printed_commands()) > 20
    return Cluster(broker)


@pytest.fixture
def worker(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with its topics, made by the operator, and one worker."""
    created = cluster.run("operator", "topics", "create", "--partitions", "2")
    assert created.returncode == 0, created.stderr
    with cluster.process("worker"):
        yield cluster


def check_sealing(cluster: Cluster, folder: Path) -> None:
    """A sealer and a witness, each with its own rights; then the auditor finds everything sealed and cosigned."""
    key, memory = folder / "ledger" / "sealer.vkey", folder / "witness"
    with (
        cluster.process("sealer", "--instance", "sealer-1", "--folder", str(folder / "ledger")),
        cluster.process("witness", "--key", str(key), "--folder", str(memory)),
    ):
        keys = ("--key", str(key), "--key", str(memory / "witness.vkey"))
        give_up = time.monotonic() + TIMEOUT_S
        while True:
            done = cluster.run("auditor", "audit", "verify", "--json", *keys)
            report = json.loads(done.stdout)
            if report["exit_code"] == 0 and report["checks"].get("witness") == "ok":
                break
            assert time.monotonic() < give_up, done
        check_page(cluster, key)
        exported = cluster.run("auditor", "audit", "export", "--bundle", str(folder / "bundle"), *keys)
        assert exported.returncode == 0, exported.stderr
    verifier = [sys.executable, str(folder / "bundle" / "verify_bundle.py")]
    assert subprocess.run(verifier, capture_output=True, timeout=TIMEOUT_S, check=False).returncode == 0


def check_page(cluster: Cluster, key: Path) -> None:
    """The live page reads all that it shows, proves a decision, and gives a command to the monitor."""
    with cluster.process("dashboard", "--port", "0", "--json", "--set", f"ledger.keys={key}") as ready:
        url = json.loads(ready)["url"]
        give_up = time.monotonic() + TIMEOUT_S
        while True:
            beat = asked(url, "api/snapshot")["beat"]
            assert beat["troubles"] == {}
            if beat["events"] and beat["monitor"] and len(beat["lag"]) == 2:
                break
            assert time.monotonic() < give_up, beat
            time.sleep(0.2)
        decision = asked(url, "api/decision?id=0")["records"][0]
        proof = asked(url, f"api/proof?partition={decision['partition']}&offset={decision['offset']}")
        assert proof["tree_size"] > proof["leaf_index"] >= 0, proof
        silence = {"matchers": {"rule": "lag"}, "duration_ms": 60_000, "by": "anna", "comment": "maintenance"}
        assert asked(url, "api/command/silence", silence) == {"ok": True}


def asked(url: str, path: str, body: Any = None) -> Any:
    """What the page's server answers; a body makes it a POST of the page itself."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Origin": url.rstrip("/")}
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=TIMEOUT_S) as answer:
        return json.load(answer)


@pytest.mark.kafka
async def test_each_role_can_do_its_work_and_no_more(worker: Cluster, tmp_path: Path) -> None:
    texts = ["What a lovely film.", "Two hours of my life that I will not get back."]
    lines = "".join(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
    sent = worker.run("client", "send", "--model", "sentiment-lite", "--json", text=lines)
    assert sent.returncode == 0, sent.stderr
    assert {json.loads(line)["status"] for line in sent.stdout.splitlines()} == {"prediction"}
    checked = worker.run("operator", "topics", "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)) == (0, {"status": "ok", "acls": "checked"})

    tail = ("--from-beginning", "--until-end", "--json")
    audited = worker.run("auditor", "tail", "audit", *tail)
    assert audited.returncode == 0, audited.stderr
    # Between decisions stand the events of the worker's session.
    assert sum("audit.decision." in line for line in audited.stdout.splitlines()) == len(texts)

    with worker.process("monitor"):
        give_up = time.monotonic() + TIMEOUT_S
        while (replayed := worker.run("auditor", "replay", "alerts", "--json")).returncode != 0 or (
            json.loads(replayed.stdout)["audit_events"] < len(texts)
        ):
            assert time.monotonic() < give_up, replayed.stderr

    check_sealing(worker, tmp_path)
    refused = {
        "client": ("requests", "audit", "dead-letters"),
        "auditor": ("requests", "results", "dead-letters"),
        "operator": ("requests", "results", "audit"),
        "worker": ("results", "audit", "dead-letters"),
        "monitor": ("requests", "results", "dead-letters"),
        "dashboard": ("requests", "results", "dead-letters"),
        "sealer": ("requests", "results", "dead-letters"),
        "witness": ("requests", "results", "dead-letters"),
    }
    for role, topics in refused.items():
        for topic in topics:
            done = worker.run(role, "tail", topic, *tail)
            assert done.returncode == 1, f"{role} can read {topic}: {done.stdout or done.stderr}"
            assert done.stdout == ""
    for role in ("worker", "client", "monitor", "auditor"):
        assert worker.run(role, "topics", "create", "--prefix", "other").returncode == 1, f"{role} can create topics"
    await check_grants_are_found(worker)


async def check_grants_are_found(cluster: Cluster) -> None:
    """A grant that lets somebody change the log is found, unless a denial beats it."""
    await apply(
        cluster.bootstrap,
        [
            "kafka-acls.sh --bootstrap-server b --add --allow-principal User:helper --operation Delete --topic maas."
            " --resource-pattern-type prefixed",
            "kafka-acls.sh --bootstrap-server b --add --allow-principal User:stream-maas-client --operation Delete"
            " --topic maas.audit",
        ],
    )
    checked = cluster.run("operator", "topics", "check")
    assert checked.returncode == 1
    assert "User:helper may Delete on maas.audit.checkpoints" in checked.stdout
    assert "User:stream-maas-client may" not in checked.stdout
