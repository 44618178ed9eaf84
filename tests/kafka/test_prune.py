"""`audit prune` on a real log: what is left verifies and may be pruned again; an unannounced deletion is found."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_maas import topics, wire
from stream_maas.kafka.admin import delete_front
from stream_maas.settings import KafkaConfig
from tests.conftest import ReadAll
from tests.support.audit_log import Writer
from tests.support.deployment import create_topics
from tests.support.ledger import Audit, sealer, write

pytestmark = pytest.mark.timeout(240)
QUICK = {"LEDGER_SEAL_INTERVAL_MS": "100", "LEDGER_ANCHOR_INTERVAL_MS": "500"}
WHY = ("--policy", "retention-6-months", "--approver", "dpo")


def moment(offset_s: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).isoformat()


async def test_what_is_left_verifies_and_may_be_pruned_again(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    await create_topics(kafka, prefix, 1)
    topic = topics.audit(prefix)
    writer = Writer(topic=topic)
    process = sealer(kafka, prefix, "sealer", tmp_path / "s", **QUICK)
    try:
        await process.start().ready()
        audit = Audit(kafka, prefix, tmp_path, [process.facts["vkey"]])
        values = writer.run(500, heartbeat_every=50)
        half = len(values) // 2
        await write(kafka, topic, values[:half])
        first = await audit.sealed(half)
        between = moment()
        await write(kafka, topic, values[half:])
        await audit.sealed(len(values))

        said = audit.run("prune", "--before", between, *WHY, "--json")
        assert [json.loads(line) for line in said.stdout.splitlines()] == [
            {
                "partition": 0,
                "events": half,
                "begins_at_offset": half,
                "done": False,
                "size": half,
                "root": first["root"],
            }
        ]
        assert len(await read_all(kafka, topic)) == len(values), "without --yes nothing happens"

        done = audit.run("prune", "--before", between, *WHY, "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        left = await read_all(kafka, topic)
        assert [record.value for record in left[: len(values) - half]] == values[half:]
        acts = [wire.decode_service_event(record.value) for record in left[len(values) - half :]]
        assert [act.kind for act in acts] == ["session.start", "pruned", "session.end"]
        assert acts[1].body["root"] == first["root"]
        report = audit.verify("--wait", "30")
        assert (report["exit_code"], report["findings"]) == (0, [])
        assert report["events"] == len(left)
        check_proofs(audit, tmp_path, tmp_path / "s" / "state", values, half)

        assert audit.run("hold", "case-17", "--time", f"{between}..", "--reason", "a test", keys=False).returncode == 0
        held = audit.run("prune", "--before", moment(60), *WHY, "--yes")
        assert (held.returncode, "legal hold case-17" in held.stderr) == (3, True)
        assert (await read_all(kafka, topic))[0].offset == half, "what is held is not deleted"
        assert audit.run("release", "case-16", keys=False).returncode == 1
        assert audit.run("release", "case-17", keys=False).returncode == 0

        again = audit.run("prune", "--before", moment(60), *WHY, "--yes")
        assert again.returncode == 0, again.stderr
        assert len(await read_all(kafka, topic)) < len(left)
        assert audit.verify("--wait", "30")["exit_code"] == 0

        end = (await read_all(kafka, topic))[-1].offset
        await delete_front(KafkaConfig(kafka), topic, 0, end)
        report = audit.verify()
        assert report["exit_code"] == 1, "a deletion that nothing announces is tampering"
    finally:
        process.close()


def check_proofs(audit: Audit, tmp_path: Path, folder: Path, values: list[bytes], half: int) -> None:
    """Whatever is left can be found, proven and handed out; what went is said to have gone."""
    bundle = tmp_path / "left"
    done = audit.run("export", "--bundle", str(bundle), "--folder", str(folder))
    assert done.returncode == 0, done.stderr
    assert subprocess.run([sys.executable, str(bundle / "verify_bundle.py")], check=False, timeout=60).returncode == 0
    lines = (bundle / "partition-0" / "events.jsonl").read_bytes().splitlines()
    assert lines[: len(values) - half] == values[half:]
    decisions = [(index, json.loads(value)) for index, value in enumerate(values) if b"prediction" in value]
    for index, event in (decisions[0], next(each for each in decisions if each[0] >= half), decisions[-1]):
        code = int(index < half)
        assert audit.run("prove", event["id"], "--folder", str(folder)).returncode == code
        request = event["data"]["request"]["id"]
        assert audit.run("search", "--request", request, "--folder", str(folder), keys=False).returncode == code
    gone = audit.run("export", "--bundle", str(tmp_path / "gone"), "--index", "0..9", "--folder", str(folder))
    assert (gone.returncode, f"the first one left is {half}" in gone.stderr) == (3, True)


async def test_a_log_that_is_not_what_was_signed_is_not_deleted(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """Deleting the evidence of an attack is what an attacker would like to be helped with."""
    await create_topics(kafka, prefix, 1)
    topic = topics.audit(prefix)
    values = Writer(topic=topic).run(100)
    process = sealer(kafka, prefix, "sealer", tmp_path / "s", **QUICK)
    try:
        await process.start().ready()
        audit = Audit(kafka, prefix, tmp_path, [process.facts["vkey"]])
        await write(kafka, topic, values)
        await audit.sealed(len(values))
        await delete_front(KafkaConfig(kafka), topic, 0, 10)
        done = audit.run("prune", "--before", moment(60), *WHY, "--yes")
        assert done.returncode == 1
        assert "no checkpoint knows of a prune" in done.stderr
        assert len(await read_all(kafka, topic)) == len(values) - 10
    finally:
        process.close()


@pytest.mark.parametrize("before", ["yesterday", "", "1970-01-01"])
def test_a_time_that_says_nothing_is_wrong_use(tmp_path: Path, before: str) -> None:
    done = Audit("127.0.0.1:1", "maas", tmp_path, []).run("prune", "--before", before, *WHY)
    assert done.returncode == 2
