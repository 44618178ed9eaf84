"""The private names of Faust and aiokafka that worker/{transport,kip447,batches}.py and kafka/fetched.py rely on.

When a new version of either library moves one of them, this file says so before a broker does. The pins in
pyproject.toml may be raised only when it passes.
"""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from io import BytesIO

import aiokafka
import faust
import pytest
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.producer import message_accumulator, producer, sender, transaction_manager
from aiokafka.record import default_records
from faust.app import base as faust_app
from faust.transport import conductor
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver

from stream_maas.kafka import fetched
from stream_maas.worker import batches, kip447
from stream_maas.worker import kip447_messages as messages
from stream_maas.worker.transport import ChunkApp, ChunkConsumer, ChunkConsumerThread


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_versions_are_the_pinned_ones() -> None:
    assert version("faust-streaming").startswith("0.15.")
    assert version("aiokafka").startswith("0.14.")


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (driver.Consumer, "_drain_messages", ["self", "fetcher"]),
        (driver.Consumer, "_commit", ["self", "offsets"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (driver.Consumer, "_get_active_partitions", ["self"]),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
        (
            driver.AIOKafkaConsumerThread,
            "_fetch_records",
            ["self", "consumer", "active_partitions", "timeout", "max_records"],
        ),
        (driver.AIOKafkaConsumerThread, "verify_event_path", ["self", "now", "tp"]),
        (driver.Producer, "_settings_auth", ["self"]),
        (faust_app.App, "_new_transport", ["self"]),
        (faust_app.App, "_new_producer_transport", ["self"]),
        (group_coordinator.GroupCoordinator, "_do_fetch_commit_offsets", ["self", "partitions"]),
        (group_coordinator.GroupCoordinator, "fetch_committed_offsets", ["self", "partitions"]),
        (group_coordinator.GroupCoordinator, "_send_req", ["self", "request"]),
        (group_coordinator.GroupCoordinator, "coordinator_dead", ["self"]),
        (sender.Sender, "_do_add_partitions_to_txn", ["self", "tps"]),
        (sender.Sender, "_do_add_offsets_to_txn", ["self", "group_id"]),
        (sender.AddOffsetsToTxnHandler, "handle_response", ["self", "resp"]),
        (sender.Sender, "_do_txn_offset_commit", ["self", "offsets", "group_id"]),
        (sender.Sender, "_find_coordinator", ["self", "coordinator_type", "coordinator_key"]),
        (sender.TxnOffsetCommitHandler, "handle_response", ["self", "resp"]),
        (sender.TxnOffsetCommitHandler, "create_request", ["self"]),
        (sender.AddPartitionsToTxnHandler, "handle_response", ["self", "resp"]),
        (sender.Sender, "_maybe_do_transactional_request", ["self"]),
        (sender.Sender, "_send_produce_req", ["self", "node_id", "batches"]),
        (sender.SendProduceReqHandler, "handle_response", ["self", "response"]),
        (transaction_manager.TransactionManager, "error_transaction", ["self", "exc"]),
        (transaction_manager.TransactionManager, "maybe_add_partition_to_txn", ["self", "tp"]),
        (transaction_manager.TransactionManager, "partitions_to_add", ["self"]),
        (transaction_manager.TransactionManager, "notify_task_waiter", ["self"]),
        (transaction_manager.TransactionManager, "wait_for_transaction_end", ["self"]),
    ],
)
def test_replaced_methods_keep_their_shape(owner: type, name: str, expected: list[str]) -> None:
    assert parameters(getattr(owner, name)) == expected


def test_faust_calls_what_we_replace() -> None:
    """Names alone are not enough: the callers must still go through them."""
    assert "self._new_transport()" in inspect.getsource(faust_app.App)
    assert "self._new_consumer_thread()" in inspect.getsource(faust_consumer.ThreadDelegateConsumer)
    assert "_drain_messages(" in inspect.getsource(faust_consumer.Fetcher)
    assert "self._create_worker_consumer(" in inspect.getsource(driver.AIOKafkaConsumerThread)
    assert "_tp_to_callback" in inspect.getsource(conductor.Conductor)
    assert "_do_fetch_commit_offsets(" in inspect.getsource(group_coordinator.GroupCoordinator.fetch_committed_offsets)
    routine = inspect.getsource(sender.Sender._maybe_do_transactional_request)
    assert "self._do_add_partitions_to_txn(" in routine
    assert "self._do_add_offsets_to_txn(" in routine
    assert "self._do_txn_offset_commit(" in routine
    assert "self._maybe_do_transactional_request()" in inspect.getsource(sender.Sender._sender_routine)
    assert "self._send_produce_req(" in inspect.getsource(sender.Sender._sender_routine)


def test_a_refused_batch_goes_the_way_that_is_shortened() -> None:
    """`_ProduceHandler` takes refused rows out of the response and enqueues their batches again itself."""
    source = inspect.getsource(sender.SendProduceReqHandler)
    assert "await asyncio.sleep(self._default_backoff)" in source
    assert "self._sender._message_accumulator.reenqueue(batch)" in source
    whole = inspect.getsource(sender.Sender._send_produce_req)
    assert "self._in_flight.remove(node_id)" in whole
    assert "self._muted_partitions.remove(tp)" in whole


def test_revocation_reaches_the_app_before_the_group_rejoins() -> None:
    """Rule 4 of the publisher rests on it: the signal is awaited inside the revocation callback."""
    assert "on_partitions_revoked.send" in inspect.getsource(faust_app.App._on_partitions_revoked)
    assert "await promise" in inspect.getsource(faust_consumer.ThreadDelegateConsumer.threadsafe_partitions_revoked)


async def test_app_uses_the_chunked_transport() -> None:
    from stream_maas.settings import load
    from stream_maas.worker.app import create_app

    app = create_app(load({"worker.instance": "w"}, environ={}), stable_offsets=True)
    assert isinstance(app, ChunkApp)
    assert isinstance(app, faust.App)
    assert issubclass(app.transport.Consumer, ChunkConsumer)
    assert app.conf.broker_commit_interval == 3600.0
    assert app.conf.web_enabled is False


async def test_faust_environment_cannot_win(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_maas.settings import load
    from stream_maas.worker.app import create_app

    monkeypatch.setenv("BROKER_SESSION_TIMEOUT", "1")
    monkeypatch.setenv("PRODUCER_ACKS", "0")
    app = create_app(load({"worker.instance": "w"}, environ={}), stable_offsets=False)
    assert app.conf.broker_session_timeout == 30.0
    assert app.conf.producer_acks == -1


def test_paused_partitions_are_fetched_again_as_soon_as_they_are_resumed() -> None:
    """Between two polls the transport pauses what it reads; nothing may be fetched then, and nothing forgotten."""
    actions = inspect.getsource(fetcher.Fetcher._get_actions_per_node)
    assert "elif tp_state.paused:" in actions
    assert "resume_futures.append(tp_state.resume_fut)" in actions
    assert "resume_futures)" in inspect.getsource(fetcher.Fetcher._fetch_requests_routine)


def test_consumer_thread_has_the_methods_that_are_called_on_it() -> None:
    for name in ("call_thread", "assignment", "_fetch_records"):
        assert hasattr(ChunkConsumerThread, name)
    for attribute in ("_coordinator", "_group_instance_id", "_subscription", "last_stable_offset"):
        assert attribute in inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "self._position = " in inspect.getsource(subscription_state.TopicPartitionState)
    coordinator_source = inspect.getsource(group_coordinator.GroupCoordinator)
    assert "self.generation =" in coordinator_source
    assert "self.member_id =" in coordinator_source
    assert "self._coordination_task = " in coordinator_source


def test_records_are_read_through_what_is_replaced() -> None:
    """`kafka/fetched.py` replaces three names in the module, and decodes what `_read_msg` slices."""
    process = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    for call in ("records = MemoryRecords(", "partition_records = PartitionRecords(", "] = FetchResult("):
        assert call in process
    assert set(re.findall(r"\brecords\.(\w+)", process)) <= {"has_next", "size_in_bytes"}
    # Not by their names in the module, which are ours once a consumer of this process was made.
    theirs, results = fetched.FetchedRecords.__base__, fetched.FetchResult.__base__
    unpack = inspect.getsource(theirs._unpack_records)
    assert "records = self._records\n" in unpack
    assert "next_batch = records.next_batch()" in unpack
    assert "for record in next_batch:" in unpack
    assert "if record.offset < self.next_fetch_offset" in unpack
    assert "consumer_record = self._consumer_record(tp, record)" in unpack
    ours = {"validate_crc", "producer_id", "base_offset", "next_offset", "is_control_batch", "is_transactional"}
    assert set(re.findall(r"\bnext_batch\.(\w+)", unpack)) == ours
    assert ours <= set(dir(fetched.Batch)) | set(re.findall(r"self\.(\w+)", inspect.getsource(fetched.Batch.__init__)))
    taking = inspect.getsource(results.getall)
    for name in ("check_assignment(tp)", "_update_position()", "self._partition_records = None", "has_more()"):
        assert name in taking
    read = inspect.getsource(default_records._DefaultRecordBatchPy._read_msg)
    assert read.count(".decode(") == 1
    assert "buffer = self._buffer" in read


def test_batches_are_filled_past_their_append() -> None:
    """`worker/batches.py` does what is left of `append` without serializers."""
    append = inspect.getsource(message_accumulator.BatchBuilder.append)
    assert "self._builder.append(" in append
    assert "self._relative_offset += 1" in append
    assert "return self._relative_offset" in inspect.getsource(message_accumulator.BatchBuilder.record_count)
    assert parameters(default_records._DefaultRecordBatchBuilderPy.append)[1:6] == [
        "offset", "timestamp", "key", "value", "headers",
    ]  # fmt: skip


def test_a_written_batch_has_all_that_a_builder_is_asked_for() -> None:
    """`worker/batches.py` takes the place of every method that looks at the builder inside."""
    builder = message_accumulator.BatchBuilder
    asked = {
        name
        for name, method in inspect.getmembers(builder, inspect.isfunction)
        if "_builder" in inspect.getsource(method)
    }
    assert asked == {"__init__", "append", "_set_producer_state", "_build", "size"}
    assert asked <= set(vars(batches.WrittenBatch))
    create = inspect.getsource(message_accumulator.MessageAccumulator.create_builder)
    for name in ("_batch_size", "_compression_type", "_txn_manager"):
        assert f"self.{name}" in create
    assert "self._message_accumulator.create_builder" in inspect.getsource(producer.AIOKafkaProducer.create_batch)
    header = default_records.DefaultRecordBase
    assert batches._HEAD_BYTES == fetched._HEAD.size == header.HEADER_STRUCT.size
    assert (batches._HEAD.size, batches._AFTER_LENGTH) == (header.ATTRIBUTES_OFFSET, header.AFTER_LEN_OFFSET)
    assert fetched._CHECKSUM_COVERS_FROM == header.ATTRIBUTES_OFFSET
    assert fetched._LENGTH_COVERS_FROM == header.AFTER_LEN_OFFSET
    assert fetched._APPEND_TIME == header.TIMESTAMP_TYPE_MASK
    assert (fetched._CODEC, fetched._TRANSACTIONAL, fetched._CONTROL) == (
        header.CODEC_MASK, header.TRANSACTIONAL_MASK, header.CONTROL_MASK,
    )  # fmt: skip
    assert (header.CODEC_MASK, header.TRANSACTIONAL_MASK) == (batches._CODEC, batches._TRANSACTIONAL)


def test_txn_offset_commit_v3_bytes() -> None:
    """Field by field against the message definition TxnOffsetCommitRequest.json, version 3 (flexible)."""
    request = messages.TxnOffsetCommitRequest_v3("tx", "g", 7, 2, 5, "m", "i", [("t", [(0, 9, -1, "", {})], {})], {})
    assert (
        request.encode()
        == bytes.fromhex(
            "03" + "7478"  # transactional_id, compact string: length + 1
            "02" + "67"  # group_id
            "0000000000000007" + "0002"  # producer_id, producer_epoch
            "00000005" + "02" + "6d" + "02" + "69"  # generation_id, member_id, group_instance_id
            "02" + "02" + "74"  # one topic
            "02" + "00000000" + "0000000000000009" + "ffffffff" + "01" + "00"  # one partition
            "00" + "00"  # tagged fields of topic and request
        )
    )


def test_dynamic_member_has_a_null_instance_id() -> None:
    request = messages.TxnOffsetCommitRequest_v3("tx", "g", 7, 2, 5, "m", None, [], {})
    assert request.encode().endswith(bytes.fromhex("02" + "6d" + "00" + "01" + "00"))


def test_heartbeat_v3_bytes() -> None:
    """HeartbeatRequest.json, version 3: the last one that is not flexible."""
    request = messages.HeartbeatRequest_v3("g", 5, "m", "i")
    assert request.encode() == bytes.fromhex("0001" + "67" + "00000005" + "0001" + "6d" + "0001" + "69")


def test_heartbeats_go_through_what_is_replaced() -> None:
    source = inspect.getsource(group_coordinator.GroupCoordinator._do_heartbeat)
    assert "HeartbeatRequest(" in source
    assert "self._send_req(request)" in source


def test_offset_fetch_v7_bytes() -> None:
    request = messages.OffsetFetchRequest_v7("g", [("t", [3], {})], True, {})
    assert request.encode() == bytes.fromhex("0267" + "02" + "0274" + "02" + "00000003" + "00" + "01" + "00")


def test_offset_fetch_v7_response_is_read() -> None:
    raw = bytes.fromhex(
        "00000000" + "02" + "0274" + "02" + "00000003" + "000000000000002a" + "ffffffff" + "01" + "0058" + "00" + "00"
        "0000" + "00"
    )
    response = messages.OffsetFetchResponse_v7.decode(BytesIO(raw))
    topic, rows, _ = response.topics[0]
    assert topic == "t"
    assert rows[0][:2] == (3, 42)
    assert rows[0][4] == kip447.UNSTABLE_OFFSET_COMMIT


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (22, kip447.StaleGenerationError),  # ILLEGAL_GENERATION
        (25, kip447.StaleGenerationError),  # UNKNOWN_MEMBER_ID
        (27, kip447.StaleGenerationError),  # REBALANCE_IN_PROGRESS
        (82, kip447.FencedInstanceError),  # FENCED_INSTANCE_ID
    ],
)
def test_refusals_of_the_group_end_the_transaction_only(code: int, expected: type[Exception]) -> None:
    assert isinstance(kip447._refusal(code), expected)


@pytest.mark.parametrize("code", [0, 3, 15, 16, 47])
def test_other_codes_are_left_to_aiokafka(code: int) -> None:
    assert kip447._refusal(code) is None
