"""How an outage of the audit topic ends: move what waits, announce it, let everything go its usual way again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from stream_maas.errors import SpoolError
from stream_maas.worker.chains import SessionChains
from stream_maas.worker.outage import Outage
from stream_maas.worker.producers import backoff_s
from stream_maas.worker.spool_mover import SpoolMover

log = structlog.get_logger()

_LOOK_S = 0.1


class WayBack:
    """Tries again and again while there is an outage. The spool is moved while the worker goes on filling it."""

    def __init__(self, outage: Outage, mover: SpoolMover, chains: SessionChains) -> None:
        self._outage, self._mover, self._chains = outage, mover, chains

    async def run(self, alone: Callable[[], AbstractAsyncContextManager[bool]], release: Callable[[], None]) -> None:
        """For ever. `alone`: around a block in which the worker writes nothing and has nothing open; False when the
        worker stops. `release`: chunks that were held back may go."""
        failures = 0
        while True:
            await asyncio.sleep(_LOOK_S if not failures else backoff_s(failures))
            if not self._outage.active or self._outage.trying:
                failures = 0
                continue
            if self._outage.spool is None or self._outage.spool.is_empty:
                await self._try(alone, release)
                continue
            try:
                if not await self._move():
                    async with alone() as may:
                        if may:
                            await self._end()
                            release()
            except SpoolError:
                raise
            except Exception as error:  # noqa: BLE001 - still away, or the broker is: try again
                failures += 1
                log.debug("the audit topic still refuses", reason=type(error).__name__)
            else:
                failures = 0

    async def _try(self, alone: Callable[[], AbstractAsyncContextManager[bool]], release: Callable[[], None]) -> None:
        # An attempt that fails drops what was read, so there must be time to put something into the spool instead.
        await asyncio.sleep(backoff_s(self._outage.failures))
        async with alone() as may:
            # Events may have been spooled meanwhile, and nothing goes past them.
            if may and (self._outage.spool is None or self._outage.spool.is_empty):
                self._outage.trying = True
                release()

    async def _move(self) -> bool:
        """One step; whether there was one to make."""
        frames = await self._mover.move()
        for frame in frames:
            self._outage.told(frame)
        self._outage.on_change(self._outage)
        return bool(frames)

    async def _end(self) -> None:
        while await self._move():
            pass
        if self._outage.spool is not None and not self._outage.spool.is_empty:
            rows = self._outage.announcements(self._chains)
            try:
                await self._mover.announce(rows)
            except BaseException:
                # Nobody knows whether the announcements are in the chains.
                self._chains.roll_back(certain=False)
                raise
            self._chains.commit()
        self._outage.end()
