"""The SDK against a real worker on the embedded broker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stream_maas import Client, SyncClient, errors, kafka, topics
from stream_maas.client import AnswerTimeoutError, Call, Prediction, RejectedError, tensors
from stream_maas.settings import KafkaConfig
from tests.support.workers import Fleet

MODEL = "sentiment-lite"
ROOT = Path(__file__).parents[2]
GOOD, BAD = "A wonderful, moving film.", "A dull and lifeless waste of time."


def make_topics(bootstrap: str, prefix: str) -> None:
    asyncio.run(kafka.create_topics(KafkaConfig(bootstrap), topics.table(prefix), 3, 1))


@pytest.fixture(scope="module")
def served(embedded_broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Bootstrap and prefix of a deployment with one worker that serves the packaged model."""
    prefix = f"sdk-{uuid.uuid4().hex[:8]}"
    make_topics(embedded_broker, prefix)
    with Fleet(embedded_broker, prefix, tmp_path_factory.mktemp("worker")) as fleet:
        asyncio.run(fleet.start("w1").ready())
        yield embedded_broker, prefix


@pytest.fixture
def client(served: tuple[str, str]) -> Client:
    bootstrap, prefix = served
    return Client(bootstrap, prefix=prefix)


async def test_predict(client: Client) -> None:
    async with client:
        prediction = await client.predict(MODEL, GOOD, request_id="mine", tenant="acme", key="k")
    assert (prediction.id, prediction.label, prediction.model_name) == ("mine", "positive", MODEL)
    assert prediction.score is not None
    assert 0.5 < prediction.score <= 1.0
    assert prediction.outputs["label"].data == ["positive"]
    assert prediction.raw["id"] == "mine"
    assert not prediction.degraded
    assert prediction.timings.total_us > 0


async def test_rejections_are_typed(client: Client) -> None:
    async with client:
        with pytest.raises(errors.UnknownModelError) as unknown:
            await client.predict("no-such-model", GOOD)
        with pytest.raises(errors.InvalidInputError) as invalid:
            await client.predict(MODEL, inputs=tensors(text=[1.0, 2.0]))
        with pytest.raises(errors.ExpiredError):
            await (await client.begin(Call(MODEL, GOOD, timeout_us=1))).answer
    for caught, code, retryable in ((unknown, "unknown_model", True), (invalid, "invalid_input", False)):
        assert isinstance(caught.value, RejectedError)
        assert (caught.value.code, caught.value.retryable) == (code, retryable)


async def test_concurrent_clients_get_their_own_answers(served: tuple[str, str]) -> None:
    """Same ids everywhere: only the coordinates tell the requests apart."""
    bootstrap, prefix = served
    async with Client(bootstrap, prefix=prefix) as one, Client(bootstrap, prefix=prefix) as other:
        texts = [GOOD, BAD] * 100
        calls = [
            who.predict(MODEL, text, request_id="same", key=f"k{number % 7}")
            for number, text in enumerate(texts)
            for who in (one, other)
        ]
        predictions = await asyncio.gather(*calls)
    assert [item.label for item in predictions] == [
        label for text in texts for label in ["positive" if text is GOOD else "negative"] * 2
    ]


async def test_an_id_with_personal_data_is_answered_but_not_repeated(client: Client) -> None:
    async with client:
        prediction = await client.predict(
            MODEL, f"{GOOD} Yours, ada@example.org", request_id="from ada@example.org", key="ada@example.org"
        )
    assert prediction.label == "positive"
    assert b"ada@example.org" not in prediction.value
    assert prediction.redactions["EMAIL"] >= 1


async def test_predict_many_keeps_the_order(client: Client) -> None:
    texts = [f"{GOOD if number % 3 else BAD} ({number})" for number in range(2_000)]
    async with client:
        predictions = await client.predict_many(MODEL, texts, in_flight=300, tenant="acme")
    assert [item.label for item in predictions] == ["positive" if number % 3 else "negative" for number in range(2_000)]


async def test_predict_many_puts_failures_where_they_happened(client: Client) -> None:
    huge = "x" * 5_000_000  # above any broker's limit: refused before it is sent
    async with client:
        outcomes = await client.predict_many(MODEL, [GOOD, huge, BAD], return_exceptions=True)
        with pytest.raises(errors.TooLargeError):
            await client.predict_many(MODEL, [GOOD, huge, BAD])
    assert [type(outcome) for outcome in outcomes] == [Prediction, errors.TooLargeError, Prediction]


async def test_results_have_everything_since_the_start(client: Client) -> None:
    async with client:
        submitted = [await client.submit(MODEL, text) for text in (GOOD, BAD)]
        submitted.append(await client.submit("no-such-model", GOOD))
        found: dict[str, Any] = {}
        async for result in client.results():
            if result.answer.id in submitted:
                found[result.answer.id] = result
            if len(found) == len(submitted):
                break
    first, second, third = (found[request_id] for request_id in submitted)
    assert (first.answer.label, second.answer.label, third.answer.code) == ("positive", "negative", "unknown_model")
    assert first.topic.endswith(".results")


async def test_without_a_worker_the_timeout_says_so(embedded_broker: str, prefix: str) -> None:
    await asyncio.to_thread(make_topics, embedded_broker, prefix)
    async with Client(embedded_broker, prefix=prefix) as client:
        with pytest.raises(AnswerTimeoutError, match="worker"):
            await client.predict(MODEL, GOOD, timeout=0.3)
        with pytest.raises(AnswerTimeoutError):
            await client.predict_many(MODEL, [GOOD, BAD], timeout=0.3)


async def test_what_is_missing_is_named(embedded_broker: str, prefix: str) -> None:
    with pytest.raises(errors.TopicsError, match=f"{prefix}.requests.*topics create"):
        await Client(embedded_broker, prefix=prefix).start()
    with pytest.raises(errors.BrokerError, match=r"127\.0\.0\.1:1: connection refused"):
        await Client("127.0.0.1:1").start()


async def test_life_of_a_client(client: Client) -> None:
    with pytest.raises(errors.BrokerError, match="not started"):
        await client.predict(MODEL, GOOD)
    async with client:
        await client.predict(MODEL, GOOD)
        left_behind = await client.begin(Call("no-such-model", GOOD, timeout_us=None))
    # Closing sends what is buffered; who still waits is told.
    with pytest.raises((errors.BrokerError, RejectedError)):
        await left_behind.answer
    with pytest.raises(errors.BrokerError, match="closed"):
        await client.predict(MODEL, GOOD)
    await client.close()


def test_sync_client(served: tuple[str, str]) -> None:
    bootstrap, prefix = served
    with SyncClient(bootstrap, prefix=prefix) as client:
        assert client.predict(MODEL, GOOD).label == "positive"
        assert [item.label for item in client.predict_many(MODEL, [BAD, GOOD])] == ["negative", "positive"]
        with pytest.raises(errors.UnknownModelError):
            client.predict("no-such-model", GOOD)
        with ThreadPoolExecutor(8) as threads:
            labels = list(threads.map(lambda text: client.predict(MODEL, text).label, [GOOD, BAD] * 20))
        assert labels == ["positive", "negative"] * 20
        submitted = client.submit(MODEL, GOOD)
        assert submitted in (result.answer.id for result in client.results())
    client.close()
    with pytest.raises(errors.BrokerError, match="closed"):
        client.predict(MODEL, GOOD)


def test_sync_client_without_broker_leaves_no_thread() -> None:
    import threading

    before = threading.active_count()
    with pytest.raises(errors.BrokerError):
        SyncClient("127.0.0.1:1")
    assert threading.active_count() == before


@pytest.mark.parametrize(("example", "expected"), [
    ("quickstart.py", "positive"),
    ("sync.py", "rejected: unknown_model retryable"),
    ("plain_producer.py", '"positive"'),
])  # fmt: skip
def test_examples_run(served: tuple[str, str], monkeypatch: pytest.MonkeyPatch, example: str, expected: str) -> None:
    monkeypatch.setenv("STREAM_MAAS_BOOTSTRAP", served[0])
    monkeypatch.setenv("STREAM_MAAS_PREFIX", served[1])
    command = [sys.executable, str(ROOT / "examples" / example)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert "Traceback" not in done.stderr
    assert "Unclosed" not in done.stderr
