"""The contract that scripts rely on, literally: processes, standard streams, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.workers import QUICK_GROUP, Fleet

MODEL = "sentiment-lite"
GOOD, BAD = "A wonderful, moving film.", "A dull and lifeless waste of time."
SECRET = "ada@example.org"
PACKAGED = Path(__file__).parents[2] / "stream_maas" / "models" / MODEL


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stream_maas", *arguments]


def run(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """One command to its end. Nothing may ever print a traceback or what aiokafka forgot to close."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_MAAS_")}
    done = subprocess.run(
        command(*arguments), input=stdin, capture_output=True, check=False, timeout=240, env=environment | (env or {})
    )
    text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in text.stderr
    assert "Unclosed" not in text.stderr
    assert "never retrieved" not in text.stderr
    return text


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def served(embedded_broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """The two options that lead to a deployment with one worker."""
    prefix = f"cli-{uuid.uuid4().hex[:8]}"
    where = ("--bootstrap", embedded_broker, "--prefix", prefix)
    created = run("topics", "create", "--partitions", "3", "--json", *where)
    assert created.returncode == 0, created.stderr
    assert {line["status"] for line in json_lines(created.stdout)} == {"created"}
    with Fleet(embedded_broker, prefix, tmp_path_factory.mktemp("worker")) as fleet:
        asyncio.run(fleet.start("w1").ready())
        yield where


def send(where: Sequence[str], *lines: bytes, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return run("send", "--model", MODEL, *options, *where, stdin=b"\n".join(lines))


def test_send_answers_every_line(served: tuple[str, ...]) -> None:
    lines = [json.dumps({"id": f"s-{number}", "text": GOOD if number % 2 else BAD}).encode() for number in range(500)]
    lines += [
        b'{"id": "tensor", "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["lovely"]}]}',
        b'{"id": "wrong tensor", "inputs": [{"name": "text", "datatype": "FP32", "shape": [1], "data": [1.5]}]}',
        b'{"id": "other model", "text": "x", "model": "no-such-model"}',
        b'{"id": "late", "text": "x", "timeout": 1, "tenant": "acme", "data_subject": "ada@example.org"}',
        b'{"id": "twice", "text": "wonderful"}',
        b"",
        b'{"id": "twice", "text": "awful"}',
        b'{"text": "no id"}',
    ]
    done = send(served, *lines)
    assert done.returncode == 0, done.stderr
    answers = json_lines(done.stdout)
    by_id = {answer["id"]: answer for answer in answers}
    assert len(answers) == 507
    assert {answer["status"] for answer in answers} == {"prediction", "rejection"}
    for number in range(500):
        answer = by_id[f"s-{number}"]
        assert (answer["status"], answer["label"]) == ("prediction", "positive" if number % 2 else "negative")
        assert answer["model_name"] == MODEL
        assert 0.5 <= answer["score"] <= 1.0
    assert by_id["tensor"]["status"] == "prediction"
    codes = {"wrong tensor": "invalid_input", "other model": "unknown_model", "late": "expired"}
    assert {name: by_id[name]["code"] for name in codes} == codes
    assert by_id["other model"]["retryable"] is True
    assert {answer["label"] for answer in answers if answer["id"] == "twice"} == {"positive", "negative"}


@pytest.mark.parametrize("line", [SECRET.encode(), b'{"id": "x", "text": 5}', b'{"id": "x"}'])
def test_send_names_the_line_that_is_no_request(served: tuple[str, ...], line: bytes) -> None:
    done = send(served, b'{"id": "before", "text": "fine"}', b"", line, b'{"id": "after", "text": "fine"}')
    assert done.returncode == 2
    assert "error: line 3: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr
    assert [answer["id"] for answer in json_lines(done.stdout)] == ["before"]


def test_send_without_a_worker_ends_with_1(embedded_broker: str, prefix: str) -> None:
    where = ("--bootstrap", embedded_broker, "--prefix", prefix)
    assert run("topics", "create", *where).returncode == 0
    done = send(where, b'{"id": "1", "text": "x"}', b'{"id": "2", "text": "x"}', options=("--timeout", "0.5"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "2 of 2 requests were not answered" in done.stderr


def test_send_of_nothing(served: tuple[str, ...]) -> None:
    done = send(served)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tail_prints_what_the_topic_holds(served: tuple[str, ...]) -> None:
    sent = send(served, b'{"id": "t-1", "text": "lovely", "key": "k1"}', b'{"id": "t-2", "text": "x", "model": "none"}')
    assert sent.returncode == 0, sent.stderr
    done = run("tail", "results", "--from-beginning", "--until-end", "--json", *served)
    assert done.returncode == 0, done.stderr
    records = {line["value"]["id"]: line for line in json_lines(done.stdout)}
    assert set(records["t-1"]) >= {"topic", "partition", "offset", "key", "headers", "value"}
    assert records["t-1"]["topic"] == f"{served[3]}.results"
    assert records["t-1"]["key"] == "k1"
    assert records["t-1"]["headers"]["ce_type"] == "org.stream-maas.prediction.v1"
    assert records["t-2"]["headers"]["ce_type"] == "org.stream-maas.rejection.v1"
    assert records["t-2"]["value"]["code"] == "unknown_model"

    audit = json_lines(run("tail", "audit", "--from-beginning", "--until-end", "--json", *served).stdout)
    # The sessions of workers stand in the log as well.
    decisions = [line["value"]["data"] for line in audit if "request" in line["value"]["data"]]
    assert {data["request"]["id"] for data in decisions} >= {"t-1", "t-2"}
    whole = run("tail", f"{served[3]}.audit", "--from-beginning", "--until-end", "--json", *served)
    lines = json_lines(whole.stdout)
    assert all(line in lines for line in audit)  # heartbeats may have followed

    for topic in ("results", "audit", "requests", "dead-letters"):
        shown = run("tail", topic, "--from-beginning", "--until-end", *served)
        assert shown.returncode == 0, shown.stderr
        assert "t-1" in shown.stdout or topic == "dead-letters"
    limited = run("tail", "results", "--from-beginning", "--limit", "2", "--json", *served)
    assert (limited.returncode, limited.stdout.count("\n")) == (0, 2)


def test_tail_into_a_closed_pipe_ends_quietly(served: tuple[str, ...]) -> None:
    assert send(served, *[b'{"text": "lovely"}'] * 50).returncode == 0
    program = " ".join(command("tail", "results", "--from-beginning", "--until-end", *served)) + " | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_send_says_that_answers_could_not_be_written(served: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("send", "--model", MODEL, *served),
            input='{"text": "lovely"}\n',
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device;")


def test_send_into_a_closed_pipe_ends_quietly(served: tuple[str, ...]) -> None:
    program = " ".join(command("send", "--model", MODEL, *served)) + " | head -n 1"
    lines = b'{"text": "lovely"}\n' * 5_000
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program], input=lines, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1


def test_topics_create_again_and_check(served: tuple[str, ...], embedded_broker: str, prefix: str) -> None:
    again = run("topics", "create", "--json", *served)
    assert again.returncode == 0, again.stderr
    assert {line["status"] for line in json_lines(again.stdout)} == {"exists"}
    more = run("topics", "create", "--partitions", "5", *served)
    assert more.returncode == 1
    assert "has 3 partitions, 5 were asked for" in more.stdout
    assert run("topics", "check", *served).returncode == 0
    missing = run("topics", "check", "--json", "--bootstrap", embedded_broker, "--prefix", prefix)
    assert missing.returncode == 1
    assert all("topics create" in line["problem"] for line in json_lines(missing.stdout))


def test_doctor(served: tuple[str, ...]) -> None:
    done = run("doctor", "--json", *served)
    assert done.returncode == 0, done.stdout
    found = {line["check"]: line for line in json_lines(done.stdout)}
    assert found.keys() == {"settings", "redactor", "kernels", "models", "broker", "delivery", "topics", "clocks"}
    assert found["delivery"]["status"] == "warning"  # the embedded broker has no transactions
    for name, line in found.items():
        assert line["status"] == "ok" or name in ("delivery", "settings"), line
    broken = run("doctor", "--json", "--bootstrap", "127.0.0.1:1")
    assert broken.returncode == 1
    status = {line["check"]: line["status"] for line in json_lines(broken.stdout)}
    assert (status["broker"], status["topics"], status["models"]) == ("problem", "skipped", "ok")


def test_worker_takes_models_in_every_form_and_stops_on_sigterm(
    embedded_broker: str, prefix: str, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    for file in PACKAGED.iterdir():
        text = file.read_bytes()
        if file.name == "bundle.yaml":
            text = text.replace(b"\nname: sentiment-lite", b"\nname: second")
        (second / file.name).write_bytes(text)
    where = ("--bootstrap", embedded_broker, "--prefix", prefix)
    assert run("topics", "create", *where).returncode == 0
    models = ("--models", str(PACKAGED), str(second))
    quick = {**QUICK_GROUP, "STREAM_MAAS_WORKER_APP_ID": prefix}
    worker = subprocess.Popen(
        command("worker", *models, "--instance", "w1", *where),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | quick,
    )  # fmt: skip
    try:
        assert worker.stdout is not None
        assert "ready" in worker.stdout.readline()
        lines = [b'{"id": "1", "text": "lovely"}', b'{"id": "2", "text": "lovely", "model": "second"}']
        answers = json_lines(send(where, *lines).stdout)
        assert {answer["id"]: answer["model_name"] for answer in answers} == {"1": MODEL, "2": "second"}
        worker.send_signal(signal.SIGTERM)
        assert worker.stdout.read() == ""
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()


def test_broker_says_where_it_is_and_ends_on_sigterm() -> None:
    broker = subprocess.Popen(command("broker", "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert broker.stdout is not None
        ready = json.loads(broker.stdout.readline())
        assert ready["status"] == "ready"
        assert run("topics", "create", env={"STREAM_MAAS_BOOTSTRAP": ready["bootstrap"]}).returncode == 0
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(60) == 0
    finally:
        broker.kill()
        broker.wait()


def test_demo_keeps_its_word() -> None:
    done = run("demo", "--json")
    assert done.returncode == 0, done.stderr
    events = json_lines(done.stdout)
    checks = [event for event in events if event["event"] == "check"]
    assert len(checks) == 7
    assert all(check["holds"] for check in checks)
    (page,) = [event for event in events if event["event"] == "page"]
    assert page["url"].startswith("http://127.0.0.1:")
    steps = [event for event in events if event["event"] == "alert"]
    assert steps[0]["step"] == "firing"
    assert steps[-1]["step"] == "resolved"
    assert len({step["incident_id"] for step in steps}) == 1
    summary = events[-1]
    assert summary["ok"] is True
    assert summary["requests"] == summary["predictions"] + summary["rejections"] == summary["audit_events"]
    assert summary["rejections"] > 6  # the fault's own among them: requests that waited for longer than they would
    codes = {event["code"] for event in events if event["event"] == "rejection"}
    assert codes == {"undecodable", "invalid_input", "unknown_model", "expired"}
    labels = {event["label"] for event in events if event["event"] == "prediction"}
    assert labels == {"positive", "negative"}


def test_demo_on_a_broker_that_is_named(embedded_broker: str) -> None:
    """It shares the cluster: its topics have a name of their own."""
    done = run("demo", "--bootstrap", embedded_broker)
    assert done.returncode == 0, done.stderr
    assert "maas-demo-" in done.stdout
    assert "all is as promised" in done.stdout
    assert SECRET not in done.stdout
