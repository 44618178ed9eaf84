"""Telling the Alertmanager and a webhook, against a real HTTP server that answers as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from stream_maas.monitor.alerts import AlertEvent
from stream_maas.monitor.config import MonitorConfig
from stream_maas.worker import notify
from tests.unit.monitor.test_alerts import lived, spell


@dataclass
class Receiver:
    """What was posted, and what is to be answered."""

    posts: list[tuple[str, Any, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.posts.append((request.path, await request.json(), request.headers.get("Authorization", "")))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield made
    await runner.cleanup()


def events() -> list[AlertEvent]:
    """Something fires and is resolved."""
    run = lived(spell(0, 10), spell(10, 20, "model_error", every=2), spell(20, 60))
    return [event for event in run.events if event.data["rule"] == "errors:fast"]


async def test_alertmanager_gets_firing_and_resolved_in_its_own_form(receiver: Receiver) -> None:
    failures: list[str] = []
    config = MonitorConfig(alertmanager_url=receiver.url, webhook_token="t0ken")
    notifier = notify.Notifier(config, on_failure=failures.append)
    notifier.tell(events())
    await notifier.stop()
    [(path, alerts, authorization)] = receiver.posts
    assert (path, authorization) == ("/api/v2/alerts", "Bearer t0ken")
    fired, resolved = alerts
    assert fired["labels"]["alertname"] == "errors:fast"
    assert fired["labels"]["model"] == "sentiment-lite"
    assert fired["startsAt"] == resolved["startsAt"]
    assert "endsAt" not in fired
    assert resolved["endsAt"] > resolved["startsAt"]
    assert fired["labels"] == resolved["labels"]
    assert failures == []


async def test_what_fires_is_told_again_and_what_is_hushed_is_not(receiver: Receiver) -> None:
    notifier = notify.Notifier(MonitorConfig(alertmanager_url=receiver.url, resend_ms=60_000), on_failure=print)
    fired = events()[0].alert
    fired.firing = True
    for now_s in (100.0, 130.0, 161.0):
        notifier.remind([fired], lambda alert: False, now_s)
    notifier.remind([fired], lambda alert: True, 300.0)
    await notifier.stop()
    assert len(receiver.posts) == 2


async def test_webhook_gets_every_event_and_a_failing_post_is_tried_again(receiver: Receiver) -> None:
    receiver.answers = [503]
    failures: list[str] = []
    notifier = notify.Notifier(MonitorConfig(webhook_url=f"{receiver.url}/hook"), on_failure=failures.append)
    told = events()
    notifier.tell(told)
    await notifier.stop()
    assert [document["event_id"] for _, document, _ in receiver.posts] == [told[0].id, *[event.id for event in told]]
    assert failures == []


async def test_a_refused_post_is_given_up_and_counted(receiver: Receiver) -> None:
    receiver.answers = [400] * 10
    failures: list[str] = []
    notifier = notify.Notifier(MonitorConfig(webhook_url=receiver.url), on_failure=failures.append)
    notifier.tell(events()[:1])
    await notifier.stop()
    assert failures == ["webhook"]
    assert len(receiver.posts) == 1


async def test_nobody_to_tell_costs_nothing() -> None:
    notifier = notify.Notifier(MonitorConfig(), on_failure=print)
    notifier.tell(events())
    notifier.remind([], lambda alert: False, 0.0)
    await notifier.stop()
    assert len(asyncio.all_tasks()) == 1
