"""How a bundle comes into being: beside its place, checked there, and moved as a whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stream_maas.inference.bundle import CARD, MANIFEST


class Draft:
    """A bundle in a folder of its own. `write` its files, then `state` what bundle.yaml and the card say."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files: list[str] = []

    def write(self, name: str, content: bytes) -> None:
        """One file of the bundle."""
        (self.directory / name).write_bytes(content)
        self._files.append(name)

    def state(self, manifest: Mapping[str, Any], card: str) -> None:
        """Write card and bundle.yaml; the member `sha256` of `manifest` is filled in. May be called again."""
        (self.directory / CARD).write_text(card, encoding="utf-8")
        digests = {name: digest((self.directory / name).read_bytes()) for name in (*self._files, CARD)}
        document = {name: digests if name == "sha256" else value for name, value in manifest.items()}
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
        (self.directory / MANIFEST).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def drafted(out_dir: Path) -> Iterator[Draft]:
    """A draft that is copied to `out_dir` unless the body raises; files of other names there stay."""
    with tempfile.TemporaryDirectory() as name:
        draft = Draft(Path(name))
        yield draft
        shutil.copytree(draft.directory, out_dir, dirs_exist_ok=True)


def digest(content: bytes) -> str:
    """SHA-256, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()
