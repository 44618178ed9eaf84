"""/healthz, /readyz and /metrics on a loopback port (aiohttp)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from stream_maas.errors import SettingsError
from stream_maas.worker.health import Health


class Exposition(Protocol):
    """Whatever keeps a process's metrics."""

    def exposition(self) -> bytes: ...


class ProbeServer:
    """Serves the three pages until stopped. `refresh` is called before each reading, to bring gauges up to date."""

    def __init__(self, host: str, port: int, health: Health, metrics: Exposition, refresh: Callable[[], None]) -> None:
        self._host = host
        self._requested_port = port
        self._health = health
        self._metrics = metrics
        self._refresh = refresh
        self._runner: web.AppRunner | None = None
        self.port = 0
        """The bound TCP port, known after `start`."""

    async def start(self) -> None:
        """Raises `SettingsError` when the address cannot be had."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_page)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._requested_port)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                f"worker.web_host, worker.web_port: {self._host}:{self._requested_port} cannot be had "
                f"({os.strerror(error.errno or 0)}); 0 takes a free port"
            ) from error
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        self._refresh()
        return _probe(*self._health.live(time.monotonic()))

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _probe(*self._health.ready())

    async def _metrics_page(self, _request: web.Request) -> web.Response:
        self._refresh()
        return web.Response(
            body=self._metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )


def _probe(ok: bool, reason: str) -> web.Response:
    return web.json_response({"ok": ok, "reason": reason}, status=200 if ok else 503)
