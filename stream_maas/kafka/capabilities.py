"""What the brokers can do, found out without leaving anything behind on them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Self

from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    NoError,
    RequestTimedOutError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.admin import DeleteRecordsRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from stream_maas.errors import BrokerError
from stream_maas.kafka.link import FIRST_WAIT_S, Cluster, Link, Versions, bootstrap, describe_cluster
from stream_maas.settings import KafkaConfig

COORDINATOR_TIMEOUT_S = 15.0
_TRANSIENT = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, RequestTimedOutError)
_OFFSET_FETCH, _TXN_OFFSET_COMMIT = 9, 28
# InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit
_TRANSACTION_APIS = (22, 24, 25, 26, _TXN_OFFSET_COMMIT)
_GROUP_COORDINATOR, _TRANSACTION_COORDINATOR = 0, 1


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found to work, not what is advertised."""

    transactions: bool
    fenced_offsets: bool
    """TxnOffsetCommit v3 or later: offsets are fenced by the consumer group (KIP-447)."""
    stable_fetch: bool
    """OffsetFetch v7 or later: can wait for pending transactional offsets (KIP-447)."""
    idempotence: bool
    delete_records: bool
    broker: str
    """The cluster in words."""
    reason: str
    """Why not exactly-once; "" when it is."""

    @property
    def exactly_once(self) -> bool:
        """Result, audit event and input offset can be committed together and fenced by the group."""
        return self.transactions and self.fenced_offsets and self.stable_fetch

    @classmethod
    def none(cls, reason: str) -> Self:
        """Of a broker about which nothing is known."""
        return cls(False, False, False, False, False, "", reason)


async def probe(
    config: KafkaConfig, *, transactional_id: str | None = None, group_id: str | None = None
) -> Capabilities:
    """Find out what the cluster does, leaving nothing behind on it.

    Advertised versions are asked of every broker that answers, but they are not trusted alone: the embedded broker
    advertises all of this. InitProducerId without a transactional id makes a producer id and no state. With one it
    would fence whoever uses that id, so for `transactional_id` only its coordinator is asked for, which also proves
    the right to use it; likewise for `group_id`. Raises `BrokerError` when nobody answers, when a right is missing,
    or when no coordinator becomes available: promising less because of an outage would be wrong.
    """
    cluster = await describe_cluster(config)
    versions = await _common_versions(config, cluster)
    async with bootstrap(config) as link:
        idempotence, doubt = await _makes_producer_ids(link)
        if group_id is not None:
            await _find_coordinator(link, group_id, _GROUP_COORDINATOR)
        if idempotence and transactional_id is not None:
            await _find_coordinator(link, transactional_id, _TRANSACTION_COORDINATOR)
    missing = [key for key in _TRANSACTION_APIS if key not in versions]
    fenced, stable = _offers(versions, _TXN_OFFSET_COMMIT, 3), _offers(versions, _OFFSET_FETCH, 7)
    if doubt:
        reason = f"the broker has no idempotent producer, and so no transactions ({doubt})"
    elif missing:
        reason = "the broker does not offer the requests of transactions"
    elif not (fenced and stable):
        reason = "the broker cannot fence offsets by consumer group (KIP-447); Kafka 2.5 or later can"
    else:
        reason = ""
    return Capabilities(
        transactions=idempotence and not missing,
        fenced_offsets=idempotence and fenced,
        stable_fetch=stable,
        idempotence=idempotence,
        delete_records=await _deletes_records(config),
        broker=str(cluster),
        reason=reason,
    )


def _offers(versions: Versions, key: int, version: int) -> bool:
    lowest, highest = versions.get(key, (1, 0))
    return lowest <= version <= highest


async def _common_versions(config: KafkaConfig, cluster: Cluster) -> Versions:
    """What all brokers that answer offer: coordinators move, and a rolling upgrade takes a while."""
    common: dict[int, tuple[int, int]] | None = None
    for host, port in cluster.brokers.values():
        try:
            async with Link.open(config, host, port) as link:
                offered = await link.versions()
        except BrokerError:
            continue
        before = offered if common is None else common
        common = {
            key: (max(before[key][0], lowest), min(before[key][1], highest))
            for key, (lowest, highest) in offered.items()
            if key in before
        }
    return common or {}


async def _makes_producer_ids(link: Link) -> tuple[bool, str]:
    """Whether InitProducerId works, and otherwise the name of the error. A transient one is given some time."""
    error: Any = None
    for attempt in range(5):
        await asyncio.sleep(FIRST_WAIT_S if attempt else 0)
        try:
            answer = await link.ask(InitProducerIdRequest(None, 10_000))
        except BrokerError:
            return False, "it closes the connection on InitProducerId"
        error = for_code(answer.error_code)
        if error is NoError:
            return True, ""
        if error not in _TRANSIENT:
            break
    return False, f"InitProducerId is answered with {error.__name__}"


async def _find_coordinator(link: Link, name: str, kind: int) -> None:
    give_up = time.monotonic() + COORDINATOR_TIMEOUT_S
    while True:
        answer = await link.ask(FindCoordinatorRequest(name, kind))
        error = for_code(answer.error_code)
        if error is NoError:
            return
        if error is TransactionalIdAuthorizationFailed:
            raise BrokerError(
                "this user may not use its transactional id; next: grant Write on TransactionalId, see deploy/acls.sh"
            )
        if error is GroupAuthorizationFailedError:
            raise BrokerError("this user may not use its consumer group; next: grant Read on Group, see deploy/acls.sh")
        # The first request for it on a new cluster makes the topic that coordinators live in.
        if error not in _TRANSIENT or time.monotonic() > give_up:
            setting = "transaction.state.log" if kind == _TRANSACTION_COORDINATOR else "offsets.topic"
            raise BrokerError(
                f"no {'transaction' if kind == _TRANSACTION_COORDINATOR else 'group'} coordinator ({error.__name__}); "
                f"next: see the broker's log, and whether {setting}.replication.factor is larger than the number of "
                "brokers"
            )
        await asyncio.sleep(FIRST_WAIT_S)


async def _deletes_records(config: KafkaConfig) -> bool:
    """Asked on a connection of its own, with nothing to delete: the embedded broker closes it."""
    try:
        async with bootstrap(config) as link:
            await link.ask(DeleteRecordsRequest([], 1_000))
    except BrokerError:
        return False
    return True
