"""Settings: environment and one TOML file -> each room's small frozen config. The only reader of the environment.

Order, later wins: defaults in the dataclasses, the TOML file (`--config` or STREAM_MAAS_CONFIG), the
environment, command line options. A field `chunk_max_records` of the section `worker` is
`STREAM_MAAS_WORKER_CHUNK_MAX_RECORDS` in the environment and `[worker] chunk_max_records` in the file; the
settings that everybody types have a short name as well (`STREAM_MAAS_BOOTSTRAP`). Units are in the names.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from stream_maas.admission import Limits
from stream_maas.errors import SettingsError
from stream_maas.inference.config import RuntimeConfig
from stream_maas.ledger.config import LedgerConfig
from stream_maas.ledger.writer_config import WriterConfig
from stream_maas.monitor.config import MonitorConfig
from stream_maas.privacy.config import RedactionConfig
from stream_maas.topics import BATCH_BYTES, HEADERS_BYTES

ENV_PREFIX = "STREAM_MAAS_"
SHORT_NAMES = {
    ("kafka", "bootstrap"): "STREAM_MAAS_BOOTSTRAP",
    ("topics", "prefix"): "STREAM_MAAS_PREFIX",
    ("worker", "instance"): "STREAM_MAAS_INSTANCE",
    ("inference", "models"): "STREAM_MAAS_MODELS",
}
_LAST_PORT = 65_535
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
_SUFFIX_UNITS = {
    "_ms": "milliseconds", "_us": "microseconds", "_bytes": "bytes", "_count": "count", "_ratio": "ratio",
    "_records": "records", "_threads": "threads", "_rows": "rows", "_chunks": "chunks", "_chars": "characters",
    "_partitions": "partitions", "_calls": "calls",
}  # fmt: skip


def _help(text: str, *, secret: bool = False) -> dict[str, Any]:
    return {"help": text, "secret": secret}


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How to reach the cluster. Every client of the project (worker, SDK, commands) uses this one."""

    bootstrap: str = field(default="127.0.0.1:9092", metadata=_help("HOST:PORT[,HOST:PORT...]"))
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = field(
        default="PLAINTEXT", metadata=_help("as in Kafka's client configuration")
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = field(
        default="PLAIN", metadata=_help("used with the SASL protocols")
    )
    sasl_username: str = field(default="", metadata=_help("for PLAIN and SCRAM"))
    sasl_password: str = field(default="", repr=False, metadata=_help("for PLAIN and SCRAM", secret=True))
    sasl_oauth_token_file: str = field(
        default="", metadata=_help("file that holds the bearer token; read again at every (re)authentication")
    )
    ssl_cafile: str = field(default="", metadata=_help("PEM file of trusted authorities; empty uses the system's"))
    ssl_certfile: str = field(default="", metadata=_help("PEM client certificate (mutual TLS)"))
    ssl_keyfile: str = field(default="", metadata=_help("PEM private key (mutual TLS)"))
    ssl_key_password: str = field(default="", repr=False, metadata=_help("of the private key", secret=True))
    ssl_check_hostname: bool = field(default=True, metadata=_help("verify the broker's host name"))
    client_rack: str = field(default="", metadata=_help("rack or zone, for fetching from the nearest replica"))
    request_timeout_ms: int = field(default=30_000, metadata=_help("one request to a broker"))


@dataclass(frozen=True, slots=True)
class TopicsConfig:
    """Names and shapes of the topics (the table itself is topics.py)."""

    prefix: str = field(default="maas", metadata=_help("topic names are PREFIX.NAME"))
    lanes: tuple[str, ...] = field(
        default=(), metadata=_help("extra request topics PREFIX.requests.LANE, comma separated")
    )
    partitions: int = field(default=4, metadata=_help("partitions of a topic that `topics create` makes"))
    replication_count: int = field(default=1, metadata=_help("replicas; 3 in production"))


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The worker process."""

    app_id: str = field(default="stream-maas", metadata=_help("consumer group; part of the transactional id"))
    instance: str = field(
        default="",
        metadata=_help("stable name of this worker; empty takes the host name. Two live workers never share it"),
    )
    delivery: Literal["auto", "exactly-once", "at-least-once"] = field(
        default="auto", metadata=_help("auto: exactly-once where the broker has transactions")
    )
    commit_interval_ms: int = field(
        default=50, metadata=_help("longest life of a transaction; it commits earlier when nothing waits")
    )
    transaction_timeout_ms: int = field(
        default=10_000,
        metadata=_help(
            "the broker aborts a silent worker's transaction after this; it holds back read_committed readers so long"
        ),
    )
    compression: Literal["none", "snappy", "lz4", "zstd"] = field(
        default="snappy",
        metadata=_help("of what is written; snappy costs less CPU than sending the bytes it saves"),
    )
    fetch_max_wait_ms: int = field(default=50, metadata=_help("how long a broker may hold an empty fetch"))
    fetch_max_bytes: int = field(default=1 << 20, metadata=_help("per partition and fetch"))
    chunk_max_records: int = field(default=1024, metadata=_help("records served in one go"))
    chunk_max_bytes: int = field(default=4 << 20, metadata=_help("request bytes served in one go"))
    in_flight_chunks: int = field(
        default=4, metadata=_help("full chunks' worth of work per partition; more is not fetched")
    )
    session_timeout_ms: int = field(
        default=30_000, metadata=_help("the group gives a silent worker's partitions away after this")
    )
    heartbeat_interval_ms: int = field(default=3_000, metadata=_help("to the group coordinator"))
    rebalance_timeout_ms: int = field(default=60_000, metadata=_help("for all members to rejoin"))
    stop_grace_ms: int = field(default=20_000, metadata=_help("finish what is in flight after SIGTERM within this"))
    stall_ms: int = field(default=60_000, metadata=_help("not live when there is lag and no commit for this long"))
    web_host: str = field(default="127.0.0.1", metadata=_help("address of /healthz, /readyz and /metrics"))
    web_port: int = field(default=0, metadata=_help("0 takes a free port; -1 switches the endpoints off"))
    digest_key: str = field(
        default="",
        repr=False,
        metadata=_help(
            "key of digests and subject references, 32 or more characters; set one in production", secret=True
        ),
    )
    log_format: Literal["auto", "json", "console"] = field(
        default="auto", metadata=_help("auto: console on a terminal")
    )
    log_level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata=_help("least level that is written")
    )
    traces: Literal["off", "otlp"] = field(
        default="off",
        metadata=_help("OpenTelemetry spans, to where OTEL_* variables say; needs the extra otel"),
    )


@dataclass(frozen=True, slots=True)
class DashboardConfig:
    """The live page, a process of its own."""

    host: str = field(default="127.0.0.1", metadata=_help("address; one that others can reach needs a token"))
    port: int = field(default=8088, metadata=_help("0 takes a free port"))
    viewer_token: str = field(
        default="", repr=False, metadata=_help("whoever has it may look; 24 or more characters", secret=True)
    )
    operator_token: str = field(
        default="",
        repr=False,
        metadata=_help("whoever has it may also acknowledge and silence; 24 or more characters", secret=True),
    )
    local_role: Literal["viewer", "operator"] = field(
        default="operator", metadata=_help("what users of this machine may do while no token is set")
    )
    tls_certfile: str = field(default="", metadata=_help("PEM certificate; empty serves plain HTTP"))
    tls_keyfile: str = field(default="", metadata=_help("PEM private key of the certificate"))
    history_ms: int = field(default=3_600_000, metadata=_help("how far back the page looks"))
    history_records: int = field(
        default=500_000, metadata=_help("audit events read at start at most, however far back that is")
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections. `sources` maps "section.field" to where its value came from."""

    kafka: KafkaConfig = KafkaConfig()
    topics: TopicsConfig = TopicsConfig()
    worker: WorkerConfig = WorkerConfig()
    admission: Limits = Limits()
    privacy: RedactionConfig = RedactionConfig()
    inference: RuntimeConfig = RuntimeConfig()
    monitor: MonitorConfig = MonitorConfig()
    dashboard: DashboardConfig = DashboardConfig()
    ledger: LedgerConfig = LedgerConfig()
    audit: WriterConfig = WriterConfig()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Described:
    """One setting for people: printed by `stream-maas doctor --settings` and held against docs by a test."""

    name: str
    env: str
    value: str
    source: str
    unit: str
    help: str


SECTIONS: dict[str, type] = {f.name: type(getattr(Settings(), f.name)) for f in fields(Settings) if f.name != "sources"}


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config_file: str | None = None,
) -> Settings:
    """Read defaults, file, environment and `overrides` ({"worker.instance": "w1"}; None values are ignored).

    Raises `SettingsError` naming the setting for an unknown name, a bad value or an unreadable file.
    """
    environ = os.environ if environ is None else environ
    path = config_file or environ.get("STREAM_MAAS_CONFIG", "")
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    sources: dict[str, str] = {}
    for name, raw in _read_file(path).items() if path else ():
        _put(values, sources, name, raw, f"file {path}")
    for section, config in SECTIONS.items():
        for spec in fields(config):
            for env in _env_names(section, spec.name):
                if env in environ:
                    _put(values, sources, f"{section}.{spec.name}", environ[env], f"environment {env}")
    for name, raw in (overrides or {}).items():
        if raw is not None:
            _put(values, sources, name, raw, "command line")
    if not values["worker"].get("instance"):
        values["worker"]["instance"] = socket.gethostname()
    built = {section: config(**values[section]) for section, config in SECTIONS.items()}
    _check(Settings(**built))
    return Settings(**built, sources=sources)


def strangers(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables that begin like those of a section and name no setting: most likely one that is misspelled.

    They are told and not refused: Kubernetes makes such variables for every Service whose name begins like ours.
    """
    environ = os.environ if environ is None else environ
    known = {
        name for section, config in SECTIONS.items() for f in fields(config) for name in _env_names(section, f.name)
    }
    starts = tuple(f"{ENV_PREFIX}{section.upper()}_" for section in SECTIONS)
    return sorted(
        name for name in environ if name.startswith(starts) and name not in known and not _SERVICE_LINK.fullmatch(name)
    )


def describe(settings: Settings) -> list[Described]:
    """Every setting with value (secrets hidden), source, unit and help text, in declaration order."""
    rows = []
    for section, config in SECTIONS.items():
        for spec in fields(config):
            value = getattr(getattr(settings, section), spec.name)
            secret = bool(spec.metadata.get("secret"))
            shown = "(set)" if secret and value else ",".join(value) if isinstance(value, tuple) else str(value)
            name = f"{section}.{spec.name}"
            rows.append(
                Described(
                    name=name,
                    env=_env_names(section, spec.name)[-1],
                    value=shown,
                    source=settings.sources.get(name, "default"),
                    unit=next((unit for end, unit in _SUFFIX_UNITS.items() if spec.name.endswith(end)), ""),
                    help=str(spec.metadata.get("help", "")),
                )
            )
    return rows


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where fetched and rebuildable files go: `stream_maas` in the XDG cache folder of this user (not created)."""
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "stream_maas"


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where what must outlive a restart goes: `stream_maas` in the XDG state folder of this user (not created)."""
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_STATE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state") / "stream_maas"


def _env_names(section: str, name: str) -> list[str]:
    """Long name first: the short one, read later, wins."""
    long = f"{ENV_PREFIX}{section.upper()}_{name.upper()}"
    short = SHORT_NAMES.get((section, name))
    return [long, short] if short else [long]


def _read_file(path: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML ({type(error).__name__})") from error
    flat: dict[str, Any] = {}
    for section, table in document.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: {section}: expected a table such as [worker]")
        flat.update({f"{section}.{name}": value for name, value in table.items()})
    return flat


def _put(values: dict[str, dict[str, Any]], sources: dict[str, str], name: str, raw: Any, source: str) -> None:
    section, _, field_name = name.partition(".")
    config = SECTIONS.get(section)
    known = {spec.name for spec in fields(config)} if config is not None and is_dataclass(config) else set()
    if config is None or field_name not in known:
        raise SettingsError(f"{name} ({source}): no such setting")
    values[section][field_name] = _parse(raw, typing.get_type_hints(config)[field_name], f"{name} ({source})")
    sources[name] = source


def _parse(raw: Any, kind: Any, where: str) -> Any:
    """Turn text (or a TOML value) into the field's type; the message names the setting, never the value."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        allowed = typing.get_args(kind)
        if raw not in allowed:
            raise SettingsError(f"{where}: expected one of {', '.join(map(str, allowed))}")
        return raw
    if origin is tuple:
        items = raw.split(",") if isinstance(raw, str) else raw
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise SettingsError(f"{where}: expected a comma separated list")
        return tuple(item.strip() for item in items if item.strip())
    if origin in (typing.Union, types.UnionType):
        return (
            None
            if raw in (None, "")
            else _parse(raw, next(a for a in typing.get_args(kind) if a is not type(None)), where)
        )
    if kind is bool:
        if isinstance(raw, bool):
            return raw
        word = str(raw).strip().lower()
        if word not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
            raise SettingsError(f"{where}: expected true or false")
        return word in {"1", "true", "yes", "on"}
    if kind is int or kind is float:
        wanted = "a whole number" if kind is int else "a number"
        if isinstance(raw, bool) or (kind is int and isinstance(raw, float)):
            raise SettingsError(f"{where}: expected {wanted}")
        try:
            return kind(raw)
        except (TypeError, ValueError):
            raise SettingsError(f"{where}: expected {wanted}") from None  # the cause would quote the value
    if not isinstance(raw, str):
        raise SettingsError(f"{where}: expected text")
    return raw


def _check(settings: Settings) -> None:
    """Relations that no single field can state."""
    worker = settings.worker
    for section in SECTIONS:
        config = getattr(settings, section)
        for spec in fields(config):
            value = getattr(config, spec.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < 0 and spec.name != "web_port":
                raise SettingsError(f"{section}.{spec.name}: must not be negative")
    for name, port in (("worker.web_port", worker.web_port), ("dashboard.port", settings.dashboard.port)):
        if port > _LAST_PORT:
            raise SettingsError(f"{name}: must be at most {_LAST_PORT}")
    if worker.session_timeout_ms <= worker.heartbeat_interval_ms:
        raise SettingsError("worker.session_timeout_ms: must be larger than worker.heartbeat_interval_ms")
    if worker.commit_interval_ms * 2 > worker.transaction_timeout_ms:
        raise SettingsError("worker.transaction_timeout_ms: must be at least twice worker.commit_interval_ms")
    for name in ("chunk_max_records", "in_flight_chunks", "fetch_max_bytes", "commit_interval_ms"):
        if getattr(worker, name) < 1:
            raise SettingsError(f"worker.{name}: must be at least 1")
    if worker.digest_key and len(worker.digest_key) < 32:
        raise SettingsError("worker.digest_key: must have at least 32 characters")
    if settings.audit.outage_ms < 100:
        raise SettingsError("audit.outage_ms: must be at least 100")
    if settings.admission.max_answer_bytes + settings.admission.max_key_bytes > BATCH_BYTES - HEADERS_BYTES:
        raise SettingsError(
            "admission.max_answer_bytes and admission.max_key_bytes: an answer and its key have to fit into a produce "
            f"batch, together at most {BATCH_BYTES - HEADERS_BYTES}"
        )
    if settings.topics.partitions < 1 or settings.topics.replication_count < 1:
        raise SettingsError("topics.partitions and topics.replication_count: must be at least 1")
