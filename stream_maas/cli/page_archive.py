"""What the live page needs of the sealed log: inclusion proofs, and decisions that are too old for its memory."""

from __future__ import annotations

import asyncio
import base64
import functools
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from stream_maas.errors import LedgerError

if TYPE_CHECKING:
    from stream_maas.replay.audit_log import Logs, Published
    from stream_maas.settings import Settings

MAX_EVENTS_WITHOUT_TILES = 100_000
"""Without the sealer's files a proof is computed from the whole log; beyond this a page would wait too long."""


class Archive:
    """Proofs under the newest checkpoint of a trusted key. Checkpoints are read once and then followed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._logs: Logs | None = None
        self._newest: dict[str, Published] = {}
        self._following = 0
        """Offset of the next checkpoint to read."""
        self._one_at_a_time = asyncio.Lock()

    async def prove(self, partition: int, offset: int) -> dict[str, Any] | None:
        """Proof of the event there, as the page checks it; None while no checkpoint covers it.

        Raises `LedgerError` when there is no checkpoint of a trusted key, or the sealer's files are needed.
        """
        from stream_maas.ledger.proofs import inclusion_proof
        from stream_maas.replay.audit_log import ProofBuilder

        async with self._one_at_a_time:
            logs = await self._opened()
            published, vkey = await self._newest_of(logs.origin(partition))
            if published.hint is None or offset >= published.hint.next_offset:
                return None
            size = published.checkpoint.size
            if logs.store(partition) is None and size > MAX_EVENTS_WITHOUT_TILES:
                raise LedgerError("proofs of a log of this size need the sealer's files; next: set ledger.folder")
            index = await self._index_of(logs, partition, offset, size)
            path = await ProofBuilder(logs, partition, size).build(functools.partial(inclusion_proof, index, size))
        return {
            "leaf_index": index,
            "tree_size": size,
            "path": [base64.b64encode(item).decode() for item in path],
            "checkpoint": published.note.encode(),
            "vkey": vkey,
        }

    async def find(self, name: str) -> tuple[int, int] | None:
        """Partition and offset of the event with this id or about the request with it, by the sealer's index.

        None where there is none, or no index: reading a whole log is a command's work, not a page's.
        """
        from stream_maas.replay.audit_log import find_event

        async with self._one_at_a_time:
            logs = await self._opened()
            if any(logs.store(partition) is None for partition in logs.partitions):
                return None
            found = await find_event(logs, name)
        return (found.partition, found.record.offset) if found is not None else None

    async def _opened(self) -> Logs:
        from stream_maas.cli.audit_options import opened

        if self._logs is None:
            self._logs = await opened(self._settings, None, None)
        return self._logs

    async def _newest_of(self, origin: str) -> tuple[Published, str]:
        """The largest checkpoint of a log and the trusted key that signed it."""
        from stream_maas import topics
        from stream_maas.cli.audit_trust import trusted_keys
        from stream_maas.replay.audit_log import read_published

        keys = trusted_keys(self._settings, None)
        topic = topics.audit_checkpoints(self._settings.topics.prefix)
        read, self._following = await read_published(self._settings, topic, offset=self._following)
        for each in read:
            known = self._newest.get(each.checkpoint.origin)
            larger = known is None or each.checkpoint.size >= known.checkpoint.size
            if larger and _signers(each, keys):
                self._newest[each.checkpoint.origin] = each
        published = self._newest.get(origin)
        if published is None:
            raise LedgerError(
                f"{origin}: no checkpoint of a trusted key; next: run `stream-maas sealer`, set ledger.keys"
            )
        return published, _signers(published, keys)[0]

    @staticmethod
    async def _index_of(logs: Logs, partition: int, offset: int, size: int) -> int:
        """Leaf index of the event at an offset: its block by the sealer's list of offsets, then by counting."""
        from stream_maas.ledger.tiles import BLOCK_EVENTS
        from stream_maas.replay import read_chunks

        index, start, store = 0, logs.beginnings[partition], logs.store(partition)
        if store is not None:
            low, high = 0, (size - 1) // BLOCK_EVENTS
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if store.first_offset(middle) <= offset else (low, middle - 1)
            index, start = low * BLOCK_EVENTS, store.first_offset(low)
        chunks = read_chunks(
            logs.settings.kafka, logs.topic, offsets={partition: start}, only=[partition], until_end=True
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                for record in chunk:
                    if record.offset == offset:
                        return index
                    index += 1
        raise LedgerError(f"partition {partition}: there is no event at offset {offset}")


def _signers(published: Published, keys: Any) -> list[str]:
    """Verifier keys among `keys` that signed it, as text."""
    try:
        return [key.vkey for key in published.note.signers(keys)]
    except LedgerError:
        return []
