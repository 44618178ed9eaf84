"""How what arrives in a pipe is taken line by line or in blocks, without waiting for its end.

A block is whole lines of plain text. It ends when the pipe pauses, or is full; values that cross lines (a private key,
the lines of a passport) are not cut: what may go on stays for the next block.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Final

BLOCK_CHARS: Final = 262_144
_READ_BYTES: Final = 65_536
_PAUSE_S: Final = 0.2
"""A writer that is busy writes again within this time; somebody who reads along does not notice it."""
_LINES_KEPT: Final = 3
"""Of a full block: machine-readable zones have up to three lines."""
_BEGIN: Final = "-----BEGIN "
_END: Final = "-----END "
_KEY_CHARS: Final = 32_768
"""Nothing that begins like a key and is longer is one."""


def standard_input() -> io.FileIO:
    """Standard input past Python's own buffer, which would read ahead, and which ends the interpreter with SIGABRT when
    a thread still waits in it, as after Ctrl-C at a terminal."""
    return io.FileIO(sys.stdin.fileno(), closefd=False)


class Blocks:
    """Text in pieces -> blocks. All blocks together are the text."""

    def __init__(self, block_chars: int = BLOCK_CHARS) -> None:
        self._block_chars = block_chars
        self._pieces: list[str] = []
        self._chars = self._line_ends = 0

    def feed(self, piece: str) -> Iterator[str]:
        """The blocks that `piece` fills."""
        self._pieces.append(piece)
        self._chars += len(piece)
        self._line_ends += piece.count("\n")
        while self._chars >= self._block_chars and self._line_ends > _LINES_KEPT:
            if not (block := self._take(lines_kept=_LINES_KEPT)):
                return  # all of it belongs to what may be a key
            yield block

    def pause(self) -> str:
        """Nothing more comes for now: the lines that are complete, "" for none."""
        return self._take(lines_kept=0)

    def end(self) -> str:
        """Nothing more comes: the rest."""
        rest = "".join(self._pieces)
        self._pieces.clear()
        return rest

    def _take(self, *, lines_kept: int) -> str:
        """Take all complete lines away, but for the last ones, and for a key that goes on behind them."""
        text = "".join(self._pieces)
        end = len(text)
        for _ in range(lines_kept + 1):
            if (end := text.rfind("\n", 0, end)) < 0:
                break
        end += 1
        begin = text.rfind(_BEGIN, 0, end)
        if begin >= 0 and end - begin < _KEY_CHARS and text.find(_END, begin, end) < 0:
            end = text.rfind("\n", 0, begin) + 1
        block, rest = text[:end], text[end:]
        self._pieces, self._chars = [rest], len(rest)
        self._line_ends -= block.count("\n")
        return block


class Source:
    """A stream of bytes that is read either by lines or by blocks, once its first line has told which."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._head = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.line_count = 0
        """Lines that were decoded: what is no UTF-8 stands in the next one."""

    def first_line(self) -> bytes:
        """The first line that is not blank; b"" if there is none. It is read again by whatever reads next."""
        head = bytearray()
        line, is_whole = b"", b""
        while not is_whole and (piece := os.read(self._raw.fileno(), _READ_BYTES)):
            head += piece
            if b"\n" in piece:
                line, is_whole, _ = bytes(head).lstrip().partition(b"\n")
        self._head = bytes(head)
        return line if is_whole else self._head.lstrip()

    def lines(self) -> Iterator[bytes]:
        """Every line, as soon as it is complete."""
        *whole, part = self._head.split(b"\n")
        yield from whole
        for line in io.BufferedReader(self._raw):
            yield part + line
            part = b""
        if part:
            yield part

    def everything(self) -> str:
        """All of it as one text. Raises UnicodeDecodeError at what is no UTF-8."""
        return self._decoded(self._head + self._raw.readall(), is_last=True)

    def blocks(self) -> Iterator[str]:
        """See `Blocks`. Raises UnicodeDecodeError at what is no UTF-8."""
        blocks = Blocks()
        yield from blocks.feed(self._decoded(self._head))
        while True:
            if not select.select([self._raw], [], [], _PAUSE_S)[0] and (block := blocks.pause()):
                yield block
            piece = os.read(self._raw.fileno(), _READ_BYTES)
            yield from blocks.feed(self._decoded(piece, is_last=not piece))
            if not piece:
                break
        if rest := blocks.end():
            yield rest

    def _decoded(self, content: bytes, *, is_last: bool = False) -> str:
        try:
            text = self._decoder.decode(content, is_last)
        except UnicodeDecodeError as error:
            self.line_count += error.object[: error.start].count(b"\n")
            raise
        self.line_count += text.count("\n")
        return text
