"""How text that arrives in a pipe is taken line by line or in blocks, without waiting for its end.

A block is whole lines of plain text. It ends when the pipe pauses, or is full; values that cross lines (a private key,
the lines of a passport) are not cut: what may go on stays for the next block.
"""

from __future__ import annotations

import codecs
import io
import os
import select
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


class Blocks:
    """Text in pieces -> blocks. All blocks together are the text."""

    def __init__(self, block_chars: int = BLOCK_CHARS) -> None:
        self._block_chars = block_chars
        self._text = ""

    def feed(self, piece: str) -> Iterator[str]:
        """The blocks that `piece` fills."""
        self._text += piece
        while len(self._text) >= self._block_chars:
            end = len(self._text)
            for _ in range(_LINES_KEPT + 1):
                end = self._text.rfind("\n", 0, end)
            if not (block := self._cut(end + 1)):
                return  # lines longer than a block: the redactor has a limit for them
            yield block

    def pause(self) -> str:
        """Nothing more comes for now: the lines that are complete, "" for none."""
        return self._cut(self._text.rfind("\n") + 1)

    def end(self) -> str:
        """Nothing more comes: the rest."""
        rest, self._text = self._text, ""
        return rest

    def _cut(self, end: int) -> str:
        """Take the first `end` characters away, but for a key that goes on behind them."""
        begin = self._text.rfind(_BEGIN, 0, end)
        if begin >= 0 and end - begin < _KEY_CHARS and self._text.find(_END, begin, end) < 0:
            end = self._text.rfind("\n", 0, begin) + 1
        block, self._text = self._text[: max(end, 0)], self._text[max(end, 0) :]
        return block


class Source:
    """A file descriptor that is read either by lines or by blocks, once its first line has told which."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._head = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.line_count = 0
        """Lines that were decoded: what is no UTF-8 stands in the next one."""

    def first_line(self) -> bytes:
        """The first line that is not blank; b"" if there is none. It is read again by whatever reads next."""
        while True:
            line = self._head.lstrip().partition(b"\n")
            if line[1]:
                return line[0]
            piece = os.read(self._descriptor, _READ_BYTES)
            if not piece:
                return line[0]
            self._head += piece

    def lines(self) -> Iterator[bytes]:
        """Every line, as soon as it is complete."""
        *whole, part = self._head.split(b"\n")
        yield from whole
        with io.FileIO(self._descriptor, closefd=False) as raw:
            for line in io.BufferedReader(raw):
                yield part + line
                part = b""
        if part:
            yield part

    def everything(self) -> str:
        """All of it as one text. Raises UnicodeDecodeError at what is no UTF-8."""
        with io.FileIO(self._descriptor, closefd=False) as raw:
            return self._decoded(self._head + raw.readall(), is_last=True)

    def blocks(self) -> Iterator[str]:
        """See `Blocks`. Raises UnicodeDecodeError at what is no UTF-8."""
        blocks = Blocks()
        yield from blocks.feed(self._decoded(self._head))
        while True:
            if not select.select([self._descriptor], [], [], _PAUSE_S)[0] and (block := blocks.pause()):
                yield block
            piece = os.read(self._descriptor, _READ_BYTES)
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
