"""How one Apache Kafka node is configured: KRaft, broker and controller in one, every listener on loopback. Pure."""

from __future__ import annotations

from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
_JAAS = "org.apache.kafka.common.security.{}LoginModule required{};"


def server_properties(
    *,
    data: str,
    addresses: Mapping[str, str],
    controller: str,
    bind: str = LOOPBACK,
    users: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """The text of server.properties.

    `addresses`: security protocol -> advertised `HOST:PORT`; PLAINTEXT must be among them, the broker talks to
    itself there. `users` (name -> password) may log in at the SASL listeners; `extra` wins over everything.
    """
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": ",".join(
            [f"{name}://{bind}:{address.rpartition(':')[2]}" for name, address in addresses.items()]
            + [f"CONTROLLER://{controller}"]
        ),
        "advertised.listeners": ",".join(f"{name}://{address}" for name, address in addresses.items()),
        "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in addresses) + ",CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "num.partitions": "4",
        # A typing error in a topic name must fail, not make a topic.
        "auto.create.topics.enable": "false",
        # Tests join groups, lose members and abandon transactions all the time; the defaults (3 s, 6 s, 10 s) only
        # make them wait. None of these changes what happens, only how soon.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # The controller lets a killed broker come back only when the old one's session is over (9 s by default).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # 128 MB by default, as new objects that a broker with little to do copies twice, and stops for 50 ms each time.
        "log.cleaner.dedupe.buffer.size": str(4 << 20),
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        lines |= {f"{topic}.num.partitions": "4", f"{topic}.replication.factor": "1"}
    for name in addresses:
        if name.startswith("SASL"):
            lines |= _sasl(f"listener.name.{name.lower()}", users or {})
    return "".join(f"{name}={value}\n" for name, value in (lines | dict(extra or {})).items())


def _sasl(listener: str, users: Mapping[str, str]) -> dict[str, str]:
    """PLAIN knows its users from here; SCRAM finds them in the cluster's metadata (see `scram_options`)."""
    known = "".join(f' user_{name}="{password}"' for name, password in users.items())
    scram = _JAAS.format("scram.Scram", "")
    return {
        f"{listener}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        f"{listener}.plain.sasl.jaas.config": _JAAS.format("plain.Plain", known),
        f"{listener}.scram-sha-256.sasl.jaas.config": scram,
        f"{listener}.scram-sha-512.sasl.jaas.config": scram,
    }


def scram_options(users: Mapping[str, str]) -> list[str]:
    """Options of the storage format command that make `users` known to SCRAM."""
    return [
        f"--add-scram={mechanism}=[name={name},password={password}]"
        for name, password in users.items()
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
    ]
