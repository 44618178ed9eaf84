"""Several models in one worker, on a broker: swapped under load, broken, slow, and ended at their deadline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from aiokafka import ConsumerRecord

from stream_maas import topics
from stream_maas.brokers import EmbeddedBroker
from tests.support.bundles import lookup_request, slow_request, write_lookup_bundle, write_slow_bundle
from tests.support.deployment import ReadAll, create_topics, read_deployment, request, send
from tests.support.log_reading import Tap
from tests.support.slow import SlowModel
from tests.support.workers import Fleet

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 2
FOR_EVER = 2**40
SETTINGS = {"INFERENCE_RELOAD_MS": "50", "WORKER_FETCH_MAX_WAIT_MS": "10", "WORKER_WEB_PORT": "0"}


def answer(record: ConsumerRecord) -> dict[str, Any]:
    return orjson.loads(record.value)


def replace_manifest(bundle: Path, **fields: str) -> None:
    """A finished file takes the old one's place in one step."""
    path = bundle / "bundle.yaml"
    path.with_name("..new").write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))
    path.with_name("..new").replace(path)


async def test_a_swap_under_load_loses_nothing_and_every_answer_names_its_version(
    start_embedded: Callable[[], EmbeddedBroker], prefix: str, tmp_path: Path, read_all: ReadAll
) -> None:
    bootstrap = start_embedded().bootstrap
    bundle = write_lookup_bundle(tmp_path / "models")
    await create_topics(bootstrap, prefix, PARTITIONS)
    sent = 0
    with Fleet(bootstrap, prefix, tmp_path, models=[tmp_path / "models"], settings=SETTINGS) as fleet:
        worker = await fleet.start("w1").ready()
        async with Tap(bootstrap, topics.results(prefix)) as tap:

            async def load_until(enough: Callable[[], bool]) -> None:
                nonlocal sent
                while not enough():
                    batch = [
                        request(number % PARTITIONS, lookup_request(number % 16, f"n-{number}"), f"n-{number}")
                        for number in range(sent, sent + 40)
                    ]
                    await send(bootstrap, topics.requests(prefix), batch)
                    sent += len(batch)

            def answered_by(version: str) -> int:
                return sum(answer(record).get("model_version") == version for record in tap.records)

            await load_until(lambda: answered_by("1") > 100)
            replace_manifest(bundle, version="2")
            await load_until(lambda: answered_by("2") > 100)
            (bundle / "model.onnx").write_bytes(b"broken")
            await worker.logged("model bundle not loaded")
            await load_until(lambda: answered_by("2") > 300)
            await tap.until(sent, "all answers")
        assert await worker.stop() == 0
    logged = await read_deployment(read_all, bootstrap, prefix)
    assert len(logged.results) == len(logged.audits) == sent
    for partition in range(PARTITIONS):
        mine = [answer(record) for record in logged.results if record.partition == partition]
        assert {tuple(each["outputs"][0]["data"]) for each in mine} <= {(index / 2,) for index in range(16)}
        versions = [each["model_version"] for each in mine]
        assert versions == sorted(versions), "the old version answered after the new one"
        audited = [answer(record)["data"] for record in logged.audits if record.partition == partition]
        assert [each["model"]["version"] for each in audited] == versions
        assert {each["status"] for each in audited} == {"prediction"}


async def test_a_slow_and_a_broken_model_harm_no_other(
    start_embedded: Callable[[], EmbeddedBroker], prefix: str, tmp_path: Path
) -> None:
    bootstrap = start_embedded().bootstrap
    models = tmp_path / "models"
    write_lookup_bundle(models)
    slow = SlowModel(write_slow_bundle(models), 0)
    broken = write_lookup_bundle(tmp_path / "elsewhere").rename(models / "broken")
    replace_manifest(broken, name="broken", licence="none")
    await create_topics(bootstrap, prefix, PARTITIONS)
    topic = topics.requests(prefix)
    with Fleet(bootstrap, prefix, tmp_path, models=[models], settings=SETTINGS) as fleet:
        worker = await fleet.start("w1").ready()
        async with aiohttp.ClientSession() as http:
            page = await http.get(f"http://127.0.0.1:{worker.facts['web_port']}/readyz")
            ready = await page.json()
        assert ready["ok"]
        assert "licence: 'none' is not among the allowed ones" in ready["reason"]
        async with Tap(bootstrap, topics.results(prefix)) as tap:
            endless = request(0, slow_request(FOR_EVER, "endless", timeout=3_000_000), "endless")
            await send(bootstrap, topic, [endless])
            quick = [request(1, lookup_request(3, f"q-{number}"), f"q-{number}") for number in range(20)]
            for each in quick:
                await send(bootstrap, topic, [each])
            to_broken = orjson.loads(lookup_request(3, "b")) | {"model_name": "broken"}
            await send(bootstrap, topic, [request(1, orjson.dumps(to_broken), "b")])
            await tap.until(lambda: len(tap.on(1)) == 21, "the quick answers")
            await tap.until(lambda: len(tap.on(0)) == 1, "the end of the endless call")
            codes = {answer(record)["id"]: answer(record).get("code") for record in tap.records}
            assert codes == {"endless": "expired", "b": "unknown_model"} | {f"q-{n}": None for n in range(20)}
            await send(bootstrap, topic, [slow.quick(0, "after")])
            await tap.until(lambda: len(tap.on(0)) == 2, "the slow model after it was ended")
            assert answer(tap.on(0)[1])["model_name"] == "slow"
        assert await worker.stop() == 0
