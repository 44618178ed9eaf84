"""Keeps where the JSON Schema files are, in an installed wheel and in a working copy."""

from __future__ import annotations

from pathlib import Path

SCHEMA_NAMES = ("request", "result", "rejection", "audit-event", "dead-letter", "alert", "alert-command")
"""Stems of the files `<name>.schema.json`. The results topic holds `result` (a prediction) or `rejection`."""
SCHEMA_BASE = "https://stream-maas.org/schemas/v1/"
"""What a schema's `$id` begins with. An identifier: nothing is fetched from it."""

_PACKAGE = Path(__file__).parents[1]


def schemas_dir() -> Path:
    """The folder with the schema files, `asyncapi.yaml` and `examples/`. Raises `FileNotFoundError`.

    A wheel carries them as `stream_maas/_schemas`; a working copy has them beside the package.
    """
    for folder in (_PACKAGE / "_schemas", _PACKAGE.parent / "schemas"):
        if (folder / "request.schema.json").is_file():
            return folder
    raise FileNotFoundError("the JSON schemas are not installed with this package")
