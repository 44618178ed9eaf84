"""`redact`: what the worker's redactor does to a text."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stream_maas.cli.common import ConfigFile, Json, Output, load_settings, usage_error


def redact(
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="Default: all of standard input.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Redact a text as the worker would, and count what was found.

    The redacted text goes to standard output, the counts by entity type to standard error (with --json both to
    standard output).

    Example: stream-maas redact --text "Write to ada@example.org"
    """
    from stream_maas.privacy import Redactor

    output = Output(as_json=as_json)
    if text is None:
        if sys.stdin.isatty():
            output.note("Reading a text from the terminal; end with Ctrl-D.")
        try:
            text = sys.stdin.buffer.read().decode()
        except UnicodeDecodeError:
            usage_error("standard input is not UTF-8 text")
    redacted = Redactor(load_settings(config, {}).privacy).redact_text(text)
    if as_json:
        output.emit({"text": redacted.value, "redactions": dict(redacted.counts)})
        return
    sys.stdout.write(redacted.value if redacted.value.endswith("\n") else f"{redacted.value}\n")
    found = ", ".join(f"{entity} {count}" for entity, count in sorted(redacted.counts.items()))
    output.note(f"redacted: {found}" if found else "nothing to redact")
