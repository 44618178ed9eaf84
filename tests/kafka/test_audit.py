"""Sealer, witness and the audit commands on Apache Kafka: transactions, crashes, two of a kind, and evidence."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from stream_maas import topics, wire
from stream_maas.brokers.engines import free_port
from stream_maas.ledger.hashing import leaf_hash
from stream_maas.ledger.notes import parse_checkpoint, parse_note, parse_proof
from stream_maas.ledger.proofs import verify_inclusion
from tests.conftest import ReadAll
from tests.support.audit_log import Writer
from tests.support.deployment import create_topics
from tests.support.followers import FollowerProcess
from tests.support.ledger import Audit, delete, sealer, witness, write, write_in_transactions

pytestmark = pytest.mark.timeout(300)
QUICK = {"LEDGER_SEAL_INTERVAL_MS": "100", "LEDGER_ANCHOR_INTERVAL_MS": "500"}


def audit_of(kafka: str, prefix: str, folder: Path, *sealers: FollowerProcess) -> Audit:
    return Audit(kafka, prefix, folder, [each.facts["vkey"] for each in sealers])


async def test_transactions_with_aborts_are_sealed_verified_and_proven(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Offsets have holes (markers, aborted records), the last offset of the log is a marker, and everything still
    ends: sealing, verifying, searching, proving, exporting (aiokafka#911)."""
    await create_topics(kafka, prefix, 1)
    topic = topics.audit(prefix)
    values = Writer(topic=topic).run(600, heartbeat_every=20)
    first = sealer(kafka, prefix, "sealer", tmp_path / "s", **QUICK)
    try:
        await first.start().ready()
        aborted = Writer(topic=topic, session="x" * 32).start()
        await write_in_transactions(kafka, topic, values, size=25, abort_after_each=aborted)
        audit = audit_of(kafka, prefix, tmp_path, first)
        await audit.sealed(len(values))
        report = audit.verify()
        assert (report["exit_code"], report["events"], report["sealed"]) == (0, len(values), len(values))
        assert report["findings"] == []
        assert (report["sessions"], report["decisions"], report["gaps"], report["duplicates"]) == (1, 600, 0, 0)

        folder = ["--folder", str(tmp_path / "s" / "state")]
        name = f"{prefix}.requests:0:431"
        for options in (folder, ["--folder", str(tmp_path / "none")]):
            found = json.loads(audit.run("get", name, "--json", *options, keys=False).stdout)
            assert found["event"]["id"] == name
            assert leaf_hash(values[found["index"]]).hex() == found["leaf"]
            proof = parse_proof(audit.run("prove", name, *options).stdout)
            head = parse_checkpoint(parse_note(proof.checkpoint.encode()).text)
            leaf = leaf_hash(values[found["index"]])
            assert verify_inclusion(proof.index, head.size, leaf, proof.hashes, head.root)
        assert audit.run("get", "no-such-id", *folder, keys=False).returncode == 1
        by_request = audit.run("search", "--request", "worker-0-aaaa-17", "--json", *folder, keys=False)
        assert json.loads(by_request.stdout)["event"]["data"]["request"]["offset"] == 17
        limited = audit.run("search", "--status", "prediction", "--limit", "7", "--json", keys=False)
        assert len(limited.stdout.splitlines()) == 7
        assert audit.run("search", "--tenant", "nobody", keys=False).returncode == 1
        told = audit.run("timeline", "--type", "session.heartbeat", keys=False)
        assert len(told.stdout.splitlines()) == 30

        check_bundle(audit, tmp_path, folder)
        acts = audit.run("search", "--type", "exported", "--json", keys=False).stdout.splitlines()
        (exported,) = [json.loads(line)["event"]["data"]["exported"] for line in acts]
        assert (exported["first_index"], exported["end_index"], exported["purpose"]) == (100, 500, "a test")
        (line,) = audit.run("search", "--type", "exported", "--json", keys=False).stdout.encode().splitlines()
        assert wire.decode_service_event(orjson.dumps(json.loads(line)["event"], option=orjson.OPT_SORT_KEYS))
        await check_going_on(audit, kafka, topic, len(values) + 3)
    finally:
        first.close()


def check_bundle(audit: Audit, tmp_path: Path, folder: list[str]) -> None:
    """A bundle with Parquet: valid for a Python that has nothing, and a table for DuckDB with the exact bytes."""
    bundle = tmp_path / "bundle"
    done = audit.run(
        "export",
        "--bundle",
        str(bundle),
        "--format",
        "parquet",
        "--index",
        "100..500",
        "--purpose",
        "a test",
        "--json",
        *folder,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 400
    verifier = [sys.executable, "-I", "-S", str(bundle / "verify_bundle.py"), str(bundle)]
    assert subprocess.run(verifier, check=False, timeout=60, capture_output=True).returncode == 0
    rows = duckdb.sql(
        f"select leaf_index, raw, label from '{bundle}/events.parquet' where type like '%decision%' order by leaf_index"
    ).fetchall()
    lines = (bundle / "partition-0" / "events.jsonl").read_bytes().splitlines()
    assert all(raw == lines[index - 100] for index, raw, _ in rows)
    assert {label for *_, label in rows} == {"positive"}


async def check_going_on(audit: Audit, kafka: str, topic: str, size: int) -> None:
    """A second verification begins where the first one ended: the session of the export is all that it reads."""
    await audit.sealed(size)
    again = audit.verify("--from-checkpoint")
    assert (again["exit_code"], again["skipped"], again["events"]) == (0, size - 3, 3)
    more = Writer(topic=topic, session="c" * 32).run(30, heartbeat_every=10)
    await write(kafka, topic, more)
    await audit.sealed(size + len(more))
    grown = audit.verify("--from-checkpoint")
    assert (grown["exit_code"], grown["skipped"], grown["events"]) == (0, size, len(more))


async def test_two_sealers_of_one_partition_sign_the_same_roots(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Two groups, two folders, one key; both read and sign everything while it is written, and one is killed on the
    way. At equal sizes all roots are equal, a witness finds all of them consistent, and the log is valid."""
    await create_topics(kafka, prefix, 2)
    topic = topics.audit(prefix)
    first = sealer(kafka, prefix, "one", tmp_path / "1", **QUICK)
    try:
        await first.start().ready()
        key = str(tmp_path / "1" / "state" / "sealer.key")
        second = sealer(kafka, prefix, "two", tmp_path / "2", "--group", "other", "--key-file", key, **QUICK)
        watching = witness(kafka, prefix, tmp_path / "w", first.facts["vkey"], LEDGER_WITNESS_INTERVAL_MS="100")
        try:
            await asyncio.gather(second.start().ready(), watching.start().ready())
            writers = [Writer(topic=topic, partition=0), Writer(topic=topic, partition=1, session="b" * 32)]
            for step in range(8):
                for writer in writers:
                    await write(kafka, topic, writer.run(1000, heartbeat_every=100), partition=writer.partition)
                if step == 3:
                    first.kill()
                    await first.start().ready()
            total = writers[0].counter
            audit = Audit(kafka, prefix, tmp_path, [first.facts["vkey"], watching.facts["vkey"]])
            for partition in (0, 1):
                await audit.sealed(total, partition)
            # Each has reached it by itself, whoever of them published it.
            for number in "12":
                await stored(log_files(tmp_path / number / "state", prefix) / "state.json", total)
            async with asyncio.timeout(60):
                while not (await audit.sealed(total))["cosigned"]:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.2)
            report = audit.verify("--anchor", str(tmp_path / "1" / "state" / "anchor.jsonl"))
            assert (report["exit_code"], report["findings"]) == (0, [])
            assert report["checks"]["witness"] == "ok"
            assert "not cosigned any more" not in watching.logs()
            assert "not sealed any more" not in first.logs() + second.logs()
            assert [await each.stop() for each in (first, second, watching)] == [0, 0, 0]
        finally:
            second.close()
            watching.close()
    finally:
        first.close()


def log_files(folder: Path, prefix: str) -> Path:
    """Where a sealer or witness keeps what it knows of partition 0."""
    return folder / "stream-maas.org" / f"{prefix}.audit" / "0"


async def stored(state: Path, size: int) -> None:
    """Wait until a sealer has so many events under its own tree, whoever published it."""
    async with asyncio.timeout(60):
        while stored_size(state) < size:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


def stored_size(state: Path) -> int:
    return int(json.loads(state.read_text())["size"]) if state.exists() else 0


async def test_a_sealer_that_is_killed_again_and_again_signs_one_history(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """Killed, its files lost or damaged: it is the log that decides, so the roots are the same."""
    await create_topics(kafka, prefix, 1)
    topic = topics.audit(prefix)
    writer = Writer(topic=topic)
    process = sealer(kafka, prefix, "sealer", tmp_path / "s", **QUICK)
    state = log_files(tmp_path / "s" / "state", prefix) / "state.json"
    try:
        for round_ in range(4):
            await process.start().ready()
            await write(kafka, topic, writer.run(700, heartbeat_every=100))
            await stored(state, 700 * round_ + 1)
            process.kill()
            if round_ == 1:
                state.unlink()
            elif round_ == 2:
                state.write_bytes(state.read_bytes()[:300])
        await process.start().ready()
        assert "the files of this log are damaged, it is read again from its first event" in process.logs()
        audit = audit_of(kafka, prefix, tmp_path, process)
        await audit.sealed(writer.counter)
        report = audit.verify()
        assert (report["exit_code"], report["events"], report["findings"]) == (0, writer.counter, [])
        notes = [parse_note(record.value) for record in await read_all(kafka, topics.audit_checkpoints(prefix))]
        sizes = [parse_checkpoint(note.text).size for note in notes]
        assert sizes == sorted(sizes)
        assert report["checkpoints"] == len(set(sizes))
    finally:
        process.close()


async def test_a_sealer_refuses_a_log_that_contradicts_what_was_signed(kafka: str, prefix: str, tmp_path: Path) -> None:
    """A sealer without its files reads everything again, and finds a published checkpoint that does not fit: another
    log under the same name. It says so and signs nothing."""
    await create_topics(kafka, prefix, 1)
    topic = topics.audit(prefix)
    process = sealer(kafka, prefix, "sealer", tmp_path / "s", **QUICK)
    try:
        await process.start().ready()
        await write(kafka, topic, Writer(topic=topic).run(100))
        audit = audit_of(kafka, prefix, tmp_path, process)
        signed = await audit.sealed(102)
        await process.stop()
        (log_files(tmp_path / "s" / "state", prefix) / "state.json").unlink()
        forged = signed["note"].splitlines()
        key = tmp_path / "s" / "state" / "sealer.key"
        await publish_wrong_root(kafka, prefix, forged[0], key)
        await process.start().ready()
        await write(kafka, topic, Writer(topic=topic, session="b" * 32).run(50))
        await process.logged("this log is not sealed any more")
        assert audit.verify("--wait", "0")["exit_code"] == 1
    finally:
        process.close()


async def test_a_topic_that_was_made_anew_is_neither_sealed_nor_cosigned(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """A broker was replaced by an empty one: same names, offsets from 0. Nobody signs a smaller tree, everybody says
    why, also who has lost a part of his memory."""
    await create_topics(kafka, prefix, 1)
    names = [topics.audit(prefix), topics.audit_checkpoints(prefix), topics.audit_cosignatures(prefix)]
    port = free_port()
    first = sealer(kafka, prefix, "sealer", tmp_path / "s", **QUICK, WORKER_WEB_PORT=str(port))
    try:
        await first.start().ready()
        watching = witness(kafka, prefix, tmp_path / "w", first.facts["vkey"], LEDGER_WITNESS_INTERVAL_MS="100")
        try:
            await watching.start().ready()
            old = Writer(topic=names[0])
            await write(kafka, names[0], old.run(300))
            audit = Audit(kafka, prefix, tmp_path, [first.facts["vkey"], watching.facts["vkey"]])
            async with asyncio.timeout(60):
                while not (await audit.sealed(old.counter))["cosigned"]:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
            assert audit.verify()["exit_code"] == 0
            assert [await each.stop() for each in (first, watching)] == [0, 0]
            (log_files(tmp_path / "w" / "memory", prefix) / "memory.json").write_bytes(b"{}")
            await delete(kafka, *names)
            await create_topics(kafka, prefix, 1)
            new = Writer(topic=names[0], session="b" * 32)
            await write(kafka, names[0], new.run(50))
            first.start()
            watching.start()
            await first.logged(f"the topic ends at offset {new.counter}, but {old.counter} events up to ")
            await watching.logged(f"this witness cosigned a tree of {old.counter} events, and no checkpoint of")
            await watching.logged("the memory of this log is taken from what was cosigned last")
            first.facts = {"web_port": port}
            status, page = await first.page("/readyz")
            assert (status, "it was made anew, or its end was cut off" in page) == (503, True)
            assert await first.stop() == 0
            assert await read_all(kafka, *names[1:]) == []
            anchor, memory = tmp_path / "s" / "state" / "anchor.jsonl", tmp_path / "w" / "memory"
            report = audit.verify("--wait", "0", "--anchor", str(anchor), "--witness", str(memory))
            assert {found["check"] for found in report["findings"]} >= {"anchor", "witness"}
            report = audit.verify("--wait", "0")
            assert report["exit_code"] == 1, "what this machine has verified before is remembered"
        finally:
            watching.close()
    finally:
        first.close()


async def publish_wrong_root(kafka: str, prefix: str, origin: str, key: Path) -> None:
    from stream_maas.ledger.keyring import load_signing_key
    from stream_maas.ledger.notes import Checkpoint, sign_note

    note = sign_note(Checkpoint(origin, 103, bytes(32)).text(), load_signing_key(key)).encode().encode()
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        await producer.send_and_wait(topics.audit_checkpoints(prefix), note, partition=0)
    finally:
        await producer.stop()


async def test_what_is_missing_for_a_verdict_is_said(kafka: str, prefix: str, tmp_path: Path) -> None:
    """No sealer, no key, no topic, wrong options: 3, 3, 3 and 2; never 0 and never 1."""
    audit = Audit(kafka, prefix, tmp_path, [])
    assert audit.verify()["exit_code"] == 3
    await create_topics(kafka, prefix, 1)
    await write(kafka, topics.audit(prefix), Writer(topic=topics.audit(prefix)).run(20))
    report = audit.verify("--wait", "0")
    assert (report["exit_code"], report["unsealed"]) == (3, 21)
    assert "no key" in " ".join(report["incomplete"])
    assert audit.run("verify", "--nonsense").returncode == 2
    assert audit.run("verify", "--key", "nonsense").returncode == 2
    assert audit.run("export").returncode == 2
    assert audit.run("checkpoint").returncode == 3
    assert Audit("127.0.0.1:1", prefix, tmp_path, []).run("verify").returncode == 3
