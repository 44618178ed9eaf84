"""Which answer belongs to which request: bookkeeping by coordinates, nothing here waits or talks to Kafka."""

from __future__ import annotations

import asyncio

from stream_maas.client.answers import AnswerTimeoutError, Prediction, decode, rejected
from stream_maas.errors import BrokerError, StreamMaasError
from stream_maas.records import KafkaRecord
from stream_maas.wire.headers import AUDIT_ID

# An acknowledgement takes milliseconds. One that takes minutes (a partition without leader, while others go on) must
# not make this client keep everybody's answers meanwhile.
_MOST_EARLY = 20_000


class Pending:
    """A request under way: `id`, and `answer`, which ends as the prediction or with `RejectedError`,
    `AnswerTimeoutError` or `BrokerError`."""

    __slots__ = ("_timer", "acknowledged", "answer", "id", "place")

    def __init__(self, request_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self.id = request_id
        self.answer: asyncio.Future[Prediction] = loop.create_future()
        self.acknowledged = False
        self.place: bytes | None = None
        """Coordinates of the request record, once they are known."""
        self._timer: asyncio.TimerHandle | None = None


class Answers:
    """Who waits for which answer. Pure bookkeeping on the event loop; nothing here waits."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Pending] = {}
        """Coordinates -> request. Only requests whose place is known."""
        self._unplaced: set[Pending] = set()
        self._early: dict[bytes, KafkaRecord] = {}
        """Coordinates -> answer record that came while requests were unplaced: it may be for one of them."""

    @property
    def open(self) -> bool:
        """Whether anything is still waited for or kept."""
        return bool(self._waiting or self._unplaced or self._early)

    def expect(self, pending: Pending, timeout_s: float) -> None:
        self._unplaced.add(pending)
        pending._timer = asyncio.get_running_loop().call_later(timeout_s, self._expire, pending, timeout_s)
        pending.answer.add_done_callback(lambda _: self.forget(pending))

    def placed(self, pending: Pending, place: bytes) -> None:
        """The brokers have acknowledged the request at `place`."""
        pending.acknowledged, pending.place = True, place
        self._unplaced.discard(pending)
        record = self._early.pop(place, None)
        if not self._unplaced:
            self._early.clear()
        if pending.answer.done():
            return
        if record is None:
            self._waiting[place] = pending
        else:
            _settle(pending, record)

    def unsent(self, pending: Pending, error: StreamMaasError) -> None:
        if not pending.answer.done():
            pending.answer.set_exception(error)

    def arrived(self, record: KafkaRecord) -> None:
        """An answer record of anybody."""
        place = next((value for name, value in record.headers if name == AUDIT_ID), None)
        if place is None:
            return
        pending = self._waiting.get(place)
        if pending is not None:
            _settle(pending, record)
        elif self._unplaced:
            self._early[place] = record
            if len(self._early) > _MOST_EARLY:
                del self._early[next(iter(self._early))]

    def forget(self, pending: Pending) -> None:
        """Wait no longer: answered, expired, failed, or cancelled by the caller."""
        if pending._timer is not None:
            pending._timer.cancel()
        self._unplaced.discard(pending)
        if pending.place is not None:
            self._waiting.pop(pending.place, None)

    def fail(self, error: StreamMaasError) -> None:
        """Everybody who waits gets `error`."""
        for pending in (*self._unplaced, *self._waiting.values()):
            if not pending.answer.done():
                pending.answer.set_exception(error)

    @staticmethod
    def _expire(pending: Pending, timeout_s: float) -> None:
        if pending.answer.done():
            return
        if pending.acknowledged:
            text = f"no answer within {timeout_s:g} s; next: is a worker running? `stream-maas doctor` checks the rest"
            pending.answer.set_exception(AnswerTimeoutError(text))
        else:
            text = f"the brokers did not acknowledge the request within {timeout_s:g} s; next: `stream-maas doctor`"
            pending.answer.set_exception(BrokerError(text))


def _settle(pending: Pending, record: KafkaRecord) -> None:
    if pending.answer.done():
        return
    answer = decode(record.value)
    if answer is None:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        pending.answer.set_exception(BrokerError(f"result {place}: cannot be read; next: is the client up to date?"))
    elif isinstance(answer, Prediction):
        pending.answer.set_result(answer)
    else:
        pending.answer.set_exception(rejected(answer))
