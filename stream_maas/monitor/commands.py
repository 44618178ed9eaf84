"""What operators say to the monitor: acknowledge, silence, unsilence, retire (schemas/alert-command.schema.json)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from stream_maas.errors import UndecodableError

Text = Annotated[str, Meta(min_length=1, max_length=256)]
Labels = dict[str, str]


class Acknowledge(Struct, frozen=True, tag_field="command", tag="acknowledge", omit_defaults=True):
    """Somebody looks after an incident: it is not repeated and does not escalate any more."""

    command_id: Text
    incident_id: Text
    by: str = ""
    at_us: int = 0
    comment: str = ""


class Silence(Struct, frozen=True, tag_field="command", tag="silence", omit_defaults=True):
    """Alerts with these labels (or `rule`, `severity`) are published as silenced for a while."""

    command_id: Text
    matchers: Annotated[Labels, Meta(min_length=1)]
    starts_at_us: int
    ends_at_us: int
    by: str = ""
    comment: str = ""
    at_us: int = 0


class Unsilence(Struct, frozen=True, tag_field="command", tag="unsilence", omit_defaults=True):
    """A silence ends now."""

    command_id: Text
    silence_id: Text
    by: str = ""
    at_us: int = 0
    comment: str = ""


class Retire(Struct, frozen=True, tag_field="command", tag="retire", omit_defaults=True):
    """These labels will not be seen again: their alerts are resolved, their series forgotten."""

    command_id: Text
    labels: Annotated[Labels, Meta(min_length=1)]
    by: str = ""
    at_us: int = 0
    comment: str = ""


Command = Acknowledge | Silence | Unsilence | Retire
_DECODER = msgspec.json.Decoder(Command)


def decode_command(value: bytes) -> Command:
    """A command record's value. Raises `UndecodableError` for anything else."""
    try:
        command: Command = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableError("value: not a command to the monitor") from None
    return command


def command_of(document: Any) -> Command:
    """A command from its JSON document. Raises `UndecodableError`."""
    return decode_command(msgspec.json.encode(document))


def document_of(command: Command) -> dict[str, Any]:
    """The JSON document of a command, without whoever gave it: the journal needs what was decided, not by whom."""
    document: dict[str, Any] = msgspec.to_builtins(command)
    for name in ("by", "comment"):
        document.pop(name, None)
    return document
