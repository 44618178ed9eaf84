"""Keeps the form of audit events that are about the service itself and not about a request.

Sessions of writers, loaded models, observed configuration, and what auditors and operators did to the log. The same
CloudEvents envelope, canonical bytes and chain as decisions have; docs/audit-format.md says what each kind is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from stream_maas.errors import UndecodableError
from stream_maas.records import Link, Writer
from stream_maas.wire.audit import ascii_members, canonical, rfc3339, service_source, writer_members
from stream_maas.wire.audit_reading import Count, Digest, Text, WireWriter, to_writer
from stream_maas.wire.headers import AUDIT_PREFIX
from stream_maas.wire.schemas import schema_id

ServiceKind = Literal[
    "session.start", "session.heartbeat", "session.end", "model.loaded", "config.observed",
    "exported", "replayed", "pruned", "deferred", "key.destroyed", "key.rotated", "hold.placed", "hold.released",
]  # fmt: skip
SERVICE_SCHEMA = schema_id("audit-service-event")

_BODIES: Mapping[str, str] = {
    "model.loaded": "model", "config.observed": "config", "exported": "exported", "replayed": "replayed",
    "pruned": "pruned", "deferred": "deferred", "key.destroyed": "destroyed", "key.rotated": "rotated",
    "hold.placed": "hold", "hold.released": "release",
}  # fmt: skip
"""Kind -> the member of `data` that says what happened; sessions have none."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ServiceEvent(Struct, frozen=True):
    """One event about the service. `time_us`: epoch microseconds; `partition`: of the audit topic."""

    kind: ServiceKind
    partition: int
    time_us: int
    writer: Writer
    link: Link
    body: Mapping[str, Any] = {}
    """What happened: integers, texts and lists of them, ASCII names. Empty for sessions."""
    key: str | None = None
    """Public key of the session, C2SP vkey; session.start only."""
    signature: str | None = None
    """Base64 Ed25519 over `signed_text`; session events only."""
    after: tuple[str, str] | None = None
    """(session, reason): the session that this one takes over from, in the same process; session.start only."""


def service_type(kind: ServiceKind) -> str:
    """CloudEvents `type`."""
    return f"{AUDIT_PREFIX}{kind}.v1"


def signed_text(kind: ServiceKind, topic: str, partition: int, link: Link) -> bytes:
    """What a session signs: its place in the log. `prev` stands for everything that it wrote there before."""
    lines = ("stream-maas/audit-session/v1", service_type(kind), topic, partition, link.session, link.counter)
    return "".join(f"{line}\n" for line in (*lines, link.prev or "-")).encode()


def service_event_id(session: str, partition: int, counter: int) -> str:
    """Id of an event that belongs to no request record."""
    return f"{session}:{partition}:{counter}"


def encode_service_event(event: ServiceEvent) -> bytes:
    """The value of an audit record. Raises `ValueError` for a member or runtime fact whose name is not ASCII."""
    link = event.link
    data: dict[str, Any] = {"partition": event.partition, "writer": writer_members(event.writer, link)}
    if event.kind in _BODIES:
        data[_BODIES[event.kind]] = {
            name: ascii_members(member) if isinstance(member, Mapping) else member
            for name, member in ascii_members(event.body).items()
        }
    if event.key is not None:
        data["key"] = event.key
    if event.signature is not None:
        data["signature"] = event.signature
    if event.after is not None:
        data["after"] = {"session": event.after[0], "reason": event.after[1]}
    return canonical(
        {
            "specversion": "1.0",
            "type": service_type(event.kind),
            "source": service_source(event.writer.app),
            "id": service_event_id(link.session, event.partition, link.counter),
            "time": rfc3339(event.time_us),
            "datacontenttype": "application/json",
            "dataschema": SERVICE_SCHEMA,
            "data": data,
        }
    )


Session = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
KeyId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Signature = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9+/]{86}==\Z")]


class _Model(Struct, forbid_unknown_fields=True):
    name: Text
    version: Text
    digest: Digest
    licence: Text
    bundle_digest: Digest | None = None


class _Config(Struct, forbid_unknown_fields=True):
    topic: Text
    partitions: Count
    configs: dict[str, str]


class _Exported(Struct, forbid_unknown_fields=True):
    topic: Text
    partition: Count
    first_index: Count
    end_index: Count
    size: Count
    root: Digest
    format: Text
    purpose: str | None = None
    by: str | None = None


class _Replayed(Struct, forbid_unknown_fields=True):
    what: Text
    topic: Text
    records: Count
    purpose: str | None = None
    by: str | None = None


class _Pruned(Struct, forbid_unknown_fields=True):
    partition: Count
    size: Count
    next_offset: Count
    root: Digest
    frontier: list[Digest]
    before_us: Count
    policy: Text
    approver: Text


class _Deferred(Struct, forbid_unknown_fields=True):
    session: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    first: Count
    events: Count
    since_us: Count
    first_us: Count
    last_us: Count
    reason: Text


class _Destroyed(Struct, forbid_unknown_fields=True):
    keys: list[KeyId]
    tenant: str | None = None
    subject_ref: Digest | None = None
    reason: Text | None = None
    by: Text | None = None


class _Rotated(Struct, forbid_unknown_fields=True):
    keys: Count
    reason: Text | None = None
    by: Text | None = None


class _Hold(Struct, forbid_unknown_fields=True):
    hold: Text
    from_us: Count | None = None
    to_us: Count | None = None
    reason: Text | None = None
    by: Text | None = None


class _Release(Struct, forbid_unknown_fields=True):
    hold: Text
    reason: Text | None = None
    by: Text | None = None


class _After(Struct, forbid_unknown_fields=True):
    session: Session
    reason: Text


class _Data(Struct, forbid_unknown_fields=True):
    partition: Count
    writer: WireWriter
    key: Text | None = None
    signature: Signature | None = None
    after: _After | None = None
    model: _Model | None = None
    config: _Config | None = None
    exported: _Exported | None = None
    replayed: _Replayed | None = None
    pruned: _Pruned | None = None
    deferred: _Deferred | None = None
    destroyed: _Destroyed | None = None
    rotated: _Rotated | None = None
    hold: _Hold | None = None
    release: _Release | None = None


class _Event(Struct, forbid_unknown_fields=True):
    specversion: Literal["1.0"]
    type: str
    source: Text
    id: Text
    time: str
    datacontenttype: Literal["application/json"]
    dataschema: Literal[SERVICE_SCHEMA]  # type: ignore[valid-type]
    data: _Data


_DECODER = msgspec.json.Decoder(_Event)
_KINDS: Mapping[str, ServiceKind] = {service_type(kind): kind for kind in get_args(ServiceKind)}


def decode_service_event(value: bytes) -> ServiceEvent:
    """The event in an audit record's value. Raises `UndecodableError` for a decision, and for anything that
    `encode_service_event` would not write byte for byte."""
    try:
        event = _DECODER.decode(value)
        kind = _KINDS[event.type]
        read = _read(kind, event)
        if encode_service_event(read) == value and _whole(kind, event.data):
            return read
    except (msgspec.DecodeError, RecursionError, ValueError, KeyError, TypeError, OverflowError):
        pass
    raise UndecodableError("value: not an audit event about the service, of this version and in its canonical bytes")


def _read(kind: ServiceKind, event: _Event) -> ServiceEvent:
    data = event.data
    writer, link = to_writer(data.writer)
    body = getattr(data, _BODIES[kind]) if kind in _BODIES else None
    members = msgspec.to_builtins(body) if body is not None else {}
    return ServiceEvent(
        kind=kind,
        partition=data.partition,
        time_us=(datetime.fromisoformat(event.time) - _EPOCH) // _EPOCH.resolution,
        writer=writer,
        link=link,
        body={name: member for name, member in members.items() if member is not None},
        key=data.key,
        signature=data.signature,
        after=(data.after.session, data.after.reason) if data.after else None,
    )


def _whole(kind: ServiceKind, data: _Data) -> bool:
    """What a kind must have and what it must not have."""
    bodies = {name for name in _BODIES.values() if getattr(data, name) is not None}
    session = kind.startswith("session.")
    start = kind == "session.start"
    return (
        bodies == ({_BODIES[kind]} if kind in _BODIES else set())
        and (data.signature is not None) == session
        and (data.key is not None) == start
        and (data.after is None or start)
        and (data.writer.session.prev is None) == (data.writer.session.counter == 0) == start
    )
