from __future__ import annotations

from aiokafka import TopicPartition

from stream_maas.worker.health import Health

TP = TopicPartition("maas.requests", 0)


def serving(stall_s: float = 60.0) -> Health:
    health = Health(stall_s=stall_s)
    for name in ("broker", "models", "redactor", "topics"):
        health.done(name)
    health.assigned({TP}, now_s=100.0)
    return health


def test_ready_names_what_it_waits_for() -> None:
    health = Health(stall_s=1)
    health.done("broker")
    assert health.ready() == (False, "waiting for assignment, models, redactor, topics")


def test_readiness_tells_of_a_slow_engine_and_of_missing_bundles() -> None:
    health = serving()
    health.warning = "redaction runs on plain re"
    assert health.ready() == (True, "ready, but redaction runs on plain re")
    health.not_loaded = {"/models/x": "/models/x: missing"}
    assert health.ready() == (True, "ready, but not loaded: /models/x: missing; redaction runs on plain re")


def test_ready_after_assignment_even_of_nothing() -> None:
    health = serving()
    health.assigned(set(), now_s=1.0)
    assert health.ready()[0]


def test_idle_worker_is_live_for_ever() -> None:
    assert serving().live(now_s=1e9)[0]


def test_lag_without_commits_is_not_live_after_the_stall_time() -> None:
    health = serving()
    health.observed({TP: 5}, now_s=200.0)
    assert health.live(now_s=260.0)[0], "exactly on the limit is still live"
    live, reason = health.live(now_s=260.1)
    assert not live
    assert "5 records" in reason


def test_a_worker_that_the_audit_topic_refuses_is_live_however_long() -> None:
    """A restart would not help, and it would take its memory of what waits with it."""
    health = serving()
    health.observed({TP: 5}, now_s=200.0)
    health.blocked = "the audit topic cannot be written"
    assert health.live(now_s=10_000.0) == (True, "live")
    assert health.ready() == (False, "the audit topic cannot be written")
    health.blocked = ""
    assert not health.live(now_s=10_000.0)[0]


def test_an_idle_hour_before_a_record_is_no_stall() -> None:
    health = serving()
    health.observed({TP: 0}, now_s=3600.0)
    health.observed({TP: 1}, now_s=4000.0)
    assert health.live(now_s=4000.0)[0]
    health.observed({TP: 1}, now_s=4061.0)
    assert not health.live(now_s=4061.0)[0]


def test_catching_up_ends_the_stall() -> None:
    health = serving()
    health.observed({TP: 5}, now_s=200.0)
    health.committed(TP, 5, timestamp_ms=1, now_s=300.0)
    health.observed({TP: 0}, now_s=300.0)
    health.observed({TP: 1}, now_s=301.0)
    assert health.live(now_s=361.0)[0]


def test_a_commit_restarts_the_stall_clock() -> None:
    health = serving()
    health.observed({TP: 10}, now_s=110.0)
    health.committed(TP, 5, timestamp_ms=1, now_s=150.0)
    assert health.live(now_s=200.0)[0]
    assert not health.live(now_s=210.1)[0]


def test_fatal_ends_both() -> None:
    health = serving()
    health.fatal = "publishing failed for good"
    assert not health.live(0)[0]
    assert not health.ready()[0]
