"""Promise 2 on a real broker: no personal value leaves a worker, whatever a request looks like and however it ends."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient

from stream_maas import Client, topics
from stream_maas.brokers import LocalKafka
from stream_maas.privacy import DerivedKeys, Policy, RedactionConfig, Redactor
from stream_maas.wire import is_decision
from tests.support.bundles import rounds_per_second, slow_request, write_lookup_bundle, write_slow_bundle
from tests.support.canaries import FIRST, PLAIN, SUBJECT, TOO_LARGE_BYTES, requests, text_of, traces
from tests.support.deployment import ReadAll, create_topics
from tests.support.log_reading import Tap
from tests.support.workers import Fleet, WorkerProcess

pytestmark = pytest.mark.timeout(500)

SETTINGS = {
    "WORKER_LOG_LEVEL": "debug",
    # What stands in the broker's files can be read.
    "WORKER_COMPRESSION": "none",
    "ADMISSION_MAX_RECORD_BYTES": str(TOO_LARGE_BYTES),
}


async def send(bootstrap: str, topic: str) -> int:
    """Every canary in every field; how many records that are."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    await producer.start()
    try:
        sent = [await producer.send(topic, value, key, headers=headers) for key, value, headers in requests()]
        await asyncio.gather(*sent)
        return len(sent)
    finally:
        await producer.stop()


async def abort_at_work(worker: WorkerProcess, bootstrap: str, topic: str, bundle: Path) -> None:
    """The worker dies of a signal that writes a core file, with personal data in its memory."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        notes = {f"note {number}": text_of(plain) for number, (_, plain) in enumerate(PLAIN)}
        rounds = 5 * rounds_per_second(bundle)
        await producer.send_and_wait(topic, slow_request(rounds, "slow", data_subject=SUBJECT, **notes), b"slow")
    finally:
        await producer.stop()
    while (await worker.metrics())["stream_maas_in_flight_chunks"] < 1:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)
    worker.signal(signal.SIGABRT)
    assert await worker.exit() == -signal.SIGABRT
    worker.start()
    await worker.ready()


async def read_everything(bootstrap: str, requests_topic: str, read_all: ReadAll) -> list[ConsumerRecord]:
    """Every topic of the broker but the request topic, the broker's own among them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = set(await admin.list_topics()) - {requests_topic}
    finally:
        await admin.close()
    return await read_all(bootstrap, *sorted(names))


def assert_clean_files(folder: Path) -> None:
    """Nothing that the worker wrote to disk: state, temporary files, caches, core files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if path.name.startswith("core") or path.suffix == ".core"] == []
    for path in files:
        assert traces([path.read_bytes().decode(errors="replace")]) == [], path.name


def content(record: ConsumerRecord) -> str:
    parts = [record.key, record.value, *(part for name, value in record.headers for part in (name.encode(), value))]
    return "\n".join(part.decode(errors="replace") for part in parts if part)


async def test_no_canary_leaves_the_worker(
    kafka_private: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap, requests_topic = kafka_private.bootstrap, topics.requests(prefix)
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        folder = tmp_path / "home" / name
        folder.mkdir(parents=True)
        monkeypatch.setenv(name, str(folder))
    slow = write_slow_bundle(tmp_path / "models")
    write_lookup_bundle(tmp_path / "models")
    await create_topics(bootstrap, prefix, 4)
    with Fleet(bootstrap, prefix, tmp_path / "worker", models=[slow.parent], settings=SETTINGS) as fleet:
        worker = await fleet.start("w1").ready()
        await abort_at_work(worker, bootstrap, requests_topic, slow)
        async with Tap(bootstrap, topics.results(prefix)) as tap:
            count = await send(bootstrap, requests_topic) + 1
            await tap.until(count, "all answers")
        pages = [(await worker.page(path))[1] for path in ("/metrics", "/healthz", "/readyz")]
        assert await worker.stop() == 0
        logs = fleet.logs()
    records = await read_everything(bootstrap, requests_topic, read_all)
    written = [record for record in records if record.topic.startswith(prefix)]
    assert {record.topic for record in written} >= {topics.results(prefix), topics.audit(prefix)}

    for topic in sorted({record.topic for record in records}):
        assert traces(content(record) for record in records if record.topic == topic) == [], topic
    assert traces([logs]) == [], "the worker's log"
    assert traces(pages) == []
    assert_clean_files(tmp_path)


async def test_the_search_would_find_a_leak(kafka: str, prefix: str, read_all: ReadAll) -> None:
    """The requests themselves, read in the same way, hold every canary."""
    topic = topics.requests(prefix)
    await create_topics(kafka, prefix, 1)
    count = await send(kafka, topic)
    records = await read_all(kafka, topic)
    assert len(records) == count
    found = {trace.partition(" ")[0] for trace in traces(map(content, records))}
    assert found >= {kind for kind, plain in PLAIN if len(plain) >= 8} | {"DATA_SUBJECT"}


async def test_a_client_that_redacts_lets_nothing_out(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """Not even the request topic holds a canary, and the audit event says who redacted."""
    await create_topics(kafka, prefix, 2)
    policy = tmp_path / "policy.yaml"
    policy.write_text("{name: shop, version: 2, rules: [{for: [DATA_SUBJECT, EMAIL], do: pseudonym}]}")
    keys = DerivedKeys("a secret for tests, 32 characters or more")
    redactor = Redactor(RedactionConfig(), Policy.load(policy), keys)
    with Fleet(kafka, prefix, tmp_path / "worker") as fleet:
        worker = await fleet.start("w1").ready()
        async with Client(kafka, prefix=prefix, redact=redactor) as client:
            for _, plain in FIRST:
                prediction = await client.predict(
                    "sentiment-lite", text_of(plain), key=plain, request_id=plain, data_subject=SUBJECT,
                    parameters={"note": plain, plain: 1}, timeout=60,
                )  # fmt: skip
                assert prediction.redactions == {}, "the worker found something more"
        assert await worker.stop() == 0
    records = await read_all(kafka, *(topics.requests(prefix), topics.results(prefix), topics.audit(prefix)))
    assert traces(map(content, records)) == []
    events = [
        orjson.loads(r.value)["data"] for r in records if r.topic == topics.audit(prefix) and is_decision(r.value)
    ]
    assert {event["redaction"]["client"] for event in events} == {redactor.policy}
    assert len({event["caller"]["subject_ref"] for event in events}) == 1
