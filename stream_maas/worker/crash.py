"""What a crash may leave behind: no image of the memory, and no message that could quote a record."""

from __future__ import annotations

import resource
import sys
import threading
from types import TracebackType
from typing import Any

import structlog

_NO_CORE_BYTES = 1
"""core(5): below the smallest core file none is written, and exactly 1 also keeps the kernel from handing the image to
a program (`|` in core_pattern), which 0 would not."""


def leave_nothing() -> None:
    """Switch core files off and make unexpected errors name their type and place only. For the whole process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if soft != 0 or hard != 0:
        resource.setrlimit(resource.RLIMIT_CORE, (_NO_CORE_BYTES, _NO_CORE_BYTES))
    sys.excepthook = _uncaught
    threading.excepthook = lambda failed: _tell("a thread ended", failed.exc_type, failed.exc_traceback)
    sys.unraisablehook = lambda failed: _tell("ignored", failed.exc_type, failed.exc_traceback)


def _uncaught(kind: type[BaseException], _error: BaseException, trace: TracebackType | None) -> Any:
    _tell("uncaught", kind, trace)


def _tell(what: str, kind: type[BaseException] | None, trace: TracebackType | None) -> None:
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}")
        trace = trace.tb_next
    structlog.get_logger().error("unexpected error", what=what, error=getattr(kind, "__name__", "?"), places=places)
