"""Request and answer over two topics: which answer belongs to which request.

An answer names the coordinates (topic, partition, offset) of the record that it answers, and the acknowledgement
tells them to the sender. So answers are matched by coordinates: ids are the callers' and may repeat, and one that
holds personal data comes back replaced. The reader stands at the end of the results topic before the first request
is sent, and belongs to no consumer group: nothing is missed, nothing is joined, nobody else's answers are taken.
"""

# ruff: noqa: ASYNC109 - timeouts are arguments here because they are sent along, so that the worker honours them too
from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_maas import records, topics, wire
from stream_maas.client.answers import Call, Prediction, Result, decode, encode
from stream_maas.client.matching import Answers, Pending
from stream_maas.client.producer import RequestProducer
from stream_maas.client.redaction import redacted, redactor_for
from stream_maas.errors import BrokerError, RequestError, StreamMaasError
from stream_maas.kafka.reading import partitions_of, start_reader, stop_reader
from stream_maas.settings import KafkaConfig, load

if TYPE_CHECKING:
    from stream_maas.privacy import Policy, Redactor

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_IN_FLIGHT = 2_000
_SOURCE = "/stream-maas/client"
# Kafka answers a fetch as soon as there is data; the embedded broker only after about half of this.
_FETCH_MAX_WAIT_MS = 50
_POLL_MS = 1_000
_LINGER_MS = 2


class Client:
    """Sends requests and awaits their answers. Use it as `async with Client(...) as client`.

    `bootstrap`, `prefix` and everything about TLS and SASL default to the settings (STREAM_MAAS_* and the TOML
    file); `kafka` replaces them. `lane` sends to PREFIX.requests.LANE. One client serves any number of concurrent
    calls, over one connection per broker for sending and one for reading; it belongs to the event loop it was
    entered in. `redact` (a `Policy`, the path of one, or True for the policy of the settings) takes personal data out
    before anything is sent; the worker still looks. For notebooks and threads there is `SyncClient`.
    """

    def __init__(
        self,
        bootstrap: str | None = None,
        *,
        prefix: str | None = None,
        lane: str | None = None,
        kafka: KafkaConfig | None = None,
        redact: bool | str | PathLike[str] | Policy | Redactor = False,
    ) -> None:
        settings = load({"kafka.bootstrap": bootstrap, "topics.prefix": prefix})
        if kafka is None:
            kafka = settings.kafka
        elif bootstrap is not None:
            kafka = replace(kafka, bootstrap=bootstrap)
        self._kafka, prefix = kafka, settings.topics.prefix
        self._requests, self._results = topics.requests(prefix, lane or ""), topics.results(prefix)
        self._producer = RequestProducer(kafka, self._requests, linger_ms=_LINGER_MS)
        self._redactor = redactor_for(redact, settings.privacy)
        self._consumer: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._answers = Answers()
        self._broken: StreamMaasError | None = None
        self._growing: asyncio.Task[None] | None = None
        self._started_at: dict[TopicPartition, int] = {}

    # Life ---------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect and stand at the end of the results. Raises `BrokerError` or `TopicsError`."""
        try:
            partitions = (await partitions_of(self._kafka, self._requests, self._results))[self._results]
            self._consumer = await self._new_reader()
            self._consumer.assign(partitions)
            await self._consumer.seek_to_end(*partitions)
            self._started_at = {tp: await self._consumer.position(tp) for tp in partitions}
            await self._producer.start()
        except KafkaError as error:
            await self.close()
            raise broker_error(self._kafka, error) from error
        except BaseException:
            await self.close()
            raise
        self._reader = asyncio.create_task(self._read(), name="stream-maas results reader")

    async def close(self) -> None:
        """Send what is buffered, stop reading. Calls that still wait fail with `BrokerError`."""
        self._broken = self._broken or BrokerError("the client is closed; next: make a new one")
        try:
            await self._producer.stop()
        finally:
            for task in (self._reader, self._growing):
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
            self._answers.fail(self._broken)
            if self._consumer is not None:
                consumer, self._consumer = self._consumer, None
                await stop_reader(consumer)

    # Calls --------------------------------------------------------------------------------------------------------

    async def predict(
        self,
        model: str | None,
        text: str | None = None,
        inputs: Sequence[records.Tensor | Mapping[str, Any]] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        tenant: str | None = None,
        data_subject: str | None = None,
        purpose: str | None = None,
        consent_ref: str | None = None,
        priority: int = 0,
        explain: bool = False,
        outputs: Sequence[str] = (),
        key: str | bytes | None = None,
        request_id: str | None = None,
        model_version: str | None = None,
        parameters: Mapping[str, records.ParameterValue] | None = None,
    ) -> Prediction:
        """Send one request and wait for its prediction, `timeout` seconds at most.

        The timeout travels with the request (Open Inference Protocol parameter `timeout`, microseconds), so that a
        late request costs no model call. Raises `RejectedError` (which also is the class of its code, for example
        `errors.UnknownModelError`), `AnswerTimeoutError`, or `BrokerError` when the request could not be sent.
        """
        call = Call(
            model=model, text=text, inputs=inputs, id=request_id, model_version=model_version, tenant=tenant,
            data_subject=data_subject, purpose=purpose, consent_ref=consent_ref, priority=priority,
            timeout_us=max(1, round(timeout * 1_000_000)), explain=explain, outputs=outputs, key=key,
            parameters=parameters or {},
        )  # fmt: skip
        return await (await self.begin(call, timeout=timeout)).answer

    async def begin(self, call: Call, *, timeout: float = DEFAULT_TIMEOUT_S) -> Pending:
        """Send one request and return when it is under way; `answer` of what is returned waits for the rest.

        `timeout` (seconds) is how long to wait here; only `call.timeout_us` is told to the worker. Raises
        `BrokerError` when the client is closed or broken or the broker takes nothing within the timeout, and
        `TooLargeError` for a record above Kafka's limits.
        """
        pending = Pending(call.id or new_id(), asyncio.get_running_loop())
        self._answers.expect(pending, timeout)
        try:
            acknowledgement = await self._produce(call, pending.id, timeout)
        except BaseException:
            self._answers.forget(pending)
            raise
        acknowledgement.add_done_callback(lambda done: self._acknowledged(pending, done))
        return pending

    async def submit(
        self,
        model: str | None,
        text: str | None = None,
        inputs: Sequence[records.Tensor | Mapping[str, Any]] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        **options: Any,
    ) -> str:
        """Send one request, wait for the brokers' acknowledgement only, and return its id.

        `options` are fields of `Call`. Raises `BrokerError` when it is not acknowledged within `timeout` seconds.
        """
        call = Call(model=model, text=text, inputs=inputs, **options)
        request_id = call.id or new_id()
        acknowledgement = await self._produce(call, request_id, timeout)
        try:
            async with asyncio.timeout(timeout):
                await acknowledgement
        except (KafkaError, TimeoutError) as error:
            raise broker_error(self._kafka, error) from error
        return request_id

    @overload
    async def predict_many(
        self, model: str | None, texts: Iterable[str], *, timeout: float = ..., in_flight: int = ...,
        progress: bool = ..., return_exceptions: Literal[False] = ..., **options: Any,
    ) -> list[Prediction]: ...  # fmt: skip

    @overload
    async def predict_many(
        self, model: str | None, texts: Iterable[str], *, timeout: float = ..., in_flight: int = ...,
        progress: bool = ..., return_exceptions: Literal[True], **options: Any,
    ) -> list[Prediction | BaseException]: ...  # fmt: skip

    async def predict_many(
        self,
        model: str | None,
        texts: Iterable[str],
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        in_flight: int = DEFAULT_IN_FLIGHT,
        progress: bool = False,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Predict many texts, at most `in_flight` at a time; the predictions are in the order of the texts.

        `timeout` (seconds) holds for each, from its sending. With `return_exceptions` a text that failed has its
        exception in its place; otherwise the first failure in input order is raised when all are done. `progress`
        shows a bar on standard error. `options` are fields of `Call`. Raises `BrokerError` at once when nothing can be
        sent any more.
        """
        slots = asyncio.Semaphore(in_flight)
        answers: list[asyncio.Future[Prediction]] = []
        timeout_us = max(1, round(timeout * 1_000_000))
        with _progress(texts, enabled=progress) as advance:

            def done(_: object) -> None:
                slots.release()
                advance()

            try:
                for text in texts:
                    await slots.acquire()
                    call = Call(model=model, text=text, timeout_us=timeout_us, **options)
                    answers.append(await self._begin_or_fail(call, timeout))
                    answers[-1].add_done_callback(done)
                outcomes = await asyncio.gather(*answers, return_exceptions=True)
            except BaseException:
                for answer in answers:
                    answer.cancel()
                await asyncio.gather(*answers, return_exceptions=True)
                raise
        if not return_exceptions:
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        return outcomes

    async def _begin_or_fail(self, call: Call, timeout: float) -> asyncio.Future[Prediction]:
        """The answer to come, or, for a text that is refused before it is sent, one that failed already."""
        try:
            return (await self.begin(call, timeout=timeout)).answer
        except RequestError as error:
            refused: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    async def results(self) -> AsyncGenerator[Result, None]:
        """Every answer that has appeared in the results topic since this client was started, whoever asked.

        It has a reader of its own: taking them slowly delays no call. Records that are no answers are passed over.
        """
        consumer = await self._new_reader()
        try:
            consumer.assign(list(self._started_at))
            for tp, offset in self._started_at.items():
                consumer.seek(tp, offset)
            while True:
                fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                for record in (record for chunk in fetched.values() for record in chunk):
                    answer = decode(record.value)
                    if answer is not None:
                        yield Result(
                            record.topic, record.partition, record.offset, record.timestamp, record.key,
                            record.headers, answer,
                        )  # fmt: skip
        except KafkaError as error:
            raise broker_error(self._kafka, error) from error
        finally:
            await stop_reader(consumer)

    # Sending ------------------------------------------------------------------------------------------------------

    async def _produce(self, call: Call, request_id: str, timeout: float) -> asyncio.Future[Any]:
        if self._broken is not None:
            raise self._broken
        if self._reader is None:
            raise BrokerError("the client is not started; next: `async with Client(...) as client:`")
        value = encode(call, request_id)
        key = call.key.encode() if isinstance(call.key, str) else call.key
        policy = None
        if self._redactor is not None:
            value, key, request_id, policy = redacted(self._redactor, value, key, new_id())
        headers = wire.request_headers(request_id=request_id, source=_SOURCE, redacted_by=policy)
        try:
            return await self._producer.send(value, key, headers, patience_s=timeout)
        except KafkaError as error:
            raise broker_error(self._kafka, error) from error

    def _acknowledged(self, pending: Pending, done: asyncio.Future[Any]) -> None:
        error = done.exception() if not done.cancelled() else BrokerError("the client was closed while sending")
        if error is not None:
            self._producer.acknowledged_with(error)
            self._answers.unsent(pending, broker_error(self._kafka, error))
            return
        metadata = done.result()
        self._answers.placed(pending, wire.audit_id(metadata.topic, metadata.partition, metadata.offset).encode())
        if TopicPartition(self._results, metadata.partition) not in self._started_at:
            self._grow()

    # Reading ------------------------------------------------------------------------------------------------------

    async def _new_reader(self) -> Any:
        # Positions are only lost when retention has overtaken this reader: then the oldest that is left comes next.
        return await start_reader(self._kafka, when_lost="earliest", fetch_max_wait_ms=_FETCH_MAX_WAIT_MS)

    async def _read(self) -> None:
        try:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
                for chunk in fetched.values():
                    for record in chunk:
                        self._answers.arrived(record)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task, so whoever waits for an answer is told
            self._broken = broker_error(self._kafka, error)
            self._answers.fail(self._broken)

    def _grow(self) -> None:
        """A request went to a partition that the results topic did not have when this client started."""
        if self._growing is None or self._growing.done():
            self._growing = asyncio.create_task(self._assign_new_partitions())

    async def _assign_new_partitions(self) -> None:
        partitions = (await partitions_of(self._kafka, self._results))[self._results]
        new = [tp for tp in partitions if tp not in self._started_at]
        if new:
            positions = {tp: await self._consumer.position(tp) for tp in self._started_at}
            self._consumer.assign(partitions)
            for tp, offset in positions.items():
                self._consumer.seek(tp, offset)
            await self._consumer.seek_to_beginning(*new)
            self._started_at |= dict.fromkeys(new, 0)


_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


def new_id() -> str:
    """A random request id, 128 bits in 32 letters. No digits: a recognizer of card, phone or account numbers could
    take them for personal data, and the answer would come back with another id."""
    return secrets.token_hex(16).translate(_LETTERS)


def broker_error(kafka: KafkaConfig, error: BaseException) -> StreamMaasError:
    """What aiokafka raised, as our own error. Types only: texts of aiokafka may hold more than a place."""
    if isinstance(error, StreamMaasError):
        return error
    return BrokerError(
        f"broker {kafka.bootstrap}: {type(error).__name__}; next: `stream-maas doctor` checks broker, topics and rights"
    )


@contextmanager
def _progress(items: object, *, enabled: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error, or nothing. Yields what to call for every item that is done."""
    if not enabled:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    total = len(items) if isinstance(items, Sized) else None
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
