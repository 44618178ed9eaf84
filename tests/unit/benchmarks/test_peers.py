"""The peers' hand-made model answers as the worker does, and the table says what the figures say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import workload
from benchmarks.peers import handmade, table
from benchmarks.peers.contenders import PEERS
from stream_maas.inference import Catalog, RuntimeConfig
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.inference.train.evaluation import served_probabilities


def test_the_hand_made_model_is_the_worker_s() -> None:
    values = [request.value for request in workload.requests(50)]
    texts = [handmade.read_request(value)[1] for value in values]
    by_hand = [pair[1] for pair in handmade.HandmadeModel(str(DEFAULT_BUNDLE)).predict(texts)]
    ours = served_probabilities(Catalog.load(RuntimeConfig()).resolve("sentiment-lite", None), texts)
    assert by_hand == pytest.approx(ours, abs=1e-6)


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b'{"id": "1"}', b'{"id": "1", "inputs": [{"data": [17]}]}', b'{"inputs": []}']
)
def test_poison_is_recognised(value: bytes | None) -> None:
    with pytest.raises(handmade.BadRequestError):
        handmade.read_request(value)
    assert handmade.refusal("1", "why") == {"id": "1", "error": "why"}


def test_the_table_has_every_contender_and_every_bar() -> None:
    names = [peer.contender.name for peer in PEERS]
    assert len(set(names)) == len(names)
    figures = {
        name: {
            "throughput": [{"rows": 1000, "wall_s": 1.0 + index, "cpu_s": 0.5, "rss_bytes": 2**20}],
            "latency": [{"p50_ms": 1.0, "p99_ms": 2.0}],
            "crash": [{"sent": 100, "answered": 97, "extra": 4, "slowest_ms": 2500.0}],
            "poison": [{"sent": 100, "answered": 90, "poison": 4}],
        }
        for index, name in enumerate(names)
    }
    text = table.markdown(figures)
    assert all(f"| {peer.contender.title} |" in text for peer in PEERS)
    assert "| 3 of 100 | 4 | 2.5 | 2.5 |" in text
    promised = {bar.name: bar for bar in table.bars(figures)}
    assert len(promised) == len(table.RATIOS) + len(table.CPU_RATIOS)
    assert promised["CPU per row, two-workers / exactly-once"].value == pytest.approx(1.0)
    assert "| <= 1.1 | 1.00, met (rows/s" in text
    assert promised["ours-off / bare"].value == pytest.approx(0.5)
    assert not promised["ours-off / bare"].passed
    assert table.bars({"bare": {}}) == []
    assert np.isfinite([bar.value for bar in promised.values()]).all()
