"""Tells when the machine itself stood still: a process that sleeps 2 ms at a time and looks how late it wakes up.

    python -m benchmarks.stops        # until SIGTERM or its parent's end; says "ready", then one JSON line

The idea is jHiccup's (Gil Tene): what is late here was late for everybody, and no server is the reason. That holds
with real-time priority only, which goes before everything else on the machine but not before the host of a virtual
one; without it the process would measure its neighbours, so it reports nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

SLEEP_S = 0.002
STOP_S = 0.005
"""Later than this is a stop."""
PRIORITY = 50
"""Of SCHED_FIFO, 1 to 99: over what a distribution gives to programs, under the kernel's own threads."""


def main() -> None:
    """Print `{"stops_ms": [...]}`, or `{"stops_ms": null}` where real-time priority is refused."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this one
    parent = os.getppid()
    real_time = _take_priority()
    print("ready", flush=True)
    stops_ms = []
    before_s = time.monotonic()
    while not ended and os.getppid() == parent:
        time.sleep(SLEEP_S)
        now_s = time.monotonic()
        late_s = now_s - before_s - SLEEP_S
        if late_s > STOP_S:
            stops_ms.append(round(late_s * 1000, 1))
        before_s = now_s
    json.dump({"stops_ms": stops_ms if real_time else None}, sys.stdout)


def _take_priority() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (AttributeError, OSError):  # no Linux, or not allowed
        return False
    return True


if __name__ == "__main__":
    main()
