"""`audit rerun` on a real log: what was decided is decided again, in the recorded batches; erased inputs are gone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_maas import topics, wire
from stream_maas.kafka.acts import operator
from tests.support.deployment import ReadAll, create_topics, read_deployment, request, send
from tests.support.log_reading import Tap
from tests.support.traffic import Sent
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(240)

PARTITIONS = 3
COUNT = 1_000
WORDS = (
    "a wonderful film",
    "two lost hours",
    "the plot is slow",
    "great actors",
    "never again",
    "I would see it twice",
)


def sentence(number: int) -> str:
    return f"{WORDS[number % 6]}, and {WORDS[number // 6 % 6]}, {WORDS[number // 36 % 6]} in part {number}"


def asked(number: int) -> Sent:
    value = wire.encode_request(sentence(number), request_id=f"r-{number}", tenant=("acme", "beta")[number % 2])
    return request(number % PARTITIONS, value, f"r-{number}")


async def rerun(kafka: str, prefix: str, keys: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    return await told(kafka, prefix, keys, "audit", "rerun", *arguments)


async def told(kafka: str, prefix: str, keys: Path, group: str, name: str, *arguments: str) -> tuple[int, list[Any]]:
    """Exit code and JSON lines of a command that uses the key store."""
    command = [
        sys.executable, "-m", "stream_maas", group, name, "--json", "--bootstrap", kafka, "--prefix", prefix,
        "--key-store", str(keys), *arguments,
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_MAAS_")}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [orjson.loads(line) for line in out.splitlines()]


async def test_a_thousand_decisions_are_made_again_to_the_bit(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    await create_topics(kafka, prefix, PARTITIONS)
    keys = tmp_path / "keys.sqlite"
    settings = {"AUDIT_KEY_STORE": str(keys), "AUDIT_BOXES": "on"}
    with Fleet(kafka, prefix, tmp_path, settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with Tap(kafka, topics.results(prefix)) as tap:
            await send(kafka, topics.requests(prefix), [asked(number) for number in range(COUNT)])
            await tap.until(COUNT, "all answers")
        assert await worker.stop() == 0

    code, lines = await rerun(kafka, prefix, keys, "--purpose", "test")
    *decisions, summary = lines
    assert summary == {
        "summary": True, "decisions": COUNT, "exact": COUNT, "within_tolerance": 0, "diverged": 0, "label_flip": 0,
        "not_reproducible": 0, "exit_code": 0,
    }  # fmt: skip
    assert code == 0
    assert all(line["batch_complete"] for line in decisions)
    assert len({line["event"] for line in decisions}) == COUNT

    logged = await read_deployment(read_all, kafka, prefix)
    sizes = Counter(orjson.loads(event.value)["data"]["batch"]["size"] for event in logged.audits)
    assert max(sizes) > 1, "there was no batch to rebuild"
    acts = [wire.decode_service_event(row.value) for row in logged.service_events]
    replayed = [act.body for act in acts if act.kind == "replayed"]
    assert [(act["what"], act["records"], act["purpose"]) for act in replayed] == [("rerun", COUNT, "test")]
    assert len(logged.results) == COUNT, "a replay writes no results"

    code, (erased,) = await told(
        kafka, prefix, keys, "keys", "destroy", "--tenant", "acme", "--yes", "--reason", "test"
    )
    assert (code, len(erased["keys"]), erased["done"]) == (0, 1, True)
    assert await told(kafka, prefix, keys, "keys", "rotate") == (0, [{"keys": 1, "kek": str(keys.with_suffix(".kek"))}])
    after = await read_deployment(read_all, kafka, prefix)
    assert after.audits == logged.audits, "an erasure does not touch what was decided"
    acts = [wire.decode_service_event(row.value) for row in after.service_events]
    assert [act.body for act in acts if act.kind == "key.destroyed"] == [
        {"tenant": "acme", "keys": erased["keys"], "reason": "test", "by": operator()}
    ]
    assert sum(act.kind == "key.rotated" for act in acts) == 1
    code, lines = await rerun(kafka, prefix, keys)
    verdicts = Counter((line["verdict"], line["reason"]) for line in lines[:-1])
    assert verdicts == {("exact", ""): COUNT // 2, ("not_reproducible", "its key was destroyed"): COUNT // 2}
    assert code == 3

    one = decisions[17]["event"]
    code, lines = await rerun(kafka, prefix, keys, one)
    assert [line.get("event") for line in lines] == [one, None]
