"""Records that no honest client writes and every broker takes: each is answered, and the worker goes on."""

from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c_py

from stream_maas import topics
from stream_maas.errors import BrokerError
from stream_maas.records import Outgoing
from stream_maas.worker.batches import send_batches
from tests.support.deployment import ReadAll, create_topics
from tests.support.log_reading import Tap
from tests.support.traffic import text_request
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(180)

GOOD = text_request("fine")
CODECS = range(5)
LENGTH = "inference-header-content-length"
Headers = list[tuple[str, bytes]]


def batch(rows: list[tuple[bytes | None, Headers]], *, codec: int = 0, timestamp_ms: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for place, (value, headers) in enumerate(rows):
        assert builder.append(place, timestamp_ms, None, value, headers) is not None
    return bytes(builder.build())


def with_raw_name(data: bytes, name: bytes, raw: bytes) -> bytes:
    """A batch whose header `name` has other bytes, as clients write it that do not know that names are text."""
    changed = bytearray(data.replace(name, raw))
    struct.pack_into(">I", changed, 17, calc_crc32c_py(bytes(changed[21:])))
    return bytes(changed)


def many_dimensions() -> tuple[bytes, Headers]:
    tensor = {"name": "text", "shape": [2**31 - 1] * 600, "datatype": "FP32", "parameters": {"binary_data_size": 4}}
    part = json.dumps({"inputs": [tensor]}).encode()
    return part + b"\0" * 4, [(LENGTH, str(len(part)).encode())]


def grows_when_boxed() -> tuple[bytes, Headers]:
    """900 kB that are more than 5 MB as the JSON text that is kept of them."""
    tensor = {"name": "text", "shape": [900_000], "datatype": "BOOL", "parameters": {"binary_data_size": 900_000}}
    part = json.dumps({"inputs": [tensor]}).encode()
    return part + b"\0" * 900_000, [(LENGTH, str(len(part)).encode())]


async def test_records_of_hostile_clients_are_answered_once(
    kafka: str, prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    await create_topics(kafka, prefix, 1)
    request_topic = topics.requests(prefix)
    odd_name = batch([(GOOD, []), (GOOD, [("@@@@", b"v"), ("ce_id", b"odd-name")]), (GOOD, [])])
    sent = [
        with_raw_name(odd_name, b"@@@@", b"\xff\xfe\xc3("),
        batch([many_dimensions()]),
        batch([grows_when_boxed()]),
        batch([(None, []), (b"", []), (GOOD, [("x", b"1"), ("x", b"2")])]),
        *[batch([(GOOD, [])], timestamp_ms=stamp) for stamp in (-1, -5)],
        *[batch([(GOOD, [])] * 2, codec=codec) for codec in CODECS],
    ]
    expected = {"prediction": 3 + 1 + 2 + 2 * len(CODECS), "invalid_input": 2, "undecodable": 2}
    with Fleet(kafka, prefix, tmp_path) as fleet:
        worker = await fleet.start("w1").ready()
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        async with Tap(kafka, topics.results(prefix)) as visible:
            await producer.partitions_for(request_topic)
            leader = producer.client.cluster.leader_for_partition(TopicPartition(request_topic, 0))
            for data in sent:
                ask = ProduceRequest(None, -1, 10_000, [(request_topic, [(0, data)])])
                answer = await producer.client.send(leader, ask)
                assert answer.topics[0][1][0][1] == 0, "the broker takes it"
            await visible.until(sum(expected.values()), "all answers", stall_s=60)
        with pytest.raises(BrokerError, match="has no partition 7"):
            # What a worker meets when somebody adds partitions to the request topic alone.
            await send_batches(producer, {(topics.results(prefix), 7): [Outgoing(None, b"{}", [])]}, [])
        await producer.stop()
        assert await worker.stop() == 0
    results = [json.loads(record.value) for record in await read_all(kafka, topics.results(prefix))]
    assert Counter(result.get("code", "prediction") for result in results) == expected
    assert "odd-name" in {result["id"] for result in results}
    audits = [json.loads(record.value) for record in await read_all(kafka, topics.audit(prefix))]
    decided = Counter(event["id"] for event in audits if ".decision." in event["type"])
    assert len(decided) == sum(expected.values())
    assert set(decided.values()) == {1}
