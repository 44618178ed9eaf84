"""The stream: nothing twice, nothing lost while it is kept, and `reset` otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from stream_maas.dashboard.hub import KEPT_MESSAGES, RESET, Hub


async def frames(stream: AsyncIterator[bytes], count: int) -> list[tuple[str, str, object]]:
    """The next `count` events as (id, kind, document); the first frame, which sets the retry time, is left out."""
    found = []
    async for frame in stream:
        lines = dict(line.split(": ", 1) for line in frame.decode().strip().splitlines())
        if "event" in lines:
            found.append((lines["id"], lines["event"], json.loads(lines["data"])))
        if len(found) == count:
            break
    return found


async def test_reader_gets_what_it_missed_and_what_comes() -> None:
    hub = Hub("boot")
    await hub.publish("beat", {"n": 1})
    last_id = hub.last_id
    await hub.publish("beat", {"n": 2})
    reading = asyncio.create_task(frames(hub.follow(last_id), 2))
    await asyncio.sleep(0)
    await hub.publish("incident", {"n": 3})
    assert await reading == [("boot-2", "beat", {"n": 2}), ("boot-3", "incident", {"n": 3})]


async def test_reader_of_another_life_starts_over() -> None:
    hub = Hub("boot")
    await hub.publish("beat", {})
    for unknown in ("", "other-1", "boot-x", "boot-9", "nonsense"):
        assert (await frames(hub.follow(unknown), 1)) == [("boot-1", RESET, {})]


async def test_reader_that_slept_too_long_starts_over() -> None:
    hub = Hub("boot")
    for _ in range(KEPT_MESSAGES + 2):
        await hub.publish("beat", {})
    assert (await frames(hub.follow("boot-1"), 1))[0][1] == RESET
    assert (await frames(hub.follow("boot-2"), 1)) == [("boot-3", "beat", {})]


async def test_close_ends_every_stream() -> None:
    hub = Hub("boot")
    reading = [asyncio.create_task(frames(hub.follow("boot-0"), 99)) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert hub.readers == 3
    await hub.close()
    assert await asyncio.gather(*reading) == [[], [], []]
    assert hub.readers == 0
