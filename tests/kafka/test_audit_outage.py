"""No result without its audit event, also while the audit topic takes none: lanes fail closed, or their events wait on
the disk. One broker with Kafka's own authorizer; a deny rule is the outage."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_maas import topics
from stream_maas.brokers import LocalKafka
from tests.support.acls import AUTHORIZER, write_denied
from tests.support.conservation import assert_answered_once, assert_audited_once, match_requests
from tests.support.deployment import ReadAll, create_topics, read_deployment, request, send
from tests.support.ledger import Audit, sealer
from tests.support.log_reading import Tap, header
from tests.support.traffic import Sent, text_request
from tests.support.workers import Fleet, WorkerProcess

pytestmark = pytest.mark.timeout(240)

PARTITIONS = 2
USER, PASSWORD = "worker", "not-a-secret"
OUTAGE = "stream_maas_audit_outage"
SPOOL_BYTES, FLOOD = 1 << 18, 400
"""Room for half of the flood."""


@pytest.fixture(scope="module")
def broker(local_kafka_possible: None) -> Iterator[LocalKafka]:
    with LocalKafka(listeners=["SASL_PLAINTEXT"], users={USER: PASSWORD}, properties=AUTHORIZER) as broker:
        yield broker


class Deployment:
    """Topics, a worker that logs in, and requests that are remembered."""

    def __init__(self, broker: LocalKafka, prefix: str, folder: Path, **settings: str) -> None:
        self.bootstrap, self.prefix = broker.bootstrap, prefix
        self.sent: dict[str, list[Sent]] = {}
        login = {
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER, "KAFKA_SASL_PASSWORD": PASSWORD,
            "AUDIT_HEARTBEAT_MS": "200",
        }  # fmt: skip
        self.fleet = Fleet(broker.address("SASL_PLAINTEXT"), prefix, folder, settings=login | settings)

    async def ask(self, count: int, lane: str = "") -> None:
        """More requests."""
        before = self.sent.setdefault(lane, [])
        more = [
            request(
                number % PARTITIONS, text_request("quick and good", request_id=f"{lane}{number}"), f"{lane}{number}"
            )
            for number in range(len(before), len(before) + count)
        ]
        before += more
        await send(self.bootstrap, topics.requests(self.prefix, lane), more)

    def denied(self) -> Any:
        return write_denied(self.bootstrap, topics.audit(self.prefix), USER)

    async def check(self, read_all: ReadAll) -> None:
        """Every request has one answer and one event."""
        lanes = [lane for lane in self.sent if lane]
        logged = await read_deployment(read_all, self.bootstrap, self.prefix, lanes)
        expected: dict[str, Sent] = {}
        for lane, sent in self.sent.items():
            topic = topics.requests(self.prefix, lane)
            expected |= match_requests(sent, [record for record in logged.requests if record.topic == topic])
        assert_answered_once(expected, logged.results)
        assert_audited_once(expected, logged.results, logged.audits)


async def until(worker: WorkerProcess, metric: str, value: float) -> None:
    async with asyncio.timeout(60):
        while (await worker.metrics())[metric] != value:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
async def test_fail_closed(broker: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll, delivery: str) -> None:
    """Nothing is answered, the worker says why and stays alive; then everything is answered."""
    await create_topics(broker.bootstrap, prefix, PARTITIONS)
    deployment = Deployment(broker, prefix, tmp_path, WORKER_DELIVERY=delivery, WORKER_STALL_MS="1000")
    async with Tap(broker.bootstrap, topics.results(prefix)) as tap:
        with deployment.fleet as fleet:
            worker = await fleet.start("w1").ready()
            await deployment.ask(10)
            await tap.until(10, "answers while all is well")
            async with deployment.denied():
                await deployment.ask(50)
                await until(worker, OUTAGE, 1)
                # Through some attempts more: it is asked again and again, and never too often.
                failures = (await worker.metrics())["stream_maas_recoveries_total"]
                while (await worker.metrics())["stream_maas_recoveries_total"] < failures + 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                assert tap.count == 10, "a result went out without its event"
                status, page = await worker.page("/readyz")
                assert (status, "nothing is answered" in page) == (503, True)
                assert (await worker.page("/healthz"))[0] == 200
            await tap.until(60, "all answers, once the audit topic is back")
            await until(worker, OUTAGE, 0)
            assert (await worker.page("/readyz"))[0] == 200
            assert await worker.stop() == 0
    await deployment.check(read_all)


async def test_spool(broker: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll) -> None:
    """A lane is answered on, its events wait on the disk, through SIGKILLs, until the disk's share is full; another
    lane fails closed. Then the log has everything, in valid chains, and says what was late."""
    lanes = ("bulk",)
    await create_topics(broker.bootstrap, prefix, PARTITIONS, lanes)
    sealing = sealer(broker.bootstrap, prefix, "sealer", tmp_path / "sealer")
    deployment = Deployment(
        broker, prefix, tmp_path, TOPICS_LANES="bulk", AUDIT_SPOOL_LANES="default",
        AUDIT_SPOOL_FOLDER=str(tmp_path / "spool"), AUDIT_SPOOL_MAX_BYTES=str(SPOOL_BYTES),
        WORKER_CHUNK_MAX_RECORDS="8", WORKER_STALL_MS="1000",
    )  # fmt: skip
    try:
        sealing.start()
        async with Tap(broker.bootstrap, topics.results(prefix)) as tap:
            with deployment.fleet as fleet:
                worker = await fleet.start("w1").ready()
                await sealing.ready()
                audit = Audit(broker.bootstrap, prefix, tmp_path, [sealing.facts["vkey"]])
                await deployment.ask(20)
                await tap.until(20, "answers while all is well")
                async with deployment.denied():
                    await deployment.ask(20, "bulk")
                    await deployment.ask(40)
                    await tap.until(60, "answers from the spool")
                    status, page = await worker.page("/readyz")
                    assert (status, "wait in the spool" in page) == (200, True)
                    assert (await worker.metrics())["stream_maas_audit_spool_events"] >= 40
                    worker.kill()
                    await deployment.ask(40)
                    await worker.start().ready()
                    await tap.until(100, "answers of the worker that came back in the outage")
                    report = audit.verify("--with-results")
                    assert (report["exit_code"], report["findings"], report["pending"]) == (3, [], 80)
                    await deployment.ask(FLOOD)
                    answered = await until_full(worker, tap)
                    assert 100 < answered < 100 + FLOOD
                    assert next((tmp_path / "spool").iterdir()).stat().st_size <= SPOOL_BYTES
                    report = audit.verify("--with-results")
                    assert (report["exit_code"], report["findings"], report["pending"]) == (3, [], answered - 20)
                    assert all(orjson.loads(one.value)["id"].isdigit() for one in tap.records), "bulk fails closed"
                    worker.kill()
                async with Tap(broker.bootstrap, topics.audit(prefix), isolation_level="read_uncommitted") as log:
                    await log.until(20, "what was written before the outage")
                    written = log.count
                    worker.start()
                    await log.until(lambda: log.count > written, "events that are moved")
                    worker.kill()
                await worker.start().ready()
                await tap.until(120 + FLOOD, "answers of what was not answered in the outage")
                await until(worker, "stream_maas_audit_spool_events", 0)
                await until(worker, OUTAGE, 0)
                await deployment.ask(20)
                await tap.until(140 + FLOOD, "answers after the outage")
                assert await worker.stop() == 0
        report = audit.verify("--with-results", "--wait", "60")
    finally:
        sealing.close()
    assert (report["exit_code"], report["findings"]) == (0, []), report
    assert (report["gaps"], report["duplicates"], report["pending"]) == (0, 0, 0)
    assert report["unclean_ends"] == 2
    late = sum(header(record, "maas-audit-deferred") is not None for record in tap.records)
    assert answered - 20 <= late <= report["deferred"]
    await deployment.check(read_all)
    told = [
        orjson.loads(record.value)["data"]["deferred"]
        for record in (await read_deployment(read_all, broker.bootstrap, prefix, lanes)).service_events
        if b"audit.deferred.v1" in record.value
    ]
    assert sum(each["events"] for each in told) == report["deferred"]
    assert {each["reason"] for each in told} == {"TopicAuthorizationFailedError"}
    assert all(0 < each["since_us"] <= each["first_us"] <= each["last_us"] for each in told)


async def until_full(worker: WorkerProcess, tap: Tap) -> int:
    """Wait until the worker says that the spool is full, and no answer comes any more; how many there are."""
    async with asyncio.timeout(60):
        while "the spool is full" not in (await worker.page("/readyz"))[1]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    count = -1
    while tap.count > count:
        count = tap.count
        await asyncio.sleep(0.5)
    assert (await worker.page("/readyz"))[0] == 503
    assert (await worker.page("/healthz"))[0] == 200
    return count


async def test_killed_while_spooled_events_are_moved(
    broker: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """Without transactions a part of them is in the topic then: the next run finds it there and writes the rest."""
    await create_topics(broker.bootstrap, prefix, PARTITIONS)
    deployment = Deployment(
        broker, prefix, tmp_path, AUDIT_SPOOL_LANES="default", AUDIT_SPOOL_FOLDER=str(tmp_path / "spool"),
        WORKER_DELIVERY="at-least-once",
    )  # fmt: skip
    audit = Audit(broker.bootstrap, prefix, tmp_path, [])
    async with Tap(broker.bootstrap, topics.results(prefix)) as tap, Tap(broker.bootstrap, topics.audit(prefix)) as log:
        with deployment.fleet as fleet:
            worker = await fleet.start("w1").ready()
            async with deployment.denied():
                await deployment.ask(3000)
                await tap.until(3000, "answers from the spool")
            await log.until(1, "the first event that is moved")
            worker.kill()
            moved = len(await read_all(broker.bootstrap, topics.audit(prefix)))
            await worker.start().ready()
            await until(worker, OUTAGE, 0)
            told = (await worker.metrics())["stream_maas_audit_deferred_total"]
            assert await worker.stop() == 0
    assert 0 < moved < 3000
    values = [record.value for record in await read_all(broker.bootstrap, topics.audit(prefix))]
    assert len(values) == len(set(values)), "an event was written twice"
    report = audit.verify("--with-results", "--wait", "0")
    assert (report["findings"], report["gaps"], report["pending"], report["deferred"]) == ([], 0, 0, told), report
    await deployment.check(read_all)
