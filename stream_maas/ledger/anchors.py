"""What is copied to a place outside the broker, and how it is read back: checkpoints and signed events of writers.

An anchor is anything that can take a line and give all lines back. The default is a file; an object store with
compliance-mode object lock fits the same two methods with one object per call.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from stream_maas.errors import LedgerError
from stream_maas.ledger.hashing import HASH_BYTES


@dataclass(frozen=True, slots=True)
class AnchoredCheckpoint:
    """A signed checkpoint as it was published."""

    origin: str
    note: str


@dataclass(frozen=True, slots=True)
class AnchoredHeartbeat:
    """Where a signed event of a writer session stood: whoever shortens or rewrites the log moves it."""

    origin: str
    index: int
    leaf: bytes
    session: str


Anchored = AnchoredCheckpoint | AnchoredHeartbeat


class Anchor(Protocol):
    """A place that the broker's administrators cannot change."""

    def append(self, entries: Sequence[Anchored]) -> None:
        """Keep the entries for good; durable on return. Raises `OSError`."""
        ...

    def read(self) -> Iterator[Anchored]:
        """Everything that was kept, oldest first. Raises `LedgerError` for what cannot be read."""
        ...


class FileAnchor:
    """JSON lines in an append-only file, best on another volume under another account (`chattr +a`)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entries: Sequence[Anchored]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"".join(encode(entry) + b"\n" for entry in entries))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Iterator[Anchored]:
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be read ({type(error).__name__})") from error
        return decode(lines, str(self.path))


def encode(entry: Anchored) -> bytes:
    """One JSON object without a newline."""
    if isinstance(entry, AnchoredCheckpoint):
        return orjson.dumps({"checkpoint": entry.note, "origin": entry.origin})
    heartbeat = {"index": entry.index, "leaf": entry.leaf.hex(), "session": entry.session}
    return orjson.dumps({"heartbeat": heartbeat, "origin": entry.origin})


def decode(lines: Iterable[bytes], place: str) -> Iterator[Anchored]:
    """Read JSON lines back. A last line that a crash cut off is passed over; any other raises `LedgerError`."""
    rows = list(lines)
    for number, line in enumerate(rows, 1):
        entry = _decoded(line)
        if entry is not None:
            yield entry
        elif number < len(rows):
            raise LedgerError(f"{place}: line {number} is not what an anchor holds")


def _decoded(line: bytes) -> Anchored | None:
    try:
        document = orjson.loads(line)
        if "checkpoint" in document:
            return AnchoredCheckpoint(str(document["origin"]), str(document["checkpoint"]))
        row = document["heartbeat"]
        leaf = bytes.fromhex(row["leaf"])
        heartbeat = AnchoredHeartbeat(str(document["origin"]), int(row["index"]), leaf, str(row["session"]))
    except (ValueError, KeyError, TypeError):
        return None
    return heartbeat if len(leaf) == HASH_BYTES else None
