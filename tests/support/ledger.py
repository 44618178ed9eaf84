"""Sealers, witnesses and the `audit` commands for tests, and the hand that an administrator of the broker has."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.commands import run_command
from tests.support.followers import ROOT, FollowerProcess


def sealer(
    bootstrap: str, prefix: str, instance: str, folder: Path, *arguments: str, **settings: str
) -> FollowerProcess:
    """A sealer process, not started; its state is in `folder`/state."""
    command = [
        "stream_maas", "sealer", "--json", "--bootstrap", bootstrap, "--prefix", prefix, "--instance", instance,
        "--folder", str(folder / "state"), *arguments,
    ]  # fmt: skip
    return FollowerProcess(instance, folder, command, settings)


def witness(bootstrap: str, prefix: str, folder: Path, key: str, **settings: str) -> FollowerProcess:
    """A witness process, not started; its memory is in `folder`/memory."""
    command = [
        "stream_maas", "witness", "--json", "--bootstrap", bootstrap, "--prefix", prefix, "--key", key,
        "--folder", str(folder / "memory"),
    ]  # fmt: skip
    return FollowerProcess("witness", folder, command, settings)


class Audit:
    """`stream-maas audit ...` as a user runs it, on one deployment."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, keys: Sequence[str]) -> None:
        self._options = ["--bootstrap", bootstrap, "--prefix", prefix]
        self._keys = [option for key in keys for option in ("--key", key)]
        self._folder = folder
        self._environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder / "xdg")}

    def run(self, command: str, *arguments: str, keys: bool = True) -> subprocess.CompletedProcess[str]:
        """One command; what it printed and how it ended."""
        own = self._keys if keys else []
        line = ["audit", command, *self._options, *own, *arguments]
        return run_command(line, environment=self._environment, folder=self._folder, timeout_s=120)

    def verify(self, *arguments: str) -> dict[str, Any]:
        """The JSON report of `audit verify`; its exit code is the report's."""
        done = self.run("verify", "--json", *arguments)
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == document["exit_code"], done.stderr
        return document

    async def sealed(self, size: int, partition: int = 0, timeout_s: float = 60) -> dict[str, Any]:
        """Wait for a checkpoint of a partition with so many events; what `audit checkpoint` says of it."""
        async with asyncio.timeout(timeout_s):
            while True:
                done = await asyncio.to_thread(self.run, "checkpoint", "--json", "--partition", str(partition))
                for line in done.stdout.splitlines():
                    document: dict[str, Any] = json.loads(line)
                    if document["size"] >= size:
                        return document
                await asyncio.sleep(0.2)


async def write(
    bootstrap: str, topic: str, values: Sequence[bytes], *, partition: int = 0,
    headers: Sequence[Mapping[str, bytes]] = (), key: bytes = b"k",
) -> None:  # fmt: skip
    """Append records to one partition, in order."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=1 << 18
    )
    await producer.start()
    try:
        rows = [
            await producer.send(
                topic, value, key=key, partition=partition, headers=list(headers[at].items()) if headers else []
            )
            for at, value in enumerate(values)
        ]
        await asyncio.gather(*rows)
    finally:
        await producer.stop()


async def write_in_transactions(
    bootstrap: str, topic: str, values: Sequence[bytes], *, size: int, abort_after_each: bytes
) -> None:
    """The same in transactions of `size` records, each followed by an aborted one."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{topic}-writer")
    await producer.start()
    try:
        for at in range(0, len(values), size):
            async with producer.transaction():
                for value in values[at : at + size]:
                    await producer.send(topic, value, partition=0)
            await producer.begin_transaction()
            await producer.send_and_wait(topic, abort_after_each, partition=0)
            await producer.abort_transaction()
    finally:
        await producer.stop()


async def delete(bootstrap: str, *names: str) -> None:
    """Delete topics; returns when they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(list(names))
        async with asyncio.timeout(30):
            while set(names) & set(await admin.list_topics()):  # noqa: ASYNC110 - the broker deletes in its own time
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def remake(bootstrap: str, topic: str) -> None:
    """Delete a topic and make it anew, empty: what an administrator of the broker can do."""
    await delete(bootstrap, topic)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(30):
            while True:
                answer = await admin.create_topics([NewTopic(topic, 1, 1)])
                if not any(code for _, code, *_ in answer.topic_errors):
                    break
                await asyncio.sleep(0.1)
            while topic not in await admin.list_topics():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await admin.close()
