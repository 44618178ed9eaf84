"""Ours with governance taken out, for the benchmark alone: the product has no switch for it, and should not get one.

`--without audit` publishes no audit event and computes none of its digests; `--without redaction` lets every text
through unread. Everything else is the worker as it is deployed: checks, rejections, deadlines, transactions, metrics.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from stream_maas import pipeline, settings
from stream_maas.errors import ExpiredError
from stream_maas.privacy import Redactor
from stream_maas.records import Answered, Redacted, Request
from stream_maas.worker import app as worker_app


class BlindRedactor(Redactor):
    """Redacts nothing."""

    def redact_request(self, request: Request, *, key: bytes | None = None) -> Redacted[Request]:
        return Redacted(request, {}, key, self.nothing_found)

    def self_test(self) -> None:
        """Would not pass."""


def finish_unaudited(
    plan: pipeline.Plan, *, clock: pipeline.Clock, service: pipeline.Service, attempt: int = 1
) -> Answered:
    """`pipeline.finish` without decisions, their digests and events: `attempt` would stand in those."""
    moment = plan.moment
    elapsed_us = (clock() - moment.started_ns) // 1000
    written_us = moment.now_us + elapsed_us
    for item in plan.items:
        waited_us = max(0, moment.now_us - item.record.timestamp * 1000)
        if item.deadline_us is not None and item.error is None and written_us > item.deadline_us:
            item.error = ExpiredError(pipeline._LATE)
        item.timings = pipeline.Timings(waited_us, item.redact_us, item.infer_us, waited_us + elapsed_us)
    results = [result for item in plan.items if (result := pipeline._result(item, service)) is not None]
    codes, models, redactions = pipeline._tally(plan.items)
    return Answered(
        results=results,
        audits=[],
        dead_letters=[],
        codes=codes,
        models=models,
        redactions=redactions,
        queue_us=[item.timings.queue_us for item in plan.items],
        total_us=[item.timings.total_us for item in plan.items],
        stages_us=plan.stages_us,
        batch_sizes=[len(batch.items) for batch in plan.batches],
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "prefix", "group", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--without", action="append", choices=("redaction", "audit"), default=[])
    options = parser.parse_args()
    # The composition root has no seam for this, as for path_only.py.
    if "redaction" in options.without:
        setattr(worker_app, "Redactor", BlindRedactor)  # noqa: B010
    if "audit" in options.without:
        setattr(pipeline, "finish", finish_unaudited)  # noqa: B010
    config = settings.load(
        {
            "kafka.bootstrap": options.bootstrap,
            "topics.prefix": options.prefix,
            "inference.models": options.model,
            "worker.app_id": options.group,
            "worker.instance": "bench",
            "worker.delivery": "exactly-once",
        }
    )

    def ready(facts: dict[str, Any]) -> None:
        print(json.dumps({**facts, "status": "ready"}), flush=True)

    sys.exit(worker_app.run_worker(config, on_ready=ready))


if __name__ == "__main__":
    main()
