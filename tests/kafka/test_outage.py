"""What a worker does when something beside it fails: no broker, a broker that goes away, a poisoned row, a full lane,
the end of its own life."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from stream_maas import topics
from stream_maas.brokers import LocalKafka
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from tests.support.bundles import TABLE_ROWS, lookup_request, write_lookup_bundle
from tests.support.conservation import assert_answered_once, assert_audited_once, match_requests
from tests.support.deployment import ReadAll, create_topics, read_deployment, request, send
from tests.support.log_reading import Tap
from tests.support.slow import QUICK_PARTITION, SLOW_PARTITION, SlowModel, in_flight
from tests.support.traffic import MAX_RECORD_BYTES, Feeder, Sent, make_traffic, text_request
from tests.support.workers import Fleet, WorkerProcess

pytestmark = pytest.mark.timeout(400)

PARTITIONS = 4
OUTAGE_S = 30.0
MAX_OUTAGE_LINES = 200
BATCH = 32


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> SlowModel:
    return SlowModel.in_folder(tmp_path_factory.mktemp("models"))


async def test_broker_that_is_not_there_yet(
    kafka_private: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """The worker says what it waits for, once, stays alive, and serves when the broker appears."""
    bootstrap = kafka_private.bootstrap
    await create_topics(bootstrap, prefix, PARTITIONS)
    await asyncio.to_thread(kafka_private.stop)
    with Fleet(bootstrap, prefix, tmp_path) as fleet:
        worker = fleet.start("w1")
        await worker.logged("waiting for a broker")
        # Tries again meanwhile, and says nothing new: the next line comes when the reason changes.
        await asyncio.sleep(3)
        assert worker.running
        said = [line for line in worker.logs().splitlines() if "waiting for a broker" in line]
        assert len(said) == 1
        assert "connection refused" in said[0]
        await asyncio.to_thread(kafka_private.start)
        await worker.ready()
        sent = [text(number % PARTITIONS, f"r-{number}") for number in range(8)]
        async with Tap(bootstrap, topics.results(prefix)) as tap:
            await send(bootstrap, topics.requests(prefix), sent)
            await tap.until(len(sent), "all answers")
        assert await worker.stop() == 0
        logged = await read_deployment(read_all, bootstrap, prefix)
        assert_answered_once(match_requests(sent, logged.requests), logged.results)


async def test_broker_that_goes_away_for_half_a_minute(
    kafka_private: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """Longer than sessions and transactions live: both are gone when it comes back, with its data and address."""
    bootstrap = kafka_private.bootstrap
    traffic = make_traffic(10_000, partitions=PARTITIONS, seed=5)
    await create_topics(bootstrap, prefix, PARTITIONS)
    settings = {"ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES), "WORKER_CHUNK_MAX_RECORDS": "16"}
    with Fleet(bootstrap, prefix, tmp_path, settings=settings) as fleet:
        workers = [fleet.start("w1"), fleet.start("w2")]
        await asyncio.gather(*(worker.ready() for worker in workers))
        async with (
            Tap(bootstrap, topics.results(prefix)) as tap,
            Feeder(bootstrap, topics.requests(prefix), traffic, answered=lambda: tap.count) as feeder,
        ):
            await tap.until(3_000, "the outage")
            await feeder.ahead()
            await asyncio.to_thread(kafka_private.stop)
            await asyncio.sleep(OUTAGE_S)
            assert all(worker.running for worker in workers)
            # A few clear lines, not a flood in which they drown.
            assert max(len(worker.logs().splitlines()) for worker in workers) < MAX_OUTAGE_LINES
            await asyncio.to_thread(kafka_private.start)
            await tap.until(len(traffic.records), "all answers", stall_s=150)
            await feeder.done()
        assert [await worker.stop() for worker in workers] == [0, 0]
        logged = await read_deployment(read_all, bootstrap, prefix)
        expected = match_requests(traffic.records, logged.requests)
        assert_answered_once(expected, logged.results)
        assert_audited_once(expected, logged.results, logged.audits)


async def test_sigterm_finishes_what_is_in_flight(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """A chunk that is being worked on is answered and committed within the grace; the exit code is 0."""
    await create_topics(kafka, prefix, 2)
    # Half of the grace is for what is in flight; on a busy machine three seconds of a model take many more.
    settings = {"WORKER_STOP_GRACE_MS": "100000"}
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        sent = [slow_model.request(SLOW_PARTITION, "slow", 3), slow_model.quick(QUICK_PARTITION, "quick")]
        await send(kafka, topics.requests(prefix), sent[:1])
        await in_flight(worker)
        worker.signal(signal.SIGTERM)
        await send(kafka, topics.requests(prefix), sent[1:])
        assert await worker.exit() == 0
        results = await read_all(kafka, topics.results(prefix))
        assert b'"id":"slow"' in b"".join(result.value for result in results)

        heir = await fleet.start("w2").ready()
        async with Tap(kafka, topics.results(prefix)) as tap:
            await tap.until(len(sent), "the answer to what came too late for the first worker")
        assert await heir.stop() == 0
        logged = await read_deployment(read_all, kafka, prefix)
        assert_answered_once(match_requests(sent, logged.requests), logged.results)


async def test_sigterm_in_the_middle_of_a_flow(kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll) -> None:
    """Rolling restarts: nothing is lost, nothing is answered twice, no transaction is thrown away."""
    traffic = make_traffic(6_000, partitions=PARTITIONS, seed=6)
    await create_topics(kafka, prefix, PARTITIONS)
    settings = {"ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES), "WORKER_CHUNK_MAX_RECORDS": "16"}
    with Fleet(kafka, prefix, tmp_path, settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with (
            Tap(kafka, topics.results(prefix)) as tap,
            Feeder(kafka, topics.requests(prefix), traffic, answered=lambda: tap.count) as feeder,
        ):
            for mark in (1_000, 3_000):
                await tap.until(mark, "the next restart")
                await feeder.ahead()
                assert await worker.stop() == 0
                await worker.start().ready()
            await tap.until(len(traffic.records), "all answers")
            await feeder.done()
        assert await worker.stop() == 0
        logged = await read_deployment(read_all, kafka, prefix)
        expected = match_requests(traffic.records, logged.requests)
        assert_answered_once(expected, logged.results)
        assert_audited_once(expected, logged.results, logged.audits)
        written = await read_all(kafka, topics.results(prefix), isolation_level="read_uncommitted")
        assert len(written) == len(logged.results)


async def test_an_idle_worker_is_alive(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Liveness is progress against lag, so a worker without lag is alive however long ago its last commit was: also
    where the log ends in a transaction marker, and after a restart on partitions that it has not committed to yet."""
    await create_topics(kafka, prefix, 2)
    settings = {"WORKER_STALL_MS": "1000"}
    with Fleet(kafka, prefix, tmp_path, settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with Tap(kafka, topics.results(prefix)) as tap:
            producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{prefix}-client")
            async with producer, producer.transaction():
                for number in range(10):
                    record = text(number % 2, f"r-{number}")
                    await producer.send(topics.requests(prefix), record.value, partition=record.partition)
            await tap.until(10, "all answers")
        await stays_alive(worker)
        assert await worker.stop() == 0
        await stays_alive(await worker.start().ready())
        assert await worker.stop() == 0


async def stays_alive(worker: WorkerProcess) -> None:
    """Looks several times, past the stall limit of one second: the first look may be the one that sees the lag."""
    for _ in range(6):
        status, page = await worker.page("/healthz")
        assert status == 200, page
        await asyncio.sleep(0.5)
    assert (await worker.metrics())["stream_maas_lag_records"] == 0


async def test_poison_row_in_a_full_batch(kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll) -> None:
    """32 rows in one model call, one of which makes ONNX Runtime fail it: 31 predictions and one rejection."""
    await create_topics(kafka, prefix, 1)
    poison = 17
    sent = []
    for number in range(BATCH):
        index = TABLE_ROWS + 1_000 if number == poison else number % TABLE_ROWS
        code = "model_error" if number == poison else "prediction"
        sent.append(request(0, lookup_request(index, f"row-{number}"), f"row-{number}", code=code))
    bundle = write_lookup_bundle(tmp_path)
    with Fleet(kafka, prefix, tmp_path / "workers", models=[bundle]) as fleet:
        worker = await fleet.start("w1").ready()
        async with Tap(kafka, topics.results(prefix)) as tap:
            await send_as_one_batch(kafka, topics.requests(prefix), [(s.key, s.value) for s in sent])
            await tap.until(BATCH, "all answers")
        assert await worker.stop() == 0
        # ONNX Runtime likes to print the offending value.
        assert str(TABLE_ROWS + 1_000) not in fleet.logs()
    logged = await read_deployment(read_all, kafka, prefix)
    expected = match_requests(sent, logged.requests)
    assert_answered_once(expected, logged.results)
    assert_audited_once(expected, logged.results, logged.audits)
    answers = {answer["id"]: answer for answer in (orjson.loads(result.value) for result in logged.results)}
    for number in set(range(BATCH)) - {poison}:
        assert answers[f"row-{number}"]["outputs"][0]["data"] == [number % TABLE_ROWS / 2]
    batches = Counter(orjson.loads(audit.value)["data"]["batch"]["size"] for audit in logged.audits)
    assert batches == {BATCH: BATCH}, "they were not in one batch, so the test shows nothing"
    assert len(logged.dead_letters) == 1


async def test_a_full_lane_does_not_stop_another(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """A lane whose every partition is full of slow work, and another one whose requests are answered meanwhile."""
    lanes = ("bulk",)
    await create_topics(kafka, prefix, 2, lanes)
    settings = {"WORKER_CHUNK_MAX_RECORDS": "1", "WORKER_IN_FLIGHT_CHUNKS": "1", "TOPICS_LANES": "bulk"}
    # Two per partition: the second is fetched only when the first is done, so the lane is full until the end.
    bulk = [slow_model.request(number % 2, f"bulk-{number}", 6) for number in range(4)]
    quick = [text(number % 2, f"quick-{number}") for number in range(10)]
    # A model that is not tiny needs threads, and the other lane's slow calls must not hold those.
    quick += [slow_model.quick(number % 2, f"threaded-{number}") for number in range(10)]
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle, DEFAULT_BUNDLE], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with Tap(kafka, topics.results(prefix)) as tap:
            await send(kafka, topics.requests(prefix, "bulk"), bulk)
            await in_flight(worker)
            await send(kafka, topics.requests(prefix), quick)
            await tap.until(len(quick), "the answers of the other lane")
            first = [orjson.loads(record.value)["id"] for record in tap.records[: len(quick)]]
            assert sorted(first) == sorted(one.request_id or "" for one in quick)
            await tap.until(len(quick) + len(bulk), "all answers")
        assert await worker.stop() == 0
    logged = await read_deployment(read_all, kafka, prefix, lanes)
    expected = match_requests(quick, [r for r in logged.requests if r.topic == topics.requests(prefix)])
    expected |= match_requests(bulk, [r for r in logged.requests if r.topic == topics.requests(prefix, "bulk")])
    assert_answered_once(expected, logged.results)
    assert_audited_once(expected, logged.results, logged.audits)
    audited = Counter(orjson.loads(audit.value)["data"]["request"]["lane"] for audit in logged.audits)
    assert audited == {"default": len(quick), "bulk": len(bulk)}


def text(partition: int, request_id: str) -> Sent:
    """A request to sentiment-lite."""
    return request(partition, text_request("quick and good", request_id=request_id), request_id)


async def send_as_one_batch(bootstrap: str, topic: str, rows: list[tuple[bytes | None, bytes | None]]) -> None:
    """One record batch: a fetch returns all of it or nothing."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    async with producer:
        batch = producer.create_batch()
        for key, value in rows:
            assert batch.append(key=key, value=value, timestamp=None) is not None
        await (await producer.send_batch(batch, topic, partition=0))
