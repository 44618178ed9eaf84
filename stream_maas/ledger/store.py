"""How a log's tree lies in files: tiles in the C2SP layout, first offsets of blocks, the id index, and the state.

    FOLDER/ORIGIN/checkpoint                 the newest signed checkpoint
    FOLDER/ORIGIN/tile/LEVEL/x001/x234/067   tiles of level 1 and above; partial ones as 067.p/WIDTH
    FOLDER/ORIGIN/blocks                     8 bytes (big-endian) per 256 events: Kafka offset of the first of them
    FOLDER/ORIGIN/index/000                  sorted segments of the id index; the growing one ends in `.part`
    FOLDER/ORIGIN/state.json                 where to go on: replaced as a whole, after everything else is on disk

Only `state.json` says how much of the other files counts, so a crash at any point leaves a state that can go on.
Everything here can be made again from the audit topic.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from stream_maas.errors import LedgerError
from stream_maas.ledger import index as ids
from stream_maas.ledger.hashing import HASH_BYTES
from stream_maas.ledger.tiles import BLOCK_EVENTS, TILE_WIDTH, index_path, tile_path

_OFFSET_BYTES = 8


class LogStore:
    """The files of one log. Reading needs nothing but the folder; writing is the sealer's alone."""

    def __init__(self, folder: Path, origin: str) -> None:
        self.folder = log_folder(folder, origin)

    # Writing ----------------------------------------------------------------------------------------------------------

    def write_tile(self, level: int, index: int, hashes: bytes) -> None:
        """Store a tile, full or partial. A wider partial tile takes the place of a narrower one."""
        width = len(hashes) // HASH_BYTES
        path = self.folder / tile_path(level, index, width)
        replace_file(path, hashes)
        partials = (self.folder / tile_path(level, index)).with_name(f"{index % 1000:03d}.p")
        for other in partials.iterdir() if partials.is_dir() else ():
            if other != path:
                other.unlink()
        if width == TILE_WIDTH and partials.is_dir():
            partials.rmdir()

    def write_blocks(self, first_block: int, offsets: list[int]) -> None:
        """Store the first offsets of the blocks from `first_block` on; what a crash left behind them is cut."""
        data = b"".join(offset.to_bytes(_OFFSET_BYTES, "big") for offset in offsets)
        _write_at(self.folder / "blocks", first_block * _OFFSET_BYTES, data)

    def write_index(self, segment: int, position: int, entries: bytes, *, complete: bool) -> None:
        """Append entries to the growing segment at byte `position`; a complete one is sorted and kept for good."""
        part = self._part(segment)
        _write_at(part, position, entries)
        if complete:
            replace_file(self.folder / "index" / index_path(segment), ids.sort_segment(part.read_bytes()))

    def write_state(self, state: bytes, checkpoint: str | None, *, segment: int) -> None:
        """Make everything written so far count; `segment` is the growing one of the index. On disk on return."""
        if checkpoint is not None:
            replace_file(self.folder / "checkpoint", checkpoint.encode())
        replace_file(self.folder / "state.json", state, sync=True)
        # Only now: before, a crash would have gone on with the part.
        if segment:
            self._part(segment - 1).unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Keep a state that cannot be used, beside its place: the log is read from its first event again."""
        state = self.folder / "state.json"
        state.replace(state.with_name("state.json.broken"))

    def _part(self, segment: int) -> Path:
        path = self.folder / "index" / index_path(segment)
        return path.with_name(f"{path.name}.part")

    # Reading ----------------------------------------------------------------------------------------------------------

    def read_state(self) -> bytes | None:
        """What `write_state` wrote last."""
        return _read(self.folder / "state.json")

    def read_checkpoint(self) -> bytes | None:
        """The newest checkpoint that was signed here."""
        return _read(self.folder / "checkpoint")

    def read_tile(self, level: int, index: int) -> bytes:
        """A tile: the full one, else the widest partial one. Raises `LedgerError` when there is none."""
        full = self.folder / tile_path(level, index)
        if (data := _read(full)) is not None:
            return data
        partials = full.with_name(f"{full.name}.p")
        widths = sorted((int(path.name) for path in partials.iterdir()), reverse=True) if partials.is_dir() else []
        for width in widths:
            if (data := _read(partials / str(width))) is not None:
                return data
        raise LedgerError(f"tile {tile_path(level, index)}: is not in {self.folder}")

    def first_offset(self, block: int) -> int:
        """Kafka offset of the first event of a block. Raises `LedgerError` for a block that was not sealed here."""
        try:
            with (self.folder / "blocks").open("rb") as file:
                file.seek(block * _OFFSET_BYTES)
                data = file.read(_OFFSET_BYTES)
        except OSError:
            data = b""
        if len(data) < _OFFSET_BYTES:
            raise LedgerError(f"block {block}: its offset is not in {self.folder}; was this log sealed here?")
        return int.from_bytes(data, "big")

    def find(self, name: str, size: int) -> list[int]:
        """Leaf indices below `size` of the events that may have this id, or are about a request with it."""
        return [index for index in ids.find(name, self._segments(size)) if index < size]

    def _segments(self, size: int) -> Iterator[tuple[int, bytes, bool]]:
        full, partial = divmod(size, ids.SEGMENT_EVENTS)
        for segment in range(full):
            data = _read(self.folder / "index" / index_path(segment))
            if data is not None:
                yield segment, data, True
        if partial:
            data = _read(self._part(full)) or b""
            yield full, data[: len(data) // ids.ENTRY_BYTES * ids.ENTRY_BYTES], False


def log_folder(folder: Path, origin: str) -> Path:
    """The folder of one log. The origin is a URL without scheme: its slashes become folders, and nothing in it can
    lead out of `folder`."""
    parts = [quote(part, safe="") for part in origin.split("/") if part]
    return folder.joinpath(*(part.replace(".", "%2E") if part in {".", ".."} else part for part in parts))


def block_of(index: int) -> int:
    """The block that holds leaf `index`."""
    return index // BLOCK_EVENTS


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def replace_file(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a whole file so that a reader sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)
    if sync:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_at(path: Path, position: int, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(position)
        file.write(data)
        file.truncate()
