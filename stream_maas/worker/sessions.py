"""Who this worker is in the audit trail: its session, the key that signs it, and the keys of its boxes."""

from __future__ import annotations

import socket
from typing import Any

import structlog
from msgspec import structs

from stream_maas import __version__, kafka, topics
from stream_maas.errors import KeyStoreError
from stream_maas.inference import Catalog
from stream_maas.kafka.acts import session_key
from stream_maas.keystore import SqliteKeyStore, open_store, store_path
from stream_maas.ledger.session import Session
from stream_maas.records import Writer
from stream_maas.settings import Settings
from stream_maas.worker.chains import SessionChains, new_session_id

log = structlog.get_logger()

OBSERVED = frozenset(
    {
        "cleanup.policy", "compression.type", "max.message.bytes", "message.timestamp.type", "min.insync.replicas",
        "remote.storage.enable", "retention.bytes", "retention.ms", "segment.bytes", "unclean.leader.election.enable",
    }
)  # fmt: skip
"""Settings that decide whether an event stays, and when it is said to have been written."""


def writer_of(settings: Settings, catalog: Catalog) -> Writer:
    """Who writes audit events: this worker on this machine, with this inference runtime."""
    worker = settings.worker
    return Writer(worker.app_id, worker.instance, __version__, catalog.runtime, socket.gethostname() or None)


def open_chains(settings: Settings, catalog: Catalog) -> SessionChains:
    """A writer session that has written nothing yet. Raises `LedgerError` for a key file that is none."""
    if not settings.audit.writer_key:
        log.warning("audit.writer_key is not set: sessions are signed, but nobody can tell by whom")
    return SessionChains(
        Session(
            id=new_session_id(),
            writer=writer_of(settings, catalog),
            topic=topics.audit(settings.topics.prefix),
            signer=session_key(settings, settings.worker.instance),
            heartbeat_us=settings.audit.heartbeat_ms * 1000,
            heartbeat_events=settings.audit.heartbeat_records,
            facts=tuple(("model.loaded", model) for model in models_of(catalog)),
        )
    )


def models_of(catalog: Catalog) -> list[dict[str, Any]]:
    """What `model.loaded` events say."""
    told = [structs.asdict(model.ref) for model in catalog.models]
    return [{name: member for name, member in model.items() if member} for model in told]


async def audit_settings(settings: Settings) -> list[dict[str, Any]]:
    """What `config.observed` events say: the audit topic as the broker describes it. Raises what aiokafka does."""
    name = topics.audit(settings.topics.prefix)
    topic = (await kafka.describe_topics(settings.kafka, [name])).get(name)
    if topic is None or topic.forbidden:
        return []
    told = {key: topic.configs[key] for key in sorted(OBSERVED & topic.configs.keys())}
    return [{"topic": name, "partitions": topic.partitions, "configs": told}]


def open_key_store(settings: Settings) -> SqliteKeyStore | None:
    """Keys for the boxes, or None where there are to be none. Raises `KeyStoreError` where they have to be."""
    config = settings.audit
    if config.boxes == "off":
        return None
    try:
        return open_store(store_path(settings), config.key_encryption_key)
    except (KeyStoreError, RuntimeError) as error:  # RuntimeError: this user has no home
        if config.boxes == "on":
            raise
        log.warning("no boxes: decisions cannot be run again, nor inputs be handed out", reason=str(error))
        return None
