"""How a broker is reached and asked, and why it cannot be when it cannot.

Requests go over connections of their own (`aiokafka.conn`) instead of through aiokafka's clients: the clients log
and swallow the reason why a broker cannot be reached, and that reason is what a person needs.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream_maas.errors import BrokerError
from stream_maas.kafka.arguments import addresses, connection
from stream_maas.settings import KafkaConfig

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
CONNECT_TIMEOUT_S = 5.0
"""To connect and log in. `request_timeout_ms` is for requests, which may wait for replicas."""
_FAILURES = (KafkaError, OSError, asyncio.TimeoutError, EOFError, NotImplementedError)
"""What talking to a broker may raise; NotImplementedError is aiokafka's for "no version in common"."""

Versions = Mapping[int, tuple[int, int]]
"""API key -> lowest and highest version that a broker offers."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a broker says about its cluster. `brokers`: node id -> advertised host and port."""

    id: str
    brokers: Mapping[int, tuple[str, int]]
    controller_id: int

    def __str__(self) -> str:
        count = len(self.brokers)
        return f"{count} broker{'' if count == 1 else 's'}, cluster {self.id or 'without id'}"


async def wait_for_broker(
    config: KafkaConfig, *, on_wait: Callable[[str], None], give_up_after_ms: int | None = None
) -> Cluster:
    """Return once a broker can be used: it answers, lets us in, and so does one under its advertised address.

    Tries again after 0.2 s, then less often up to every 5 s. `on_wait` gets one line when the reason for waiting
    changes, not one per try. Raises `BrokerError` after `give_up_after_ms`, `SettingsError` at once.
    """
    started, pause_s, said = time.monotonic(), FIRST_WAIT_S, ""
    while True:
        try:
            return await describe_cluster(config)
        except BrokerError as error:
            reason = str(error)
        left_s = math.inf if give_up_after_ms is None else started + give_up_after_ms / 1000 - time.monotonic()
        if left_s <= 0:
            raise BrokerError(f"{reason}; next: check --bootstrap, or start a broker with `stream-maas broker`")
        if reason != said:
            on_wait(f"waiting for a broker: {reason}")
            said = reason
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 2, LONGEST_WAIT_S)


async def describe_cluster(config: KafkaConfig) -> Cluster:
    """Ask for the cluster and make sure that an advertised address works. Raises `BrokerError` with the reason."""
    async with bootstrap(config) as link:
        cluster = await link.cluster()
    failed = ""
    for host, port in cluster.brokers.values():
        if (host, port) == link.place:
            return cluster
        try:
            async with Link.open(config, host, port):
                return cluster
        except BrokerError as error:
            failed = failed or str(error)
    raise BrokerError(f"{link.address} answers, but no advertised broker does ({failed}); see advertised.listeners")


class Link:
    """One connection to one broker; failures come out as `BrokerError` that says which broker and why."""

    def __init__(self, config: KafkaConfig, host: str, port: int) -> None:
        self.config, self.place, self.address = config, (host, port), f"{host}:{port}"
        self._conn: Any = None

    @classmethod
    @asynccontextmanager
    async def open(cls, config: KafkaConfig, host: str, port: int) -> AsyncIterator[Self]:
        link = cls(config, host, port)
        arguments = connection(config)
        del arguments["bootstrap_servers"]
        try:
            async with asyncio.timeout(min(config.request_timeout_ms / 1000, CONNECT_TIMEOUT_S)):
                link._conn = await create_conn(host, port, **arguments)
        except _FAILURES as error:
            raise BrokerError(f"{link.address}: {_why(error, config)}") from error
        try:
            yield link
        finally:
            await link._conn.close()

    async def ask(self, request: Any) -> Any:
        """Send and return the response; errors inside it are the caller's."""
        try:
            return await self._conn.send(request)
        except _FAILURES as error:
            raise BrokerError(f"{self.address}: {_why(error, self.config)}") from error

    async def cluster(self) -> Cluster:
        answer = await self.ask(MetadataRequest([], allow_auto_topic_creation=False))
        brokers = {node: (host, port) for node, host, port, *_ in answer.brokers}
        if not brokers:
            # aiokafka 0.14 takes the answer that refuses a token (RFC 7628, 3.2.2) for a login; Kafka then answers
            # the first request emptily.
            refused = self.config.security_protocol.startswith("SASL") and self.config.sasl_mechanism == "OAUTHBEARER"
            why = _why(AuthenticationFailedError(), self.config) if refused else "the cluster has no broker yet"
            raise BrokerError(f"{self.address}: {why}")
        return Cluster(getattr(answer, "cluster_id", None) or "", brokers, getattr(answer, "controller_id", -1))

    async def versions(self) -> Versions:
        answer = await self.ask(ApiVersionRequest())
        return {key: (lowest, highest) for key, lowest, highest, *_ in answer.api_versions}


@asynccontextmanager
async def bootstrap(config: KafkaConfig) -> AsyncIterator[Link]:
    """A link to the first bootstrap address that lets us in. Raises `BrokerError` with the reason of each."""
    reasons = []
    async with AsyncExitStack() as stack:
        for host, port in addresses(config):
            try:
                link = await stack.enter_async_context(Link.open(config, host, port))
            except BrokerError as error:
                reasons.append(str(error))
                continue
            yield link
            return
    raise BrokerError("; ".join(reasons))


def _why(error: BaseException, config: KafkaConfig) -> str:
    """The reason in words that name the setting to look at; never a value of it."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case socket.gaierror():
            return "the host name cannot be resolved"
        case ssl.SSLCertVerificationError():
            return f"the broker's certificate is not accepted, see kafka.ssl_cafile ({error.verify_message})"
        case ssl.SSLError():
            return "the TLS handshake failed; does this port speak TLS (kafka.security_protocol)?"
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            return f"the broker does not let us in, see kafka.sasl_* (mechanism {config.sasl_mechanism})"
        case UnsupportedSaslMechanismError():
            return f"the broker does not offer kafka.sasl_mechanism={config.sasl_mechanism}"
        case TimeoutError() | RequestTimedOutError():
            return "no answer in time"
        case FileNotFoundError() | PermissionError():
            return "kafka.sasl_oauth_token_file cannot be read"
        case KafkaConnectionError() | ConnectionError() | EOFError() | IllegalSaslStateError():
            certificate = " Does it ask for a client certificate (kafka.ssl_certfile)?"
            return f"the broker ended the connection; is {config.security_protocol} what this port speaks?" + (
                certificate if "SSL" in config.security_protocol and not config.ssl_certfile else ""
            )
        case _:
            return type(error).__name__
