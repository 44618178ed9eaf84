"""Whether company can move a bit: the same records alone and in batches of many sizes, compared bit by bit.

Kernels treat the end of an array in another way than its middle, and sum in another order for another size, so equal
results for equal rows are a property of a graph on a processor. It is therefore tried where the model will serve,
when it is loaded. A graph that passes has been seen to be exact on these rows, which is evidence and not a proof; a
bundle that wants a proof says `batching: alone`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream_maas.errors import RequestError
from stream_maas.inference.adapter import Output, Row

Run = Callable[[Sequence[Row]], Sequence[Output | RequestError]]
Clock = Callable[[], int]
"""Monotonic nanoseconds."""

BATCH_SIZES = (2, 3, 4, 5, 7, 8, 13, 16, 17, 32, 64)
"""Around the widths of registers and of unrolled loops, where kernels change their way."""
QUICK_US = 1_000
SLOW_US = 20_000
"""From here on a call is so long that sharing it saves nothing on a CPU, so the test is not worth its minutes."""
FEW_ROWS = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the test found."""

    exact: bool
    """Every row got the same bits in every batch that was tried."""
    floor_us: int
    """The quickest call on one row; 0 without a clock."""
    floor_us_per_token: float
    """The quickest call per token of its row."""


def examine(run: Run, rows: Sequence[Row], clock: Clock | None, *, together: bool) -> Verdict:
    """Run `rows` (of one row each) alone, and with `together` in batches. `run` makes one call of what it is handed."""
    alone: list[str] = []
    floor_us, per_token = 0, 0.0
    for index, row in enumerate(rows):
        started_ns = clock() if clock is not None else 0
        answers = run([row])
        taken_us = (clock() - started_ns) / 1000 if clock is not None else 0.0
        alone.append(_bits(answers[0]))
        # The first call pays for lazy set-up.
        if index:
            floor_us = min(floor_us or int(taken_us), int(taken_us))
            per_token = min(per_token or taken_us / max(1, row.length), taken_us / max(1, row.length))
        if index >= FEW_ROWS and (floor_us > QUICK_US or not together):
            break
    tested = rows[: len(alone)]
    exact = together and floor_us < SLOW_US and _same_together(run, tested, alone)
    return Verdict(exact, floor_us, per_token)


def _same_together(run: Run, rows: Sequence[Row], alone: Sequence[str]) -> bool:
    good = [index for index, bits in enumerate(alone) if bits]
    if len(good) < 2:
        return False  # nothing that could be compared: no evidence, no sharing
    for size in BATCH_SIZES:
        if size > 2 * len(good):
            break
        for start in range(0, len(good), size):
            # Round the corner, so that every batch is full and rows meet at changing places.
            batch = [good[(start + step) % len(good)] for step in range(size)]
            answers = run([rows[index] for index in batch])
            if [_bits(answer) for answer in answers] != [alone[index] for index in batch]:
                return False
    return True


def _bits(answer: Output | RequestError) -> str:
    """The outputs to the last bit (repr of a float is exact, and tells -0.0 from 0.0); empty for a row that failed."""
    return repr(answer.tensors) if isinstance(answer, Output) else ""
