"""What is copied to a place outside the broker, and how it is read back: checkpoints and signed events of writers.

An anchor takes entries and gives all of them back. The default is an append-only file. An object store with object lock
has neither append nor overwrite, so there one call is one object, put only if it is absent, under a name that follows
from its content: `ObjectAnchor` needs three methods of a store and nothing of what a lock forbids. A folder of files
that are created and never opened for writing again is such a store, and the one that is here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import orjson

from stream_maas.errors import LedgerError
from stream_maas.ledger.hashing import HASH_BYTES

_CUT = b'{"cut":true}'
"""Written behind a line that a crash cut off: a broken line without it was broken by somebody else."""


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
        with self.path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n" + _CUT + b"\n")
            file.write(b"".join(encode(entry) + b"\n" for entry in entries))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Iterator[Anchored]:
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be read ({type(error).__name__})") from error
        return decode(lines, str(self.path))


class Objects(Protocol):
    """What an object store with object lock can do: S3 with `If-None-Match: *`, or a folder."""

    def put_if_absent(self, name: str, data: bytes) -> None:
        """Keep an object for good; one that is there already stays as it is. Durable on return. Raises `OSError`."""
        ...

    def names(self) -> Iterable[str]:
        """Names of all objects. Raises `OSError`."""
        ...

    def get(self, name: str) -> bytes:
        """The content of one. Raises `OSError`."""
        ...


class ObjectAnchor:
    """One object for each call of `append`, named by the largest tree in it and its digest: sorted, and made once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def append(self, entries: Sequence[Anchored]) -> None:
        data = b"".join(encode(entry) + b"\n" for entry in entries)
        size = max(map(_size, entries), default=0)
        self._objects.put_if_absent(f"{size:020d}-{sha256(data).hexdigest()}.jsonl", data)

    def read(self) -> Iterator[Anchored]:
        try:
            found = [(name, self._objects.get(name)) for name in sorted(self._objects.names())]
        except OSError as error:
            raise LedgerError(f"anchor: cannot be read ({type(error).__name__})") from error
        for name, data in found:
            if name.rpartition("-")[2] != f"{sha256(data).hexdigest()}.jsonl":
                raise LedgerError(f"anchor: object {name} is not what was put there")
            yield from decode(data.splitlines(), name)


class FolderObjects:
    """Objects as files of a folder, created exclusively and read-only from then on; for a mounted bucket or a disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_if_absent(self, name: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o444), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            (self._folder / name).hardlink_to(draft)  # whole or not at all, and never over one that is there
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def names(self) -> Iterable[str]:
        return [path.name for path in self._folder.iterdir() if not path.name.startswith(".")]

    def get(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


def open_anchor(place: str | Path) -> Anchor:
    """A folder (one that exists, or a name that ends with a slash) has an object for each call, a file a line for
    each entry."""
    path = Path(place)
    return ObjectAnchor(FolderObjects(path)) if str(place).endswith("/") or path.is_dir() else FileAnchor(path)


def _size(entry: Anchored) -> int:
    """How large the log was, at least."""
    if isinstance(entry, AnchoredHeartbeat):
        return entry.index + 1
    size = (entry.note.split("\n", 2)[1:2] or [""])[0]
    return int(size) if size.isdecimal() and len(size) < 20 else 0


def encode(entry: Anchored) -> bytes:
    """One JSON object without a newline."""
    if isinstance(entry, AnchoredCheckpoint):
        return orjson.dumps({"checkpoint": entry.note, "origin": entry.origin})
    heartbeat = {"index": entry.index, "leaf": entry.leaf.hex(), "session": entry.session}
    return orjson.dumps({"heartbeat": heartbeat, "origin": entry.origin})


def decode(lines: Iterable[bytes], place: str) -> Iterator[Anchored]:
    """Read JSON lines back. A line that a crash cut off is passed over; any other broken one raises `LedgerError`."""
    rows = list(lines)
    for number, line in enumerate(rows, 1):
        if line == _CUT:
            continue
        entry = _decoded(line)
        if entry is not None:
            yield entry
        elif number < len(rows) and rows[number] != _CUT:
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
