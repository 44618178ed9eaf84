"""From settings to client arguments: each protocol gets what it needs, and contradictions are refused by name."""

from __future__ import annotations

import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import AuthenticationFailedError
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.errors import SettingsError
from stream_maas.kafka import TokenFile, connection
from stream_maas.settings import KafkaConfig

TLS = Path(__file__).parents[1] / "data" / "tls"
CA, CERTIFICATE, KEY = str(TLS / "ca.pem"), str(TLS / "client.pem"), str(TLS / "client.key")
KEY_PASSWORD = "not-a-secret"
LOGIN: dict[str, Any] = {"sasl_username": "ada", "sasl_password": "k7-hunter2"}


def test_plaintext_needs_an_address_only() -> None:
    assert connection(KafkaConfig(bootstrap="a:1, b:2,")) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
        "request_timeout_ms": 30_000,
    }


@pytest.mark.parametrize(
    "bootstrap", ["", ",", "localhost", "localhost:", ":9092", "a:b", "a:0", "a:65536", "a:1;b:2", "a:-1", "::1:9092"]
)
def test_bootstrap_must_be_host_and_port(bootstrap: str) -> None:
    with pytest.raises(SettingsError, match=r"^kafka\.bootstrap: "):
        connection(KafkaConfig(bootstrap=bootstrap))


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), st.integers(1, 65_535)), min_size=1, max_size=4
    )
)
def test_bootstrap_round_trip(places: list[tuple[str, int]]) -> None:
    texts = [f"{host}:{port}" for host, port in places]
    assert connection(KafkaConfig(bootstrap=" ,".join(texts)))["bootstrap_servers"] == texts


def test_ipv6_address() -> None:
    assert connection(KafkaConfig(bootstrap="[::1]:9092"))["bootstrap_servers"] == ["[::1]:9092"]


# SASL -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_password_mechanisms(protocol: Any, mechanism: Any) -> None:
    made = connection(KafkaConfig(security_protocol=protocol, sasl_mechanism=mechanism, **LOGIN))
    assert made["security_protocol"] == protocol
    assert made["sasl_mechanism"] == mechanism
    assert (made["sasl_plain_username"], made["sasl_plain_password"]) == ("ada", "k7-hunter2")
    assert ("ssl_context" in made) == (protocol == "SASL_SSL")
    assert "sasl_oauth_token_provider" not in made


@pytest.mark.parametrize("missing", ["sasl_username", "sasl_password"])
def test_half_a_login(missing: str) -> None:
    with pytest.raises(SettingsError, match=rf"^kafka\.{missing}: is needed by") as caught:
        connection(KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", **(LOGIN | {missing: ""})))
    assert "hunter2" not in str(caught.value)


async def test_token_is_read_at_every_login(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    config = KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=str(path))
    provider = connection(config)["sasl_oauth_token_provider"]
    assert isinstance(provider, TokenFile)
    assert await provider.token() == "first"
    path.write_text("second")
    assert await provider.token() == "second"
    path.write_text(" \n")
    with pytest.raises(AuthenticationFailedError):
        await provider.token()
    path.unlink()
    with pytest.raises(OSError):  # what aiokafka takes for a failed connection and tries again
        await provider.token()


def test_token_file_is_missing(tmp_path: Path) -> None:
    base = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    for path, says in (("", "is needed by"), (str(tmp_path / "none"), "cannot be read")):
        with pytest.raises(SettingsError, match=rf"^kafka\.sasl_oauth_token_file: {says}"):
            connection(KafkaConfig(sasl_oauth_token_file=path, **base))  # type: ignore[arg-type]


# TLS --------------------------------------------------------------------------------------------------------------


def test_tls_verifies_by_default() -> None:
    context = connection(KafkaConfig(security_protocol="SSL", ssl_cafile=CA))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is True
    assert [dict(x[0] for x in authority["subject"]) for authority in context.get_ca_certs()] == [
        {"commonName": "stream-maas test ca"}
    ], "the given authority replaces the system's"


def test_tls_without_host_name_still_verifies_the_chain() -> None:
    context = connection(KafkaConfig(security_protocol="SSL", ssl_check_hostname=False))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is False


def test_client_certificate_with_encrypted_key() -> None:
    config = KafkaConfig(
        security_protocol="SSL", ssl_cafile=CA, ssl_certfile=CERTIFICATE, ssl_keyfile=KEY, ssl_key_password=KEY_PASSWORD
    )
    assert isinstance(connection(config)["ssl_context"], ssl.SSLContext)


BAD_TLS: dict[str, tuple[dict[str, Any], str]] = {
    "no such authority": ({"ssl_cafile": "/nowhere/ca.pem"}, "kafka.ssl_cafile: cannot be read (FileNotFoundError)"),
    "authority is a key": ({"ssl_cafile": KEY}, "kafka.ssl_cafile: holds no certificate"),
    "no such certificate": ({"ssl_certfile": "/nowhere/c.pem"}, "kafka.ssl_certfile: cannot be read"),
    "certificate is a folder": ({"ssl_certfile": "/"}, "kafka.ssl_certfile: cannot be read (IsADirectoryError)"),
    "key alone": ({"ssl_keyfile": KEY}, "kafka.ssl_certfile: is needed by kafka.ssl_keyfile"),
    "wrong password": (
        {"ssl_certfile": CERTIFICATE, "ssl_keyfile": KEY, "ssl_key_password": "k7-hunter2"},
        "kafka.ssl_key_password: do not open",
    ),
    "no password (and no prompt)": ({"ssl_certfile": CERTIFICATE, "ssl_keyfile": KEY}, "do not open"),
    "key of another": (
        {"ssl_certfile": str(TLS / "server.pem"), "ssl_keyfile": KEY, "ssl_key_password": KEY_PASSWORD},
        "do not open",
    ),
}


@pytest.mark.parametrize(("change", "says"), BAD_TLS.values(), ids=BAD_TLS)
def test_unusable_certificates_are_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        connection(KafkaConfig(security_protocol="SSL", **change))
    assert says in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# What would silently not be used ----------------------------------------------------------------------------------

UNUSED: dict[str, tuple[dict[str, Any], str]] = {
    "authority without TLS": ({"ssl_cafile": CA}, "kafka.ssl_cafile"),
    "authority, SASL without TLS": (
        {"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": CA, **LOGIN},
        "kafka.ssl_cafile",
    ),
    "certificate without TLS": ({"ssl_certfile": CERTIFICATE}, "kafka.ssl_certfile"),
    "login without SASL": (LOGIN, "kafka.sasl_username"),
    "login, TLS without SASL": ({"security_protocol": "SSL", "sasl_password": "k7-hunter2"}, "kafka.sasl_password"),
    "token without SASL": ({"sasl_oauth_token_file": CA}, "kafka.sasl_oauth_token_file"),
}


@pytest.mark.parametrize(("change", "names"), UNUSED.values(), ids=UNUSED)
def test_credentials_that_would_not_be_used_are_refused(change: dict[str, Any], names: str) -> None:
    """Whoever sets an authority believes that the connection is encrypted."""
    with pytest.raises(SettingsError) as caught:
        connection(KafkaConfig(**change))
    assert str(caught.value).startswith(f"{names}: is set, but kafka.security_protocol=")
    assert "hunter2" not in str(caught.value)
