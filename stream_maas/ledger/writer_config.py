"""How a worker writes its audit trail, and where it keeps the keys of what stands apart from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class WriterConfig:
    """Sessions and their signatures; boxes and their keys."""

    writer_key: str = field(
        default="",
        metadata={
            "help": "file with the Ed25519 key (PRIVATE+KEY+...) that signs the sessions; empty makes one for each run"
        },
    )
    heartbeat_ms: int = field(
        default=1_000, metadata={"help": "a chain that grows is signed at most this long after it did"}
    )
    heartbeat_records: int = field(default=10_000, metadata={"help": "and at most this many events later"})
    spool_lanes: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "lanes that are answered while the audit topic cannot be written, their events kept in a fsynced "
            "local spool; the others fail closed: nothing is answered. Comma separated, default is a lane's name too"
        },
    )
    spool_folder: str = field(
        default="", metadata={"help": "folder of the spool; empty takes spool in the state folder"}
    )
    spool_max_bytes: int = field(
        default=256 << 20, metadata={"help": "a full spool fails closed; a thousand events take about a megabyte"}
    )
    outage_ms: int = field(
        default=10_000,
        metadata={"help": "audit events that are not acknowledged so long after all else count as an outage"},
    )
    boxes: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={"help": "keep redacted inputs in encrypted boxes; auto: where a key store can be kept"},
    )
    key_store: str = field(
        default="",
        metadata={"help": "SQLite file with the wrapped data keys; empty takes keys.sqlite in the state folder"},
    )
    key_encryption_key: str = field(
        default="",
        metadata={"help": "file with 64 hex digits that wrap the data keys; empty makes one beside the key store"},
    )
