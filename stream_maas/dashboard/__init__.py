"""The live page: a process of its own that reads topics and serves one page, so that a busy worker cannot freeze it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from stream_maas.dashboard.commands import Sender
from stream_maas.dashboard.explorer import Explorer
from stream_maas.dashboard.feed import Feed
from stream_maas.dashboard.hub import Hub
from stream_maas.dashboard.server import Archive, Server
from stream_maas.kafka import wait_for_broker
from stream_maas.settings import Settings

__all__ = ["run_dashboard"]


async def run_dashboard(
    settings: Settings, *, on_ready: Callable[[Mapping[str, Any]], None], archive: Archive | None = None
) -> None:
    """Serve the page until SIGTERM or SIGINT. `on_ready` gets its address once it answers; `archive` makes the
    proofs that browsers check.

    Raises `SettingsError` for an address that cannot be had or that would be open to others without a token.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    hub = Hub(secrets.token_hex(4))
    feed = Feed(settings, hub)
    explorer = Explorer(settings.kafka, feed.audit_topic)
    sender = Sender(settings.kafka, feed.commands_topic)
    server = Server(settings.dashboard, feed, hub, explorer, sender, archive)
    await wait_for_broker(settings.kafka, on_wait=lambda line: print(line, file=sys.stderr))
    await server.start()
    reading = asyncio.create_task(feed.run())
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        on_ready({"url": server.url, "port": server.port})
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if reading.done():
            reading.result()
    finally:
        await server.stop()
        reading.cancel()
        await asyncio.wait([reading])
        await explorer.close()
        await sender.close()
