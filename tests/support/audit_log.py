"""Audit logs made by hand: writer sessions with chains and signatures as docs/audit-format.md has them.

Written from the format, not with the worker's code, so that a verifier that shared its mistakes would be found out.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from stream_maas.ledger.keys import NOTE, SigningKey

TYPE = "org.stream-maas.audit."
FIRST_US = 1_790_000_000_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """An audit record as a reader gets it."""

    offset: int
    value: bytes


def canonical(document: Any) -> bytes:
    """Canonical JSON, by the standard library."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf_hex(value: bytes) -> str:
    return hashlib.sha256(b"\x00" + value).hexdigest()


@dataclass
class Writer:
    """One writer session in one partition."""

    name: str = "worker-0"
    session: str = "a" * 32
    topic: str = "maas.audit"
    partition: int = 0
    key: SigningKey = field(default_factory=lambda: SigningKey("maas/worker-0", NOTE, b"w" * 32))
    counter: int = 0
    prev: str | None = None
    events: int = 0
    """Requests answered so far, which gives the next one its offset."""

    def start(self, after: str | None = None) -> bytes:
        more = {"after": {"session": after, "reason": "outcome_unknown"}} if after else {}
        return self._signed("session.start.v1", {"key": self.key.vkey, **more})

    def heartbeat(self) -> bytes:
        return self._signed("session.heartbeat.v1", {})

    def end(self) -> bytes:
        return self._signed("session.end.v1", {})

    def decision(self, *, request_offset: int | None = None, request_id: str = "", **members: Any) -> bytes:
        offset = self.events if request_offset is None else request_offset
        self.events += 1
        data = {
            "status": "prediction",
            "request": {
                "id": request_id or f"{self.name}-{self.session[:4]}-{offset}", "id_source": "body",
                "topic": f"{self.topic.removesuffix('.audit')}.requests", "partition": self.partition,
                "offset": offset, "timestamp_ms": FIRST_US // 1000 + offset, "lane": "default", "priority": 0,
                "attempt": 1,
            },
            "output": {"label": "positive", "score_ppm": 900_000},
            **members,
        }  # fmt: skip
        event_id = f"{data['request']['topic']}:{self.partition}:{offset}"
        return self._event("decision.v2", event_id, data)

    def service(self, kind: str, data: dict[str, Any]) -> bytes:
        return self._event(kind, f"{self.session}:{self.partition}:{self.counter}", data)

    def _signed(self, kind: str, data: dict[str, Any]) -> bytes:
        place = (TYPE + kind, self.topic, self.partition, self.session, self.counter, self.prev or "-")
        text = "stream-maas/audit-session/v1\n" + "".join(f"{part}\n" for part in place)
        signature = base64.b64encode(self.key.sign(text.encode())).decode()
        return self.service(kind, {"partition": self.partition, "signature": signature, **data})

    def _event(self, kind: str, event_id: str, data: dict[str, Any]) -> bytes:
        session: dict[str, Any] = {"counter": self.counter, "id": self.session}
        if self.prev is not None:
            session["prev"] = self.prev
        writer = {"app": "maas", "instance": self.name, "build": "0.1.0", "runtime": {}, "session": session}
        value = canonical(
            {
                "specversion": "1.0", "type": TYPE + kind, "source": "/stream-maas/maas", "id": event_id,
                "time": f"2026-09-21T14:13:{self.counter // 1000 % 60:02d}.{self.counter % 1000:03d}000Z",
                "datacontenttype": "application/json", "dataschema": "https://stream-maas.org/schemas/v2/x.json",
                "data": {**data, "writer": writer},
            }
        )  # fmt: skip
        self.counter, self.prev = self.counter + 1, leaf_hex(value)
        return value

    def fork(self) -> Writer:
        """Another hand that goes on from the same place."""
        return replace(self)

    def run(self, decisions: int, *, heartbeat_every: int = 50) -> list[bytes]:
        """Decisions with a heartbeat after every so many; the start first when there was none."""
        values = [self.start()] if self.counter == 0 else []
        for number in range(1, decisions + 1):
            values.append(self.decision())
            if number % heartbeat_every == 0:
                values.append(self.heartbeat())
        return values


def stored(values: list[bytes], first_offset: int = 0, *, gap_every: int = 0) -> list[Stored]:
    """Records at rising offsets; `gap_every`: a transaction marker takes an offset after so many records."""
    records, offset = [], first_offset
    for number, value in enumerate(values, 1):
        records.append(Stored(offset, value))
        offset += 1 + (1 if gap_every and number % gap_every == 0 else 0)
    return records
