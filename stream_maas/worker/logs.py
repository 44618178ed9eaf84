"""Logs: structlog as JSON or for a console, on standard error. The redactor is the second net under every line."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any, Literal

import structlog

from stream_maas.kafka.arguments import addresses
from stream_maas.privacy import Redactor
from stream_maas.settings import Settings

NOISY_LOGGERS = {
    "aiokafka": logging.ERROR,  # retries are told by our own one-line messages
    "faust": logging.ERROR,
    "mode": logging.ERROR,
    "kafka": logging.ERROR,
    "stream_maas.worker.transport": logging.WARNING,  # Faust services log their start and stop under our module
    "asyncio": logging.WARNING,
}


def set_up(settings: Settings, redactor: Redactor | None = None) -> None:
    """`configure` by the settings of a process: at its start, and again when it has a redactor."""
    configure(
        log_format=settings.worker.log_format,
        level=settings.worker.log_level,
        redact=redactor.redact_line if redactor is not None else None,
        known=[host for host, _ in addresses(settings.kafka)],
    )


def configure(
    *,
    log_format: Literal["auto", "json", "console"],
    level: str,
    redact: Callable[[str], str] | None = None,
    known: Collection[str] = (),
) -> None:
    """Set up structlog and route the standard library's loggers through it. `redact` maps text to redacted text.

    `known`: addresses of our own configuration. They stay as they are: whoever reads that a broker cannot be reached
    has to be told which one.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if redact is not None:
        shared.append(_Net(redact, known))
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer()
    )
    numeric_level = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_Throttle())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(numeric_level)
    for name, least in NOISY_LOGGERS.items():
        logging.getLogger(name).setLevel(max(least, numeric_level))


class _Throttle(logging.Filter):
    """Lets one message of a kind through per `EVERY_S` and then says how many were held back.

    A client whose broker is away repeats itself hundreds of times a second; the first line and a count say it all.
    """

    EVERY_S = 30.0
    MOST_KINDS = 500
    """Some libraries put what changes into the message itself; what is remembered of them must not grow for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.name, str(record.msg))
        last_s, held_back = self._seen.get(kind, (float("-inf"), 0))
        if record.created - last_s < self.EVERY_S:
            self._seen[kind] = (last_s, held_back + 1)
            return False
        if len(self._seen) >= self.MOST_KINDS:
            self._seen.clear()
        self._seen[kind] = (record.created, 0)
        if held_back:
            record.msg = f"{record.getMessage()} (and {held_back} more like it)"
            record.args = ()
        return True


class _Net:
    """Redacts everything in an event: texts, what is in lists and mappings, names, numbers, and what other objects say
    of themselves. Logging must not fail, so a failure of the redactor drops the value."""

    def __init__(self, redact: Callable[[str], str], known: Collection[str] = ()) -> None:
        self._redact = redact
        self._known = re.compile(rf"(?<![\w.:-])({'|'.join(map(re.escape, known))})(?!\w)") if known else None

    def __call__(self, _logger: Any, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event_dict.items():
            if key not in _OURS:
                event_dict[key] = self._clean(value)
        return event_dict

    def _clean(self, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool) or depth > _MOST_DEPTH:
            return value if depth <= _MOST_DEPTH else _NOT_LOGGED
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float):
            return value if abs(value) < _SMALLEST_PERSONAL or self._text(str(value)) == str(value) else _NOT_LOGGED
        if isinstance(value, Mapping):
            return {self._text(str(name)): self._clean(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item, depth + 1) for item in value]
        try:
            return self._text(repr(value))
        except Exception:  # noqa: BLE001 - whatever the object does when it is asked
            return _NOT_LOGGED

    def _text(self, text: str) -> str:
        try:
            if self._known is None:
                return self._redact(text)
            # A pattern with one group splits into what is between the finds and, at odd places, the finds.
            parts = enumerate(self._known.split(text))
            return "".join([part if place % 2 else self._redact(part) for place, part in parts])
        except Exception:  # noqa: BLE001 - fail closed
            return _NOT_LOGGED


_OURS = frozenset(("timestamp", "level", "_record", "_from_structlog"))
"""Written by structlog itself; the last two never reach the renderer."""
_NOT_LOGGED = "(not logged: redaction failed)"
_MOST_DEPTH = 8
_SMALLEST_PERSONAL = 10**7
"""Nothing shorter than seven digits is looked for."""
