"""The SDK without async: one event loop in one thread of its own, for notebooks, scripts and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from stream_maas.client.answers import Prediction, Result
from stream_maas.client.session import Client
from stream_maas.errors import BrokerError

T = TypeVar("T")


class SyncClient:
    """`Client` with blocking methods. Arguments, results and errors are the same; any thread may call.

    Connects when it is made, so a notebook needs no `with` (but should `close` it).
    """

    def __init__(self, bootstrap: str | None = None, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stream-maas client", daemon=True)
        self._thread.start()
        self._closed = False
        try:
            self._client = self._run(_make(bootstrap, options))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send what is buffered, stop reading and end the thread. May be called twice."""
        if not self._closed:
            try:
                self._run(self._client.close())
            finally:
                self._stop()

    def predict(self, model: str | None, text: str | None = None, inputs: Any = None, **options: Any) -> Prediction:
        """See `Client.predict`."""
        return self._run(self._client.predict(model, text, inputs, **options))

    def submit(self, model: str | None, text: str | None = None, inputs: Any = None, **options: Any) -> str:
        """See `Client.submit`."""
        return self._run(self._client.submit(model, text, inputs, **options))

    def predict_many(self, model: str | None, texts: Iterable[str], **options: Any) -> list[Any]:
        """See `Client.predict_many`."""
        return self._run(self._client.predict_many(model, texts, **options))

    def results(self) -> Iterator[Result]:
        """See `Client.results`. Blocks while nothing comes; close the iterator to stop."""
        results = self._client.results()
        try:
            while True:
                yield self._run(anext(results))
        finally:
            if not self._closed:
                self._run(results.aclose())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise BrokerError("the client is closed; next: make a new one")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in a notebook: the call must not go on behind the user's back.
            future.cancel()
            raise

    def _stop(self) -> None:
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _make(bootstrap: str | None, options: dict[str, Any]) -> Client:
    client = Client(bootstrap, **options)
    await client.start()
    return client
