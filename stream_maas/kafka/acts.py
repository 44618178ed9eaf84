"""How a command writes down what it did to the audit trail: a writer session of its own, in one batch.

Who reads, exports, replays or prunes the trail is answerable for it (CJEU C-579/21), so the act is recorded before its
outcome is handed out. The session has three events, its start, the act and its end; Kafka appends a batch as a whole
or not at all, so no transaction is needed and no half session can stay behind.
"""

from __future__ import annotations

import getpass
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_maas import __version__, topics
from stream_maas.errors import BrokerError
from stream_maas.kafka.arguments import connection
from stream_maas.kafka.capabilities import probe
from stream_maas.ledger.keyring import load_signing_key
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.session import Session
from stream_maas.records import Outgoing, Writer
from stream_maas.settings import Settings
from stream_maas.wire import ServiceKind


def session_key(settings: Settings, instance: str) -> SigningKey:
    """The configured key of writers, or a new one for this run. Raises `LedgerError` naming the file."""
    if settings.audit.writer_key:
        return load_signing_key(Path(settings.audit.writer_key))
    name = f"{settings.worker.app_id}/{instance}".replace("+", "_").replace(" ", "_")
    return SigningKey(name, NOTE, secrets.token_bytes(32))


def operator() -> str:
    """Who runs this command, as far as the machine knows: an account name, which is an id and not a person's name."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return f"unknown@{socket.gethostname()}"


def by_operator(**said: str | None) -> dict[str, str]:
    """Who does it, and what is said of it (`reason`, `purpose`), as members of an act; None is left out."""
    return {"by": operator()} | {name: text for name, text in said.items() if text}


def act_rows(settings: Settings, kind: ServiceKind, body: Mapping[str, Any], partition: int) -> list[Outgoing]:
    """The three records of an act."""
    instance = f"command/{socket.gethostname()}"
    writer = Writer(settings.worker.app_id, instance, __version__, {}, socket.gethostname())
    topic = topics.audit(settings.topics.prefix)
    session = Session(secrets.token_hex(16), writer, topic, session_key(settings, instance))
    now_us = time.time_ns() // 1000
    rows, chain = session.start(partition, now_us)
    row, chain = session.act(chain, partition, kind, body, now_us)
    return [*rows, row, session.end(chain, partition, now_us)]


async def record_act(settings: Settings, kind: ServiceKind, body: Mapping[str, Any], *, partition: int = 0) -> int:
    """Write it down in this partition of the audit topic; its offset, once all replicas have it.

    Raises `BrokerError` when it cannot be written: then the act must not be done.
    """
    topic = topics.audit(settings.topics.prefix)
    rows = act_rows(settings, kind, body, partition)
    capabilities = await probe(settings.kafka)
    producer = AIOKafkaProducer(
        **connection(settings.kafka), acks="all", enable_idempotence=capabilities.idempotence, max_batch_size=1 << 20
    )
    try:
        await producer.start()
        try:
            batch = producer.create_batch()
            for row in rows:
                batch.append(key=row.key, value=row.value, timestamp=None, headers=row.headers)
            batch.close()
            delivery = await producer.send_batch(batch, topic, partition=partition)
            written = await delivery
        finally:
            await producer.stop()
    except KafkaError as error:
        raise BrokerError(
            f"topic {topic}: the act could not be recorded ({type(error).__name__}), so it is not done; next: give "
            "this user the right to write to it"
        ) from error
    return int(written.offset) + 1
