"""Requests as many applications would send them, good and bad, and what each of them must be answered with.

Written with plain JSON and not with the package's own encoder, as a foreign producer would. Personal values are
synthetic, unique to the run and remembered (`Traffic.planted`), so that any output can be searched for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.support.log_reading import end_offsets

MODEL = "sentiment-lite"
MAX_RECORD_BYTES = 20_000
"""Set as the worker's limit, so that `too_large` does not need megabytes."""

PREDICTED = "prediction"
DEAD_LETTERED = frozenset({"undecodable", "invalid_input", "too_large"})
"""Codes used here whose records an operator may want to see."""

_WORDS = (
    "film", "actor", "scene", "plot", "music", "slow", "lovely", "boring", "delivery", "late", "parcel", "broken",
    "excellent", "service", "refund", "happy", "terrible", "weather", "update", "battery", "great", "camera", "poor",
    "support", "wonderful", "evening", "dinner", "cold", "staff", "friendly",
)  # fmt: skip
_BACKLOG = 3_000
_SLICE = 250
_SEND_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One request record and what must become of it."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    code: str
    """"prediction" or the code of the rejection."""
    request_id: str | None
    """Id of the answer; None: made of the record's coordinates."""
    keeps_key: bool = True
    """False: the key holds personal data and must not come back as it is."""


@dataclass(slots=True)
class Traffic:
    """`records` in the order of sending and the personal values planted in them."""

    records: list[Sent] = field(default_factory=list)
    planted: set[str] = field(default_factory=set)


def make_traffic(
    count: int, *, partitions: int, seed: int, bad_ratio: float = 0.03, personal_ratio: float = 0.03
) -> Traffic:
    """`count` requests, round-robin over the partitions. Bad ones take turns, so that every kind occurs."""
    maker = _Maker(random.Random(seed), partitions)
    bad_every, personal_every = round(1 / bad_ratio), round(1 / personal_ratio)
    bad_kinds, personal_kinds = _cycle(BAD_KINDS), _cycle(PERSONAL_KINDS)
    for number in range(count):
        if number % bad_every == 1:
            make = next(bad_kinds)
        elif number % personal_every == 2:
            make = next(personal_kinds)
        else:
            make = _Maker.plain
        maker.traffic.records.append(make(maker, number))
    return maker.traffic


def text_request(text: str, *, request_id: str | None = None, model: str = MODEL, **parameters: Any) -> bytes:
    """An Open Inference Protocol request with one text."""
    document: dict[str, Any] = {} if request_id is None else {"id": request_id}
    document |= {"model_name": model, "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    if parameters:
        document["parameters"] = parameters
    return orjson.dumps(document)


class _Maker:
    """Makes one record of a kind. Every method takes the record's number and returns a `Sent`."""

    def __init__(self, rng: random.Random, partitions: int) -> None:
        self._rng = rng
        self._partitions = partitions
        self._now_ms = time.time_ns() // 1_000_000
        self.traffic = Traffic()

    def plain(self, number: int) -> Sent:
        request_id = f"req-{number:06d}"
        return self._sent(number, text_request(self._sentence(), request_id=request_id, tenant="acme"), request_id)

    def bare(self, number: int) -> Sent:
        """No id, no key, no header: the least that works."""
        return self._sent(number, text_request(self._sentence()), None, key=None)

    def header_id(self, number: int) -> Sent:
        headers = (("ce_id", f"ce-{number}".encode()), ("mlserver-model", MODEL.encode()))
        value = orjson.dumps(
            {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [self._sentence()]}]}
        )
        return self._sent(number, value, f"ce-{number}", headers=headers)

    def repeated_id(self, number: int) -> Sent:
        """Ids are the clients': two records may carry the same one, and each is answered."""
        return self._sent(number, text_request(self._sentence(), request_id="again"), "again")

    def not_json(self, number: int) -> Sent:
        return self._sent(number, b'{"id": ' + self._sentence().encode(), None, code="undecodable")

    def cut_off(self, number: int) -> Sent:
        """The id stands first, so the client still hears of it by its own id."""
        request_id = f"cut-{number}"
        whole = text_request(self._sentence(), request_id=request_id)
        return self._sent(number, whole[: len(whole) // 2], request_id, code="undecodable")

    def bad_utf8(self, number: int) -> Sent:
        return self._sent(
            number, text_request("caf\xe9 @").replace("\xe9".encode(), b"\xff\xfe"), None, code="undecodable"
        )

    def empty(self, number: int) -> Sent:
        return self._sent(number, b"", None, code="undecodable")

    def tombstone(self, number: int) -> Sent:
        return self._sent(number, None, None, code="undecodable")

    def wrong_schema(self, number: int) -> Sent:
        request_id = f"schema-{number}"
        return self._sent(
            number, orjson.dumps({"id": request_id, "text": "no inputs"}), request_id, code="invalid_input"
        )

    def unknown_model(self, number: int) -> Sent:
        request_id = f"unknown-{number}"
        value = text_request(self._sentence(), request_id=request_id, model="no-such-model")
        return self._sent(number, value, request_id, code="unknown_model")

    def wrong_datatype(self, number: int) -> Sent:
        request_id = f"datatype-{number}"
        tensor = {"name": "text", "shape": [1], "datatype": "INT32", "data": [7]}
        value = orjson.dumps({"id": request_id, "model_name": MODEL, "inputs": [tensor]})
        return self._sent(number, value, request_id, code="invalid_input")

    def wrong_shape(self, number: int) -> Sent:
        request_id = f"shape-{number}"
        tensor = {"name": "text", "shape": [3], "datatype": "BYTES", "data": ["one", "two"]}
        value = orjson.dumps({"id": request_id, "model_name": MODEL, "inputs": [tensor]})
        return self._sent(number, value, request_id, code="invalid_input")

    def expired(self, number: int) -> Sent:
        request_id = f"late-{number}"
        value = text_request(self._sentence(), request_id=request_id, timeout=1_000)
        return self._sent(number, value, request_id, code="expired", age_ms=60_000)

    def too_large(self, number: int) -> Sent:
        request_id = f"large-{number}"
        value = text_request("long " * MAX_RECORD_BYTES, request_id=request_id)
        return self._sent(number, value, request_id, code="too_large")

    def personal_text(self, number: int) -> Sent:
        request_id = f"text-{number}"
        text = f"write to {self._email()}, call {self._phone()}, card {self._card()} or iban {self._iban()} thanks"
        return self._sent(number, text_request(text, request_id=request_id), request_id)

    def personal_id(self, number: int) -> Sent:
        return self._sent(number, text_request(self._sentence(), request_id=f"order of {self._email()}"), None)

    def personal_key(self, number: int) -> Sent:
        request_id = f"key-{number}"
        value = text_request(self._sentence(), request_id=request_id)
        return self._sent(number, value, request_id, key=self._email().encode(), keeps_key=False)

    def personal_parameters(self, number: int) -> Sent:
        request_id = f"parameter-{number}"
        value = text_request(
            self._sentence(), request_id=request_id, data_subject=self._email(), purpose=f"mail {self._email()}",
            tenant="acme", comment=f"card {self._card()}", consent_ref=self._email(),
        )  # fmt: skip
        return self._sent(number, value, request_id)

    def personal_header(self, number: int) -> Sent:
        headers = (("ce_id", self._email().encode()), ("x-note", self._email().encode()))
        return self._sent(number, text_request(self._sentence()), None, headers=headers)

    def personal_model(self, number: int) -> Sent:
        request_id = f"model-{number}"
        value = text_request(self._sentence(), request_id=request_id, model=self._email())
        return self._sent(number, value, request_id, code="unknown_model")

    def personal_not_json(self, number: int) -> Sent:
        value = f'{{"text": "mail {self._email()} card {self._card()}'.encode()
        return self._sent(number, value, None, key=self._email().encode(), code="undecodable", keeps_key=False)

    def personal_wrong_schema(self, number: int) -> Sent:
        request_id = f"personal-schema-{number}"
        value = orjson.dumps({"id": request_id, self._email(): 1, "note": self._iban(), "inputs": self._email()})
        return self._sent(number, value, request_id, code="invalid_input")

    def _sent(
        self, number: int, value: bytes | None, request_id: str | None, *, key: bytes | str | None = "",
        headers: tuple[tuple[str, bytes], ...] = (), code: str = PREDICTED, age_ms: int = 0, keeps_key: bool = True,
    ) -> Sent:  # fmt: skip
        own_key = f"order-{number % 97}".encode() if isinstance(key, str) else key
        return Sent(
            number % self._partitions, own_key, value, headers, self._now_ms - age_ms, code, request_id, keeps_key
        )

    def _sentence(self) -> str:
        return " ".join(self._rng.choices(_WORDS, k=self._rng.randint(4, 24)))

    def _plant(self, value: str) -> str:
        self.traffic.planted.add(value)
        return value

    def _email(self) -> str:
        return self._plant(f"quill.{self._rng.getrandbits(40):010x}@example.org")

    def _phone(self) -> str:
        return self._plant(f"+1 415 {self._rng.randint(200, 999)} {self._rng.randint(1000, 9999)}")

    def _card(self) -> str:
        body = f"4{self._rng.randrange(10**14):014d}"
        return self._plant(body + _luhn_digit(body))

    def _iban(self) -> str:
        account = f"37040044{self._rng.randrange(10**10):010d}"
        check = 98 - int(account + "131400") % 97  # ISO 13616: letters of the country are numbers, D is 13, E is 14
        return self._plant(f"DE{check:02d}{account}")


BAD_KINDS: tuple[Callable[[_Maker, int], Sent], ...] = (
    _Maker.not_json, _Maker.cut_off, _Maker.bad_utf8, _Maker.empty, _Maker.tombstone, _Maker.wrong_schema,
    _Maker.unknown_model, _Maker.wrong_datatype, _Maker.wrong_shape, _Maker.expired, _Maker.too_large,
    _Maker.personal_model, _Maker.personal_not_json, _Maker.personal_wrong_schema,
)  # fmt: skip
PERSONAL_KINDS: tuple[Callable[[_Maker, int], Sent], ...] = (
    _Maker.personal_text, _Maker.personal_id, _Maker.personal_key, _Maker.personal_parameters, _Maker.personal_header,
    _Maker.bare, _Maker.header_id, _Maker.repeated_id,
)  # fmt: skip


class Feeder:
    """Sends traffic so that a backlog is always waiting: whatever is done to a worker, it is in the middle of work.

    `answered` tells how many answers have been seen. `sent` counts acknowledged records. No request gets into the log
    twice, whatever becomes of the broker: where an acknowledgement is lost, the log itself tells how far it goes.
    """

    def __init__(
        self, bootstrap: str, topic: str, traffic: Traffic, *, answered: Callable[[], int], idempotent: bool = True
    ) -> None:
        self.sent = 0
        self.limit = len(traffic.records)
        """No more than so many are sent: what a test does in a quarter of the flow must not take its whole."""
        self._idempotent = idempotent
        self._bootstrap = bootstrap
        self._topic = topic
        self._records: Sequence[Sent] = traffic.records
        self._answered = answered
        self._task: asyncio.Task[None] | None = None

    @property
    def backlog(self) -> int:
        """Requests that are sent and not answered."""
        return self.sent - self._answered()

    async def ahead(self) -> None:
        """Wait until requests are known to wait for answers: acknowledgements are counted a slice at a time."""
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            while self.backlog <= 0:
                assert self.sent < len(self._records), "all is answered already; the fault would hit nothing"
                await asyncio.sleep(0.005)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._feed())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def done(self) -> None:
        """Everything is sent; raises what went wrong with sending."""
        assert self._task is not None
        await self._task

    async def _feed(self) -> None:
        while self.sent < len(self._records):
            with contextlib.suppress(KafkaError, TimeoutError):
                await self._feed_from_the_end_of_the_log()
            await asyncio.sleep(0.2)

    async def _feed_from_the_end_of_the_log(self) -> None:
        logged = await end_offsets(self._bootstrap, self._topic, "read_uncommitted")
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=self._idempotent, linger_ms=2,
            max_batch_size=1 << 18,
        )  # fmt: skip
        await producer.start()
        try:
            for start in range(0, len(self._records), _SLICE):
                part = self._records[start : start + _SLICE]
                missing = []
                for record in part:
                    if logged.get(record.partition, 0):
                        logged[record.partition] -= 1
                    else:
                        missing.append(record)
                while missing and (self.backlog > _BACKLOG or self.sent + len(missing) > self.limit):  # noqa: ASYNC110 - another task counts
                    await asyncio.sleep(0.01)
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await send_all(producer, self._topic, missing)
                self.sent = max(self.sent, start + len(part))
        finally:
            # A producer that has lost track of its sequence numbers would wait for its batches for ever.
            producer._sender.sender_task.cancel()
            await producer.stop()


async def send_all(producer: AIOKafkaProducer, topic: str, records: Sequence[Sent]) -> None:
    """Send and wait for every acknowledgement."""
    deliveries = [
        await producer.send(
            topic, record.value, key=record.key, partition=record.partition, timestamp_ms=record.timestamp_ms,
            headers=list(record.headers),
        )
        for record in records
    ]  # fmt: skip
    for delivery in deliveries:
        await delivery


def _cycle(kinds: tuple[Callable[[_Maker, int], Sent], ...]) -> Iterator[Callable[[_Maker, int], Sent]]:
    while True:
        yield from kinds


def _luhn_digit(body: str) -> str:
    """Check digit (ISO/IEC 7812-1) of a card number without it."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body))]
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)
