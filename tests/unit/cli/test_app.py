"""How any command ends: exit codes, one line of error, and a help screen that costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

from stream_maas import __version__, settings
from stream_maas.cli import app as app_module
from stream_maas.cli.app import app, run
from stream_maas.cli.common import error_line, exit_code
from stream_maas.errors import BrokerError, BundleError, SettingsError, TopicsError
from stream_maas.privacy.recognizers import ENTITY_TYPES

HEAVY = {
    "aiokafka",
    "faust",
    "mode",
    "numpy",
    "onnxruntime",
    "structlog",
    "aiohttp",
    "sklearn",
    "onnx",
    "re2",
    "msgspec",
}
KAFKA_COMMANDS = ["topics create", "topics check", "worker", "send", "tail", "doctor", "demo"]


def leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(command, "commands", {})
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))] if children else [path]


COMMANDS = leaves(typer.main.get_command(app))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"stream-maas {__version__}\n"


def test_nothing_at_all_is_answered_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "doctor" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    if " ".join(command) in KAFKA_COMMANDS:
        assert all(option in shown for option in ("--bootstrap", "--prefix", "--config"))
        assert all(variable in shown for variable in ("STREAM_MAAS_BOOTSTRAP", "STREAM_MAAS_PREFIX"))


def test_help_imports_nothing_heavy() -> None:
    program = "import sys; from stream_maas.cli.app import run; run(['send', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()} & HEAVY == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "frobnicate"),
        (["send"], "--model"),
        (["send", "--model"], "--model"),
        (["topics", "create", "--partitions", "many"], "--partitions"),
        (["topics", "create", "--partitions", "0"], "--partitions"),
        (["worker", "somewhere"], "--models somewhere"),
        (["worker", "--set", "worker.web_port"], "NAME=VALUE"),
        (["worker", "--set", "worker.nonsense=1"], "worker.nonsense"),
        (["tail", "results", "--until-end"], "--from-beginning"),
        (["tail", "results", "--from-beginning", "--last", "3"], "--last"),
        (["tail", "results", "--prefix", "no spaces"], "topics.prefix"),
        (["schemas", "nothing"], "request"),
        (["model", "train", "nothing"], "sentiment-lite"),
        (["doctor", "--config", "/nowhere/at/all.toml"], "/nowhere/at/all.toml"),
    ],
)
def test_wrong_use_ends_with_2_and_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "; next: " in captured.err
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_problem_ends_with_1_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "check", "--bootstrap", "127.0.0.1:1"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: 127.0.0.1:1: connection refused; next: ")
    assert captured.err.count("\n") == 1


def test_a_bug_is_told_without_the_text_of_the_exception(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text of a foreign exception may quote what somebody wrote in a record."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("ada@example.org")

    monkeypatch.setattr(settings, "load", broken)
    assert run(["doctor"]) == 1
    said = capsys.readouterr().err
    assert "unexpected ValueError at test_app:" in said or "unexpected ValueError at " in said
    assert "ada@example.org" not in said
    with pytest.raises(ValueError, match="ada"):
        run(["doctor", "--debug"])


def test_error_lines() -> None:
    assert error_line(BrokerError("a\n  b\n")) == (
        "error: a | b; next: `stream-maas doctor` checks broker, topics and rights"
    )
    assert error_line(TopicsError("x; next: do this")) == "error: x; next: do this"
    assert error_line(SettingsError("s")).endswith("prints every setting, its source and its unit")
    assert (exit_code(SettingsError("s")), exit_code(BundleError("b")), exit_code(ValueError())) == (2, 1, 1)


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(settings, "load", interrupted)
    assert run(["doctor"]) == 130


def test_settings_are_listed_with_source_and_unit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "maas.toml"
    config.write_text('[worker]\ncommit_interval_ms = 70\n[kafka]\nsasl_password = "hush"\n')
    monkeypatch.setenv("STREAM_MAAS_PREFIX", "p")
    assert run(["doctor", "--settings", "--json", "--bootstrap", "h:1", "--config", str(config)]) == 0
    rows = {row["name"]: row for row in map(orjson.loads, capsys.readouterr().out.splitlines())}
    assert rows["kafka.bootstrap"]["value"] == "h:1"
    assert rows["kafka.bootstrap"]["source"] == "command line"
    assert rows["topics.prefix"]["source"] == "environment STREAM_MAAS_PREFIX"
    assert (rows["worker.commit_interval_ms"]["value"], rows["worker.commit_interval_ms"]["unit"]) == (
        "70",
        "milliseconds",
    )
    assert rows["kafka.sasl_password"]["value"] == "(set)"
    assert run(["doctor", "--settings", "--config", str(config)]) == 0
    assert "hush" not in capsys.readouterr().out


def test_redact(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["redact", "--text", "Write to ada@example.org"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("Write to [EMAIL]\n", "redacted: EMAIL 1\n")
    assert run(["redact", "--json", "--text", "nothing here"]) == 0
    assert orjson.loads(capsys.readouterr().out) == {"text": "nothing here", "redactions": {}}


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    monkeypatch.setattr("sys.stdin", os.fdopen(reader))


def test_redact_json_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ['{"id": "a", "text": "👋 ada@example.org, 卡号４111111111111111完"}', "", '{"text": "nothing", "x": 1}']
    pipe(monkeypatch, "\n".join(lines).encode())
    assert run(["redact"]) == 0
    captured = capsys.readouterr()
    first, second = map(orjson.loads, captured.out.splitlines())
    assert (first["id"], first["text"]) == ("a", "👋 [EMAIL], 卡号[CARD]完")
    members = {"type", "start", "end", "score", "recognizer", "operator"}
    assert [entity.keys() for entity in first["entities"]] == [members, members]
    text = orjson.loads(lines[0])["text"]
    assert [text[entity["start"] : entity["end"]] for entity in first["entities"]] == [
        "ada@example.org", "４111111111111111",
    ]  # fmt: skip
    assert second == {"id": None, "text": "nothing", "entities": []}
    assert captured.err == "redacted: CARD 1, EMAIL 1\n"


def test_redact_json_lines_goes_on_after_a_bad_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "[" * 50 + "]" * 50
    pipe(monkeypatch, orjson.dumps({"text": "a"}) + b'\n{"text": 5}\nada@example.org\n' + orjson.dumps({"text": deep}))
    assert run(["redact"]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert [line.partition(": ")[2][:6] for line in captured.err.splitlines()[:3]] == ["line 2", "line 3", "line 4"]
    assert "ada" not in captured.err


def test_redact_plain_text_that_looks_like_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, b'{"text": "ada@example.org"}\n')
    assert run(["redact", "--plain"]) == 0
    assert capsys.readouterr().out == '{"text":"[EMAIL]"}\n'
    pipe(monkeypatch, "Écrire à ada@example.org\nou à bob@example.org\n".encode())
    assert run(["redact"]) == 0
    assert capsys.readouterr().out == "Écrire à [EMAIL]\nou à [EMAIL]\n"


def test_redact_with_a_policy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{name: acme, version: 2, rules: [{for: CARD, do: {operator: mask, keep_last: 4}}]}")
    pipe(monkeypatch, b'{"id": "ada@example.org", "text": "card 4111 1111 1111 1111"}')
    assert run(["redact", "--policy", str(policy), "--explain"]) == 0
    answer = orjson.loads(capsys.readouterr().out)
    assert (answer["id"], answer["text"]) == ("[EMAIL]", "card **** **** **** 1111")
    assert [(entity["operator"], entity["rule"]) for entity in answer["entities"]] == [("mask", "rules[0]")]
    assert run(["redact", "--check-policy", str(policy), "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["policy"].startswith("acme-2/")
    policy.write_text("{name: acme, version: 2, rules: [{for: CART, do: mask}, {do: mark}]}")
    assert run(["redact", "--check-policy", str(policy)]) == 2
    assert [place in line for place, line in zip(
        ["rules[0].for", "rules[1].do"], capsys.readouterr().err.splitlines(), strict=True
    )] == [True, True]  # fmt: skip
    assert run(["redact", "--policy", str(policy), "--text", "x"]) == 2
    assert "rules[0].for" in capsys.readouterr().err


def test_redact_lists_what_it_finds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["redact", "--list", "--json"]) == 0
    rows = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["type"] for row in rows} >= {*ENTITY_TYPES, "DATA_SUBJECT"}
    assert all(row["jurisdiction"] and row["validated_by"] for row in rows)
    assert run(["redact", "--list"]) == 0
    assert "EMAIL" in capsys.readouterr().out


def test_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schemas", "--json"]) == 0
    names = {orjson.loads(line)["name"] for line in capsys.readouterr().out.splitlines()}
    assert {"request", "result", "rejection", "audit-event", "dead-letter", "alert"} <= names
    for name in sorted(names):
        assert run(["schemas", name, "--json"]) == 0
        assert orjson.loads(capsys.readouterr().out)


def test_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["model", "list", "--json"]) == 0
    (row,) = map(orjson.loads, capsys.readouterr().out.splitlines())
    assert (row["name"], row["status"], row["licence"]) == ("sentiment-lite", "ok", "Apache-2.0")
    assert run(["model", "show", "sentiment-lite", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["digest"] == row["digest"]
    assert run(["model", "show"]) == 0
    assert row["digest"] in capsys.readouterr().out
    assert run(["model", "check", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["problems"] == []

    altered = tmp_path / "models" / "altered"
    altered.mkdir(parents=True)
    for file in Path(row["directory"]).iterdir():
        (altered / file.name).write_bytes(file.read_bytes() + (b"x" if file.name == "model.onnx" else b""))
    assert run(["model", "check", str(altered.parent), "--json"]) == 1
    assert "model.onnx" in str(orjson.loads(capsys.readouterr().out)["problems"])
    assert run(["model", "list", str(altered.parent)]) == 1
    assert "problem" in capsys.readouterr().out
    assert run(["model", "check", str(tmp_path)]) == 1


def test_commands_are_where_the_table_says() -> None:
    table = {tuple(line.split()) for commands in app_module._COMMANDS.values() for line in commands}
    assert set(COMMANDS) == table


def test_an_interrupt_while_commands_are_loaded_leaves_no_traceback() -> None:
    program = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from stream_maas.cli import main\n"
        "main(['doctor'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
