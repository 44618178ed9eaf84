"""How the front of an audit partition goes without breaking what is left: proven first, announced, sealed, deleted.

1. The newest checkpoint before the time is where the cut is. Everything up to it is read once more and must have the
   signed root: what does not verify is not deleted.
2. `audit.pruned` goes into the same partition: size, next offset, root and frontier of the tree of what goes. A reader
   goes on from the frontier, so all later proofs stay valid.
3. Nothing is deleted until a checkpoint covers that event. A partition that begins later than a sealed event says was
   tampered with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError

from stream_maas import topics
from stream_maas.errors import BrokerError, IncompleteError, LedgerError
from stream_maas.kafka.acts import record_act
from stream_maas.kafka.admin import delete_front
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.keys import VerifierKey
from stream_maas.records import KafkaRecord
from stream_maas.replay.audit_log import Logs, Published, newest_checkpoint, read_published
from stream_maas.replay.holds import Hold, living
from stream_maas.replay.reading import read_chunks

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Cut:
    """What would go from one partition."""

    partition: int
    size: int
    """Events of the whole log before the cut; the first index that stays."""
    next_offset: int
    """First offset that stays."""
    events: int
    """Events that are there now and would go."""
    root: bytes
    frontier: tuple[bytes, ...]


async def plan(logs: Logs, partition: int, before_ms: int, keys: Sequence[VerifierKey]) -> Cut | None:
    """The cut at the newest trusted checkpoint before the time, proven on the log; None where nothing would go.

    Raises `LedgerError` when the log up to it has not the signed root, `IncompleteError` when a legal hold is in it.
    """
    published, _ = await read_published(logs.settings, topics.audit_checkpoints(logs.settings.topics.prefix))
    mine = [
        each for each in published
        if each.checkpoint.origin == logs.origin(partition) and each.hint is not None and _is_signed(each, keys)
    ]  # fmt: skip
    begins = logs.beginnings[partition]
    fitting = [each for each in mine if each.timestamp_ms < before_ms and each.hint and each.hint.next_offset > begins]
    if not fitting:
        return None
    chosen = max(fitting, key=lambda each: each.checkpoint.size)
    assert chosen.hint is not None
    holds = await living(logs, partition)
    tree = _removed_before(mine, begins, partition)
    removed = tree.size
    chunks = read_chunks(logs.settings.kafka, logs.topic, offsets={partition: begins}, only=[partition], until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            going = [record for record in chunk if record.offset < chosen.hint.next_offset]
            _refuse_held(going, holds, partition)
            values = [record.value or b"" for record in going]
            tree.extend(leaf_hashes(values))
            if len(values) < len(chunk):
                break
    if (tree.size, tree.root()) != (chosen.checkpoint.size, chosen.checkpoint.root):
        raise LedgerError(f"partition {partition}: the log is not what was signed; nothing is deleted")
    return Cut(partition, tree.size, chosen.hint.next_offset, tree.size - removed, tree.root(), tuple(tree.frontier()))


def _refuse_held(going: Sequence[KafkaRecord], holds: Sequence[Hold], partition: int) -> None:
    for hold in holds:
        if held := next((record for record in going if hold.keeps(record)), None):
            raise IncompleteError(
                f"partition {partition}: legal hold {hold.id} keeps the event at offset {held.offset}; nothing is "
                "deleted; next: prune up to an earlier time, or `stream-maas audit release`"
            )


def _is_signed(published: Published, keys: Sequence[VerifierKey]) -> bool:
    try:
        return bool(published.note.signers(keys))
    except LedgerError:
        return False


def _removed_before(published: Sequence[Published], begins: int, partition: int) -> CompactRange:
    """The tree of what an earlier prune took away."""
    if begins == 0:
        return CompactRange()
    for each in reversed(published):
        if each.hint is not None and each.hint.pruned is not None and each.hint.pruned[1] == begins:
            size, _, frontier = each.hint.pruned
            return CompactRange(size, frontier)
    raise LedgerError(
        f"partition {partition}: begins at offset {begins}, and no checkpoint knows of a prune up to there"
    )


async def prune(
    logs: Logs, cut: Cut, keys: Sequence[VerifierKey], *, before_ms: int, policy: str, approver: str, wait_s: float
) -> int:
    """Announce it, wait until that is sealed, delete; the offset at which the partition begins now.

    Raises `BrokerError` when it cannot be announced or deleted, `LedgerError` when the announcement is not sealed in
    time: then nothing was deleted, and it may be tried again.
    """
    body: dict[str, Any] = {
        "partition": cut.partition, "size": cut.size, "next_offset": cut.next_offset, "root": cut.root.hex(),
        "frontier": [node.hex() for node in cut.frontier], "before_us": before_ms * 1000, "policy": policy,
        "approver": approver,
    }  # fmt: skip
    offset = await record_act(logs.settings, "pruned", body, partition=cut.partition)
    try:
        async with asyncio.timeout(wait_s):
            while not await _is_sealed(logs, cut.partition, offset, keys):  # noqa: ASYNC110 - the sealer takes its time
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise IncompleteError(
            f"partition {cut.partition}: the announcement was not sealed within {wait_s:.0f} s, so nothing is deleted; "
            "next: see that `stream-maas sealer` runs, and prune again"
        ) from None
    try:
        return await delete_front(logs.settings.kafka, logs.topic, cut.partition, cut.next_offset)
    except KafkaError as error:
        raise BrokerError(f"topic {logs.topic}: its front was not deleted ({type(error).__name__})") from error


async def _is_sealed(logs: Logs, partition: int, offset: int, keys: Sequence[VerifierKey]) -> bool:
    newest = await newest_checkpoint(logs, partition, keys)
    return newest.hint is not None and newest.hint.next_offset > offset
