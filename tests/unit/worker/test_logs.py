from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from stream_maas.privacy import Redactor
from stream_maas.worker import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is written to standard error while logging is configured as in a worker."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    redactor = Redactor()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(log_format="json", level="info", redact=lambda text: redactor.redact_text(text).value)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_personal_data_in_a_line_is_redacted(lines: io.StringIO) -> None:
    structlog.get_logger().info("mail zoe@example.org", note="4111 1111 1111 1111", count=3)
    (event,) = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (event["event"], event["note"], event["count"]) == ("mail [EMAIL]", "[CARD]", 3)


def test_a_broker_that_is_away_is_named(lines: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    redact, known = Redactor().redact_line, ["10.1.2.3", "kafka-1"]
    logs.configure(log_format="json", level="info", redact=redact, known=known)
    structlog.get_logger().warning("waiting for a broker: 10.1.2.3:9092: refused")
    structlog.get_logger().warning("210.1.2.3 asks zoe@example.org at 10.1.2.3, 10.1.2.31")
    told = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert told == ["waiting for a broker: 10.1.2.3:9092: refused", "[IP] asks [EMAIL] at 10.1.2.3, [IP]"]


def test_what_is_remembered_of_a_chatty_library_is_bounded(lines: io.StringIO) -> None:
    throttle = logs._Throttle()
    for number in range(3 * throttle.MOST_KINDS):
        assert throttle.filter(logging.LogRecord("chatty", logging.ERROR, "", 0, f"request {number}", (), None))
    assert len(throttle._seen) <= throttle.MOST_KINDS


def test_so_is_an_exception_of_another_library(lines: io.StringIO) -> None:
    try:
        raise ValueError("bad value zoe@example.org")
    except ValueError:
        logging.getLogger("some.library").exception("failed")
    assert "zoe@example.org" not in lines.getvalue()
    assert "ValueError" in lines.getvalue()


def test_a_client_that_repeats_itself_is_heard_once(lines: io.StringIO) -> None:
    logger = logging.getLogger("aiokafka.conn")
    for node in range(500):
        logger.error("Unable connect to node with id %s", node)
    logger.error("another matter")
    events = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert events == ["Unable connect to node with id 0", "another matter"]


def test_what_was_held_back_is_counted(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("aiokafka.conn")
    for _ in range(3):
        logger.error("away")
    monkeypatch.setattr(logs._Throttle, "EVERY_S", 0.0)
    logger.error("away")
    assert json.loads(lines.getvalue().splitlines()[-1])["event"] == "away (and 2 more like it)"


def test_so_is_everything_inside_of_a_value(lines: io.StringIO) -> None:
    class Talkative:
        def __repr__(self) -> str:
            return "Talkative(zoe@example.org)"

    class Broken:
        def __repr__(self) -> str:
            raise ValueError("zoe@example.org")

    structlog.get_logger().info(
        "event", inner={"zoe@example.org": ["4111 1111 1111 1111", 4111111111111111]}, raw=b"zoe@example.org",
        objects=(Talkative(), Broken()), error=ValueError("zoe@example.org"), count=12, ratio=0.5, nothing=None,
    )  # fmt: skip
    (event,) = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert event["inner"] == {"[EMAIL]": ["[CARD]", "(not logged: redaction failed)"]}
    assert "zoe" not in event["raw"]
    assert event["objects"] == ["Talkative([EMAIL])", "(not logged: redaction failed)"]
    assert ("ValueError" in event["error"], "zoe" in event["error"]) == (True, False)
    assert (event["count"], event["ratio"], event["nothing"]) == (12, 0.5, None)


PROGRAM = """
import asyncio, gc, os, resource, sys, threading
from stream_maas.worker import crash, logs
logs.configure(log_format="json", level="debug")
crash.leave_nothing()
def fail(secret):
    raise ValueError(secret)
secret = "zoe" + "@example.org"
thread = threading.Thread(target=fail, args=(secret,)); thread.start(); thread.join()
class Odd:
    def __del__(self):
        fail(secret)
Odd()
gc.collect()
print(resource.getrlimit(resource.RLIMIT_CORE)[0] in (0, 1), flush=True)
fail(secret)
"""


def test_a_crash_says_where_and_not_with_what() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "True\n")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(event["what"], event["error"]) for event in events] == [
        ("a thread ended", "ValueError"), ("ignored", "ValueError"), ("uncaught", "ValueError"),
    ]  # fmt: skip
    assert "zoe" not in done.stderr
