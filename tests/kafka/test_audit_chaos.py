"""The audit trail under fire: workers, sealer and broker killed in the middle of the flow, twenty times, and the log is
valid: no gap, no fork, no result without its event and no event without its result. Crashes are unclean ends, and are
counted as such; none of them looks like tampering."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import pytest

from stream_maas import topics, wire
from stream_maas.brokers import LocalKafka
from stream_maas.ledger.hashing import leaf_hash
from tests.support.conservation import assert_answered_once, assert_audited_once, match_requests
from tests.support.deployment import ReadAll, create_topics, read_deployment
from tests.support.ledger import Audit, sealer
from tests.support.log_reading import Tap
from tests.support.traffic import MAX_RECORD_BYTES, Feeder, make_traffic
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 4
ROUNDS = 10
KILLS = 20
"""Two in each round, at the same moment."""
STEP = 400
COUNT = STEP * (ROUNDS + 2)
SETTINGS = {
    "ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES),
    # Small chunks make many transactions, and so many moments at which a fault can hit one.
    "WORKER_CHUNK_MAX_RECORDS": "32",
    "WORKER_IN_FLIGHT_CHUNKS": "2",
    "AUDIT_HEARTBEAT_MS": "200",
}


async def test_twenty_kills_leave_a_log_that_verifies(
    kafka_private: LocalKafka, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    bootstrap = kafka_private.bootstrap
    traffic = make_traffic(COUNT, partitions=PARTITIONS, seed=11)
    await create_topics(bootstrap, prefix, PARTITIONS)
    sealing = sealer(bootstrap, prefix, "sealer", tmp_path / "sealer")
    kills: Counter[str] = Counter()
    with Fleet(bootstrap, prefix, tmp_path, settings=SETTINGS) as fleet:
        workers = [fleet.start("w1"), fleet.start("w2")]
        sealing.start()
        try:
            await asyncio.gather(*(worker.ready() for worker in workers), sealing.ready())
            async with (
                Tap(bootstrap, topics.results(prefix)) as tap,
                Feeder(bootstrap, topics.requests(prefix), traffic, answered=lambda: tap.count) as feeder,
            ):
                feeder.limit = STEP
                pairs = itertools.cycle(
                    [("worker 0", "sealer"), ("worker 1", "broker"), ("sealer", "worker 1"), ("broker", "worker 0")]
                )
                for number in range(ROUNDS):
                    # A process that has not come back yet is in the middle of nothing.
                    await asyncio.gather(*(worker.ready() for worker in workers), sealing.ready())
                    feeder.limit = STEP * (number + 2)
                    await tap.until(STEP * number + 50, f"round {number + 1}")
                    await feeder.ahead()
                    pair = next(pairs)
                    kills.update(pair)
                    for victim in pair:
                        if victim == "broker":
                            await asyncio.to_thread(kafka_private.kill)
                        else:
                            process = sealing if victim == "sealer" else workers[int(victim[-1])]
                            process.kill()
                            process.start()
                    if "broker" in pair:
                        await asyncio.to_thread(kafka_private.start)
                feeder.limit = COUNT
                await tap.until(COUNT, "all answers")
                await feeder.done()
            await asyncio.gather(*(worker.ready() for worker in workers), sealing.ready())
            assert [await worker.stop() for worker in workers] == [0, 0]
            audit = Audit(bootstrap, prefix, tmp_path, [sealing.facts["vkey"]])
            report = audit.verify("--with-results", "--wait", "60")
        finally:
            sealing.close()
    assert kills == dict.fromkeys(("worker 0", "worker 1", "sealer", "broker"), KILLS // 4)
    assert (report["exit_code"], report["findings"]) == (0, []), report
    assert (report["gaps"], report["duplicates"], report["unsealed"]) == (0, 0, 0)
    assert report["unclean_ends"] >= 1, "a killed worker does not say goodbye"
    assert report["clean_ends"] >= 1

    logged = await read_deployment(read_all, bootstrap, prefix)
    expected = match_requests(traffic.records, logged.requests)
    assert len(expected) == COUNT
    assert_answered_once(expected, logged.results)
    assert_audited_once(expected, logged.results, logged.audits)
    # The receipts, joined by hand: every result names an event of the log, and every event has its result.
    leaves = {wire.decode_audit(event.value).id: leaf_hash(event.value) for event in logged.audits}
    receipts = dict(filter(None, (wire.read_receipt(result.headers) for result in logged.results)))
    assert receipts == leaves
