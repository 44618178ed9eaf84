"""Keeps where the JSON Schema files are, in an installed wheel and in a working copy."""

from __future__ import annotations

from pathlib import Path

SCHEMA_NAMES = (
    "request", "result", "rejection", "audit-event", "audit-service-event", "dead-letter", "alert", "alert-command",
)  # fmt: skip
"""Stems of the files `<name>.schema.json`. The results topic holds `result` (a prediction) or `rejection`."""
SCHEMA_BASE = "https://stream-maas.org/schemas/v1/"
"""What the `$id` of a first version begins with. An identifier: nothing is fetched from it."""

_VERSIONS = {"audit-event": "v2"}
"""Formats that have had more than one version."""

_PACKAGE = Path(__file__).parents[1]


def schema_id(name: str) -> str:
    """`$id` of the schema in `<name>.schema.json`."""
    return f"{SCHEMA_BASE.removesuffix('v1/')}{_VERSIONS.get(name, 'v1')}/{name}.schema.json"


def schemas_dir() -> Path:
    """The folder with the schema files, `asyncapi.yaml` and `examples/`. Raises `FileNotFoundError`.

    A wheel carries them as `stream_maas/_schemas`; a working copy has them beside the package.
    """
    for folder in (_PACKAGE / "_schemas", _PACKAGE.parent / "schemas"):
        if (folder / "request.schema.json").is_file():
            return folder
    raise FileNotFoundError("the JSON schemas are not installed with this package")
