"""`send`: JSON lines in, one JSON line per answer out, in the order in which answers arrive."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import CancelledError
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from stream_maas.cli.common import (
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Output,
    Prefix,
    ReaderGoneError,
    exit_with,
    kafka_settings,
    run_async,
    usage_error,
)
from stream_maas.cli.text_pipe import standard_input
from stream_maas.errors import TooLargeError

if TYPE_CHECKING:
    from rich.progress import Progress

    from stream_maas.client import Call, Client, Pending, Prediction, RejectedError
    from stream_maas.settings import Settings

# Wide enough to keep a worker's chunks full, small enough that nothing waits long in the worker's queue.
IN_FLIGHT = 2_000
_READ_BYTES = 64 << 10
_LINE_BYTES = 8 << 20
"""Longer input lines are refused: no Kafka record with usual limits is an eighth of it."""
_MOST_PROBLEMS = 5
"""Lines told one by one on standard error; the rest is only counted."""
_SILENCE_S = 10.0
_CALL_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str, "version": str, "text": str, "inputs": list, "outputs": list, "tenant": str, "data_subject": str,
    "purpose": str, "consent_ref": str, "priority": int, "timeout": int, "explain": bool, "key": str,
    "parameters": dict, "model_name": str, "model_version": str,
}  # fmt: skip
"""Fields of an input line -> what they must be. `timeout` is the protocol's: microseconds from being sent. A line may
also be a request record's value: `model_name`, `model_version` and `outputs` are the protocol's own."""
_RENAMED = {"version": "model_version", "model_name": "model", "timeout": "timeout_us"}


class LineError(ValueError):
    """What is wrong with one input line. Names the field, never its value: the line may hold personal data."""


def send(
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Model for lines that name none.")],
    version: Annotated[
        str | None, typer.Option("--model-version", metavar="VERSION", help="Only this version.", show_default=False)
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", metavar="NAME", help="Tenant for lines that name none.", show_default=False),
    ] = None,
    lane: Annotated[
        str | None, typer.Option("--lane", metavar="NAME", help="Send to PREFIX.requests.NAME.", show_default=False)
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Give up on an answer after this long.")
    ] = 120.0,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Send requests from standard input and print the answers.

    Each input line is a JSON object: "text" or "inputs" (Open Inference Protocol tensors), and if wanted "id",
    "tenant", "data_subject", "purpose", "consent_ref", "priority", "timeout" (microseconds, Triton's), "explain",
    "key", "model" and "version", "outputs" (names of those wanted); any other scalar is sent as a parameter. The
    value of a request record is such a line, too. Each output line is a JSON object too,
    with or without --json: "id", "status" ("prediction" or "rejection") and the rest of the answer.

    Ends with 0 when every request was answered, 1 when one was not, 2 when an input line is no request.

    Example: echo '{"text": "What a lovely film."}' | stream-maas send --model sentiment-lite
    """
    settings = kafka_settings(bootstrap, prefix, config)
    defaults = {"model": model, "model_version": version, "tenant": tenant}
    if sys.stdin.isatty():
        Output(as_json=as_json).note("Reading JSON lines from the terminal; end with Ctrl-D.")
    exit_with(run_async(_send(settings, defaults, lane, timeout, Output(as_json=as_json))))


async def _send(
    settings: Settings, defaults: Mapping[str, str | None], lane: str | None, timeout_s: float, output: Output
) -> int:
    from stream_maas.client import Client

    client = Client(kafka=settings.kafka, prefix=settings.topics.prefix, lane=lane)
    async with client:
        # Answers on the terminal are their own progress bar.
        with output.progress("answers", wanted=not sys.stdout.isatty()) as bar:
            session = _Session(client, timeout_s, output, bar)
            watch = asyncio.create_task(session.watch())
            try:
                wrong = await session.send_all(lines(standard_input()), defaults)
                await session.finish()
            finally:
                watch.cancel()
    if wrong is not None:
        usage_error(f"{wrong}; {session.sent} requests before it were sent")
    return EXIT_OK if session.answered == session.sent else EXIT_PROBLEM


class _Session:
    """Requests in flight, and what became of them."""

    def __init__(self, client: Client, timeout_s: float, output: Output, bar: Progress) -> None:
        self.sent = self.answered = 0
        self._bar, self._task = bar, bar.add_task("", total=None)
        self._client, self._timeout_s, self._output = client, timeout_s, output
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._problems = 0
        self._lost_output: ReaderGoneError | OSError | None = None

    async def send_all(
        self, numbered: AsyncIterator[tuple[int, bytes]], defaults: Mapping[str, str | None]
    ) -> LineError | None:
        """Send every line up to the first wrong one, and return what is wrong with that."""
        try:
            async for number, line in numbered:
                await self._send(number, parse_line(line, defaults, number))
        except LineError as error:
            return error
        return None

    async def _send(self, number: int, call: Call) -> None:
        """Send one request; returns when it is under way. Waits while `IN_FLIGHT` are."""
        await self._slot()
        self.sent += 1
        self._bar.update(self._task, total=self.sent)
        try:
            pending = await self._client.begin(call, timeout=self._timeout_s)
        except TooLargeError as error:
            self._slots.release()
            self._problem(number, error)
            return
        pending.answer.add_done_callback(lambda _: self._done(number, pending))

    async def finish(self) -> None:
        """Wait for what is in flight."""
        for _ in range(IN_FLIGHT):
            await self._slot()
        if self._problems:
            self._output.err.print(
                f"error: {self._problems} of {self.sent} requests were not answered; "
                "next: `stream-maas doctor` checks the broker, and is a worker running?",
                style="red", markup=False,
            )  # fmt: skip

    async def _slot(self) -> None:
        await self._slots.acquire()
        if self._lost_output is not None:
            raise self._lost_output

    async def watch(self) -> None:
        """Say so when answers stay away: the usual cause is that no worker runs."""
        while True:
            before = self.answered
            await asyncio.sleep(_SILENCE_S)
            waiting = self.sent - self.answered - self._problems
            if waiting and self.answered == before:
                self._output.note(f"{waiting} requests wait for their answers; is a worker running?")

    def _done(self, number: int, pending: Pending) -> None:
        from stream_maas.client import RejectedError

        self._slots.release()
        if self._lost_output is not None:
            return
        error = pending.answer.exception()
        if error is not None and not isinstance(error, RejectedError):
            self._problem(number, error)
            return
        self.answered += 1
        self._bar.update(self._task, completed=self.answered)
        try:
            self._output.emit(answer_document(pending.id, error or pending.answer.result()))
        except (ReaderGoneError, OSError) as lost:  # nobody would see it raised in a callback
            self._lost_output = lost

    def _problem(self, number: int, error: BaseException) -> None:
        self._problems += 1
        if self._problems <= _MOST_PROBLEMS:
            self._output.err.print(f"line {number}: {error}", style="red", markup=False)


def answer_document(request_id: str, answer: Prediction | RejectedError) -> dict[str, Any]:
    """One output line: the caller's id and the status first, then the answer's own fields."""
    from stream_maas.client import RejectedError

    if isinstance(answer, RejectedError):
        document = {"id": request_id, "status": "rejection", "code": answer.code, "message": answer.message}
        return document | {"retryable": answer.retryable, "retry_after_ms": answer.retry_after_ms}
    head = {"id": request_id, "status": "prediction", "label": answer.label, "score": answer.score}
    return head | {name: value for name, value in answer.raw.items() if name != "id"}


def parse_line(line: bytes, defaults: Mapping[str, str | None], number: int = 1) -> Call:
    """Make a call of input line `number`. Raises `LineError`, which never quotes the line."""
    try:
        return _parse(line, defaults)
    except LineError as error:
        raise LineError(f"line {number}: {error}") from None


def _parse(line: bytes, defaults: Mapping[str, str | None]) -> Call:
    import orjson

    from stream_maas.client import Call

    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise LineError("not JSON") from None
    if not isinstance(document, dict):
        raise LineError('not an object such as {"id": "1", "text": "..."}')
    fields: dict[str, Any] = {name: value for name, value in defaults.items() if value is not None}
    request_id = document.pop("id", None)
    if request_id is not None:
        if isinstance(request_id, bool) or not isinstance(request_id, str | int) or request_id == "":
            raise LineError('"id" must be a string')
        fields["id"] = str(request_id)
    parameters: dict[str, Any] = {}
    for name, value in document.items():
        kind = _CALL_FIELDS.get(name)
        if kind is not None:
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise LineError(f'"{name}" must be {_article(kind)}')
            fields[str(_RENAMED.get(name, name))] = value
        elif isinstance(value, str | int | float):
            parameters[name] = value
        else:
            raise LineError("a field that is none of the known ones must be text, a number, true or false")
    if ("text" in fields) == ("inputs" in fields):
        raise LineError('needs either "text" or "inputs"')
    if "outputs" in fields:
        fields["outputs"] = _output_names(fields["outputs"])
    fields["parameters"] = {**parameters, **fields.get("parameters", {})}
    return Call(**fields)


def _output_names(items: list[Any]) -> tuple[str, ...]:
    """Names, or the protocol's objects that hold one each. Raises `LineError`."""
    names = [item.get("name") if isinstance(item, dict) else item for item in items]
    if not all(isinstance(name, str) and name for name in names):
        raise LineError('"outputs" must be a list of names')
    return tuple(map(str, names))


async def lines(stream: IO[bytes] | io.FileIO) -> AsyncIterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) of a blocking stream; blank lines are skipped.

    A thread reads, because a pipe can and a file cannot be waited for in the event loop. It is a daemon: nothing
    waits for a terminal on which nobody types any more.
    """
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes | OSError] = asyncio.Queue(maxsize=4)
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)

    def pump() -> None:
        block: bytes | OSError = b"more"
        while block and not isinstance(block, OSError):
            try:
                block = read(_READ_BYTES)
            except OSError as error:
                block = error
            put = blocks.put(block)
            try:
                asyncio.run_coroutine_threadsafe(put, loop).result()
            except (RuntimeError, CancelledError):  # the command has ended early
                put.close()
                return

    threading.Thread(target=pump, name="stdin", daemon=True).start()
    rest, number = b"", 0
    while block := await blocks.get():
        if isinstance(block, OSError):
            raise LineError(f"standard input cannot be read ({type(block).__name__})")
        *complete, rest = (rest + block).split(b"\n")
        for line in complete:
            number += 1
            if line.strip():
                yield number, line
        if len(rest) > _LINE_BYTES:
            raise LineError(f"line {number + 1}: longer than {_LINE_BYTES} bytes")
    if rest.strip():
        yield number + 1, rest


def _article(kind: Any) -> str:
    return {str: "text", list: "a list of tensors", int: "a whole number", bool: "true or false", dict: "an object"}[
        kind
    ]
