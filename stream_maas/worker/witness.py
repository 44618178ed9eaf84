"""The witness process: what it remembers of each log, and that it remembers before it signs.

Another process, under another account, with another key. It reads checkpoints without a consumer group, so nobody can
move its position, and keeps a small file per log. `ledger/witnessing.py` decides; here is the reading and writing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream_maas import kafka, topics
from stream_maas import settings as settings_module
from stream_maas.errors import BrokerError, LedgerError, TopicsError
from stream_maas.kafka.reading import partitions_of, reader, start_reader, stop_reader
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.hint import HINT_HEADER, Hint
from stream_maas.ledger.keyring import load_or_make, load_signing_key
from stream_maas.ledger.keys import COSIGNATURE, SigningKey, VerifierKey
from stream_maas.ledger.notes import Checkpoint, Note, cosign, parse_checkpoint, parse_note
from stream_maas.ledger.store import log_folder, replace_file
from stream_maas.ledger.witnessing import Memory, decode_memory, encode_memory, judge, judge_by_log
from stream_maas.settings import Settings
from stream_maas.worker import logs
from stream_maas.worker.health import Health
from stream_maas.worker.shell import Ready, Shell, run_to_exit

log = structlog.get_logger()

_RETRY_S = 1.0
_POLL_MS = 250
_LOG_WAIT_S = 10.0


class Witness:
    """All logs whose checkpoints stand in one topic."""

    def __init__(self, settings: Settings, key: SigningKey, log_keys: Sequence[VerifierKey]) -> None:
        """`log_keys`: whose checkpoints are looked at; all others are passed over."""
        self._settings, self._key, self._log_keys = settings, key, list(log_keys)
        self._folder = witness_folder(settings)
        self._memories: dict[str, Memory] = {}
        self._refused: set[str] = set()
        self._seen: dict[str, int] = {}
        """Largest size of each log among the checkpoints that were read since the topic's beginning."""
        self._newest: dict[str, tuple[Checkpoint, Note]] = {}
        """Consistent checkpoints that are not cosigned yet."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Read and cosign until `stopping`; a cluster that is away is waited for."""
        while not stopping.is_set():
            try:
                await self._watch(stopping)
            except (KafkaError, BrokerError, TopicsError, OSError, TimeoutError) as error:
                log.warning("the cluster cannot be read, trying again", reason=type(error).__name__)
                await asyncio.sleep(_RETRY_S)

    async def _watch(self, stopping: asyncio.Event) -> None:
        tp = TopicPartition(topics.audit_checkpoints(self._settings.topics.prefix), 0)
        await partitions_of(self._settings.kafka, tp.topic)
        consumer = await start_reader(self._settings.kafka, when_lost="earliest", fetch_max_wait_ms=_POLL_MS)
        producer = AIOKafkaProducer(**kafka.connection(self._settings.kafka), acks="all")
        try:
            await producer.start()
            consumer.assign([tp])
            # From the beginning: a checkpoint that somebody puts there later is looked at as well.
            consumer.seek(tp, (await consumer.beginning_offsets([tp]))[tp])
            end = (await consumer.end_offsets([tp]))[tp]
            self._seen.clear()
            whole, signed_s = False, 0.0
            while not stopping.is_set():
                for records in (await consumer.getmany(tp, timeout_ms=_POLL_MS)).values():
                    for record in records:
                        await self._look(record)
                if not whole and await consumer.position(tp) >= end:
                    whole = True
                    await self._look_for_what_is_gone()
                if time.monotonic() - signed_s >= self._settings.ledger.witness_interval_ms / 1000:
                    signed_s = time.monotonic()
                    await self._publish(producer)
        finally:
            await producer.stop()
            await stop_reader(consumer)

    async def _look(self, record: Any) -> None:
        """One checkpoint record. What no trusted log signed is nobody's word and is passed over."""
        try:
            note = parse_note(record.value or b"")
            checkpoint = parse_checkpoint(note.text)
            # Sizes first: a signature takes a hundred microseconds, and a restart reads the whole topic.
            if checkpoint.size < self._size(checkpoint.origin) or not note.signers(self._log_keys):
                return
        except LedgerError:
            return
        self._seen[checkpoint.origin] = max(checkpoint.size, self._seen.get(checkpoint.origin, 0))
        if checkpoint.origin in self._refused:
            return
        hint = Hint.decode(dict(record.headers).get(HINT_HEADER)) or Hint(0, ())
        try:
            memory = self._remembered(checkpoint.origin)
            outcome = judge(memory, checkpoint, hint.proof_from, hint.proof)
            if outcome == "unproven":
                await self._read_log(memory, checkpoint)
        except LedgerError as error:
            self._refuse(checkpoint.origin, error)
            return
        if outcome == "old" or (outcome == "consistent" and checkpoint.size == memory.size and memory.size):
            return
        self._memories[checkpoint.origin] = memory.grown(checkpoint, hint.frontier, hint.next_offset)
        self._newest[checkpoint.origin] = (checkpoint, note)

    def _size(self, origin: str) -> int:
        """Of the tree that is remembered; 0 where the memory cannot be read, which refuses the log."""
        try:
            return self._remembered(origin).size
        except LedgerError as error:
            self._refuse(origin, error)
            return 0

    def _refuse(self, origin: str, error: LedgerError) -> None:
        if origin not in self._refused:
            log.error("this log is not cosigned any more", origin=origin, reason=str(error))
        self._refused.add(origin)
        self._newest.pop(origin, None)

    async def _look_for_what_is_gone(self) -> None:
        """When the whole topic was read: whatever this witness cosigned came from there, so it must still be there."""
        settings = self._settings
        topic = topics.audit(settings.topics.prefix)
        for tp in (await partitions_of(settings.kafka, topic))[topic]:
            origin = settings.ledger.origin_of(settings.topics.prefix, tp.partition)
            remembered = self._size(origin)
            if self._seen.get(origin, 0) < remembered:
                self._refuse(origin, LedgerError(
                    f"{origin}: this witness cosigned a tree of {remembered} events, and no checkpoint of that size or "
                    "more is left: the topic was made anew, or cut; next: `stream-maas audit verify --witness DIR`"
                ))  # fmt: skip

    async def _read_log(self, memory: Memory, checkpoint: Checkpoint) -> None:
        """No proof starts where we remember (another sealer, a gap): then the events themselves must show it."""
        topic = topics.audit(self._settings.topics.prefix)
        origin_of, prefix = self._settings.ledger.origin_of, self._settings.topics.prefix
        tps = (await partitions_of(self._settings.kafka, topic))[topic]
        tp = next((tp for tp in tps if origin_of(prefix, tp.partition) == checkpoint.origin), None)
        if tp is None:
            raise LedgerError(f"{checkpoint.origin}: no proof from what is remembered, and no topic to read instead")
        leaves: list[bytes] = []
        wanted = checkpoint.size - memory.tree().size
        async with reader(self._settings.kafka, when_lost="earliest", fetch_max_wait_ms=_POLL_MS) as consumer:
            consumer.assign([tp])
            beginning = (await consumer.beginning_offsets([tp]))[tp]
            consumer.seek(tp, memory.next_offset if memory.frontier else beginning)
            give_up_s = time.monotonic() + _LOG_WAIT_S
            while len(leaves) < wanted and time.monotonic() < give_up_s:
                for records in (await consumer.getmany(tp, timeout_ms=_POLL_MS)).values():
                    leaves += leaf_hashes(record.value or b"" for record in records)
                    give_up_s = time.monotonic() + _LOG_WAIT_S
        judge_by_log(memory, checkpoint, leaves)

    async def _publish(self, producer: Any) -> None:
        """Cosign the newest checkpoint of each log. The memory is on disk first: a signature is never forgotten."""
        for origin, (checkpoint, note) in list(self._newest.items()):
            cosigned = note.with_signatures([cosign(note, self._key, time_s=int(time.time()))])
            await asyncio.to_thread(self._remember, origin, cosigned)
            topic = topics.audit_cosignatures(self._settings.topics.prefix)
            await producer.send_and_wait(topic, cosigned.encode().encode(), key=origin.encode(), partition=0)
            del self._newest[origin]
            log.info("cosigned", origin=origin, size=checkpoint.size)

    def _remembered(self, origin: str) -> Memory:
        if origin not in self._memories:  # the file is read before anything is believed
            self._memories[origin] = read_memory(self._folder, origin, self._key.public)
        return self._memories[origin]

    def _remember(self, origin: str, cosigned: Note) -> None:
        folder = log_folder(self._folder, origin)
        replace_file(folder / "memory.json", encode_memory(self._memories[origin]), sync=True)
        replace_file(folder / "checkpoint", cosigned.encode().encode(), sync=True)


def read_memory(folder: Path, origin: str, key: VerifierKey) -> Memory:
    """What the files of this witness say of a log; by the note that it cosigned last where `memory.json` is damaged or
    gone. Raises `LedgerError` where neither says it: a witness that has lost its memory must not start anew by
    itself."""
    path = log_folder(folder, origin) / "memory.json"
    cosigned = path.with_name("checkpoint")
    try:
        if path.exists():
            return _of(decode_memory(path.read_bytes()), origin, path)
        if not cosigned.exists():
            return Memory(origin)
        reason = "gone"
    except LedgerError as error:
        reason = str(error)
    try:
        note = parse_note(cosigned.read_bytes())
        checkpoint = parse_checkpoint(note.text)
        if note.cosigners([key]) and checkpoint.origin == origin:
            log.warning("the memory of this log is taken from what was cosigned last", origin=origin, reason=reason)
            return Memory(origin).grown(checkpoint, (), 0)
        help_is = "it is of another log or key"
    except LedgerError as error:
        help_is = str(error)
    except OSError as error:
        help_is = type(error).__name__
    raise LedgerError(
        f"{path}: {reason}, and the note beside it does not help ({help_is}); next: restore the folder, or start "
        "with a new key and an empty folder, and say so"
    )


def _of(memory: Memory, origin: str, path: Path) -> Memory:
    if memory.origin != origin:
        raise LedgerError(f"{path}: remembers the log {memory.origin} and not {origin}")
    return memory


def witness_folder(settings: Settings) -> Path:
    """Where the witness keeps its memory."""
    folder = settings.ledger.witness_folder
    return Path(folder) if folder else settings_module.state_folder() / "witness"


def witness_key(settings: Settings) -> SigningKey:
    """The configured key, or one of this machine's own. Raises `LedgerError`."""
    if settings.ledger.witness_key_file:
        return load_signing_key(Path(settings.ledger.witness_key_file))
    name = f"witness.{settings.ledger.origin_of(settings.topics.prefix, 0).partition('/')[0]}"
    return load_or_make(witness_folder(settings) / "witness.key", name, COSIGNATURE, lambda: secrets.token_bytes(32))


def run_witness(settings: Settings, log_keys: Sequence[VerifierKey], *, on_ready: Callable[[Ready], None]) -> int:
    """Run one witness until SIGTERM or SIGINT; 0. Raises `LedgerError` for its key."""
    key = witness_key(settings)
    logs.set_up(settings)

    async def main() -> tuple[int, bool]:
        shell = Shell(settings, Health(stall_s=settings.worker.stall_ms / 1000))
        shell.hear_signals()
        facts: Mapping[str, Any] = {
            "status": "ready", "role": "witness", "vkey": key.vkey, "folder": str(witness_folder(settings)),
        }  # fmt: skip
        on_ready(facts)
        await Witness(settings, key, log_keys).run(shell.stopping)
        return shell.exit_code, shell.hung

    return run_to_exit(main)
