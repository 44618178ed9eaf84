"""Does memory stay flat? Two million rows of random length through the pipeline, resident memory on the way.

    python -m benchmarks.memory_flat [--rows 2000000] [--model DIR]

In one process, without a broker: what is measured is what a worker's serving path keeps. Chunks are of random size and
their texts of 1 to 100 words, so that nearly every model call has another shape. Ends with 1 when a reading after the
first tenth is more than 5 % away from their median.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.privacy import Redactor
from stream_maas.records import InputRecord, Writer
from stream_maas.worker.swap import meter

SEED = 20261122
TEXT = (
    "the a film was not very good bad slow brilliant waste of two hours and i would see it again with my friends "
    "because plot music actors script ending awful lovely boring moving funny"
)
PERSONAL = "write to zoe@example.org or call 212 555 0100"
"""Stands in every twentieth text."""
BODIES = 20_000
MAX_WORDS, MAX_CHUNK = 100, 512
READINGS = 40
TOLERANCE_RATIO = 0.05


def bodies(rng: random.Random) -> list[bytes]:
    """Requests of 1 to `MAX_WORDS` words, short ones more often than long ones."""
    made = []
    for _ in range(BODIES):
        words = rng.choices(TEXT.split(), k=1 + int(rng.random() ** 2 * MAX_WORDS))
        if rng.random() < 0.05:
            words.append(PERSONAL)
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [" ".join(words)]}
        made.append(orjson.dumps({"inputs": [tensor]}))
    return made


def chunks(rng: random.Random, rows: int) -> Iterator[list[InputRecord]]:
    """Records of one partition in chunks of random size, `rows` together."""
    values, offset = bodies(rng), 0
    while offset < rows:
        size = min(rng.randint(1, MAX_CHUNK), rows - offset)
        yield [
            InputRecord("maas.requests", 0, offset + place, 1_700_000_000_000, b"key", rng.choice(values))
            for place in range(size)
        ]
        offset += size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--model", type=Path, help="bundle of a text model; default: the packaged sentiment-lite")
    options = parser.parse_args()
    config = RuntimeConfig(models=(str(options.model),) if options.model else ())
    service = pipeline.Service(
        redactor=Redactor(),
        catalog=Catalog.load(config, meter=meter),
        limits=Limits(),
        audit=wire.AuditEncoder(Writer("bench", "bench", "bench")),
        source="/stream-maas/bench",
        digest_key=b"k" * 32,
    )
    readings: list[tuple[int, int]] = []
    done, codes, started_s = 0, {"prediction": 0}, time.perf_counter()
    print("rows        resident_mb", flush=True)
    for chunk in chunks(random.Random(SEED), options.rows):
        answered = pipeline.serve(
            chunk, lane="default", now_us=1_700_000_000_000_000, clock=time.perf_counter_ns, service=service
        )
        codes["prediction"] += answered.codes.get("prediction", 0)
        done += len(chunk)
        if done >= (len(readings) + 1) * options.rows // READINGS:
            readings.append((done, meter()[1]))
            print(f"{done:<11} {readings[-1][1] / 1e6:.1f}", flush=True)
    settled = [resident for rows, resident in readings if rows > options.rows // 10]
    middle = statistics.median(settled)
    worst = max(abs(resident - middle) / middle for resident in settled)
    print(
        f"{done} rows, {codes['prediction']} predictions, {done / (time.perf_counter() - started_s):.0f} rows/s; "
        f"median {middle / 1e6:.1f} MB, first {settled[0] / 1e6:.1f} MB, last {settled[-1] / 1e6:.1f} MB, "
        f"furthest from the median {worst:.1%} (allowed {TOLERANCE_RATIO:.0%})"
    )
    return int(worst > TOLERANCE_RATIO or codes["prediction"] != done)


if __name__ == "__main__":
    sys.exit(main())
