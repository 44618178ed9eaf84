"""Acting on alerts: an acknowledgement or a silence is a record that the monitor reads, never a change behind its back.

The bodies that browsers send are checked here; what is written holds an author, a reason and fixed names, no payload.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import Annotated, Any

import msgspec
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import Meta, Struct

from stream_maas.errors import BrokerError
from stream_maas.kafka import connection
from stream_maas.settings import KafkaConfig

MAX_SILENCE_MS = 30 * 24 * 3_600_000
_Words = Annotated[str, Meta(max_length=200)]
_Author = Annotated[str, Meta(min_length=1, max_length=64)]
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Acknowledge(Struct, forbid_unknown_fields=True, kw_only=True):
    """Somebody looks after an incident."""

    incident_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    by: _Author
    comment: _Words = ""


class Silence(Struct, forbid_unknown_fields=True, kw_only=True):
    """Alerts whose rule and labels equal all of `matchers` wake nobody for a while; they are published all the same."""

    matchers: Annotated[dict[Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]*\Z")], _Words], Meta(min_length=1)]
    duration_ms: Annotated[int, Meta(ge=1_000, le=MAX_SILENCE_MS)]
    by: _Author
    comment: _Words = ""


class Unsilence(Struct, forbid_unknown_fields=True, kw_only=True):
    """End a silence early."""

    silence_id: Annotated[str, Meta(pattern=r"\A[0-9a-f-]{36}\Z")]
    by: _Author


Command = Acknowledge | Silence | Unsilence
COMMANDS: dict[str, type[Command]] = {"acknowledge": Acknowledge, "silence": Silence, "unsilence": Unsilence}


def parse(name: str, body: bytes) -> Command | None:
    """The command in a request body; None for an unknown name or a body that does not fit."""
    kind = COMMANDS.get(name)
    try:
        return msgspec.json.decode(body, type=kind) if kind is not None else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def record_of(command: Command, now_us: int) -> tuple[bytes, bytes]:
    """(key, value) of the record for the monitor; see schemas/alert-command.schema.json."""
    id_ = str(uuid.uuid4())
    document: dict[str, Any] = {"command": type(command).__name__.lower(), "command_id": id_, "at_us": now_us}
    document |= msgspec.structs.asdict(command)
    document |= {name: _CONTROL.sub(" ", document[name]) for name in ("by", "comment") if name in document}
    if isinstance(command, Silence):
        del document["duration_ms"]
        document |= {"starts_at_us": now_us, "ends_at_us": now_us + command.duration_ms * 1000}
    return id_.encode(), orjson.dumps({name: value for name, value in document.items() if value != ""})


class Sender:
    """Writes commands; its producer starts with the first one, since most pages never act."""

    def __init__(self, kafka: KafkaConfig, topic: str) -> None:
        self._kafka, self._topic = kafka, topic
        self._producer: Any = None

    async def send(self, command: Command) -> None:
        """Return when all in-sync replicas have it. Raises `BrokerError`."""
        key, value = record_of(command, time.time_ns() // 1000)
        try:
            if self._producer is None:
                producer = AIOKafkaProducer(**connection(self._kafka), acks="all")
                await producer.start()
                self._producer = producer
            await self._producer.send_and_wait(self._topic, value, key=key)
        except KafkaError as error:
            raise BrokerError(f"topic {self._topic}: not written ({type(error).__name__})") from error

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None
