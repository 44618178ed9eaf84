from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from stream_maas.records import Answered
from stream_maas.worker.metrics import SIZE_BOUNDS, BulkHistogram, Metrics


@given(st.lists(st.lists(st.one_of(st.sampled_from(SIZE_BOUNDS), st.floats(0, 1e5)), max_size=20), max_size=5))
def test_bulk_histogram_equals_prometheus_client(batches: list[list[float]]) -> None:
    """The library's own histogram is the oracle, bounds included (a value equal to a bound counts below it)."""
    ours_registry, theirs_registry = CollectorRegistry(), CollectorRegistry()
    ours = BulkHistogram("h", "d", SIZE_BOUNDS, ours_registry)
    theirs = Histogram("h", "d", buckets=SIZE_BOUNDS, registry=theirs_registry)
    for batch in batches:
        ours.observe(batch)
        for value in batch:
            theirs.observe(value)

    def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
        return {
            (sample.name, sample.labels.get("le", "")): sample.value
            for family in registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    expected, actual = samples(theirs_registry), samples(ours_registry)
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        assert np.isclose(actual[key], value), key


def test_committed_chunk_shows_in_the_exposition() -> None:
    metrics = Metrics()
    metrics.committed(
        "default",
        Answered(
            results=[],
            audits=[None, None, None],  # type: ignore[list-item]  # only counted
            dead_letters=[None],  # type: ignore[list-item]
            codes={"prediction": 2, "expired": 1},
            models={("m", "1", "prediction"): 2},
            redactions={"EMAIL": 4},
            queue_us=[1000, 2000, 3000],
            total_us=[2000, 3000, 4000],
            stages_us={"infer": 500},
            batch_sizes=[2],
        ),
    )
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }
    assert values["stream_maas_requests_total", (("lane", "default"),)] == 3
    assert values["stream_maas_answers_total", (("code", "expired"),)] == 1
    assert values["stream_maas_redactions_total", (("entity_type", "EMAIL"),)] == 4
    assert values["stream_maas_queue_seconds_count", ()] == 3
    assert values["stream_maas_queue_seconds_sum", ()] == 0.006
    assert values["stream_maas_batch_rows_bucket", (("le", "2.0"),)] == 1
    assert values["stream_maas_dead_letters_total", ()] == 1


def test_a_partition_that_went_to_another_worker_has_no_lag_here_any_more() -> None:
    metrics = Metrics()
    metrics.lags({("maas.requests", 0): (7, 1.5), ("maas.requests", 1): (3, 0.5)})
    metrics.lags({("maas.requests", 1): (0, 0.0)})
    shown = {
        (sample.name, sample.labels["partition"]): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
        if "lag" in sample.name
    }
    assert shown == {("stream_maas_lag_records", "1"): 0, ("stream_maas_lag_seconds", "1"): 0}
