"""Bundles change under a worker: the new one is loaded beside the old one, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from stream_maas import pipeline, wire
from stream_maas.admission import Limits
from stream_maas.errors import BundleError
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.privacy import Redactor
from stream_maas.records import Writer
from stream_maas.worker.health import Health
from stream_maas.worker.metrics import Metrics
from stream_maas.worker.swap import Serving, meter
from tests.support.bundles import write_lookup_bundle, write_slow_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lookup_bundle(tmp_path / "models")
    return tmp_path / "models"


def config(folder: Path) -> RuntimeConfig:
    return RuntimeConfig(models=(str(folder),), reload_ms=10)


def new_version(folder: Path, version: str) -> None:
    """As an operator does it: a finished file takes the old one's place in one step."""
    path = folder / "lookup" / "bundle.yaml"
    manifest = yaml.safe_load(path.read_text()) | {"version": version}
    path.with_name("..new").write_text(yaml.safe_dump(manifest))
    path.with_name("..new").replace(path)


def versions(catalog: Catalog) -> dict[str, str]:
    return {model.ref.name: model.ref.version for model in catalog.models}


def test_only_what_changed_is_loaded_again(folder: Path) -> None:
    write_slow_bundle(folder)
    old = Catalog.load(config(folder), meter=meter)
    new_version(folder, "2")
    new = Catalog.load(config(folder), previous=old, meter=meter)
    assert (versions(old), versions(new)) == ({"lookup": "1", "slow": "1"}, {"lookup": "2", "slow": "1"})
    assert new.resolve("slow", None) is old.resolve("slow", None)
    assert new.resolve("lookup", None) is not old.resolve("lookup", None)
    assert all(loaded.load_us > 0 for loaded in new.loaded.values())


def test_a_bundle_that_breaks_goes_on_serving_as_it_was(folder: Path) -> None:
    old = Catalog.load(config(folder))
    (folder / "lookup" / "model.onnx").write_bytes(b"half a file")
    new = Catalog.load(config(folder), previous=old)
    assert new.models == old.models
    assert "its SHA-256 is not the one" in new.failures[str(folder / "lookup")]


def test_a_folder_that_is_gone_is_no_longer_served(folder: Path) -> None:
    write_slow_bundle(folder)
    old = Catalog.load(config(folder))
    shutil.rmtree(folder / "lookup")
    assert versions(Catalog.load(config(folder), previous=old)) == {"slow": "1"}
    shutil.rmtree(folder / "slow")
    with pytest.raises(BundleError):
        Catalog.load(config(folder), previous=old)


def test_what_changes_while_it_is_loaded_is_refused(folder: Path) -> None:
    def touch() -> tuple[int, int]:
        os.utime(folder / "lookup" / "model.onnx")
        return 0, 0

    with pytest.raises(BundleError, match="changed while it was loaded"):
        Catalog.load(config(folder), meter=touch)


class Watched:
    """A `Serving` under watch, and the catalogs that it took up."""

    def __init__(self, folder: Path, reload_ms: int = 10) -> None:
        self.metrics, self.health = Metrics(), Health(stall_s=1.0)
        runtime = RuntimeConfig(models=(str(folder),), reload_ms=reload_ms)
        service = pipeline.Service(
            redactor=Redactor(), catalog=Catalog.load(runtime), limits=Limits(),
            audit=wire.AuditEncoder(Writer("app", "w1", "test")), source="/maas/app", digest_key=b"k" * 32,
        )  # fmt: skip
        self.serving = Serving(service, runtime, self.metrics)
        self.swaps: asyncio.Queue[Catalog] = asyncio.Queue()
        self.task = asyncio.create_task(self.serving.keep_watch(self.swaps.put_nowait))

    async def next(self) -> Catalog:
        async with asyncio.timeout(60):
            return await self.swaps.get()


@pytest.fixture
async def watched(folder: Path) -> AsyncIterator[Watched]:
    made = Watched(folder)
    yield made
    made.task.cancel()


async def test_a_new_version_takes_over(folder: Path, watched: Watched) -> None:
    before = watched.serving.service
    new_version(folder, "2")
    catalog = await watched.next()
    assert versions(catalog) == {"lookup": "2"}
    assert watched.serving.service.catalog is catalog
    assert watched.serving.service.redactor is before.redactor
    # What began with the old one ends with it.
    assert versions(before.catalog) == {"lookup": "1"}
    model = before.catalog.resolve("lookup", None)
    model.warm_up()


async def test_a_half_copied_bundle_changes_nothing_until_it_is_whole(folder: Path, watched: Watched) -> None:
    graph = folder / "lookup" / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:10])
    catalog = await watched.next()
    assert (versions(catalog), len(catalog.failures)) == ({"lookup": "1"}, 1)
    graph.write_bytes(whole)
    while catalog.failures:
        catalog = await watched.next()
    assert versions(catalog) == {"lookup": "1"}


async def test_without_polling_it_looks_when_asked(folder: Path) -> None:
    watched = Watched(folder, reload_ms=0)
    new_version(folder, "2")
    await asyncio.sleep(0)
    assert watched.swaps.empty()
    watched.serving.ask()
    assert versions(await watched.next()) == {"lookup": "2"}
    watched.task.cancel()


async def test_nothing_left_to_serve_keeps_what_there_is(folder: Path, watched: Watched) -> None:
    shutil.rmtree(folder)
    while b'model_reloads_total{outcome="failed"} 1' not in watched.metrics.exposition():  # noqa: ASYNC110 - a counter
        await asyncio.sleep(0.01)
    assert versions(watched.serving.service.catalog) == {"lookup": "1"}


def test_readiness_names_what_is_missing() -> None:
    health = Health(stall_s=1.0, waiting_for=set())
    health.not_loaded = {"/models/x": "/models/x: model.onnx: missing"}
    assert health.ready() == (True, "ready, but not loaded: /models/x: model.onnx: missing")
