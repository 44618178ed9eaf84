"""How a part of the log becomes a proof bundle, and a proof of one event its text: what is read, and what is checked
before anything is handed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_maas.errors import IncompleteError, LedgerError
from stream_maas.ledger import proofs
from stream_maas.ledger.bundle import BundledLog
from stream_maas.ledger.hashing import leaf_hash, leaf_hashes
from stream_maas.ledger.keys import VerifierKey
from stream_maas.ledger.notes import TlogProof
from stream_maas.records import KafkaRecord
from stream_maas.replay.audit_log import (
    Found,
    Logs,
    ProofBuilder,
    Published,
    front_of,
    newest_checkpoint,
    offsets_at,
    read_range,
)
from stream_maas.replay.searching import parse


@dataclass(frozen=True, slots=True)
class Proven:
    """One event and everything that shows that it is in the log."""

    found: Found
    published: Published
    hashes: tuple[bytes, ...]

    def proof(self) -> TlogProof:
        """As C2SP tlog-proof@v1."""
        return TlogProof(self.found.index, self.hashes, self.published.note.encode())


async def prove(logs: Logs, found: Found, keys: Sequence[VerifierKey]) -> Proven:
    """Inclusion proof under the newest trusted checkpoint. Raises `LedgerError` when the event is not under it yet, or
    when event, tree and checkpoint do not fit together."""
    published = await newest_checkpoint(logs, found.partition, keys)
    size = published.checkpoint.size
    if found.index >= size:
        raise IncompleteError(f"event {found.index} is not sealed yet: the newest checkpoint has {size} events")
    builder = ProofBuilder(logs, found.partition, size)
    hashes = await builder.build(lambda nodes: proofs.inclusion_proof(found.index, size, nodes))
    leaf = leaf_hash(found.record.value or b"")
    if not proofs.verify_inclusion(found.index, size, leaf, hashes, published.checkpoint.root):
        raise LedgerError(
            f"{published.checkpoint.origin}: event {found.index} does not fit the checkpoint of size {size}; next: "
            "`stream-maas audit verify`"
        )
    return Proven(found, published, tuple(hashes))


@dataclass(frozen=True, slots=True)
class Range:
    """What of each partition is exported: by leaf index, or by time (milliseconds); None: from the first, to the last
    event that is sealed."""

    start: int | None = None
    end: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None


async def collect(
    logs: Logs, wanted: Range, keys: Sequence[VerifierKey]
) -> tuple[list[BundledLog], list[list[KafkaRecord]]]:
    """Sealed events of every partition that has some in the range, with their range proofs, and their records.

    Raises `LedgerError` when there is none, or when events and checkpoint do not fit together."""
    bundled, kept = [], []
    starts = await _indices(logs, wanted.from_ms)
    ends = await _indices(logs, wanted.to_ms + 1 if wanted.to_ms is not None else None)
    for partition in logs.partitions:
        try:
            published = await newest_checkpoint(logs, partition, keys)
        except LedgerError:
            if logs.partitions == [partition]:
                raise
            continue  # a partition that nothing was ever written to has no checkpoint
        size = published.checkpoint.size
        first = front_of(logs, partition, logs.store(partition)).size if wanted.start is None else wanted.start
        start = max(first, starts.get(partition, 0 if wanted.from_ms is None else size))
        end = min(size if wanted.end is None else wanted.end, ends.get(partition, size), size)
        if start >= end:
            continue
        log, records = await _bundle(logs, partition, published, start, end)
        bundled.append(log)
        kept.append(records)
    if not bundled:
        raise IncompleteError(
            "nothing to export: no sealed event lies in the range; next: `stream-maas audit checkpoint`"
        )
    return bundled, kept


async def _bundle(
    logs: Logs, partition: int, published: Published, start: int, end: int
) -> tuple[BundledLog, list[KafkaRecord]]:
    size = published.checkpoint.size
    records = await read_range(logs, partition, start, end)
    values = [record.value or b"" for record in records]
    builder = ProofBuilder(logs, partition, size)
    leaves = leaf_hashes(values)
    builder.know(start, leaves)
    proof = await builder.build(lambda nodes: proofs.range_proof(start, end, size, nodes))
    if proofs.root_from_range(start, size, leaves, proof) != published.checkpoint.root:
        raise LedgerError(
            f"{published.checkpoint.origin}: events {start} to {end - 1} do not fit the checkpoint of size {size}; "
            "next: `stream-maas audit verify`"
        )
    offsets = (records[0].offset, records[-1].offset)
    return BundledLog(partition, start, values, offsets, proof, published.note), records


async def _indices(logs: Logs, timestamp_ms: int | None) -> dict[int, int]:
    """Partition -> leaf index of its first event that is not older. Counted from the block that holds the offset."""
    if timestamp_ms is None:
        return {}
    found = {}
    for partition, offset in (await offsets_at(logs, timestamp_ms)).items():
        found[partition] = await _index_of(logs, partition, offset)
    return found


async def _index_of(logs: Logs, partition: int, offset: int) -> int:
    """How many events of a partition lie before an offset."""
    from contextlib import aclosing

    from stream_maas.ledger.notes import parse_checkpoint, parse_note
    from stream_maas.ledger.tiles import BLOCK_EVENTS
    from stream_maas.replay.reading import read_chunks

    store, low, index = logs.store(partition), 0, 0
    begin = logs.beginnings[partition]
    if store is not None:
        size = parse_checkpoint(parse_note(store.read_checkpoint() or b"").text).size
        high = max(1, -(-size // BLOCK_EVENTS))
        while high - low > 1:  # the last block that begins at or before the offset
            middle = (low + high) // 2
            low, high = (middle, high) if store.first_offset(middle) <= offset else (low, middle)
        front = front_of(logs, partition, store)
        index, begin = max((front.size, front.offset), (low * BLOCK_EVENTS, store.first_offset(low)))
    chunks = read_chunks(logs.settings.kafka, logs.topic, offsets={partition: begin}, only=[partition], until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            before = sum(record.offset < offset for record in chunk)
            index += before
            if before < len(chunk):
                break
    return index


def write_parquet(path: Path, records: Sequence[KafkaRecord], indices: Sequence[tuple[int, int]]) -> None:
    """One row per event: its place, the fields that people ask for, and `raw`, the exact bytes that were hashed.

    `indices`: (partition, leaf index) of each record. Raises `LedgerError` without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise LedgerError("--format parquet needs pyarrow; next: pip install 'stream-maas[parquet]'") from error
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for record, (partition, index) in zip(records, indices, strict=True):
        event = parse(record)
        data = event.get("data") or {}
        model, output = data.get("model") or {}, data.get("output") or {}
        row = {
            "partition": partition, "leaf_index": index, "kafka_offset": record.offset,
            "timestamp_ms": record.timestamp, "id": event.get("id"), "type": event.get("type"),
            "time": event.get("time"), "request_id": (data.get("request") or {}).get("id"),
            "tenant": (data.get("caller") or {}).get("tenant"), "model": model.get("name"),
            "version": model.get("version"), "status": data.get("status"), "code": data.get("code"),
            "label": output.get("label"), "score_ppm": output.get("score_ppm"), "raw": record.value or b"",
        }  # fmt: skip
        for name, value in row.items():
            columns[name].append(value)
    types = {"int": pyarrow.int64(), "str": pyarrow.string(), "bytes": pyarrow.binary()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in _COLUMNS.items()])
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), path, compression="zstd")


_COLUMNS = {
    "partition": "int", "leaf_index": "int", "kafka_offset": "int", "timestamp_ms": "int", "id": "str", "type": "str",
    "time": "str", "request_id": "str", "tenant": "str", "model": "str", "version": "str", "status": "str",
    "code": "str", "label": "str", "score_ppm": "int", "raw": "bytes",
}  # fmt: skip
