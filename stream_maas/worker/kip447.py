"""KIP-447 for aiokafka 0.14: one transactional producer per process, fenced by the consumer group.

aiokafka speaks TxnOffsetCommit v0 and OffsetFetch v3. Exactly-once with one producer for all partitions needs:

- TxnOffsetCommit v3, which carries member id and generation, so that the group coordinator refuses the offsets
  of a member that no longer owns its partitions;
- OffsetFetch v7 with `require_stable`, so that a new owner does not read an offset while an older owner's
  transaction on it is still open (it would repeat that work, and both would commit).

A third addition belongs to static membership (KIP-345): Heartbeat v3 carries the group.instance.id, so that a member
whose name was taken over learns it from the next heartbeat. With aiokafka's v1 it is told UNKNOWN_MEMBER_ID, joins
again under the same name and throws the other one out, without end.

Each is one struct (kip447_messages.py) and one handler. Nothing here knows stream_maas;
tests/contract/test_private_api.py pins the private names of aiokafka that are used. https://cwiki.apache.org/confluence/display/KAFKA/KIP-447
"""

from __future__ import annotations

import asyncio
import collections
import time
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.producer import sender as aiokafka_sender
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import OffsetAndMetadata

from stream_maas.worker.kip447_messages import (
    FencedTxnOffsetCommitRequest,
    StableOffsetFetchRequest,
    StaticHeartbeatRequest,
)

CONCURRENT_TRANSACTIONS = 51
COORDINATOR_LOAD_IN_PROGRESS = 14
NOT_ENOUGH_REPLICAS = 19
UNSTABLE_OFFSET_COMMIT = 88
FENCED_INSTANCE_ID = 82
_CONCURRENT_TRANSACTIONS_BACKOFF_S = 0.002
"""Between a commit and its markers the coordinator answers CONCURRENT_TRANSACTIONS. aiokafka waits 20 ms, which
would be the largest part of a small transaction; the markers are written within a millisecond or two."""
_MARKERS_S = 0.0015
"""From the end of a transaction to the first attempt to open the next one, which is refused as long as the markers are
not written."""
_UNVERIFIED_BACKOFF_S = 0.001
_UNVERIFIED_TRIES = 15
"""A broker asks the coordinator whether rows and offsets belong to an open transaction (KIP-890, part 1), and only one
such question per producer may be under way. The first rows and the offsets of a transaction travel at the same time,
so now and then one of them is refused, with NOT_ENOUGH_REPLICAS or COORDINATOR_LOAD_IN_PROGRESS because old clients
repeat on these; aiokafka waits 100 ms. Where it goes on, the broker means what it says, and aiokafka's way is right."""


class StaleGenerationError(kafka_errors.KafkaError):  # type: ignore[misc]
    """The group has moved on: this member's offsets were refused and its transaction must be aborted."""


class FencedInstanceError(kafka_errors.KafkaError):  # type: ignore[misc]
    """Another live member uses the same group.instance.id: this one must stop."""


class UnstableOffsetError(kafka_errors.KafkaError):  # type: ignore[misc]
    """An open transaction holds offsets of this partition; retried until it ends."""

    errno = UNSTABLE_OFFSET_COMMIT
    retriable = True


@dataclass(frozen=True, slots=True)
class GroupMetadata:
    """Who we are in the consumer group right now (Java's ConsumerGroupMetadata)."""

    generation_id: int
    member_id: str
    group_instance_id: str | None

    @classmethod
    def of(cls, consumer: AIOKafkaConsumer) -> GroupMetadata:
        """Read from the consumer's coordinator. Two attribute reads: safe from another thread."""
        coordinator = consumer._coordinator
        return cls(coordinator.generation, coordinator.member_id, consumer._group_instance_id)


NO_MEMBER = GroupMetadata(-1, "", None)
"""Nobody: offsets of a group that has no members are fenced by the transactional id alone."""


class _AddPartitionsHandler(aiokafka_sender.AddPartitionsToTxnHandler):  # type: ignore[misc]
    def handle_response(self, resp: Any) -> float | None:
        backoff_s: float | None = super().handle_response(resp)
        codes = {code for _, partitions in resp.errors for _, code in partitions}
        return _CONCURRENT_TRANSACTIONS_BACKOFF_S if CONCURRENT_TRANSACTIONS in codes else backoff_s


class _AddOffsetsHandler(aiokafka_sender.AddOffsetsToTxnHandler):  # type: ignore[misc]
    def handle_response(self, resp: Any) -> float | None:
        backoff_s: float | None = super().handle_response(resp)
        if resp.error_code == 0:
            self._sender.opened()
        return _CONCURRENT_TRANSACTIONS_BACKOFF_S if resp.error_code == CONCURRENT_TRANSACTIONS else backoff_s


class _ProduceHandler(aiokafka_sender.SendProduceReqHandler):  # type: ignore[misc]
    def handle_response(self, response: Any) -> None:
        refused = [(topic, row[0]) for topic, rows in response.topics for row in rows if row[1] == NOT_ENOUGH_REPLICAS]
        self._sender.unverified = self._sender.unverified + 1 if refused else 0
        if not refused or self._sender.unverified > _UNVERIFIED_TRIES:
            super().handle_response(response)
            return
        # Taken out of the response, because the parent would log a warning for each of them.
        response.topics = [
            (topic, [row for row in rows if row[1] != NOT_ENOUGH_REPLICAS]) for topic, rows in response.topics
        ]
        super().handle_response(response)
        if not self._to_reenqueue:
            self._default_backoff = _UNVERIFIED_BACKOFF_S
        self._to_reenqueue += [self._batches[TopicPartition(*place)] for place in refused]


class _FencedOffsetCommitHandler(aiokafka_sender.TxnOffsetCommitHandler):  # type: ignore[misc]
    def create_request(self) -> FencedTxnOffsetCommitRequest:
        txn = self._sender._txn_manager
        group: GroupMetadata = self._sender.members.get(self._group_id, NO_MEMBER)
        by_topic: dict[str, list[Any]] = collections.defaultdict(list)
        for tp, offset in sorted(self._offsets.items()):
            by_topic[tp.topic].append((tp.partition, offset.offset, -1, offset.metadata, {}))
        return FencedTxnOffsetCommitRequest(
            txn.transactional_id,
            self._group_id,
            txn.producer_id,
            txn.producer_epoch,
            group.generation_id,
            group.member_id,
            group.group_instance_id,
            [(topic, partitions, {}) for topic, partitions in by_topic.items()],
            {},
        )

    def handle_response(self, resp: Any) -> float | None:
        # The parent unpacks v0 rows: drop the tagged fields that v3 adds to each of them.
        resp.errors = [(topic, [(p, code) for p, code, _ in rows]) for topic, rows, _ in resp.errors]
        for _, rows in resp.errors:
            for _, code in rows:
                refusal = _refusal(code)
                if refusal is not None:
                    self._sender._txn_manager.error_transaction(refusal)
                    return None
        unverified = any(code == COORDINATOR_LOAD_IN_PROGRESS for _, rows in resp.errors for _, code in rows)
        self._sender.unverified_offsets = self._sender.unverified_offsets + 1 if unverified else 0
        backoff_s: float | None = super().handle_response(resp)
        return _UNVERIFIED_BACKOFF_S if 0 < self._sender.unverified_offsets <= _UNVERIFIED_TRIES else backoff_s


def _refusal(code: int) -> kafka_errors.KafkaError | None:
    """Errors by which the group refuses a member. aiokafka would treat them as fatal; they only end the transaction."""
    if code == FENCED_INSTANCE_ID:
        return FencedInstanceError("group.instance.id is used by another member")
    error = kafka_errors.for_code(code)
    stale = (
        kafka_errors.IllegalGenerationError,
        kafka_errors.UnknownMemberIdError,
        kafka_errors.RebalanceInProgressError,
    )
    if error in stale:
        return StaleGenerationError(f"the group refused the offsets: {error.__name__}")
    return None


class _FencedSender(aiokafka_sender.Sender):  # type: ignore[misc]
    members: dict[str, GroupMetadata]
    """Group -> who we are in it; we belong to no group that is left out."""
    group_ahead: str | None = None
    """Group to add to the open transaction before there are offsets of it."""
    unverified = 0
    unverified_offsets = 0
    """Refusals in a row of rows, and of offsets."""
    coordinated = ""
    """The group whose coordinator is known."""
    _opened: asyncio.Future[None] | None = None

    def open_with(self, group_id: str) -> asyncio.Future[None]:
        """Add the group as soon as the partitions are added; done when it is."""
        self.group_ahead, self._opened = group_id, asyncio.get_running_loop().create_future()
        self._txn_manager.notify_task_waiter()
        return self._opened

    def opened(self) -> None:
        self.group_ahead = None
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _maybe_do_transactional_request(self) -> asyncio.Task[Any] | None:
        group_id, txn = self.group_ahead, self._txn_manager
        if group_id is not None and txn.is_in_transaction() and not txn.partitions_to_add():
            return asyncio.create_task(self._do_add_offsets_to_txn(group_id))
        task: asyncio.Task[Any] | None = super()._maybe_do_transactional_request()
        return task

    async def _send_produce_req(self, node_id: int, batches: Any) -> None:
        await _ProduceHandler(self, batches).do(node_id)
        self._in_flight.remove(node_id)
        for tp in batches:
            self._muted_partitions.remove(tp)

    async def _do_add_partitions_to_txn(self, tps: Any) -> Any:
        node_id = await self._find_coordinator(
            aiokafka_sender.CoordinationType.TRANSACTION, self._txn_manager.transactional_id
        )
        return await _AddPartitionsHandler(self, tps).do(node_id)

    async def _do_add_offsets_to_txn(self, group_id: str) -> Any:
        node_id = await self._find_coordinator(
            aiokafka_sender.CoordinationType.TRANSACTION, self._txn_manager.transactional_id
        )
        return await _AddOffsetsHandler(self, group_id).do(node_id)

    async def _do_txn_offset_commit(self, offsets: Any, group_id: str) -> None:
        if not offsets:
            return
        if self.coordinated != group_id:
            # aiokafka keeps one coordinator of groups, whichever group it asked for.
            self._coordinator_dead(aiokafka_sender.CoordinationType.GROUP)
            self.coordinated = group_id
        node_id = await self._find_coordinator(aiokafka_sender.CoordinationType.GROUP, group_id)
        await _FencedOffsetCommitHandler(self, offsets, group_id).do(node_id)


class FencedProducer(AIOKafkaProducer):  # type: ignore[misc]
    """A transactional producer whose offsets are refused once `metadata` is no longer the group's current one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sender.__class__ = _FencedSender
        self._sender.members = {}
        self._ended_s = 0.0
        """When the last transaction ended, monotonic."""

    async def commit_transaction(self) -> None:
        await super().commit_transaction()
        self._ended_s = time.monotonic()

    async def open_transaction(self, partitions: Iterable[TopicPartition], *group_ids: str) -> None:
        """Begin a transaction in which rows of `partitions` and offsets of the groups can be sent at once.

        The coordinator admits both only after the markers of the transaction before are written; whoever waits for
        that here, and not with rows in hand, can still let later rows in. Further partitions may be sent to as well.
        Raises what ends the transaction.
        """
        if (left_s := self._ended_s + _MARKERS_S - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
        await self.begin_transaction()
        self.name(partitions)
        txn = self._txn_manager
        ended = txn.wait_for_transaction_end()
        for group_id in group_ids:
            opened = self._sender.open_with(group_id)
            await asyncio.wait([opened, ended], return_when=asyncio.FIRST_COMPLETED)
            if not opened.done():
                opened.cancel()
                ended.result()
                raise StaleGenerationError("the transaction ended before it was used")

    def name(self, partitions: Iterable[TopicPartition]) -> None:
        """Add partitions to the open transaction, if there is one, before there are rows for them. Does not wait."""
        if self._txn_manager.is_in_transaction():
            for partition in partitions:
                self._txn_manager.maybe_add_partition_to_txn(partition)

    async def send_offsets(
        self,
        offsets: Mapping[TopicPartition, int | OffsetAndMetadata],
        group_id: str,
        metadata: GroupMetadata = NO_MEMBER,
    ) -> None:
        """Add consumed offsets (next offset to read) of a group that the transaction was opened with.

        Raises `StaleGenerationError` or `FencedInstanceError`; the transaction can then only be aborted.
        """
        self._sender.members[group_id] = metadata
        await self.send_offsets_to_transaction(dict(offsets), group_id)


def require_stable_offsets(consumer: AIOKafkaConsumer) -> None:
    """Make a started consumer read committed offsets with OffsetFetch v7 and `require_stable`."""
    coordinator = consumer._coordinator
    coordinator._do_fetch_commit_offsets = types.MethodType(_fetch_stable_offsets, coordinator)


def held_open(consumer: AIOKafkaConsumer) -> bool:
    """Whether an open transaction held offsets of a consumer with stable offsets when it last asked for them."""
    return getattr(consumer._coordinator, "offsets_held_open", False)


def fence_heartbeats(consumer: AIOKafkaConsumer, on_fenced: Callable[[FencedInstanceError], None]) -> None:
    """Make a started static member heartbeat under its name; `on_fenced` is called when another one has taken it."""
    coordinator = consumer._coordinator
    send = coordinator._send_req

    async def send_static(request: Any) -> Any:
        if not isinstance(request, HeartbeatRequest) or coordinator._group_instance_id is None:
            return await send(request)
        response, fenced = await _static_heartbeat(coordinator, send)
        if fenced is not None:
            on_fenced(fenced)
        return response

    coordinator._send_req = send_static


async def check_instance(consumer: AIOKafkaConsumer) -> None:
    """Ask the group whether a started static member still has its name. Raises `FencedInstanceError` if not.

    Two live members of one name fence each other's producers as well, over and over; only the group knows which of
    them it is.
    """
    coordinator = consumer._coordinator
    if coordinator._group_instance_id is None or coordinator.generation < 0:
        return
    _, fenced = await _static_heartbeat(coordinator, coordinator._send_req)
    if fenced is not None:
        raise fenced


async def _static_heartbeat(coordinator: Any, send: Any) -> tuple[Any, FencedInstanceError | None]:
    """The response, and the error if the group knows another member by our name."""
    response = await send(
        StaticHeartbeatRequest(
            coordinator.group_id, coordinator.generation, coordinator.member_id, coordinator._group_instance_id
        )
    )
    if response.error_code != FENCED_INSTANCE_ID:
        return response, None
    return response, FencedInstanceError("group.instance.id is used by another member")


async def _fetch_stable_offsets(coordinator: Any, partitions: Any) -> dict[TopicPartition, OffsetAndMetadata]:
    by_topic: dict[str, list[int]] = collections.defaultdict(list)
    for tp in partitions:
        by_topic[tp.topic].append(tp.partition)
    request = StableOffsetFetchRequest(
        coordinator.group_id, [(topic, numbers, {}) for topic, numbers in by_topic.items()], True, {}
    )
    response = await coordinator._send_req(request)
    _raise_for(coordinator, response.error_code)
    coordinator.offsets_held_open = False
    offsets = {}
    for topic, rows, _ in response.topics:
        for partition, offset, _epoch, metadata, code, _ in rows:
            _raise_for(coordinator, code)
            if offset >= 0:
                offsets[TopicPartition(topic, partition)] = OffsetAndMetadata(offset, metadata)
    return offsets


def _raise_for(coordinator: Any, code: int) -> None:
    if code == UNSTABLE_OFFSET_COMMIT:
        coordinator.offsets_held_open = True
        raise UnstableOffsetError
    error = kafka_errors.for_code(code)
    if error is kafka_errors.NoError:
        return
    if error is kafka_errors.NotCoordinatorForGroupError:
        coordinator.coordinator_dead()
    raise error()
