"""Server-sent events with resume: who missed what, and when it is cheaper to start over.

Every message has a number and the id `BOOT-NUMBER`. A browser that comes back names the last id it has seen
(`Last-Event-ID`, as the HTML standard has it); it gets what it missed while that is still kept, and otherwise, or
when the id is of another process, the message `reset`, upon which it loads everything anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

KEPT_MESSAGES = 900
"""A quarter of an hour of one message a second: a phone that slept on the way catches up without loading anew."""
RETRY_MS = 1_000
"""How soon a browser comes back."""
RESET = "reset"


@dataclass(frozen=True, slots=True)
class Message:
    """One event of the stream, ready to be written."""

    number: int
    frame: bytes


class Hub:
    """One writer, any number of readers. A reader that falls behind the kept messages is sent `reset`."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.number = 0
        """Number of the newest message."""
        self.readers = 0
        self._kept: deque[Message] = deque(maxlen=KEPT_MESSAGES)
        self._news = asyncio.Condition()
        self._closed = False

    @property
    def last_id(self) -> str:
        """The id to resume from for somebody who has loaded everything up to now."""
        return f"{self.boot}-{self.number}"

    async def publish(self, kind: str, document: Any) -> None:
        """Send one JSON document to all readers."""
        async with self._news:
            self.number += 1
            self._kept.append(Message(self.number, frame(kind, document, f"{self.boot}-{self.number}")))
            self._news.notify_all()

    async def close(self) -> None:
        """End the stream of every reader."""
        async with self._news:
            self._closed = True
            self._news.notify_all()

    async def follow(self, last_id: str) -> AsyncIterator[bytes]:
        """Frames after `last_id`, then new ones until the hub is closed."""
        seen = self._resume(last_id)
        self.readers += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while True:
                if seen is None or (self._kept and seen + 1 < self._kept[0].number):
                    seen = self.number
                    yield frame(RESET, {}, self.last_id)
                missed = [message for message in self._kept if message.number > seen]
                for message in missed:
                    yield message.frame
                seen = missed[-1].number if missed else seen
                async with self._news:
                    while not self._closed and self.number == seen:
                        await self._news.wait()
                    if self._closed:
                        return
        finally:
            self.readers -= 1

    def _resume(self, last_id: str) -> int | None:
        """Number of the last message that this reader has, None when that cannot be told."""
        boot, _, number = last_id.rpartition("-")
        if boot != self.boot or not number.isdigit() or int(number) > self.number:
            return None
        return int(number)


def frame(kind: str, document: Any, id_: str) -> bytes:
    """One event in the text/event-stream format. JSON has no raw line breaks, so one data line is enough."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (id_.encode(), kind.encode(), orjson.dumps(document))
