"""The topic table: which topics exist, who writes and reads them, and how each one must be kept. Pure.

Names are `PREFIX.NAME`. Everything that answers a request is written to the partition number of its request, so all
topics of the row "requests" have the same number of partitions; `compare` says where a cluster differs and what to
do about it. Creation and checks on a cluster are kafka.py's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stream_maas.errors import TopicsError

DEFAULT_LANE = "default"
"""What `PREFIX.requests` itself is called where lanes have names."""
FOR_EVER = -1
APPEND_ONLY = {
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # Else a replica that was behind may become leader, and honest truncation looks like an attack.
    "unclean.leader.election.enable": "false",
    # The broker's clock grows; a writer's may be set to anything, and a search by time would skip events.
    "message.timestamp.type": "LogAppendTime",
}
"""How a topic is kept that proves something. Values are hashed uncompressed, so how they are compressed is free; the
limit on message size is one on whole batches, see `BATCH_BYTES`."""
BATCH_BYTES = 1 << 20
"""Room of one batch that a worker produces, so the least that max.message.bytes may be; Kafka's default is 12 more.
Larger batches mean fewer requests."""
HEADERS_BYTES = 16 * 1024
"""Of a batch, kept free for its own head and for the headers of a single record that fills it."""
_COMPACTED_SEGMENT_MS = 3_600_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# Kafka's own rule is 249 characters of these; the rest is for the longest name that is put behind a prefix.
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LEGAL_LANE = re.compile(r"[A-Za-z0-9_-]{1,100}")

Role = Literal["client", "worker", "sealer", "witness", "monitor", "dashboard", "auditor", "pruner", "operator"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One row of the table."""

    name: str
    """Full name, with the prefix."""
    description: str
    key: str
    """What the record key is, in words."""
    value: str
    """What the record value is, in words."""
    schema: tuple[str, ...]
    """Stems of the files in schemas/ that a value matches one of; empty: not public."""
    partitions: Literal["requests", "one"]
    """Either the number that all topics on the way of a request share, or one, because its order is total."""
    retention_ms: int | None
    """Milliseconds, `FOR_EVER`, or None where the topic is compacted instead."""
    written_by: tuple[Role, ...]
    read_by: tuple[Role, ...]

    @property
    def compacted(self) -> bool:
        """Whether only the last value of each key is kept."""
        return self.retention_ms is None

    @property
    def cleanup_policy(self) -> str:
        """Kafka's cleanup.policy."""
        return "compact" if self.compacted else "delete"

    @property
    def append_only(self) -> bool:
        """Whether nothing of it may ever vanish unannounced."""
        return self.retention_ms == FOR_EVER

    def used_by(self, role: Role) -> bool:
        """Whether `role` writes or reads it."""
        return role in self.written_by or role in self.read_by

    def configs(self, replication_count: int) -> dict[str, str]:
        """Topic configuration to create it with.

        min.insync.replicas is the majority (1 of 1, 1 of 2, 2 of 3): with Kafka's default of 1 an acknowledged
        audit event could be lost together with a single broker.
        """
        configs = {"cleanup.policy": self.cleanup_policy, "min.insync.replicas": str((replication_count + 1) // 2)}
        if self.retention_ms is not None:
            configs["retention.ms"] = str(self.retention_ms)
        else:
            # The newest segment is never compacted, and by default it is the newest one for a week.
            configs["segment.ms"] = str(_COMPACTED_SEGMENT_MS)
        if self.append_only:
            configs |= APPEND_ONLY
        return configs


@dataclass(frozen=True, slots=True)
class ActualTopic:
    """What a cluster says about a topic. `configs` holds what the broker told, which may be nothing."""

    name: str
    partitions: int
    replication_count: int = 1
    configs: Mapping[str, str] = field(default_factory=dict)
    forbidden: bool = False
    """This user may not describe it, so nothing else is known."""


def requests(prefix: str, lane: str | None = None) -> str:
    """The topic that clients write to; a lane other than the default one has its own."""
    return f"{prefix}.requests.{lane}" if lane and lane != DEFAULT_LANE else f"{prefix}.requests"


def results(prefix: str) -> str:
    """The topic with the one answer to each request."""
    return f"{prefix}.results"


def audit(prefix: str) -> str:
    """The topic with the one audit event of each request."""
    return f"{prefix}.audit"


def audit_checkpoints(prefix: str) -> str:
    """The topic with signed tree heads over the audit topic."""
    return f"{prefix}.audit.checkpoints"


def audit_cosignatures(prefix: str) -> str:
    """The topic with checkpoints that a witness has cosigned."""
    return f"{prefix}.audit.cosignatures"


def audit_boxes(prefix: str) -> str:
    """The topic with encrypted redacted inputs, which audit events refer to."""
    return f"{prefix}.audit.boxes"


def dead_letters(prefix: str) -> str:
    """The topic with redacted copies of records that an operator may want to see."""
    return f"{prefix}.dead-letters"


def alerts(prefix: str) -> str:
    """The topic with the life cycle of alerts."""
    return f"{prefix}.alerts"


def alert_commands(prefix: str) -> str:
    """The topic with what people tell the monitor about alerts."""
    return f"{prefix}.alert-commands"


def monitor_state(prefix: str) -> str:
    """The compacted topic from which a restarted monitor goes on."""
    return f"{prefix}.monitor.state"


def monitor_journal(prefix: str) -> str:
    """The topic from which alerts can be recomputed: ticks, rules, commands as they took effect."""
    return f"{prefix}.monitor.journal"


def lane_of(prefix: str, topic: str) -> str:
    """Lane of a request topic, `DEFAULT_LANE` for `PREFIX.requests`. Raises `TopicsError` for any other topic."""
    base = requests(prefix)
    if topic == base:
        return DEFAULT_LANE
    lane = topic.removeprefix(f"{base}.")
    if lane == topic or not _LEGAL_LANE.fullmatch(lane):
        raise TopicsError(f"{topic}: not a request topic of the prefix {prefix}")
    return lane


def table(prefix: str, lanes: Sequence[str] = ()) -> tuple[TopicSpec, ...]:
    """All topics of a deployment in the order in which a request meets them.

    Raises `TopicsError` for a prefix or lane that cannot be part of a topic name.
    """
    if not _LEGAL.fullmatch(prefix):
        raise TopicsError("topics.prefix: expected 1 to 100 of the characters a-z A-Z 0-9 . _ -")
    for lane in lanes:
        if not _LEGAL_LANE.fullmatch(lane) or lane == DEFAULT_LANE:
            raise TopicsError(f"topics.lanes: expected names of a-z A-Z 0-9 _ - other than {DEFAULT_LANE}")
    if len(set(lanes)) != len(lanes):
        raise TopicsError("topics.lanes: a name occurs twice")
    return (
        *(_requests(prefix, lane) for lane in (DEFAULT_LANE, *lanes)),
        TopicSpec(
            name=results(prefix),
            description="Exactly one answer to each request: a prediction or a rejection.",
            key="the request's key, redacted",
            value="Open Inference Protocol v2 response, or a rejection",
            schema=("result", "rejection"),
            partitions="requests",
            retention_ms=7 * _DAY_MS,
            written_by=("worker",),
            read_by=("client",),
        ),
        TopicSpec(
            name=audit(prefix),
            description="Exactly one event for each request: what was decided, by which model, on which input. Between "
            "them, events about the service itself.",
            key="request id, or the writer's session",
            value="audit event, CloudEvents structured mode in canonical JSON",
            schema=("audit-event", "audit-service-event"),
            partitions="requests",
            retention_ms=FOR_EVER,
            written_by=("worker", "auditor", "pruner"),
            read_by=("sealer", "witness", "monitor", "dashboard", "auditor", "pruner"),
        ),
        TopicSpec(
            name=audit_checkpoints(prefix),
            description="Signed tree heads: what the audit topic held when.",
            key="log origin",
            value="C2SP checkpoint (signed note)",
            schema=(),
            partitions="one",
            retention_ms=FOR_EVER,
            written_by=("sealer",),
            read_by=("sealer", "witness", "dashboard", "auditor", "pruner"),
        ),
        TopicSpec(
            name=audit_cosignatures(prefix),
            description="Checkpoints that a witness found consistent with all earlier ones, with its cosignature.",
            key="log origin",
            value="C2SP checkpoint (signed note) with cosignatures",
            schema=(),
            partitions="one",
            retention_ms=FOR_EVER,
            written_by=("witness",),
            read_by=("dashboard", "auditor", "pruner"),
        ),
        TopicSpec(
            name=audit_boxes(prefix),
            description="Redacted inputs, encrypted: what a decision was made on, until its key or its time is gone.",
            key="SHA-256 of the value, hex, as the audit events say it",
            value="encrypted box",
            schema=(),
            partitions="requests",
            retention_ms=30 * _DAY_MS,
            written_by=("worker",),
            read_by=("auditor",),
        ),
        TopicSpec(
            name=dead_letters(prefix),
            description="Redacted copies of records that could not be served for a reason an operator can mend.",
            key="the request's key, redacted",
            value="the redacted request, or digest and reason where it could not be parsed",
            schema=("dead-letter",),
            partitions="requests",
            retention_ms=14 * _DAY_MS,
            written_by=("worker",),
            read_by=("operator",),
        ),
        TopicSpec(
            name=alerts(prefix),
            description="Alerts as they become pending, fire and are resolved.",
            key="series id",
            value="alert life-cycle event",
            schema=("alert",),
            partitions="one",
            retention_ms=28 * _DAY_MS,
            written_by=("monitor",),
            read_by=("monitor", "dashboard", "auditor", "operator"),
        ),
        TopicSpec(
            name=alert_commands(prefix),
            description="What people tell the monitor: acknowledgements and silences.",
            key="command id",
            value="command, with who gave it",
            schema=("alert-command",),
            partitions="one",
            retention_ms=90 * _DAY_MS,
            written_by=("dashboard",),
            read_by=("monitor", "dashboard"),
        ),
        TopicSpec(
            name=monitor_state(prefix),
            description="Windows and alerts of the monitor with the offsets that they stand for.",
            key="partition or series id",
            value="snapshot, private to the monitor",
            schema=(),
            partitions="requests",
            retention_ms=None,
            written_by=("monitor",),
            read_by=("monitor", "dashboard", "auditor"),
        ),
        TopicSpec(
            name=monitor_journal(prefix),
            description="What alerts depend on besides the audit topic: ticks, rules, commands that took effect.",
            key="kind of entry",
            value="journal entry, private to the monitor",
            schema=(),
            partitions="one",
            retention_ms=FOR_EVER,
            written_by=("monitor",),
            read_by=("monitor", "auditor"),
        ),
    )


def _requests(prefix: str, lane: str) -> TopicSpec:
    return TopicSpec(
        name=requests(prefix, lane),
        description=f"Inference requests of the {lane} lane. Holds personal data: kept short, read by workers only.",
        key="the client's ordering key",
        value="Open Inference Protocol v2 inference request; CloudEvents binary-mode headers optional",
        schema=("request",),
        partitions="requests",
        retention_ms=24 * _HOUR_MS,
        written_by=("client",),
        read_by=("worker",),
    )


def compare(expected: Sequence[TopicSpec], actual: Mapping[str, ActualTopic]) -> list[str]:
    """Every difference that breaks a promise, as one sentence that ends with what to do next; [] when all is well.

    How long results, dead letters and alerts are kept is the operator's choice and is not compared. A setting that
    the broker does not tell is not compared either.
    """
    # The largest number is the one to reach: partitions can be added, never taken away.
    shared = max(
        (actual[s.name].partitions for s in expected if s.partitions == "requests" and s.name in actual), default=0
    )
    problems: list[str] = []
    for spec in expected:
        topic = actual.get(spec.name)
        if topic is None:
            problems.append(f"topic {spec.name} does not exist; next: `stream-maas topics create`")
        elif topic.forbidden:
            problems.append(f"topic {spec.name} may not be described by this user; next: grant it Describe")
        else:
            problems += _partition_problems(spec, topic, shared) + _config_problems(spec, topic)
    return problems


def _partition_problems(spec: TopicSpec, topic: ActualTopic, shared: int) -> list[str]:
    if spec.partitions == "one":
        wanted, why, step = 1, "its order is total", "choose another --prefix; Kafka cannot take partitions away"
    else:
        wanted, why = shared, "as the others of its prefix"
        step = f"kafka-topics.sh --alter --topic {spec.name} --partitions {wanted}"
    if topic.partitions == wanted:
        return []
    return [f"topic {spec.name} has {topic.partitions} partitions, must have {wanted} ({why}); next: {step}"]


def _config_problems(spec: TopicSpec, topic: ActualTopic) -> list[str]:
    wanted = {"cleanup.policy": spec.cleanup_policy} | (APPEND_ONLY if spec.append_only else {})
    different = {
        name: value
        for name, value in wanted.items()
        if name in topic.configs and topic.configs[name].replace(" ", "") != value
    }
    least = {"max.message.bytes": BATCH_BYTES} if "worker" in spec.written_by else {}
    if spec.append_only:
        least["min.insync.replicas"] = (topic.replication_count + 1) // 2
    different |= {
        name: str(value) for name, value in least.items() if name in topic.configs and int(topic.configs[name]) < value
    }
    return [
        f"topic {spec.name} has {name}={topic.configs[name]}, must have {value}{' or more' if name in least else ''}; "
        f"next: kafka-configs.sh --alter --entity-type topics --entity-name {spec.name} --add-config {name}={value}"
        for name, value in different.items()
    ]
