"""The smallest follower: copies the audit topic into the alerts topic, and keeps in `monitor.state` how far it got.

Run as a process of its own: `python -m tests.support.copier BOOTSTRAP PREFIX INSTANCE`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from stream_maas import replay, settings, topics
from stream_maas.worker.chunks import Chunk
from stream_maas.worker.follower import Follower, Row, run_follower


class Copier:
    """Its state is one offset per partition, read back from its own topic and from nowhere else."""

    def __init__(self, follower: Follower, loaded: settings.Settings) -> None:
        self._follower = follower
        self._kafka = loaded.kafka
        self._prefix = loaded.topics.prefix
        self._rows: list[Row] = []
        self._offsets: dict[TopicPartition, int] = {}

    async def start(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._rows, self._offsets = [], {}
        starts = {}
        async for record in replay.read(self._kafka, topics.monitor_state(self._prefix), until_end=True):
            tp = TopicPartition(topics.audit(self._prefix), int(record.key or b""))
            if tp in partitions:
                starts[tp] = int(record.value or b"")
        return starts

    async def handle(self, chunk: Chunk) -> None:
        self._rows += [Row(topics.alerts(self._prefix), 0, b"copy", record.value) for record in chunk.records]
        self._offsets[chunk.tp] = chunk.next_offset

    async def tick(self, now_us: int) -> None:
        await self.release()

    async def release(self) -> None:
        if self._offsets:
            state = [
                Row(topics.monitor_state(self._prefix), 0, str(tp.partition).encode(), str(offset).encode())
                for tp, offset in self._offsets.items()
            ]
            await self._follower.commit([*self._rows, *state], self._offsets)
        self._rows, self._offsets = [], {}


def ready(facts: Mapping[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


def main(bootstrap: str, prefix: str, instance: str) -> int:
    loaded = settings.load({"kafka.bootstrap": bootstrap, "topics.prefix": prefix, "worker.instance": instance})
    return run_follower(
        lambda: Follower(loaded, role="monitor", topics=[topics.audit(prefix)], single_owner=True, on_ready=ready),
        lambda follower: Copier(follower, loaded),
        loaded,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
