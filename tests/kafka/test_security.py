"""The security settings reach a real Kafka: every SASL mechanism, TLS, mutual TLS, and what a mistake is told as.

One broker with three secured listeners. `SSL` asks clients for a certificate, the SASL ones for a login.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream_maas import kafka, topics
from stream_maas.brokers import ListenerProtocol, LocalKafka
from stream_maas.errors import BrokerError
from stream_maas.settings import KafkaConfig

pytestmark = pytest.mark.kafka

TLS = Path(__file__).parents[1] / "data" / "tls"
PASSWORD = "k7-hunter2"
LOGIN: dict[str, Any] = {"sasl_username": "ada", "sasl_password": PASSWORD}
AUTHORITY: dict[str, Any] = {"ssl_cafile": str(TLS / "ca.pem")}
CERTIFICATE: dict[str, Any] = {
    "ssl_certfile": str(TLS / "client.pem"),
    "ssl_keyfile": str(TLS / "client.key"),
    "ssl_key_password": "not-a-secret",
}


def pem(*names: str) -> str:
    """PEM texts as one value of a Java properties file."""
    return "".join((TLS / name).read_text() for name in names).replace("\n", "\\n")


@pytest.fixture(scope="module")
def secured(local_kafka_possible: None) -> Iterator[LocalKafka]:
    """Kafka's own OAUTHBEARER takes unsigned tokens, as it is meant for tests."""
    oauth = "listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config"
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": pem("server.pem", "ca.pem"),
        "ssl.keystore.key": pem("server.key"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": pem("ca.pem"),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        oauth: "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";',
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
    }
    listeners: list[ListenerProtocol] = ["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    with LocalKafka(properties=properties, listeners=listeners, users={"ada": PASSWORD}) as broker:
        yield broker


def config(broker: LocalKafka, protocol: ListenerProtocol, **changes: Any) -> KafkaConfig:
    return KafkaConfig(bootstrap=broker.address(protocol), security_protocol=protocol, **changes)


def token(**claims: Any) -> str:
    """An unsigned JSON web token (RFC 7519, algorithm "none")."""
    parts = ({"alg": "none"}, {"sub": "ada", "iat": time.time() - 10, "exp": time.time() + 600} | claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


async def round_trip(where: KafkaConfig, prefix: str) -> None:
    """Everything that the project does with a cluster: wait, probe, create, produce in a transaction, read."""
    await kafka.wait_for_broker(where, on_wait=pytest.fail, give_up_after_ms=10_000)
    assert (await kafka.probe(where, transactional_id=f"{prefix}-w")).exactly_once
    await kafka.create_topics(where, topics.table(prefix), 1, 1)
    arguments = kafka.connection(where)
    async with AIOKafkaProducer(**arguments, transactional_id=f"{prefix}-w") as producer, producer.transaction():
        await producer.send(topics.requests(prefix), b"hello", partition=0)
    consumer = AIOKafkaConsumer(**arguments, isolation_level="read_committed", auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topics.requests(prefix), 0)])
        assert (await consumer.getone()).value == b"hello"
    finally:
        await consumer.stop()


ALLOWED: dict[str, tuple[ListenerProtocol, dict[str, Any]]] = {
    "PLAIN": ("SASL_PLAINTEXT", LOGIN),
    "SCRAM-SHA-256": ("SASL_PLAINTEXT", LOGIN | {"sasl_mechanism": "SCRAM-SHA-256"}),
    "SCRAM-SHA-512": ("SASL_PLAINTEXT", LOGIN | {"sasl_mechanism": "SCRAM-SHA-512"}),
    "SCRAM over TLS": ("SASL_SSL", LOGIN | AUTHORITY | {"sasl_mechanism": "SCRAM-SHA-512"}),
    "mutual TLS": ("SSL", AUTHORITY | CERTIFICATE),
}


@pytest.mark.parametrize(("protocol", "settings"), ALLOWED.values(), ids=ALLOWED)
async def test_let_in(secured: LocalKafka, prefix: str, protocol: ListenerProtocol, settings: dict[str, Any]) -> None:
    await round_trip(config(secured, protocol, **settings), prefix)


async def test_rotated_token(secured: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """One config; what counts is the file at the moment of the login."""
    path = tmp_path / "token"
    path.write_text(token(exp=time.time() - 100))
    where = config(secured, "SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=str(path))
    with pytest.raises(BrokerError, match="the broker does not let us in"):
        await kafka.describe_cluster(where)
    path.write_text(token())
    await round_trip(where, prefix)


REFUSED: dict[str, tuple[ListenerProtocol, dict[str, Any], str]] = {
    "wrong password": ("SASL_PLAINTEXT", LOGIN | {"sasl_password": "hunter3"}, "does not let us in, see kafka.sasl_*"),
    "unknown user": (
        "SASL_PLAINTEXT",
        LOGIN | {"sasl_username": "eve", "sasl_mechanism": "SCRAM-SHA-256"},
        "the broker does not let us in",
    ),
    "mechanism not offered": ("SASL_SSL", LOGIN | AUTHORITY, "does not offer kafka.sasl_mechanism=PLAIN"),
    "unknown authority": ("SSL", CERTIFICATE | {"ssl_cafile": str(TLS / "other-ca.pem")}, "see kafka.ssl_cafile"),
    "the system's authorities": ("SSL", CERTIFICATE, "certificate is not accepted, see kafka.ssl_cafile"),
    "no certificate": ("SSL", AUTHORITY, "ask for a client certificate (kafka.ssl_certfile)?"),
}  # fmt: skip


@pytest.mark.parametrize(("protocol", "settings", "says"), REFUSED.values(), ids=REFUSED)
async def test_refused(secured: LocalKafka, protocol: ListenerProtocol, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BrokerError) as caught:
        await kafka.describe_cluster(config(secured, protocol, **settings))
    message = str(caught.value)
    assert message.startswith(f"{secured.address(protocol)}: ")
    assert says in message
    assert not any(secret in message for secret in (PASSWORD, "hunter3", "not-a-secret", "ada", "eve"))


MISMATCHED: dict[str, tuple[ListenerProtocol, dict[str, Any], str]] = {
    "no TLS to TLS": ("SSL", {"security_protocol": "PLAINTEXT"}, "is PLAINTEXT what this port speaks?"),
    "no login to SASL": ("SASL_PLAINTEXT", {"security_protocol": "PLAINTEXT"}, "is PLAINTEXT what this port speaks?"),
    "TLS to no TLS": ("SASL_PLAINTEXT", {"security_protocol": "SSL"}, "speak"),
}


@pytest.mark.parametrize(("listener", "settings", "says"), MISMATCHED.values(), ids=MISMATCHED)
async def test_protocol_of_another_port(
    secured: LocalKafka, listener: ListenerProtocol, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(BrokerError, match=says.replace("?", r"\?")):
        await kafka.describe_cluster(KafkaConfig(bootstrap=secured.address(listener), **settings))


async def test_host_name_is_checked_unless_told_otherwise(secured: LocalKafka) -> None:
    """The certificate is for 127.0.0.1."""
    port = secured.address("SSL").rpartition(":")[2]
    by_name: dict[str, Any] = {"bootstrap": f"localhost:{port}", "security_protocol": "SSL"} | AUTHORITY | CERTIFICATE
    with pytest.raises(BrokerError, match="certificate is not accepted"):
        await kafka.describe_cluster(KafkaConfig(**by_name))
    assert (await kafka.describe_cluster(KafkaConfig(**by_name, ssl_check_hostname=False))).brokers
