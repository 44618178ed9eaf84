"""The spool: how audit events that cannot be written to Kafka are kept in one fsynced, append-only, bounded file.

Frames follow each other: length and CRC-32 (big endian), then msgpack. A frame is on the disk before `append` returns,
and it counts once its results are committed (`confirm`): what was appended for a transaction that was aborted is cut
off again. The end of the file may be torn by a crash; a torn frame was never waited for. Rules:

1. The file never grows beyond its limit, and nothing in it is overwritten. When everything was moved to the audit
   topic and announced there, the file is cut to nothing, in one step.
2. Where the numbers in the file and the cursors in Kafka disagree, Kafka is right (`settle`): the cursors were
   committed together with the results, and together with the events that were moved.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from stream_maas.errors import SpoolError

_HEADER = struct.Struct(">II")
_MAX_FRAME_BYTES = 1 << 30


class SpooledRow(Struct, array_like=True, frozen=True):
    """One audit record, byte for byte as it will be written."""

    partition: int
    key: bytes
    value: bytes


class Frame(Struct, array_like=True, frozen=True):
    """What was appended in one go."""

    spool: str
    """Id of this filling of the spool: 32 hex digits."""
    number: int
    """1, 2, 3, ...; a frame without rows repeats the number of the one before, to keep what follows."""
    confirmed: int
    """Frames known to be confirmed when this one was written."""
    moved: int
    """Frames known to be in the audit topic then."""
    at_us: int
    reason: str
    """Why the audit topic could not be written."""
    rows: list[SpooledRow]


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODER = msgspec.msgpack.Decoder(Frame)


class Spool:
    """One file of one worker. Methods block for the disk; not for several threads at once."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Opens the file, made with its folder if it is not there, and reads what an earlier process left.

        Raises `SpoolError` where it cannot be used, is used by another process, or is damaged.
        """
        self._path, self._limit = path, limit_bytes
        self.id = ""
        """Of this filling; "" while the spool is empty."""
        self.number = self.confirmed = self.moved = 0
        """Number of the last frame; how far results are committed; how far events were moved."""
        self.since_us = 0
        self.reason = ""
        self.events = 0
        """Events that wait."""
        self.torn_bytes = 0
        """Cut off at the end when the file was opened: a write that a crash interrupted."""
        self._places: list[tuple[int, int, int]] = []
        """(number, first byte of the frame, events in it) of each frame with rows."""
        self._bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sync_folder(path.parent)
            self._recover()
        except BlockingIOError:
            raise SpoolError(f"spool {path}: another process uses it; two live workers never share a name") from None
        except OSError as error:
            raise SpoolError(f"spool {path}: cannot be used ({type(error).__name__})") from None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to move and nothing to announce."""
        return not self.id

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self._bytes

    @property
    def room_bytes(self) -> int:
        """What may still be appended."""
        return max(0, self._limit - self._bytes)

    def append(self, rows: Sequence[SpooledRow], *, at_us: int, reason: str) -> int:
        """Keep these rows; returns when they are on the disk, with the number of their frame.

        Raises `SpoolError` when they do not fit or cannot be written; nothing of them is kept then.
        """
        first = self.is_empty
        spool = self.id or secrets.token_hex(16)
        place = self._bytes
        self._write(Frame(spool, self.number + 1, self.confirmed, self.moved, at_us, reason, list(rows)))
        if first:
            self.id, self.since_us, self.reason = spool, at_us, reason
        self.number += 1
        self.events += len(rows)
        self._places.append((self.number, place, len(rows)))
        return self.number

    def confirm(self, number: int) -> None:
        """The results of all frames up to this one are committed."""
        self.confirmed = max(self.confirmed, number)

    def roll_back(self) -> None:
        """Cut off what is not confirmed: its transaction was aborted."""
        if self.number <= self.confirmed:
            return
        place = 0
        while self._places and self._places[-1][0] > self.confirmed:
            _, place, events = self._places.pop()
            self.events -= events
        if not self._places:
            self.clear()
            return
        self._cut(place)
        self.number = self.confirmed
        if self.moved:
            self._note()  # what was cut off may have been the frame that said so

    def settle(self, spool: str, *, confirmed: int | None = None, moved: int | None = None) -> None:
        """What Kafka knows of the filling with this id; of another one it says nothing about ours."""
        if spool != self.id or not self.id:
            return
        if confirmed is not None:
            if confirmed > self.number:
                raise SpoolError(
                    f"spool {self._path}: frame {self.number + 1} to {confirmed} are missing, and their results are "
                    "committed; next: keep the file, and find out who changed it"
                )
            self.confirmed = confirmed
            self.roll_back()
        if moved is not None and moved > self.number:
            self.clear()  # announced as well
        elif moved is not None:
            self.move(moved, durable=False)

    def frames(self) -> Iterator[Frame]:
        """Confirmed frames with rows, moved or not, in order."""
        offset = 0
        while (read := self._read(offset)) is not None:
            frame, offset = read
            if frame.number > self.confirmed:
                return
            if frame.rows:
                yield frame

    def waiting(self, at_most: int) -> list[Frame]:
        """The next confirmed frames that were not moved yet, of together `at_most` events and one frame more."""
        frames: list[Frame] = []
        events = 0
        for frame in self.frames():
            if events >= at_most:
                break
            if frame.number > self.moved:
                frames.append(frame)
                events += len(frame.rows)
        return frames

    def move(self, number: int, *, durable: bool = True) -> None:
        """All frames up to this one are in the audit topic. `durable`: this must outlive a crash by the file alone."""
        if number <= self.moved:
            return
        self.moved = number
        self.events = sum(events for place, _, events in self._places if place > number)
        if durable:
            self._note()

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        with contextlib.suppress(OSError):
            os.close(self._file)

    def clear(self) -> None:
        """Everything was moved and announced."""
        self._cut(0)
        self.id = self.reason = ""
        self.number = self.confirmed = self.moved = self.events = self.since_us = 0
        self._places.clear()

    def _note(self) -> None:
        """Keep where we are, in a frame without rows."""
        self._write(Frame(self.id, self.number, self.confirmed, self.moved, 0, "", []))

    def _write(self, frame: Frame) -> None:
        payload = _ENCODE(frame)
        data = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        if frame.rows and self._bytes + len(data) > self._limit:
            raise SpoolError(f"spool {self._path}: full ({self._limit} bytes)")
        try:
            left, place = memoryview(data), self._bytes
            while left:
                written = os.pwrite(self._file, left, place)
                left, place = left[written:], place + written
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._bytes)
            raise SpoolError(f"spool {self._path}: cannot be written ({type(error).__name__})") from None
        self._bytes += len(data)

    def _cut(self, size_bytes: int) -> None:
        try:
            os.ftruncate(self._file, size_bytes)
            os.fsync(self._file)
        except OSError as error:
            raise SpoolError(f"spool {self._path}: cannot be written ({type(error).__name__})") from None
        self._bytes = size_bytes

    def _read(self, offset: int) -> tuple[Frame, int] | None:
        """The frame at a byte and the byte after it; None at the end, and where a crash tore it."""
        header = os.pread(self._file, _HEADER.size, offset)
        if len(header) < _HEADER.size:
            return None
        length, check = _HEADER.unpack(header)
        payload = os.pread(self._file, min(length, _MAX_FRAME_BYTES), offset + _HEADER.size)
        if len(payload) != length or zlib.crc32(payload) != check:
            return None
        try:
            return _DECODER.decode(payload), offset + _HEADER.size + length
        except msgspec.DecodeError:
            return None

    def _recover(self) -> None:
        while (read := self._read(self._bytes)) is not None:
            place = self._bytes
            frame, self._bytes = read
            if not self.id:
                self.id, self.since_us, self.reason = frame.spool, frame.at_us, frame.reason
            self.number = frame.number
            self.confirmed, self.moved = max(self.confirmed, frame.confirmed), max(self.moved, frame.moved)
            if frame.rows:
                self._places.append((frame.number, place, len(frame.rows)))
        self.torn_bytes = os.fstat(self._file).st_size - self._bytes
        if self.torn_bytes:
            self._cut(self._bytes)
        self.events = sum(events for place, _, events in self._places if place > self.moved)


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
