"""The demo's fault: a worker that hangs, the alert that fires for it, and the same alert when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from stream_maas.cli.demo_checks import Check

if TYPE_CHECKING:
    from stream_maas.cli.common import Output
    from stream_maas.cli.demo_processes import Running
    from stream_maas.client import Pending
    from stream_maas.settings import Settings

TIME_SCALE = 0.02
"""Of the monitor's windows: an hour is 72 s, five minutes are 6 s. With 1 the demo would have to run for an hour."""
CALLS_PER_S = 20
DEADLINE_US = 1_000_000
"""Of each request: what waits for a hanging worker longer than this is answered `expired`."""
HEALTHY_S = 3.0
HANGS_S = 3.0
"""Shorter than the group's session: the worker must be the same one afterwards."""
GIVE_UP_S = 120.0
TRAFFIC = "traffic-"
"""What the ids of these requests begin with."""
CLAIM = "a fault is told, and that it is over"


@dataclass(slots=True)
class _Story:
    """What the alerts topic says about the first page that fires after the fault."""

    begun_s: float
    """Monotonic clock."""
    begun_us: int
    """Epoch: what breached before is another story."""
    incident: str | None = None
    rule: str = ""
    fired_s: float | None = None
    resolved_s: float | None = None


async def hang_and_recover(settings: Settings, worker: Running, model: str, output: Output) -> Check:
    """Freeze the worker under traffic, wake it, and watch until the alert has fired and is resolved."""
    from stream_maas.client import Client

    async with Client(kafka=settings.kafka, prefix=settings.topics.prefix) as client, _traffic(client, model):
        await asyncio.sleep(HEALTHY_S)
        output.print(f"fault     the worker hangs for {HANGS_S:g} s under {CALLS_PER_S} requests a second")
        story = _Story(time.monotonic(), time.time_ns() // 1000)
        worker.freeze()
        try:
            await asyncio.sleep(HANGS_S)
        finally:
            worker.wake()
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await _watch(settings, story, output)
        except TimeoutError:
            missing = "no page fired" if story.fired_s is None else f"{story.rule} was not resolved"
            return Check(CLAIM, False, f"{missing} within {GIVE_UP_S:g} s")
    return Check(
        CLAIM, True, f"{story.rule} fired after {story.fired_s:.1f} s, was resolved after {story.resolved_s:.1f} s"
    )


async def go_on(settings: Settings, model: str) -> None:
    """Healthy traffic until the command is interrupted."""
    from stream_maas.client import Client

    async with Client(kafka=settings.kafka, prefix=settings.topics.prefix) as client, _traffic(client, model):
        await asyncio.Event().wait()


@asynccontextmanager
async def _traffic(client: Any, model: str) -> AsyncIterator[None]:
    """Requests with a deadline, one after the other, for as long as the block lasts; then all are answered."""
    from stream_maas.client import Call

    pending: list[Pending] = []

    async def send() -> None:
        number = 0
        while True:
            number += 1
            call = Call(model, "Nothing much happens.", id=f"{TRAFFIC}{number}", timeout_us=DEADLINE_US)
            pending.append(await client.begin(call, timeout=GIVE_UP_S))
            await asyncio.sleep(1 / CALLS_PER_S)

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        await asyncio.gather(*(item.answer for item in pending), return_exceptions=True)


async def _watch(settings: Settings, story: _Story, output: Output) -> None:
    """Return when the page that fired is resolved; every step of it is shown."""
    from stream_maas import topics
    from stream_maas.replay import read

    async with aclosing(read(settings.kafka, topics.alerts(settings.topics.prefix))) as records:
        async for record in records:
            alert = orjson.loads(record.value or b"{}").get("data", {})
            fires = alert.get("event") == "firing" and alert["severity"] == "page"
            if story.incident is None and fires and alert["started_at_us"] >= story.begun_us:
                story.incident, story.rule = alert["incident_id"], alert["rule"]
            if alert.get("incident_id") != story.incident or story.incident is None:
                continue
            after_s = time.monotonic() - story.begun_s
            _show(alert, after_s, output)
            if alert["event"] == "firing":
                story.fired_s = after_s
            elif alert["event"] == "resolved":
                story.resolved_s = after_s
                return


def _show(alert: dict[str, Any], after_s: float, output: Output) -> None:
    if output.as_json:
        names = ("event", "incident_id", "rule", "severity", "summary")
        output.emit({"event": "alert", "after_s": round(after_s, 1), "step": alert["event"]} | {
            name: alert[name] for name in names[1:]
        })  # fmt: skip
    style = {"firing": "bold red", "resolved": "green"}.get(alert["event"])
    output.print(f"alert     {alert['event']} after {after_s:.1f} s: {alert['summary']}", style=style)
