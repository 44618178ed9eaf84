"""What a model costs, for sizing a deployment: load time, memory, rows per second by the model alone, without Kafka.

    python -m benchmarks.capacity [DIR ...]        bundles or folders of bundles; default: the packaged ones

Rows are the model's own samples (texts of 1 to 40 words of its vocabulary, values spread over their range). `alone` is
one record per call; `planned` is a window of 256 rows grouped as the worker does it. Each figure is the best of several
repetitions; CPU time is the process's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.table import Table

from stream_maas.inference import Catalog, Model, Row, RuntimeConfig
from stream_maas.worker.swap import meter

WINDOW_ROWS = 256
LONGEST_S = 2.0
"""Repetitions of one figure end after this."""
THREADS = 2


def best_s(work: Callable[[], object]) -> float:
    """Seconds of the fastest run: at least three runs, as many as fit into `LONGEST_S`."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < LONGEST_S:
        started_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - started_s)
    return min(times)


def measure(model: Model) -> tuple[float, float, float]:
    """Microseconds per row alone, per row planned, and rows per second of two threads together."""
    samples = model.samples()
    window: list[Row] = (samples * (WINDOW_ROWS // len(samples) + 1))[:WINDOW_ROWS]
    few = window[:32]
    alone_s = best_s(lambda: [model.run([row]) for row in few])
    planned_s = best_s(lambda: model.run(window))
    batches = [[window[index] for index in indexes] for indexes in model.plan(window)]
    with ThreadPoolExecutor(THREADS) as executor:
        both_s = best_s(lambda: list(executor.map(model.run, batches)))
    return alone_s / len(few) * 1e6, planned_s / WINDOW_ROWS * 1e6, WINDOW_ROWS / both_s


def main() -> None:
    catalog = Catalog.load(RuntimeConfig(models=tuple(sys.argv[1:])), meter=meter)
    for reason in catalog.failures.values():
        print(reason, file=sys.stderr)
    table = Table(
        "model", "load s", "memory MB", "shares calls", "alone us/row", "planned us/row", "rows/s", "rows/s x2"
    )
    for loaded in catalog.loaded.values():
        alone_us, planned_us, both = measure(loaded.model)
        table.add_row(
            f"{loaded.model.ref.name} {loaded.model.ref.version}",
            f"{loaded.load_us / 1e6:.2f}",
            f"{loaded.memory_bytes / 1e6:.0f}",
            "yes" if loaded.model.shares_calls else "no",
            f"{alone_us:.0f}",
            f"{planned_us:.1f}",
            f"{1e6 / planned_us:.0f}",
            f"{both:.0f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
