"""Which models are served now, and how a changed bundle takes over while requests are on their way.

The new model is read, checked, opened and tried in a thread beside the old one; then one reference changes. Batches
that are being answered keep the model they began with, and every answer names the version that made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from stream_maas import pipeline
from stream_maas.errors import BundleError
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.inference.catalog import Fingerprint, fingerprints
from stream_maas.worker.metrics import Metrics

log = structlog.get_logger()


class Serving:
    """The service that answers now. `keep_watch` puts another in its place when bundles change."""

    def __init__(self, service: pipeline.Service, config: RuntimeConfig, metrics: Metrics) -> None:
        self.service = service
        self._config = config
        self._metrics = metrics
        self._seen: dict[Path, Fingerprint] = {path: each.fingerprint for path, each in service.catalog.loaded.items()}
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Look at the bundles now (SIGHUP)."""
        self._asked.set()

    async def keep_watch(self, on_swap: Callable[[Catalog], None]) -> None:
        """Look at the bundle folders every `reload_ms` and when asked; never ends. `on_swap` gets each new catalog."""
        wait_s = self._config.reload_ms / 1000 if self._config.reload_ms else None
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), wait_s)
            asked = self._asked.is_set()
            self._asked.clear()
            found = await asyncio.to_thread(fingerprints, self._config)
            if found == self._seen and not asked:
                continue
            self._seen = found
            await self._reload(on_swap)

    async def _reload(self, on_swap: Callable[[Catalog], None]) -> None:
        old = self.service.catalog
        try:
            new = await asyncio.to_thread(Catalog.load, self._config, previous=old, meter=meter)
        except BundleError as error:
            self._metrics.reloads.labels("failed").inc()
            log.error("models not reloaded, the old ones go on serving", reason=str(error))  # noqa: TRY400 - no defect
            return
        self.service = replace(self.service, catalog=new)
        tell_changes(old, new)
        self._metrics.reloads.labels("failed" if new.failures else "ok").inc()
        on_swap(new)


def tell_changes(old: Catalog | None, new: Catalog) -> None:
    """Log what is served from now on, what no longer is, and what could not be loaded."""
    before = set(old.models) if old is not None else set()
    for loaded in new.loaded.values():
        model = loaded.model
        if model not in before:
            log.info(
                "model loaded",
                model=model.ref.name,
                version=model.ref.version,
                digest=model.ref.digest[:12],
                load_ms=loaded.load_us // 1000,
                memory_mb=loaded.memory_bytes >> 20,
                shares_calls=model.shares_calls,
                replayable=model.replayable,
            )
    for model in before - set(new.models):
        log.info("model no longer served", model=model.ref.name, version=model.ref.version)
    for path, reason in new.failures.items():
        serving = " (its last good version goes on serving)" if Path(path) in new.loaded else ""
        log.error(f"model bundle not loaded{serving}", bundle=path, reason=reason)


def meter() -> tuple[int, int]:
    """Monotonic nanoseconds, and this process's resident memory in bytes (0 where /proc is not there)."""
    try:
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return time.perf_counter_ns(), 0
    return time.perf_counter_ns(), resident_pages * _PAGE_BYTES


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
