"""Who this worker is in the audit trail: its session, the key that signs it, the keys of its boxes, its spool."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from stream_maas import __version__, kafka, topics
from stream_maas.errors import KeyStoreError, SettingsError
from stream_maas.inference import Catalog
from stream_maas.kafka.acts import session_key
from stream_maas.keystore import SqliteKeyStore, open_store, store_path
from stream_maas.ledger.session import Session
from stream_maas.records import Writer
from stream_maas.settings import Settings, state_folder
from stream_maas.worker.chains import SessionChains, new_session_id
from stream_maas.worker.outage import Outage
from stream_maas.worker.spool import Spool
from stream_maas.worker.spool_mover import SpoolMover

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


def open_outage(settings: Settings, on_change: Callable[[Outage], None]) -> Outage:
    """What this worker does while the audit topic takes nothing, with its spool if lanes have one. Raises
    `SpoolError`, and `SettingsError` for a lane that does not exist."""
    config, prefix = settings.audit, settings.topics.prefix
    if set(config.spool_lanes) - {topics.DEFAULT_LANE, *settings.topics.lanes}:
        raise SettingsError("audit.spool_lanes: each must be one of topics.lanes, or default")
    audit = topics.audit(prefix)

    async def has_audit_topic() -> bool:
        found = await kafka.describe_topics(settings.kafka, [audit])
        return audit in found and not found[audit].forbidden

    return Outage(
        _open_spool(settings) if config.spool_lanes else None,
        frozenset(topics.requests(prefix, lane) for lane in config.spool_lanes),
        config.outage_ms / 1000,
        has_audit_topic,
        on_change,
    )


def _open_spool(settings: Settings) -> Spool:
    config = settings.audit
    folder = Path(config.spool_folder) if config.spool_folder else state_folder() / "spool"
    spool = Spool(folder / f"{settings.worker.app_id}-{settings.worker.instance}.spool", config.spool_max_bytes)
    if spool.torn_bytes:
        log.warning("the end of the spool was torn by a crash; nobody has seen a result of it", bytes=spool.torn_bytes)
    return spool


def spool_mover(
    settings: Settings, spool: Spool, capabilities: kafka.Capabilities, common: Mapping[str, Any]
) -> SpoolMover:
    """What brings the spool's events to the audit topic. `common`: keyword arguments of a producer."""
    worker, prefix = settings.worker, settings.topics.prefix
    transactional = worker.delivery != "at-least-once" and capabilities.exactly_once
    if transactional:
        own: dict[str, Any] = {"transaction_timeout_ms": worker.transaction_timeout_ms}
    else:
        own = {"enable_idempotence": capabilities.idempotence}
    return SpoolMover(
        spool,
        config=settings.kafka,
        common={**common, **own},
        name=f"{worker.app_id}-{worker.instance}-spool",
        groups=f"{worker.app_id}-spool-{worker.instance}",
        audit=topics.audit(prefix),
        requests=topics.requests(prefix),
        transactional=transactional,
        timeout_s=settings.audit.outage_ms / 1000,
    )


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
