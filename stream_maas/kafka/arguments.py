"""Which arguments make an aiokafka client reach the cluster, and which settings contradict each other."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from stream_maas.errors import SettingsError
from stream_maas.settings import KafkaConfig

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
"""A name, an IPv4 address, or an IPv6 address in brackets."""


def connection(config: KafkaConfig) -> dict[str, Any]:
    """Keyword arguments with which every aiokafka client (consumer, producer, admin) reaches the cluster.

    Raises `SettingsError` naming the setting for what is missing, unreadable or contradictory. Credentials that the
    protocol would silently not use are contradictory: whoever sets a password or an authority wants it to matter.
    """
    has_tls, has_sasl = "SSL" in config.security_protocol.split("_"), config.security_protocol.startswith("SASL")
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if getattr(config, name) and not has_tls:
            raise SettingsError(
                f"kafka.{name}: is set, but kafka.security_protocol={config.security_protocol} has no TLS"
            )
    for name in ("sasl_username", "sasl_password", "sasl_oauth_token_file"):
        if getattr(config, name) and not has_sasl:
            raise SettingsError(
                f"kafka.{name}: is set, but kafka.security_protocol={config.security_protocol} has no SASL"
            )
    arguments: dict[str, Any] = {
        "bootstrap_servers": [f"{host}:{port}" for host, port in addresses(config)],
        "security_protocol": config.security_protocol,
        "request_timeout_ms": config.request_timeout_ms,
    }
    if has_tls:
        arguments["ssl_context"] = _ssl_context(config)
    if has_sasl:
        arguments |= _sasl(config)
    return arguments


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """The bearer token of OAUTHBEARER, read from its file at every authentication, so that it may be rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token. Raises what aiokafka takes for a failed connection, so that it is tried again."""
        token = (await asyncio.to_thread(self._path.read_text, encoding="ascii")).strip()
        if not token:
            raise AuthenticationFailedError("kafka.sasl_oauth_token_file: is empty")
        return token


def addresses(config: KafkaConfig) -> list[tuple[str, int]]:
    """Hosts and ports of `kafka.bootstrap`. Raises `SettingsError`."""
    found = []
    for part in filter(None, (part.strip() for part in config.bootstrap.split(","))):
        host, _, port = part.rpartition(":")
        if not _HOST.fullmatch(host) or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise SettingsError("kafka.bootstrap: expected HOST:PORT[,HOST:PORT...]")
        found.append((host, int(port)))
    if not found:
        raise SettingsError("kafka.bootstrap: is empty; expected HOST:PORT[,HOST:PORT...]")
    return found


def _sasl(config: KafkaConfig) -> dict[str, Any]:
    arguments: dict[str, Any] = {"sasl_mechanism": config.sasl_mechanism}
    if config.sasl_mechanism == "OAUTHBEARER":
        if not config.sasl_oauth_token_file:
            raise SettingsError("kafka.sasl_oauth_token_file: is needed by kafka.sasl_mechanism=OAUTHBEARER")
        _require_file(config, "sasl_oauth_token_file")
        return arguments | {"sasl_oauth_token_provider": TokenFile(Path(config.sasl_oauth_token_file))}
    for name in ("sasl_username", "sasl_password"):
        if not getattr(config, name):
            raise SettingsError(f"kafka.{name}: is needed by kafka.sasl_mechanism={config.sasl_mechanism}")
    return arguments | {"sasl_plain_username": config.sasl_username, "sasl_plain_password": config.sasl_password}


def _ssl_context(config: KafkaConfig) -> ssl.SSLContext:
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if getattr(config, name):
            _require_file(config, name)
    try:
        context = ssl.create_default_context(cafile=config.ssl_cafile or None)
    except ssl.SSLError as error:
        raise SettingsError("kafka.ssl_cafile: holds no certificate in PEM form") from error
    context.check_hostname = config.ssl_check_hostname
    if config.ssl_keyfile and not config.ssl_certfile:
        raise SettingsError("kafka.ssl_certfile: is needed by kafka.ssl_keyfile")
    if config.ssl_certfile:
        try:
            # Always a password: without one OpenSSL would stop and ask at the terminal for that of an encrypted key.
            context.load_cert_chain(config.ssl_certfile, config.ssl_keyfile or None, config.ssl_key_password)
        except ssl.SSLError as error:
            raise SettingsError(
                "kafka.ssl_certfile, kafka.ssl_keyfile, kafka.ssl_key_password: "
                "do not open as a PEM certificate with its key"
            ) from error
    return context


def _require_file(config: KafkaConfig, name: str) -> None:
    try:
        with Path(getattr(config, name)).open("rb"):
            pass
    except OSError as error:
        raise SettingsError(f"kafka.{name}: cannot be read ({type(error).__name__})") from error
