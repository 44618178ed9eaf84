"""How fast the monitor reads and folds audit events: bytes to windows and alerts, one core, no broker.

`python -m benchmarks.monitor_fold` prints events per second and CPU microseconds per event, by what they are spent on.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from stream_maas.monitor.monitor import Monitor
from stream_maas.monitor.outcomes import Outcomes, read_outcomes
from stream_maas.monitor.rules_file import default_text, parse_rules
from stream_maas.wire.audit import rfc3339

EVENTS = 400_000
CHUNK = 2048
PARTITIONS = 4
RATE_PER_S = 100_000
START_US = 1_790_000_000_000_000
TENANTS = 40
EXAMPLE = json.loads(Path("schemas/examples/audit-event/valid/prediction.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Stored:
    """A Kafka record, as far as the monitor looks."""

    offset: int
    value: bytes


def event(partition: int, number: int, at_us: int) -> bytes:
    """An audit event as a worker writes it, of one of three models and forty tenants; one in a hundred fails."""
    document = copy.deepcopy(EXAMPLE)
    data = document["data"]
    document["time"] = rfc3339(at_us)
    data["request"] |= {"partition": partition, "offset": number, "timestamp_ms": at_us // 1000}
    data["model"]["name"] = f"model-{number % 3}"
    data["caller"]["tenant"] = f"tenant-{number % TENANTS}"
    data["timings_us"]["total"] = 2000 + number % 900
    if number % 100 == 0:
        data |= {"status": "rejection", "code": "model_error"}
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def chunks() -> list[tuple[int, Sequence[Stored]]]:
    """Chunks of all partitions in turn, as if `RATE_PER_S` events came in every second."""
    made = []
    offsets = [0] * PARTITIONS
    for first in range(0, EVENTS, CHUNK):
        partition = first // CHUNK % PARTITIONS
        records = []
        for number in range(first, first + CHUNK):
            offset = offsets[partition]
            offsets[partition] += 1
            records.append(Stored(offset, event(partition, offset, START_US + number * 1_000_000 // RATE_PER_S)))
        made.append((partition, records))
    return made


def main() -> None:
    made = chunks()
    count = sum(len(records) for _, records in made)
    size = sum(len(record.value) for _, records in made for record in records) / count
    for attempt in range(3):
        monitor = Monitor(parse_rules(default_text()), "maas.audit", dict.fromkeys(range(PARTITIONS), 0), START_US)
        reading_s = folding_s = 0.0
        for partition, records in made:
            began_s = time.process_time()
            outcomes: Outcomes = read_outcomes(records)
            read_s = time.process_time()
            monitor.take(partition, outcomes)
            monitor.advance()
            reading_s += read_s - began_s
            folding_s += time.process_time() - read_s
        total_s = reading_s + folding_s
        print(
            f"run {attempt + 1}: {count / total_s:,.0f} events/s; {reading_s / count * 1e6:.2f} us to read, "
            f"{folding_s / count * 1e6:.2f} us to fold an event of {size:.0f} bytes"
        )


if __name__ == "__main__":
    main()
