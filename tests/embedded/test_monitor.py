"""The monitor on a broker without transactions: a frozen broker resolves nothing, a crash repeats no event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_maas import topics
from stream_maas.brokers import EmbeddedBroker
from tests.conftest import ReadAll
from tests.kafka.test_monitor import FAST, QUICK, replay
from tests.support.deployment import create_topics
from tests.support.followers import monitor
from tests.support.log_reading import Tap
from tests.support.outage import AuditFeed, alert_event, fed, sent

pytestmark = pytest.mark.timeout(300)
FROZEN_S = 10.0
"""Longer than window and keep_firing_for of the rule at this scale, and than the wait for an idle partition."""


async def test_frozen_broker_and_killed_monitor(
    start_embedded: Callable[[], EmbeddedBroker], tmp_path: Path, read_all: ReadAll
) -> None:
    broker = start_embedded()
    kafka, prefix = broker.bootstrap, "m"
    await create_topics(kafka, prefix, 2)
    watching = monitor(kafka, prefix, "monitor-1", tmp_path / "monitor-1", *QUICK)
    feed = AuditFeed(kafka, prefix, 2, transactional=False)
    try:
        async with fed(feed), Tap(kafka, topics.alerts(prefix)) as tap:
            await watching.start().ready()
            await sent(feed, 400)
            feed.failing = True
            fired = await alert_event(tap, "firing", FAST)
            told = tap.count
            broker.freeze()
            await asyncio.sleep(FROZEN_S)
            assert tap.count == told
            broker.thaw()
            await sent(feed, feed.sent + 200)
            watching.kill()
            await sent(feed, feed.sent + 200)
            await watching.start().ready()
            feed.failing = False
            resolved = await alert_event(tap, "resolved", FAST)
            assert resolved["incident_id"] == fired["incident_id"]
        assert await watching.stop() == 0
    finally:
        watching.close()
    ids = [json.loads(record.value)["id"] for record in await read_all(kafka, topics.alerts(prefix))]
    assert len(ids) == len(set(ids))
    code, said = await replay(kafka, prefix)
    assert (code, said["status"]) == (0, "same"), said
