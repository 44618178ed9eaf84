"""Settings: which source wins, that a wrong value is named and never shown, and that every setting is described."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import traceback
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import settings
from stream_maas.errors import SettingsError
from stream_maas.settings import SECTIONS, KafkaConfig, Settings, describe, load, strangers

ALL_FIELDS = [(section, spec) for section, config in SECTIONS.items() for spec in dataclasses.fields(config)]
SECRET = "k7-hunter2"


def write(folder: Path, text: str) -> str:
    path = folder / "stream-maas.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def sources(loaded: Settings) -> dict[str, str]:
    return {row.name: row.source for row in describe(loaded)}


# Order ------------------------------------------------------------------------------------------------------------


def test_nothing_set_gives_the_defaults_of_the_dataclasses() -> None:
    loaded = load(environ={})
    expected = Settings()
    assert loaded.worker.instance == socket.gethostname()
    assert dataclasses.replace(loaded.worker, instance="") == expected.worker
    for section in SECTIONS.keys() - {"worker"}:
        assert getattr(loaded, section) == getattr(expected, section)
    assert set(sources(loaded).values()) == {"default"}


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = write(tmp_path, '[worker]\ninstance = "file"\napp_id = "file"\nstall_ms = 1\n')
    environ = {"STREAM_MAAS_WORKER_APP_ID": "environment", "STREAM_MAAS_INSTANCE": "environment"}
    loaded = load({"worker.instance": "option", "worker.app_id": None}, environ=environ, config_file=path)
    assert (loaded.worker.instance, loaded.worker.app_id, loaded.worker.stall_ms) == ("option", "environment", 1)
    said = sources(loaded)
    assert said["worker.instance"] == "command line"
    assert said["worker.app_id"] == "environment STREAM_MAAS_WORKER_APP_ID"
    assert said["worker.stall_ms"] == f"file {path}"
    assert said["worker.commit_interval_ms"] == "default"


def test_file_by_environment_and_by_argument(tmp_path: Path) -> None:
    one = write(tmp_path, '[topics]\nprefix = "one"\n')
    (tmp_path / "other").mkdir()
    two = write(tmp_path / "other", '[topics]\nprefix = "two"\n')
    assert load(environ={"STREAM_MAAS_CONFIG": one}).topics.prefix == "one"
    assert load(environ={"STREAM_MAAS_CONFIG": one}, config_file=two).topics.prefix == "two"


def test_short_name_beats_long_name() -> None:
    environ = {"STREAM_MAAS_BOOTSTRAP": "short:1", "STREAM_MAAS_KAFKA_BOOTSTRAP": "long:1"}
    assert load(environ=environ).kafka.bootstrap == "short:1"


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_MAAS_PREFIX", "process")
    assert load(environ={}).topics.prefix == "maas"
    assert load().topics.prefix == "process"


@pytest.mark.parametrize(("section", "spec"), ALL_FIELDS, ids=[f"{s}.{f.name}" for s, f in ALL_FIELDS])
def test_every_setting_can_be_set_by_its_described_variable(section: str, spec: dataclasses.Field[Any]) -> None:
    """The name that `doctor --settings` prints is the name that works, for each single setting."""
    [row] = [row for row in describe(Settings()) if row.name == f"{section}.{spec.name}"]
    kind = typing.get_type_hints(SECTIONS[section])[spec.name]
    if typing.get_origin(kind) is typing.Literal:
        text = value = typing.get_args(kind)[-1]
    elif typing.get_origin(kind) is tuple:
        text, value = " a , b,", ("a", "b")
    elif kind is bool:
        text, value = ("no", False) if spec.default else ("yes", True)
    elif kind is int:
        # Far from the default, and legal beside the defaults of the settings that it is compared with.
        legal = {"commit_interval_ms": 25, "heartbeat_interval_ms": 7, "max_key_bytes": 900, "web_port": 9, "port": 9}
        value = legal.get(spec.name, 500_000)
        text = str(value)
    elif kind is float:
        text, value = "0.5", 0.5
    else:
        text = value = "x" * 40
    loaded = load(environ={row.env: text})
    assert getattr(getattr(loaded, section), spec.name) == value
    assert sources(loaded)[row.name] == f"environment {row.env}"


def test_misspelled_variables_are_told() -> None:
    environ = {
        "STREAM_MAAS_WORKER_COMIT_INTERVAL_MS": "10",
        "STREAM_MAAS_AUDIT_BOX": "off",
        "STREAM_MAAS_WORKER_COMMIT_INTERVAL_MS": "10",
        "STREAM_MAAS_BOOTSTRAP": "b:1",
        "STREAM_MAAS_CONFIG": "",
        "STREAM_MAAS_DASHBOARD_PORT": "0",
        # What Kubernetes makes of a Service named stream-maas-worker, and of one named stream-maas.
        "STREAM_MAAS_WORKER_SERVICE_HOST": "10.0.0.1",
        "STREAM_MAAS_WORKER_SERVICE_PORT_HTTP": "80",
        "STREAM_MAAS_WORKER_PORT": "tcp://10.0.0.1:80",
        "STREAM_MAAS_WORKER_PORT_80_TCP_ADDR": "10.0.0.1",
        "STREAM_MAAS_SERVICE_HOST": "10.0.0.1",
        "HOME": "/",
    }
    assert strangers(environ) == ["STREAM_MAAS_AUDIT_BOX", "STREAM_MAAS_WORKER_COMIT_INTERVAL_MS"]


# Wrong values -----------------------------------------------------------------------------------------------------

WRONG = {
    "a word for a number": ("STREAM_MAAS_WORKER_CHUNK_MAX_RECORDS", SECRET, "expected a whole number"),
    "a fraction": ("STREAM_MAAS_WORKER_CHUNK_MAX_RECORDS", "1.5", "expected a whole number"),
    "nothing": ("STREAM_MAAS_WORKER_CHUNK_MAX_RECORDS", "", "expected a whole number"),
    "not one of": ("STREAM_MAAS_KAFKA_SECURITY_PROTOCOL", SECRET, "expected one of PLAINTEXT, SSL, "),
    "not a truth value": ("STREAM_MAAS_KAFKA_SSL_CHECK_HOSTNAME", SECRET, "expected true or false"),
    "negative": ("STREAM_MAAS_ADMISSION_MAX_RECORD_BYTES", "-5", "must not be negative"),
    "zero chunk": ("STREAM_MAAS_WORKER_CHUNK_MAX_RECORDS", "0", "must be at least 1"),
    "no partitions": ("STREAM_MAAS_TOPICS_PARTITIONS", "0", "must be at least 1"),
    "a weak key": ("STREAM_MAAS_WORKER_DIGEST_KEY", SECRET, "must have at least 32 characters"),
    "session below heartbeat": ("STREAM_MAAS_WORKER_SESSION_TIMEOUT_MS", "3000", "larger than worker.heartbeat"),
    "no port": ("STREAM_MAAS_WORKER_WEB_PORT", "65536", "worker.web_port: must be at most 65535"),
    "no port of the page": ("STREAM_MAAS_DASHBOARD_PORT", "99999", "dashboard.port: must be at most 65535"),
    "no room in a batch": ("STREAM_MAAS_ADMISSION_MAX_ANSWER_BYTES", "1048576", "admission.max_answer_bytes"),
    "no room for a key": ("STREAM_MAAS_ADMISSION_MAX_KEY_BYTES", "100000", "admission.max_key_bytes"),
    "transaction below commits": ("STREAM_MAAS_WORKER_TRANSACTION_TIMEOUT_MS", "99", "twice worker.commit_interval"),
}


@pytest.mark.parametrize(("variable", "value", "says"), WRONG.values(), ids=WRONG)
def test_wrong_value_is_named_and_not_shown(variable: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ={variable: value})
    message = str(caught.value)
    assert says in message
    assert variable.removeprefix("STREAM_MAAS_").split("_")[0].lower() + "." in message
    assert SECRET not in "".join(traceback.format_exception(caught.value)), "not in the chain of causes either"


WRONG_IN_FILE = {
    "a fraction": ("[worker]\nchunk_max_records = 1.5", "worker.chunk_max_records"),
    "a truth value for a number": ("[worker]\nchunk_max_records = true", "worker.chunk_max_records"),
    "a list for text": ('[kafka]\nbootstrap = ["a:1", "b:2"]', "kafka.bootstrap"),
    "a number for text": ("[kafka]\nsasl_password = 1234", "kafka.sasl_password"),
    "a table for text": ('[topics.prefix]\na = "b"', "topics.prefix"),
    "a number for a list": ("[topics]\nlanes = 3", "topics.lanes"),
    "numbers in a list": ("[topics]\nlanes = [1, 2]", "topics.lanes"),
    "a misspelt setting": ("[worker]\nchunk_max_record = 5", "worker.chunk_max_record"),
    "a misspelt section": ("[workers]\nchunk_max_records = 5", "workers.chunk_max_records"),
    "no section": ("chunk_max_records = 5", "chunk_max_records: expected a table"),
    "not TOML": (f"[worker\n{SECRET}", "cannot be read as TOML"),
}


@pytest.mark.parametrize(("text", "names"), WRONG_IN_FILE.values(), ids=WRONG_IN_FILE)
def test_wrong_file_names_file_and_setting(text: str, names: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(environ={}, config_file=path)
    assert names in str(caught.value)
    assert path in str(caught.value)
    assert SECRET not in str(caught.value)


def test_missing_file_and_unknown_override() -> None:
    with pytest.raises(SettingsError, match=r"^/nowhere\.toml: cannot be read"):
        load(environ={"STREAM_MAAS_CONFIG": "/nowhere.toml"})
    with pytest.raises(SettingsError, match=r"^worker\.colour \(command line\): no such setting"):
        load({"worker.colour": "red"}, environ={})


@given(st.sampled_from([f"STREAM_MAAS_{s.upper()}_{f.name.upper()}" for s, f in ALL_FIELDS]), st.text(max_size=50))
def test_any_text_is_taken_or_refused_by_name(variable: str, text: str) -> None:
    """Whatever is in the environment: a frozen config comes out, or a `SettingsError`."""
    with contextlib.suppress(SettingsError):
        assert isinstance(load(environ={variable: text}), Settings)


# Description ------------------------------------------------------------------------------------------------------


def test_every_setting_is_described_once_with_help_and_unit() -> None:
    rows = describe(Settings())
    assert [row.name for row in rows] == [f"{section}.{spec.name}" for section, spec in ALL_FIELDS]
    assert len({row.env for row in rows}) == len(rows)
    assert [row.name for row in rows if not row.help] == []
    assert {row.unit for row in rows if row.name.endswith("_ms")} == {"milliseconds"}
    assert {row.unit for row in rows if row.name.endswith("_bytes")} == {"bytes"}


def test_numbers_have_a_unit_in_their_name() -> None:
    """A bare number needs a word; these are counted or numbered and say so themselves."""
    plain = {"topics.partitions", "worker.web_port", "worker.in_flight_chunks", "dashboard.port"}
    for row, (section, spec) in zip(describe(Settings()), ALL_FIELDS, strict=True):
        if typing.get_type_hints(SECTIONS[section])[spec.name] is int and row.name not in plain:
            assert row.unit or row.name in {"privacy.max_depth", "privacy.max_nodes"}, row.name


def test_secrets_are_hidden_everywhere() -> None:
    names = ("STREAM_MAAS_KAFKA_SASL_PASSWORD", "STREAM_MAAS_KAFKA_SSL_KEY_PASSWORD", "STREAM_MAAS_WORKER_DIGEST_KEY")
    loaded = load(environ=dict.fromkeys(names, SECRET * 5))
    rows = describe(loaded)
    assert [row.name for row in rows if row.value == "(set)"] == [
        "kafka.sasl_password",
        "kafka.ssl_key_password",
        "worker.digest_key",
    ]
    assert SECRET not in repr(rows)
    assert SECRET not in repr(loaded), "a traceback or a log line may hold the whole object"
    assert {row.value for row in describe(load(environ={})) if row.name in ("kafka.sasl_password",)} == {""}


def test_every_password_and_key_is_marked_secret() -> None:
    """A new field with such a name has to be marked, or renamed."""
    for section, spec in ALL_FIELDS:
        if (
            any(word in spec.name for word in ("password", "secret", "digest_key", "_token"))
            and "file" not in spec.name
        ):
            assert spec.metadata.get("secret"), f"{section}.{spec.name}"


def test_configs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        KafkaConfig().bootstrap = "x"  # type: ignore[misc]


# Cache folder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "relative/path"])
def test_cache_folder_falls_back_to_home(base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.cache_folder({"XDG_CACHE_HOME": base}) == tmp_path / ".cache" / "stream_maas"


def test_cache_folder_follows_xdg() -> None:
    assert settings.cache_folder({"XDG_CACHE_HOME": "/somewhere"}) == Path("/somewhere/stream_maas")
