from __future__ import annotations

import io
import json
import logging
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
