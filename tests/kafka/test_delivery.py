"""The rules of worker/publisher.py and worker/transport.py, each attacked on Apache Kafka by the cause it is there for.

Every test here was seen to fail with its rule taken out of the code; the docstrings say which rule that is (P: the
list in publisher.py, T: the list in transport.py, K: kip447.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from stream_maas import topics
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.session import Session
from stream_maas.records import Answered, InputRecord, Outgoing, Writer
from stream_maas.worker.chains import SessionChains
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.exactly_once import TransactionalPublisher
from stream_maas.worker.interval import OutputTopics
from stream_maas.worker.kip447 import FencedProducer, GroupMetadata, held_open, require_stable_offsets
from stream_maas.worker.outage import Outage
from stream_maas.worker.spool_mover import SpoolMover
from tests.support.conservation import assert_answered_once, assert_audited_once, match_requests
from tests.support.deployment import ReadAll, create_topics, read_deployment, send
from tests.support.faults import (
    abort_transaction_of,
    pending_offsets,
    set_topic_config,
    until_no_transaction_is_open,
)
from tests.support.log_reading import Tap, end_offsets
from tests.support.members import MemberOnly, group_member, rebalance_twice
from tests.support.slow import (
    PARTITIONS,
    QUICK_COUNT,
    QUICK_PARTITION,
    SLOW_PARTITION,
    SlowModel,
    committed,
    finish_both_runs_of_the_slow_request,
    in_flight,
    open_transaction,
    provoke_until_recovered,
)
from tests.support.traffic import MAX_RECORD_BYTES, Feeder, Sent, make_traffic
from tests.support.workers import Fleet, first_to_end

pytestmark = pytest.mark.timeout(300)

PATIENT = {
    # The interval ends only when nothing is in flight, never by time, and the broker never ends it either.
    "WORKER_COMMIT_INTERVAL_MS": "120000",
    "WORKER_TRANSACTION_TIMEOUT_MS": "600000",
    # Only intervals of full chunks use up their time, and a chunk of one record is always full.
    "WORKER_CHUNK_MAX_RECORDS": "1",
    # Stale and repeated calls of the slow model never keep a quick one waiting for a thread.
    "INFERENCE_EXECUTOR_THREADS": "4",
}


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> SlowModel:
    return SlowModel.in_folder(tmp_path_factory.mktemp("models"))


@asynccontextmanager
async def results_taps(bootstrap: str, prefix: str) -> AsyncIterator[tuple[Tap, Tap]]:
    """The results topic as read_committed and as read_uncommitted readers see it."""
    results = topics.results(prefix)
    async with Tap(bootstrap, results) as visible, Tap(bootstrap, results, isolation_level="read_uncommitted") as all_:
        yield visible, all_


async def assert_exactly_once(bootstrap: str, prefix: str, sent: Sequence[Sent], read_all: ReadAll) -> None:
    logged = await read_deployment(read_all, bootstrap, prefix)
    expected = match_requests(sent, logged.requests)
    assert_answered_once(expected, logged.results)
    assert_audited_once(expected, logged.results, logged.audits)


async def quick_rows_written(read_all: ReadAll, bootstrap: str, prefix: str) -> int:
    """Rows of the quick partition's results, aborted ones too."""
    rows: list[ConsumerRecord] = await read_all(bootstrap, topics.results(prefix), isolation_level="read_uncommitted")
    return sum(row.partition == QUICK_PARTITION for row in rows)


async def test_restart_ends_the_transaction_of_its_killed_predecessor(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P1: with another transactional id the dead worker's transaction would hold readers back for ten minutes."""
    await create_topics(kafka, prefix, PARTITIONS)
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=PATIENT) as fleet:
        worker = await fleet.start("w1").ready()
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            sent = await open_transaction(kafka, prefix, worker, slow_model, uncommitted, seconds=3)
            worker.kill()
            assert visible.count == 0
            worker.start()
            await visible.until(len(sent), "answers after the restart", stall_s=60)
        await worker.ready()
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)
        # The crash was where it was meant to be: the first attempt is in the log, aborted.
        assert await quick_rows_written(read_all, kafka, prefix) == 2 * QUICK_COUNT


async def test_a_chunk_fetched_before_a_rebalance_is_never_published_after_it(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P2, T1: the partition goes away and comes back while a chunk of it is in flight, so it is served again."""
    await create_topics(kafka, prefix, PARTITIONS)
    settings = PATIENT | {"WORKER_HEARTBEAT_INTERVAL_MS": "200"}
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            sent = await open_transaction(kafka, prefix, worker, slow_model, uncommitted, seconds=5)
            await rebalance_twice(kafka, prefix)
            await in_flight(worker)
            assert not uncommitted.on(SLOW_PARTITION), "the slow model was too quick for this test"
            await visible.until(len(sent), "all answers")
            await finish_both_runs_of_the_slow_request(kafka, prefix, slow_model, sent)
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)


async def test_an_interval_that_outlives_its_generation_is_refused(kafka: str, prefix: str, read_all: ReadAll) -> None:
    """P2: its offsets go out under the generation in which it began. Under the present one they would be accepted,
    while the partition's new owner answers the same records. A worker gets here when a chunk joins between the last
    commit of a revocation and the end of its era; here the publisher is alone with a real member of a real group."""
    await create_topics(kafka, prefix, PARTITIONS)
    requests = topics.requests(prefix)
    failures: list[str] = []
    commits: list[Mapping[TopicPartition, int]] = []
    async with group_member(kafka, prefix, requests) as member:
        publisher = TransactionalPublisher(
            group_id=prefix,
            transactional_id=f"{prefix}-w1",
            transaction_timeout_ms=60_000,
            connection={"bootstrap_servers": kafka},
            topics=OutputTopics(topics.results(prefix), topics.audit(prefix), topics.dead_letters(prefix), "b"),
            chains=SessionChains(
                Session("0" * 32, Writer("app", "w1", "0"), "audit", SigningKey("w", NOTE, b"s" * 32))
            ),
            outage=Outage(None, frozenset(), 10.0, has_audit_topic=lambda: asyncio.sleep(0, True)),
            make_mover=SpoolMover,
            consumer=lambda: MemberOnly(member),
            commit_interval_ms=600_000,
            compression="none",
            on_commit=lambda _chunks, offsets, _duration_s: commits.append(offsets),
            on_failure=failures.append,
            on_fatal=lambda error: failures.append(type(error).__name__),
        )
        await publisher.start()
        began = GroupMetadata.of(member).generation_id
        record = InputRecord(requests, 0, 0, 0, None, b"{}")
        chunk = Chunk(TopicPartition(requests, 0), [record], era=0, generation=began)
        publisher.publish(chunk, Answered([Outgoing(None, b"stale", [])], [], [], {}))
        await rebalance_twice(kafka, prefix)
        async with asyncio.timeout(60):
            while GroupMetadata.of(member).generation_id <= began:  # noqa: ASYNC110 - aiokafka has no event for it
                await asyncio.sleep(0.02)
        await publisher.finish()
        await publisher.stop(commit=False)
        assert (failures, commits) == (["stale_generation"], [])
        assert await member.committed(TopicPartition(requests, 0)) is None
    assert await read_all(kafka, topics.results(prefix)) == []


async def test_revocation_commits_what_is_done_before_the_group_rejoins(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P4: without it the open transaction meets the next generation and its work is thrown away."""
    await create_topics(kafka, prefix, PARTITIONS)
    settings = PATIENT | {"WORKER_HEARTBEAT_INTERVAL_MS": "200"}
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            sent = await open_transaction(kafka, prefix, worker, slow_model, uncommitted, seconds=4)
            await rebalance_twice(kafka, prefix)
            await visible.until(len(sent), "all answers")
        assert (await worker.metrics()).get("stream_maas_recoveries_total", 0) == 0
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)
        assert await quick_rows_written(read_all, kafka, prefix) == QUICK_COUNT


async def test_offsets_of_a_frozen_worker_are_refused_when_it_wakes(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P2, K: it sleeps in an open transaction until the group has given its partitions, and their work, to another.

    The broker still takes its transaction for alive; only the generation in TxnOffsetCommit gives it away.
    """
    await create_topics(kafka, prefix, PARTITIONS)
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=PATIENT) as fleet:
        frozen = await fleet.start("w1").ready()
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            sent = await open_transaction(kafka, prefix, frozen, slow_model, uncommitted, seconds=3)
            frozen.freeze()
            heir = await fleet.start("w2").ready()
            await committed(heir, len(sent))
            assert not visible.on(QUICK_PARTITION), "the frozen worker's transaction should still be open"
            frozen.wake()
            await visible.until(len(sent), "the end of the frozen worker's transaction")
        assert [await frozen.stop(), await heir.stop()] == [0, 0]
        await assert_exactly_once(kafka, prefix, sent, read_all)


async def test_a_transaction_that_was_aborted_under_it_is_served_again(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P5, T1: no rebalance, only an abort. Partitions are rewound, the chunk in flight meanwhile counts for nothing,
    and nothing is counted twice."""
    await create_topics(kafka, prefix, PARTITIONS)
    settings = PATIENT | {"WORKER_COMMIT_INTERVAL_MS": "2000"}  # the worker notices when it wants to commit
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            sent = await open_transaction(kafka, prefix, worker, slow_model, uncommitted, seconds=7)
            await abort_transaction_of(kafka, prefix, "w1")
            sent += await provoke_until_recovered(kafka, prefix, worker, slow_model)
            assert not uncommitted.on(SLOW_PARTITION), "the slow model was too quick for this test"
            await visible.until(len(sent), "all answers")
            await finish_both_runs_of_the_slow_request(kafka, prefix, slow_model, sent)
        metrics = await worker.metrics()
        assert metrics["stream_maas_requests_total"] == len(sent)
        assert metrics["stream_maas_answers_total{prediction}"] == len(sent)
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)
        audits = (await read_deployment(read_all, kafka, prefix)).audits
        attempts = {json.loads(record.value)["data"]["request"]["attempt"] for record in audits}
        assert max(attempts) > 1, "what was served twice says so"


async def test_a_pause_longer_than_the_transaction_timeout(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P5: the broker aborts on its own while the worker stays a member of the group; it has to notice and go back."""
    await create_topics(kafka, prefix, PARTITIONS)
    settings = PATIENT | {
        "WORKER_COMMIT_INTERVAL_MS": "4000",
        "WORKER_TRANSACTION_TIMEOUT_MS": "8000",
        "WORKER_SESSION_TIMEOUT_MS": "120000",
    }
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            sent = await open_transaction(kafka, prefix, worker, slow_model, uncommitted, seconds=6)
            worker.freeze()
            assert visible.count == 0
            await until_no_transaction_is_open(kafka, topics.results(prefix))
            assert visible.count == 0
            worker.wake()
            await visible.until(len(sent), "all answers")
        metrics = await worker.metrics()
        assert metrics["stream_maas_recoveries_total"] >= 1
        assert metrics["stream_maas_requests_total"] == len(sent)
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)


async def test_aborts_in_the_middle_of_a_flow(kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll) -> None:
    """P5, T2, T3: fetches, chunks and commits of all ages are under way at each of them."""
    traffic = make_traffic(6_000, partitions=4, seed=3)
    await create_topics(kafka, prefix, 4)
    settings = {"ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES), "WORKER_CHUNK_MAX_RECORDS": "16"}
    with Fleet(kafka, prefix, tmp_path, settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with (
            Tap(kafka, topics.results(prefix)) as tap,
            Feeder(kafka, topics.requests(prefix), traffic, answered=lambda: tap.count) as feeder,
        ):
            for mark in range(500, 5_500, 500):
                await tap.until(mark, "the next abort")
                await abort_transaction_of(kafka, prefix, "w1")
            await tap.until(len(traffic.records), "all answers")
            await feeder.done()
        metrics = await worker.metrics()
        assert metrics["stream_maas_recoveries_total"] >= 1
        assert metrics["stream_maas_requests_total"] == len(traffic.records)
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, traffic.records, read_all)


async def test_of_two_workers_with_one_name_one_gives_way(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """P6, K: it stops un-acknowledged with the exit code that asks for a restart; the other one goes on.

    It learns it from the refusal of its offsets: heartbeats, which would tell it too, are rare here."""
    traffic = make_traffic(4_000, partitions=4, seed=4)
    await create_topics(kafka, prefix, 4)
    settings = {
        "ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES),
        "WORKER_CHUNK_MAX_RECORDS": "16",
        "WORKER_SESSION_TIMEOUT_MS": "180000",
        "WORKER_HEARTBEAT_INTERVAL_MS": "60000",
    }
    with Fleet(kafka, prefix, tmp_path, settings=settings) as fleet:
        first = await fleet.start("w1").ready()
        twin = await fleet.start("w1").ready()
        async with (
            Tap(kafka, topics.results(prefix)) as tap,
            Feeder(kafka, topics.requests(prefix), traffic, answered=lambda: tap.count) as feeder,
        ):
            loser, winner = await first_to_end(first, twin)
            assert await loser.exit() == 75
            # At the first refusal, and not after as many failures as a broken broker is allowed.
            assert loser.logs().count('"event": "giving way, un-acknowledged"') == 1
            assert loser.logs().count("interval dropped") <= 2
            await tap.until(len(traffic.records), "all answers")
            await feeder.done()
        assert await winner.stop() == 0
        await assert_exactly_once(kafka, prefix, traffic.records, read_all)


async def test_an_idle_worker_gives_way_to_another_of_its_name(kafka: str, prefix: str, tmp_path: Path) -> None:
    """P6, K: nothing is committed, so the heartbeat has to tell it; else the two would rebalance for ever."""
    await create_topics(kafka, prefix, PARTITIONS)
    with Fleet(kafka, prefix, tmp_path) as fleet:
        first = await fleet.start("w1").ready()
        second = fleet.start("w1")
        assert await first.exit() == 75
        await second.ready()
        assert (await second.page("/readyz"))[0] == 200
        assert await second.stop() == 0


async def test_a_quick_chunk_never_overtakes_a_slow_one_of_its_partition(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """Offsets are committed up to a number: if the second chunk were, a crash would lose the first one."""
    await create_topics(kafka, prefix, PARTITIONS)
    settings = {"WORKER_CHUNK_MAX_RECORDS": "1"}
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        sent = [slow_model.request(SLOW_PARTITION, "slow", 2)]
        sent += [slow_model.quick(SLOW_PARTITION, f"behind-{number}") for number in range(3)]
        async with Tap(kafka, topics.results(prefix)) as visible:
            await send(kafka, topics.requests(prefix), sent)
            await visible.until(len(sent), "all answers")
            assert [b'"id":"slow"' in record.value for record in visible.records] == [True, False, False, False]
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)


async def test_commits_as_soon_as_nothing_waits(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P3, first half: the interval is two minutes, the answer is there long before."""
    await create_topics(kafka, prefix, PARTITIONS)
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=PATIENT) as fleet:
        worker = await fleet.start("w1").ready()
        sent = [slow_model.quick(QUICK_PARTITION, "only")]
        async with Tap(kafka, topics.results(prefix)) as visible:
            await send(kafka, topics.requests(prefix), sent)
            await visible.until(1, "the answer", stall_s=60)
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)


async def test_records_that_keep_coming_are_served_in_step_with_transactions(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    """T6: whatever is served while a transaction commits waits for the next one anyway, and delays the commit. A worker
    that polls without pause serves five times for each transaction, a record or two at a time."""
    await create_topics(kafka, prefix, PARTITIONS)
    sent = make_traffic(1_000, partitions=PARTITIONS, seed=11).records
    settings = {"ADMISSION_MAX_RECORD_BYTES": str(MAX_RECORD_BYTES)}
    with Fleet(kafka, prefix, tmp_path, settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with Tap(kafka, topics.results(prefix)) as visible:
            producer = AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=1 << 21)
            await producer.start()
            for record in sent:  # one at a time, as fast as the broker takes them
                await producer.send_and_wait(
                    topics.requests(prefix), record.value, key=record.key, partition=record.partition,
                    headers=list(record.headers), timestamp_ms=record.timestamp_ms,
                )  # fmt: skip
            await producer.stop()
            await visible.until(len(sent), "all answers")
        counts = await worker.metrics()
        assert counts["stream_maas_batch_rows_count"] < 2 * counts["stream_maas_commit_seconds_count"]
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)


async def test_an_open_transaction_is_told_of_partitions_before_there_are_rows(kafka: str, prefix: str) -> None:
    """K: named while a chunk is served, a partition costs its rows no round trip."""
    await create_topics(kafka, prefix, PARTITIONS)
    places = [TopicPartition(topics.results(prefix), number) for number in range(PARTITIONS)]
    producer = FencedProducer(bootstrap_servers=kafka, transactional_id=f"{prefix}-named", acks="all")
    await producer.start()
    try:
        producer.name(places)  # without a transaction there is nothing to add them to
        await producer.open_transaction(places[:1], prefix)
        producer.name(places[1:])
        await producer.commit_transaction()
    finally:
        await producer.stop()
    results = topics.results(prefix)
    await until_no_transaction_is_open(kafka, results)
    # The marker of its end is in every partition that it was told of.
    assert set((await end_offsets(kafka, results, "read_uncommitted")).values()) == {1}


async def test_commits_after_the_interval_while_a_chunk_is_slow(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """P3, second half: quick answers are committed while a slow one is still being worked on."""
    await create_topics(kafka, prefix, PARTITIONS)
    settings = PATIENT | {"WORKER_COMMIT_INTERVAL_MS": "1000"}
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings) as fleet:
        worker = await fleet.start("w1").ready()
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            sent = await open_transaction(kafka, prefix, worker, slow_model, uncommitted, seconds=5)
            await visible.until(QUICK_COUNT, "the quick answers")
            assert not uncommitted.on(SLOW_PARTITION)
            await visible.until(len(sent), "the slow answer")
        assert await worker.stop() == 0
        await assert_exactly_once(kafka, prefix, sent, read_all)


async def test_stable_fetch_waits_for_offsets_of_an_open_transaction(kafka: str, prefix: str) -> None:
    """K: the plain fetch answers with what was committed before, which is how work gets repeated."""
    await create_topics(kafka, prefix, PARTITIONS)
    partition = TopicPartition(topics.requests(prefix), 0)
    async with pending_offsets(kafka, prefix, {partition: 5}) as producer:
        plain = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=prefix, enable_auto_commit=False)
        stable = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=prefix, enable_auto_commit=False)
        async with plain, stable:
            require_stable_offsets(stable)
            waiting = asyncio.create_task(stable.committed(partition))
            assert await plain.committed(partition) is None
            assert not waiting.done()
            while not held_open(stable):  # noqa: ASYNC110 - aiokafka has no event for it
                await asyncio.sleep(0.01)
            await producer.commit_transaction()
            assert await waiting == 5
            assert not held_open(stable)


async def test_a_new_owner_waits_for_offsets_of_an_open_transaction(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """T3: the worker itself reads its offsets that way, so it does not repeat what is about to be committed."""
    await create_topics(kafka, prefix, PARTITIONS)
    requests = topics.requests(prefix)
    done = [slow_model.quick(QUICK_PARTITION, f"done-{number}") for number in range(5)]
    await send(kafka, requests, done)
    offsets = {TopicPartition(requests, QUICK_PARTITION): len(done)}
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle]) as fleet:
        async with results_taps(kafka, prefix) as (visible, uncommitted):
            async with pending_offsets(kafka, prefix, offsets) as producer:
                worker = fleet.start("w1")
                # Without the rule the worker is ready and answers within a second or two. With it nothing happens
                # until the transaction ends, so this wait can only ever make the test too kind, never fail wrongly.
                with contextlib.suppress(AssertionError):
                    await uncommitted.until(1, "an answer too early", stall_s=8)
                assert uncommitted.count == 0
                await producer.commit_transaction()
            await worker.ready()
            last = slow_model.quick(QUICK_PARTITION, "last")
            await send(kafka, requests, [last])
            await visible.until(1, "the answer to the last request")
        assert await worker.stop() == 0
        results = await read_all(kafka, topics.results(prefix))
        assert [b'"id":"last"' in result.value for result in results] == [True]


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
async def test_a_worker_that_cannot_publish_stops_unacknowledged(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll, delivery: str
) -> None:
    """P6: it does not try for ever, acknowledges nothing, and a restart after the cause is gone answers everything.

    At-least-once: offsets are committed only behind answers that the broker has acknowledged."""
    await create_topics(kafka, prefix, PARTITIONS)
    results = topics.results(prefix)
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], arguments=["--delivery", delivery]) as fleet:
        worker = await fleet.start("w1").ready()
        assert worker.facts["delivery"] == delivery
        await set_topic_config(kafka, results, {"max.message.bytes": "100"})
        sent = [slow_model.quick(partition, f"r-{partition}") for partition in range(PARTITIONS)]
        await send(kafka, topics.requests(prefix), sent)
        assert await worker.exit() == 75
        await set_topic_config(kafka, results, {"max.message.bytes": "1048588"})
        async with Tap(kafka, results) as visible:
            worker.start()
            await visible.until(len(sent), "all answers")
        await worker.ready()
        assert await worker.stop() == 0
    logged = await read_deployment(read_all, kafka, prefix)
    expected = match_requests(sent, logged.requests)
    assert_answered_once(expected, logged.results)
    if delivery == "exactly-once":  # at least once, the audit events of every attempt stay in the log
        assert_audited_once(expected, logged.results, logged.audits)


async def test_after_a_pause_acknowledged_answers_are_committed_at_once(
    kafka: str, prefix: str, tmp_path: Path, slow_model: SlowModel, read_all: ReadAll
) -> None:
    """At-least-once: `commit_interval_ms` is between two commits. A crash in a quiet hour repeats nothing."""
    await create_topics(kafka, prefix, PARTITIONS)
    settings = {"WORKER_COMMIT_INTERVAL_MS": "120000", "WORKER_TRANSACTION_TIMEOUT_MS": "600000"}
    arguments = ["--delivery", "at-least-once"]
    with Fleet(kafka, prefix, tmp_path, models=[slow_model.bundle], settings=settings, arguments=arguments) as fleet:
        worker = await fleet.start("w1").ready()
        first, second = (slow_model.quick(QUICK_PARTITION, request_id) for request_id in ("first", "second"))
        await send(kafka, topics.requests(prefix), [first])
        await committed(worker, 1)
        worker.kill()
        worker.start()
        async with Tap(kafka, topics.results(prefix)) as visible:
            await send(kafka, topics.requests(prefix), [second])
            await visible.until(2, "both answers")
        await worker.ready()
        assert await worker.stop() == 0
    logged = await read_deployment(read_all, kafka, prefix)
    assert_answered_once(match_requests([first, second], logged.requests), logged.results)
