"""Keeps outputs of typical size: result and audit records of a real run, to publish again without making them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from stream_maas.records import Outgoing


class Samples(Struct, frozen=True):
    """Records of the two output topics that every request has one of."""

    results: list[Outgoing]
    audits: list[Outgoing]


def of(records: Sequence[Any]) -> list[Outgoing]:
    """From consumed records."""
    return [Outgoing(record.key, record.value, list(record.headers)) for record in records]


def save(samples: Samples, path: Path) -> None:
    path.write_bytes(msgspec.json.encode(samples))


def load(path: Path) -> Samples:
    return msgspec.json.decode(path.read_bytes(), type=Samples)
