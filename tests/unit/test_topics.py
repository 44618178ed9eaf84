"""The topic table as data, and the sentences about a cluster that differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import topics
from stream_maas.errors import TopicsError
from stream_maas.topics import ActualTopic, TopicSpec

LANE = st.text("abcXYZ019_-", min_size=1, max_size=20).filter(lambda lane: lane != "default")


def as_created(specs: Sequence[TopicSpec], partitions: int = 4, replication: int = 3) -> dict[str, ActualTopic]:
    """The cluster after `topics create`."""
    return {
        spec.name: ActualTopic(
            spec.name, partitions if spec.partitions == "requests" else 1, replication, spec.configs(replication)
        )
        for spec in specs
    }


def test_names_and_keeping() -> None:
    """The table of the design, written down a second time: a changed row is a changed contract."""
    rows = {
        spec.name: (spec.partitions, spec.cleanup_policy, spec.retention_ms) for spec in topics.table("maas", ["fast"])
    }
    hour, day = 3_600_000, 86_400_000
    assert rows == {
        "maas.requests": ("requests", "delete", 24 * hour),
        "maas.requests.fast": ("requests", "delete", 24 * hour),
        "maas.results": ("requests", "delete", 7 * day),
        "maas.audit": ("requests", "delete", -1),
        "maas.audit.checkpoints": ("one", "delete", -1),
        "maas.audit.cosignatures": ("one", "delete", -1),
        "maas.audit.boxes": ("requests", "delete", 30 * day),
        "maas.dead-letters": ("requests", "delete", 14 * day),
        "maas.alerts": ("one", "delete", 28 * day),
        "maas.alert-commands": ("one", "delete", 90 * day),
        "maas.monitor.state": ("requests", "compact", None),
        "maas.monitor.journal": ("one", "delete", -1),
    }


def test_only_workers_read_what_is_not_redacted() -> None:
    for spec in topics.table("maas", ["fast", "slow"]):
        if "requests" in spec.name:
            assert spec.read_by == ("worker",)
        else:
            assert "client" not in spec.written_by


def test_worker_needs_no_right_on_other_topics() -> None:
    used = {spec.name for spec in topics.table("m") if spec.used_by("worker")}
    assert used == {"m.requests", "m.results", "m.audit", "m.audit.boxes", "m.dead-letters"}


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (4, "2"), (5, "3")])
def test_acknowledged_means_on_a_majority(replication: int, in_sync: str) -> None:
    for spec in topics.table("maas"):
        assert spec.configs(replication)["min.insync.replicas"] == in_sync


@given(LANE)
def test_lane_of_is_the_inverse_of_requests(lane: str) -> None:
    assert topics.lane_of("maas", topics.requests("maas", lane)) == lane
    assert topics.requests("maas", lane) in {spec.name for spec in topics.table("maas", [lane])}


def test_default_lane() -> None:
    assert topics.requests("p") == topics.requests("p", "") == topics.requests("p", "default") == "p.requests"
    assert topics.lane_of("p", "p.requests") == "default"


@pytest.mark.parametrize(
    "topic", ["maas.results", "maas.requests.", "maas.requestsfast", "other.requests", "", "requests"]
)
def test_lane_of_another_topic(topic: str) -> None:
    with pytest.raises(TopicsError, match="not a request topic"):
        topics.lane_of("maas", topic)


@pytest.mark.parametrize("prefix", ["", "a b", "ü", "a/b", "a\n", "x" * 101])
def test_illegal_prefix_is_named(prefix: str) -> None:
    with pytest.raises(TopicsError, match=r"^topics\.prefix: "):
        topics.table(prefix)


@pytest.mark.parametrize("lanes", [["a b"], [""], ["a.b"], ["default"], ["a", "a"], ["x" * 101]])
def test_illegal_lane_is_named(lanes: list[str]) -> None:
    with pytest.raises(TopicsError, match=r"^topics\.lanes: "):
        topics.table("maas", lanes)


def test_longest_legal_names_fit_kafka() -> None:
    assert max(len(spec.name) for spec in topics.table("p" * 100, ["l" * 100])) <= 249


@given(st.integers(1, 300), st.lists(LANE, max_size=3, unique=True), st.integers(1, 5))
def test_created_topics_compare_clean(partitions: int, lanes: list[str], replication: int) -> None:
    table = topics.table("maas", lanes)
    assert topics.compare(table, as_created(table, partitions, replication)) == []


def test_everything_missing() -> None:
    problems = topics.compare(topics.table("maas"), {})
    assert len(problems) == len(topics.table("maas"))
    assert all("does not exist" in problem and "`stream-maas topics create`" in problem for problem in problems)


TABLE = topics.table("maas", ["fast"])
DIFFERENCES = {
    "fewer results": (
        "maas.results",
        {"partitions": 3},
        ["has 3 partitions, must have 4", "--alter --topic maas.results --partitions 4"],
    ),
    "fewer audit": ("maas.audit", {"partitions": 1}, ["has 1 partitions, must have 4"]),
    "fewer dead letters": ("maas.dead-letters", {"partitions": 3}, ["has 3 partitions, must have 4"]),
    "fewer in a lane": ("maas.requests.fast", {"partitions": 2}, ["has 2 partitions, must have 4"]),
    "split order": ("maas.audit.checkpoints", {"partitions": 2}, ["must have 1 (its order is total)"]),
    "pruned by time": (
        "maas.audit",
        {"configs": {"retention.ms": "604800000"}},
        ["retention.ms=604800000, must have -1", "--add-config retention.ms=-1"],
    ),
    "pruned by size": ("maas.audit", {"configs": {"retention.bytes": "9"}}, ["retention.bytes=9, must have -1"]),
    "compacted requests": ("maas.requests", {"configs": {"cleanup.policy": "compact"}}, ["must have delete"]),
    "compacted too": ("maas.audit", {"configs": {"cleanup.policy": "compact,delete"}}, ["must have delete"]),
    "room for less than a batch": (
        "maas.results",
        {"configs": {"max.message.bytes": "65536"}},
        ["max.message.bytes=65536, must have 1048576 or more", "--add-config max.message.bytes=1048576"],
    ),
    "lost with one broker": (
        "maas.audit",
        {"replication_count": 3, "configs": {"min.insync.replicas": "1"}},
        ["min.insync.replicas=1, must have 2 or more"],
    ),
    "state that is deleted": ("maas.monitor.state", {"configs": {"cleanup.policy": "delete"}}, ["must have compact"]),
    "no right": ("maas.audit", {"forbidden": True, "partitions": 0}, ["grant it Describe"]),
}


@pytest.mark.parametrize(("name", "change", "says"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_one_difference_gives_one_sentence(name: str, change: dict[str, object], says: list[str]) -> None:
    cluster = as_created(TABLE)
    cluster[name] = replace(cluster[name], **change)  # type: ignore[arg-type]
    [problem] = topics.compare(TABLE, cluster)
    assert problem.startswith(f"topic {name} ")
    assert "; next: " in problem
    assert all(part in problem for part in says)


def test_the_largest_number_of_partitions_is_the_one_to_reach() -> None:
    """Nobody is told to delete an audit topic because it has too many partitions."""
    cluster = as_created(TABLE)
    cluster["maas.audit"] = replace(cluster["maas.audit"], partitions=6)
    problems = topics.compare(TABLE, cluster)
    assert sorted(problem.split()[1] for problem in problems) == [
        "maas.audit.boxes",
        "maas.dead-letters",
        "maas.monitor.state",
        "maas.requests",
        "maas.requests.fast",
        "maas.results",
    ]
    assert all("must have 6" in problem and "--partitions 6" in problem for problem in problems)


def test_what_is_the_operators_choice_is_not_a_problem() -> None:
    cluster = as_created(TABLE)
    for name in ("maas.requests", "maas.results", "maas.dead-letters", "maas.alerts"):
        cluster[name] = replace(cluster[name], configs={"cleanup.policy": "delete", "retention.ms": "1000"})
    cluster["maas.audit"] = replace(cluster["maas.audit"], configs={})  # a broker that does not tell
    assert topics.compare(TABLE, cluster) == []
