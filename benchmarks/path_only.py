"""The worker with its serving step taken out: fetch, Faust, decode, publish and commit are the real ones.

What is published instead are result and audit records of a real run (`--samples`), one of each per request, so the
bytes on the wire are those of the whole worker, but nothing is redacted, inferred or encoded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from benchmarks import samples
from stream_maas import settings, wire
from stream_maas.records import Answered, Outgoing, Unlinked
from stream_maas.worker import app as worker_app
from stream_maas.worker.agents import LaneAgent
from stream_maas.worker.chunks import Chunk


class PathOnlyAgent(LaneAgent):
    """Decodes each request, then answers with the next samples."""

    results: Iterator[Outgoing]
    audits: Iterator[Unlinked]

    async def _serve(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            for record in chunk.records:
                wire.decode_request(record)
            count = len(chunk.records)
            results, audits = list(islice(self.results, count)), list(islice(self.audits, count))
            self._publisher.publish(chunk, Answered(results, audits, [], {"prediction": count}))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "prefix", "group", "model", "samples"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--delivery", default="exactly-once", choices=("exactly-once", "at-least-once"))
    options = parser.parse_args()
    recorded = samples.load(Path(options.samples))
    PathOnlyAgent.results, PathOnlyAgent.audits = cycle(recorded.results), cycle(recorded.audits)
    # The composition root has no seam for this, and should not get one for a benchmark's sake.
    setattr(worker_app, "LaneAgent", PathOnlyAgent)  # noqa: B010
    config = settings.load(
        {
            "kafka.bootstrap": options.bootstrap,
            "topics.prefix": options.prefix,
            "inference.models": options.model,
            "worker.app_id": options.group,
            "worker.instance": "bench",
            "worker.delivery": options.delivery,
        }
    )
    ready = lambda facts: print(json.dumps({**facts, "status": "ready"}), flush=True)  # noqa: E731
    sys.exit(worker_app.run_worker(config, on_ready=ready))


if __name__ == "__main__":
    main()
