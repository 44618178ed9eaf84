"""The typed door to aiokafka: client arguments, waiting for a broker, what it can do, its topics."""

from __future__ import annotations

from stream_maas.kafka.acls import check_acls
from stream_maas.kafka.admin import check_topics, create_topics, describe_topics
from stream_maas.kafka.arguments import TokenFile, connection
from stream_maas.kafka.capabilities import Capabilities, probe
from stream_maas.kafka.link import Cluster, describe_cluster, wait_for_broker

__all__ = [
    "Capabilities",
    "Cluster",
    "TokenFile",
    "check_acls",
    "check_topics",
    "connection",
    "create_topics",
    "describe_cluster",
    "describe_topics",
    "probe",
    "wait_for_broker",
]
