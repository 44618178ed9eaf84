"""How the audit log is reached: what was published about it, where an index stands in the topic, a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from stream_maas import topics
from stream_maas.errors import BrokerError, IncompleteError, LedgerError, SettingsError
from stream_maas.kafka.reading import partitions_of, reader
from stream_maas.ledger.hashing import HASH_BYTES, leaf_hashes, parents
from stream_maas.ledger.hint import HINT_HEADER, Hint
from stream_maas.ledger.keys import VerifierKey
from stream_maas.ledger.notes import Checkpoint, Note, parse_checkpoint, parse_note
from stream_maas.ledger.proofs import NodeSource
from stream_maas.ledger.sealing import pruned_in_state
from stream_maas.ledger.store import LogStore
from stream_maas.ledger.tiles import BLOCK_EVENTS, behind_front, node_source
from stream_maas.records import KafkaRecord
from stream_maas.replay.reading import read_chunks
from stream_maas.settings import Settings


@dataclass(frozen=True, slots=True)
class Published:
    """One record of a topic of checkpoints that could be read as a note."""

    checkpoint: Checkpoint
    note: Note
    hint: Hint | None
    offset: int
    timestamp_ms: int


@dataclass(slots=True)
class Logs:
    """The logs of one deployment: partitions of the audit topic, their names, the sealer's files if at hand."""

    settings: Settings
    partitions: list[int]
    beginnings: dict[int, int]
    """Partition -> offset at which it begins."""
    folder: Path
    """The sealer's folder; it need not exist."""
    stores: dict[int, LogStore] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """Full name of the audit topic."""
        return topics.audit(self.settings.topics.prefix)

    def origin(self, partition: int) -> str:
        """Name of the log of a partition."""
        return self.settings.ledger.origin_of(self.settings.topics.prefix, partition)

    def store(self, partition: int) -> LogStore | None:
        """The sealer's files of a partition; None where they are not here."""
        if partition not in self.stores:
            self.stores[partition] = LogStore(self.folder, self.origin(partition))
        store = self.stores[partition]
        return store if store.read_checkpoint() is not None else None


async def open_logs(settings: Settings, folder: Path, partitions: Sequence[int] | None = None) -> Logs:
    """Find the logs. Raises `TopicsError` or `BrokerError`."""
    topic = topics.audit(settings.topics.prefix)
    tps = (await partitions_of(settings.kafka, topic))[topic]
    wanted = [tp for tp in tps if partitions is None or tp.partition in partitions]
    if partitions is not None and len(wanted) < len(set(partitions)):
        raise SettingsError(
            f"--partition: topic {topic} has the partitions 0 to {len(tps) - 1}; next: name one of them"
        )
    try:
        async with reader(settings.kafka, when_lost="none", fetch_max_wait_ms=100) as consumer:
            beginnings = await consumer.beginning_offsets(wanted)
    except KafkaError as error:
        raise BrokerError(f"broker {settings.kafka.bootstrap}: {type(error).__name__}") from error
    return Logs(settings, [tp.partition for tp in wanted], {tp.partition: at for tp, at in beginnings.items()}, folder)


async def offsets_at(logs: Logs, timestamp_ms: int) -> dict[int, int]:
    """Partition -> offset of its first record that is not older; left out where there is none."""
    tps = (await partitions_of(logs.settings.kafka, logs.topic))[logs.topic]
    wanted = {tp: timestamp_ms for tp in tps if tp.partition in logs.partitions}
    async with reader(logs.settings.kafka, when_lost="none", fetch_max_wait_ms=100) as consumer:
        found = await consumer.offsets_for_times(wanted)
    return {tp.partition: place.offset for tp, place in found.items() if place is not None}


async def end_offsets(logs: Logs) -> dict[int, int]:
    """Partition -> offset behind its last committed record."""
    tps = (await partitions_of(logs.settings.kafka, logs.topic))[logs.topic]
    async with reader(logs.settings.kafka, when_lost="none", fetch_max_wait_ms=100) as consumer:
        found = await consumer.end_offsets(tps)
    return {tp.partition: int(end) for tp, end in found.items()}


async def read_published(settings: Settings, topic: str, *, offset: int | None = None) -> tuple[list[Published], int]:
    """All notes of a topic of checkpoints, in order, and the offset to go on from. What is no note is left out."""
    found = []
    following = offset or 0
    offsets = {0: offset} if offset is not None else None
    async with aclosing(read_chunks(settings.kafka, topic, offsets=offsets, until_end=True)) as chunks:
        async for chunk in chunks:
            following = chunk[-1].offset + 1
            found += [published for record in chunk if (published := _published(record)) is not None]
    return found, following


def _published(record: KafkaRecord) -> Published | None:
    try:
        note = parse_note(record.value or b"")
        checkpoint = parse_checkpoint(note.text)
    except LedgerError:
        return None
    hint = Hint.decode(dict(record.headers).get(HINT_HEADER))
    return Published(checkpoint, note, hint, record.offset, record.timestamp)


async def newest_checkpoint(logs: Logs, partition: int, keys: Sequence[VerifierKey]) -> Published:
    """The largest checkpoint of a partition that one of `keys` signed, with cosignatures where there are some.

    Raises `LedgerError` when there is none."""
    prefix, origin = logs.settings.topics.prefix, logs.origin(partition)
    published, _ = await read_published(logs.settings, topics.audit_checkpoints(prefix))
    mine = [each for each in published if each.checkpoint.origin == origin]
    signed = next((each for each in sorted(mine, key=_size, reverse=True) if _signed(each.note, keys)), None)
    if signed is None:
        raise IncompleteError(
            f"{origin}: no checkpoint of a trusted key; next: run `stream-maas sealer`, and give its key with --key"
        )
    cosigned, _ = await read_published(logs.settings, topics.audit_cosignatures(prefix))
    same = [each.note for each in cosigned if each.note.text == signed.note.text]
    note = signed.note.with_signatures(line for other in same for line in other.signatures)
    return Published(signed.checkpoint, note, signed.hint, signed.offset, signed.timestamp_ms)


def _size(published: Published) -> int:
    return published.checkpoint.size


def _signed(note: Note, keys: Sequence[VerifierKey]) -> bool:
    try:
        return bool(note.signers(keys))
    except LedgerError:
        return False


# Events by index ----------------------------------------------------------------------------------------------------


async def read_range(logs: Logs, partition: int, start: int, end: int) -> list[KafkaRecord]:
    """Events [start, end) of a partition by leaf index, reading from the block that holds the first one.

    Without the sealer's files everything before is read as well. Raises `LedgerError` when the log is too short."""
    store = logs.store(partition)
    front = front_of(logs, partition, store)
    if start < front.size:
        raise IncompleteError(
            f"partition {partition}: event {start} was pruned; the first one left is {front.size}; next: begin there"
        )
    first, offset = front.size, front.offset
    if store is not None:
        block = start // BLOCK_EVENTS
        first, offset = max((first, offset), (block * BLOCK_EVENTS, store.first_offset(block)))
    records: list[KafkaRecord] = []
    chunks = read_chunks(logs.settings.kafka, logs.topic, offsets={partition: offset}, only=[partition], until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            skip = max(0, start - first)
            first += len(chunk)
            records += chunk[skip:] if skip < len(chunk) else []
            if len(records) >= end - start:
                return records[: end - start]
    raise LedgerError(f"partition {partition}: the log ends before event {end}")


class ProofBuilder:
    """Draws proofs for one tree size from the sealer's tiles, and from those blocks of events that a proof needs."""

    def __init__(self, logs: Logs, partition: int, size: int) -> None:
        self._logs, self._partition, self._size = logs, partition, size
        self._blocks: dict[int, list[bytes]] = {}

    def know(self, start: int, leaves: Sequence[bytes]) -> None:
        """Leaf hashes that are at hand anyway, from index `start` on: whole blocks among them are not read again."""
        for block in range(-(-start // BLOCK_EVENTS), (start + len(leaves)) // BLOCK_EVENTS):
            at = block * BLOCK_EVENTS - start
            self._blocks[block] = list(leaves[at : at + BLOCK_EVENTS])

    async def build(self, proof: Callable[[NodeSource], list[bytes]]) -> list[bytes]:
        """`proof(source)`, with everything that the source needs read first."""
        store = self._logs.store(self._partition)
        if store is None:
            return proof(await self._whole_log())
        wanted: set[int] = set()

        def note_block(block: int) -> list[bytes]:
            wanted.add(block)
            return [bytes(HASH_BYTES)] * BLOCK_EVENTS

        front = front_of(self._logs, self._partition, store)
        proof(behind_front(node_source(store.read_tile, note_block), front.size, front.frontier))
        for block in sorted(wanted - self._blocks.keys()):
            start = block * BLOCK_EVENTS
            gone = max(0, front.size - start)
            end = min(self._size, start + BLOCK_EVENTS)
            records = await read_range(self._logs, self._partition, start + gone, end)
            leaves = leaf_hashes(record.value or b"" for record in records)
            self._blocks[block] = [bytes(HASH_BYTES)] * gone + leaves  # nothing asks for those before the front
        nodes = node_source(store.read_tile, self._blocks.__getitem__)
        return proof(behind_front(nodes, front.size, front.frontier))

    async def _whole_log(self) -> NodeSource:
        """Without tiles every node is computed from all events up to the size."""
        records = await read_range(self._logs, self._partition, 0, self._size)
        leaves = leaf_hashes(record.value or b"" for record in records)
        levels = [leaves]
        while len(levels[-1]) > 1:
            below = levels[-1]
            levels.append(parents(below[: len(below) // 2 * 2]))
        return lambda level, index: levels[level][index]


async def find_event(logs: Logs, name: str, *, scan: Callable[[int], Any] | None = None) -> Found | None:
    """The event with the id `name`, else the first about a request with it. By index where the sealer's files are
    here, and for what is newer than they know, or without them, by reading (`scan(events)` is told how far it is)."""
    from stream_maas.wire.audit_link import read_link

    def is_it(record: KafkaRecord) -> bool:
        link = read_link(record.value)
        return link is not None and (
            link.id == name or (link.data.request is not None and link.data.request.id == name)
        )

    indexed, known = await find_indexed(logs, name)
    for found in indexed:
        if is_it(found.record):
            return found
    return await _scan(logs, is_it, known, scan)


async def find_indexed(logs: Logs, name: str) -> tuple[list[Found], dict[int, tuple[int, int]]]:
    """Candidates for an id, or another name that the sealer lists, by its index alone; and for each partition that has
    one the (index, offset) from which the log has to be read besides, because the index may not know it yet."""
    found: list[Found] = []
    known: dict[int, tuple[int, int]] = {}
    for partition in logs.partitions:
        store = logs.store(partition)
        if store is None:
            continue
        size = parse_checkpoint(parse_note(store.read_checkpoint() or b"").text).size
        front = front_of(logs, partition, store)
        for index in store.find(name, size):
            if index >= front.size:
                (record,) = await read_range(logs, partition, index, index + 1)
                found.append(Found(partition, index, record))
        block = max(0, size - 1) // BLOCK_EVENTS
        known[partition] = max((front.size, front.offset), (block * BLOCK_EVENTS, store.first_offset(block)))
    return found, known


@dataclass(frozen=True, slots=True)
class Front:
    """What an audited prune took from the front of a partition: the tree of it, and where the rest begins."""

    size: int = 0
    offset: int = 0
    frontier: tuple[bytes, ...] = ()


def front_of(logs: Logs, partition: int, store: LogStore | None) -> Front:
    """The front of a partition by the sealer's files. Raises `IncompleteError` where they do not tell."""
    beginning = logs.beginnings[partition]
    if not beginning:
        return Front()
    if store is None:
        raise IncompleteError(f"partition {partition}: its front was pruned; next: --folder with the sealer's files")
    pruned = pruned_in_state(store.read_state())
    if pruned is None or pruned[1] != beginning:
        raise IncompleteError(
            f"partition {partition}: begins at offset {beginning}, and the sealer's files know of no prune up to "
            "there; next: `stream-maas audit verify`"
        )
    return Front(*pruned)


async def _scan(
    logs: Logs,
    is_it: Callable[[KafkaRecord], bool],
    known: Mapping[int, tuple[int, int]],
    told: Callable[[int], Any] | None,
) -> Found | None:
    indices = {partition: known.get(partition, (0, 0))[0] for partition in logs.partitions}
    offsets = {partition: known[partition][1] for partition in logs.partitions if partition in known}
    seen = 0
    chunks = read_chunks(logs.settings.kafka, logs.topic, offsets=offsets, only=logs.partitions, until_end=True)
    async with aclosing(chunks):
        async for chunk in chunks:
            partition = chunk[0].partition
            for number, record in enumerate(chunk):
                if is_it(record):
                    return Found(partition, indices[partition] + number, record)
            indices[partition] += len(chunk)
            seen += len(chunk)
            if told is not None:
                told(seen)
    return None


@dataclass(frozen=True, slots=True)
class Found:
    """An event and its place in its log."""

    partition: int
    index: int
    record: KafkaRecord
