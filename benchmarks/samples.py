"""Keeps outputs of typical size: result and audit records of a real run, to publish again without making them.

What belongs to one place in one chain is cut out: receipts from results, `data.writer.session` from audit events.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from stream_maas.records import Outgoing, Unlinked
from stream_maas.wire.headers import AUDIT_LEAF


class Samples(Struct, frozen=True):
    """Records of the two output topics that every request has one of."""

    results: list[Outgoing]
    audits: list[Unlinked]


def of(results: Sequence[Any], audits: Sequence[Any]) -> Samples:
    """From consumed records."""
    return Samples([_result(record) for record in results], [_unlinked(record) for record in audits])


def _result(record: Any) -> Outgoing:
    return Outgoing(record.key, record.value, [header for header in record.headers if header[0] != AUDIT_LEAF])


def _unlinked(record: Any) -> Unlinked:
    head, _, rest = record.value.rpartition(b',"session":{')
    return Unlinked(record.key, head, rest.partition(b"}")[2], list(record.headers))


def save(samples: Samples, path: Path) -> None:
    path.write_bytes(msgspec.json.encode(samples))


def load(path: Path) -> Samples:
    return msgspec.json.decode(path.read_bytes(), type=Samples)
