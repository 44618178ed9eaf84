"""Which legal holds are in force, and what they keep from being pruned: told by the log itself, and by nothing else.

A hold is an event in every partition, and so is its release; a prune looks for both. The sealer lists them under one
name in its index, so that they are found without reading the log. Besides the records of its time a living hold keeps
the event that placed it: pruned, it could not be found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from msgspec import Struct

from stream_maas.ledger.sealing import HOLDS
from stream_maas.records import KafkaRecord
from stream_maas.replay.audit_log import Logs, find_indexed
from stream_maas.replay.reading import read_chunks
from stream_maas.replay.searching import parse
from stream_maas.wire.audit_link import HOLD_PLACED, HOLD_RELEASED

_MARK = f'"{HOLDS}.'.encode()


class Hold(Struct, frozen=True):
    """A hold in one partition. Times are epoch microseconds; None: no bound."""

    id: str
    offset: int
    """Of the event that placed it."""
    from_us: int | None
    to_us: int | None
    reason: str | None

    def keeps(self, record: KafkaRecord) -> bool:
        """Whether the record must stay."""
        now_us = record.timestamp * 1000
        within = (self.from_us is None or now_us >= self.from_us) and (self.to_us is None or now_us <= self.to_us)
        return within or record.offset == self.offset


async def living(logs: Logs, partition: int) -> list[Hold]:
    """The holds of a partition that were placed and not released, oldest first."""
    one = Logs(logs.settings, [partition], logs.beginnings, logs.folder, logs.stores)
    indexed, known = await find_indexed(one, HOLDS)
    records = {found.record.offset: found.record for found in indexed}
    offset = known[partition][1] if partition in known else logs.beginnings[partition]
    chunks = read_chunks(logs.settings.kafka, logs.topic, offsets={partition: offset}, only=[partition], until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            records |= {record.offset: record for record in chunk if _MARK in (record.value or b"")}
    return _in_force([records[offset] for offset in sorted(records)])


def _in_force(records: Sequence[KafkaRecord]) -> list[Hold]:
    holds: dict[str, Hold] = {}
    for record in records:
        event = parse(record)
        data: dict[str, Any] = event.get("data") or {}
        if event.get("type") == HOLD_PLACED and (placed := data.get("hold")):
            times = (placed.get("from_us"), placed.get("to_us"))
            holds[placed["hold"]] = Hold(placed["hold"], record.offset, *times, placed.get("reason"))
        elif event.get("type") == HOLD_RELEASED and (released := data.get("release")):
            holds.pop(released["hold"], None)
    return list(holds.values())
