"""What the monitor says of itself: alive or silent, burn rates and budgets, and which silences are in force. Pure.

A page that shows no alert because nobody looks for any is worse than no page; so the age of the monitor's last sign of
life is part of every second's message.
"""

from __future__ import annotations

from typing import Any

import orjson

SILENT_AFTER_S = 30.0
"""Three heartbeats."""


class Overseer:
    """Folds the monitor's heartbeats and the commands to it."""

    def __init__(self) -> None:
        self.last_sign_ms: int | None = None
        self.heartbeat: dict[str, Any] = {}
        self._silences: dict[str, dict[str, Any]] = {}

    def add_heartbeat(self, value: bytes | None, time_ms: int) -> None:
        """Fold one record of the monitor's state; `time_ms` is its timestamp. Its other records are its own."""
        document = _object(value)
        if document.get("kind") == "heartbeat":
            self.heartbeat = document
            self.last_sign_ms = max(self.last_sign_ms or 0, time_ms)

    def add_command(self, value: bytes | None) -> None:
        """Fold one command: silences begin and end by it."""
        document = _object(value)
        if document.get("command") == "silence" and isinstance(document.get("ends_at_us"), int):
            self._silences[str(document.get("command_id"))] = document
        elif document.get("command") == "unsilence":
            self._silences.pop(str(document.get("silence_id")), None)

    def document(self, now_s: float) -> dict[str, Any]:
        """State "absent" (never seen), "alive" or "silent", with all that is known."""
        age_s = None if self.last_sign_ms is None else max(now_s - self.last_sign_ms / 1000, 0.0)
        state = "absent" if age_s is None else "silent" if age_s > SILENT_AFTER_S else "alive"
        return {"state": state, "age_s": age_s, "heartbeat": self.heartbeat, "silences": self.silences(now_s)}

    def silences(self, now_s: float) -> list[dict[str, Any]]:
        """Silences that are in force, the one that ends first, first."""
        current = [silence for silence in self._silences.values() if silence["ends_at_us"] > now_s * 1e6]
        return sorted(current, key=lambda silence: int(silence["ends_at_us"]))


def _object(value: bytes | None) -> dict[str, Any]:
    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
