"""A served model: batches rows, and keeps one bad row from hurting its batch mates.

Rules of this file:
1. What can be checked on one record is checked in `prepare`, before it has mates.
2. A call that fails is halved until the rows that make it fail are alone; only those get an error.
3. Rows meet in a call only where their kind can stack them as they are, or, where short rows are filled up, with
   rows of like length: filling up to the longest of whatever came together costs more than batching gains.
4. Unless the bundle says `batching: loose`, an answer's bits do not depend on who shared its call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from stream_maas.errors import BadOutputError, BundleError, ExpiredError, ModelError, RequestError
from stream_maas.inference.adapter import Adapter, Output, Row
from stream_maas.inference.bundle import MODEL, Bundle
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.manifest import takes_one_row
from stream_maas.inference.self_test import QUICK_US, Clock, examine
from stream_maas.inference.session import Cancellation, RunError, Session
from stream_maas.inference.suitability import depends_on_neighbours, draws_random_numbers, unservable
from stream_maas.inference.tensor_model import TensorAdapter
from stream_maas.inference.text_model import TextAdapter
from stream_maas.inference.word_bag import WordBagAdapter
from stream_maas.records import ModelRef, Request

ADAPTERS: Mapping[str, type[WordBagAdapter] | type[TensorAdapter] | type[TextAdapter]] = {
    "word-bag": WordBagAdapter,
    "tensor": TensorAdapter,
    "text": TextAdapter,
}
TINY_BYTES = 1 << 20
"""A graph this small runs for microseconds, less than it takes to wake another thread. Unless it has loops or large
inputs: what took more than `QUICK_US` when it was loaded would hold up everybody on the event loop."""

MAX_LENGTH_RATIO = 1.25
"""Longest to shortest text of a call: filled-up tokens stay below a tenth on real texts (docs/models.md)."""
ENDED = "parameters.timeout: passed while the model ran"

Answer: TypeAlias = Output | RequestError


class Model:
    """One bundle, opened. All methods may be called from several threads at once."""

    def __init__(self, bundle: Bundle, config: RuntimeConfig, clock: Clock | None = None) -> None:
        """Open the graph and find out how it behaves. Raises `BundleError` when it cannot be opened, cannot be served
        or is not what bundle.yaml says. `clock`: monotonic nanoseconds; without one nothing is known of its speed."""
        self.bundle = bundle
        self.ref: ModelRef = bundle.ref
        self._limits = bundle.manifest.limits
        self._session = Session(bundle.path(MODEL), config)
        _check_servable(bundle, self._session)
        self._adapter: Adapter = ADAPTERS[bundle.manifest.kind](bundle, self._session)
        may_share = bundle.manifest.batching != "alone" and not takes_one_row(bundle.manifest)
        verdict = examine(self._attempt, self._adapter.samples(), clock, together=may_share)
        self.floor_us: int = verdict.floor_us
        """The quickest call on one row when the model was loaded; 0 when that was not measured."""
        small = bundle.path(MODEL).stat().st_size <= TINY_BYTES and self.floor_us <= QUICK_US
        self.tiny: bool = small if bundle.manifest.tiny is None else bundle.manifest.tiny
        """True: call `run` on the event loop itself. False: on an executor."""
        self._floor_us_per_token = verdict.floor_us_per_token
        self.shares_calls: bool = may_share and (verdict.exact or bundle.manifest.batching == "loose")
        """False: every record is a call of its own, so that no neighbour can move a bit of its answer."""
        self.replayable: bool = bundle.manifest.batching != "loose" or verdict.exact
        """Whether an answer has the same bits in any company."""

    def prepare(self, request: Request) -> Row:
        """Check one record against the model's inputs and turn it into features.

        Raises `InvalidInputError` or `TooLargeError`, which name the place and never the value.
        """
        return self._adapter.prepare(request)

    def plan(self, rows: Sequence[Row]) -> list[list[int]]:
        """Indexes of `rows` grouped into calls; each index occurs once, and in each group the order is kept.

        A group stays within the bundle's `max_batch_rows` and `max_batch_tokens`, filled-up tokens included, unless
        one record alone is larger: a record is never torn apart.
        """
        if not self.shares_calls:
            return [[index] for index in range(len(rows))]
        if any(row.longest for row in rows):
            return self._plan_by_length(rows)
        if self._is_one_call(rows):
            return [list(range(len(rows)))]
        batches: list[list[int]] = []
        open_batches: dict[object, tuple[list[int], int, int]] = {}
        for index, row in enumerate(rows):
            batch, size, length = open_batches.get(row.key, ([], 0, 0))
            full = size + row.size > self._limits.max_batch_rows or length + row.length > self._limits.max_batch_tokens
            if not batch or full:
                batch, size, length = [], 0, 0
                batches.append(batch)
            batch.append(index)
            open_batches[row.key] = (batch, size + row.size, length + row.length)
        return batches

    def _is_one_call(self, rows: Sequence[Row]) -> bool:
        """Whether all can go together, as they nearly always can; to see it takes half as long as to place each."""
        return (
            len({row.key for row in rows}) == 1
            and sum([row.size for row in rows]) <= self._limits.max_batch_rows
            and sum([row.length for row in rows]) <= self._limits.max_batch_tokens
        )

    def _plan_by_length(self, rows: Sequence[Row]) -> list[list[int]]:
        """Rows of like length together: the whole window sorted, cut by token budget and length ratio."""
        batches: list[list[int]] = []
        size = shortest = 0
        for index in sorted(range(len(rows)), key=lambda index: rows[index].longest):
            row = rows[index]
            tokens = (size + row.size) * row.longest
            fits = (
                size + row.size <= self._limits.max_batch_rows
                and tokens <= self._limits.max_batch_tokens
                and row.longest <= shortest * MAX_LENGTH_RATIO
            )
            if not batches or not fits:
                batches.append([])
                size, shortest = 0, row.longest
            batches[-1].append(index)
            size += row.size
        return [sorted(batch) for batch in batches]

    def least_us(self, row: Row) -> int:
        """Microseconds below which the model has never answered such a row: who has less time left will not be served
        in time. 0 when nothing was measured."""
        return int(max(self.floor_us, self._floor_us_per_token * row.length))

    def run(self, rows: Sequence[Row], cancellation: Cancellation | None = None) -> list[Answer]:
        """One answer per row, in order: an `Output`, or the `ModelError` or `BadOutputError` of exactly this row.

        Rows that `plan` put together are one ONNX Runtime call; others are planned first. Once `cancellation` is
        cancelled, rows that have no answer yet get an `ExpiredError`.
        """
        batches = self.plan(rows)
        if len(batches) == 1:
            return self._run(rows, cancellation)
        answers: dict[int, Answer] = {}
        for batch in batches:
            answers.update(zip(batch, self._run([rows[index] for index in batch], cancellation), strict=True))
        return [answers[index] for index in range(len(rows))]

    def samples(self) -> list[Row]:
        """The rows that the test at load ran, for whoever wants to measure the model."""
        return self._adapter.samples()

    def warm_up(self) -> None:
        """One call on a harmless row, so that the first client does not wait for lazy set-up.

        What the model makes of that row does not matter: it may well be outside its domain.
        """
        self.run([self._adapter.neutral()])

    def _run(self, rows: Sequence[Row], cancellation: Cancellation | None) -> list[Answer]:
        """One call; on failure, two with half of the rows each."""
        if cancellation is not None and cancellation.cancelled:
            return [ExpiredError(ENDED)] * len(rows)
        try:
            return self._call(rows, cancellation)
        except RunError:
            ended = cancellation is not None and cancellation.cancelled
            error: RequestError = ExpiredError(ENDED) if ended else ModelError("the model failed on this record")
        except BadOutputError as bad_output:
            error = bad_output
        if len(rows) == 1 or isinstance(error, ExpiredError):
            return [error] * len(rows)
        half = len(rows) // 2
        return self._run(rows[:half], cancellation) + self._run(rows[half:], cancellation)

    def _call(self, rows: Sequence[Row], cancellation: Cancellation | None = None) -> list[Answer]:
        """One call of the graph. Raises `RunError` or `BadOutputError` when it fails as a whole."""
        feeds = self._adapter.feeds(rows)
        fetches = self._adapter.fetches(rows)
        fetched = dict(zip(fetches, self._session.run(fetches, feeds, cancellation), strict=True))
        return self._adapter.answers(rows, {**feeds, **fetched})

    def _attempt(self, rows: Sequence[Row]) -> Sequence[Answer]:
        """One call that is not repeated in halves; a failure is the answer of all rows."""
        try:
            return self._call(rows)
        except (RunError, BadOutputError):
            return [ModelError("the model failed on this record")] * len(rows)


def _check_servable(bundle: Bundle, session: Session) -> None:
    path = bundle.path(MODEL)
    for reason in unservable(session.inputs, session.outputs):
        raise BundleError(f"{path}: {reason}")
    if bundle.manifest.batching != "loose" and draws_random_numbers(path):
        raise BundleError(
            f"{path}: it draws random numbers, so no answer can be replayed; only batching: loose serves it"
        )
    if bundle.manifest.batching == "loose" and depends_on_neighbours(path):
        raise BundleError(
            f"{path}: dynamically quantised, so in a batch a row's score depends on its neighbours by up to 0.2; "
            "batching must be alone or exact"
        )


def open_model(bundle: Bundle, config: RuntimeConfig, clock: Clock | None = None) -> Model:
    """Open and warm up. Raises `BundleError`."""
    model = Model(bundle, config, clock)
    model.warm_up()
    return model
