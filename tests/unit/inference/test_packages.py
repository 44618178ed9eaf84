"""Where packages are looked for: a given file or folder first, then the cache, and never an unchecked byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from stream_maas.errors import ServiceError
from stream_maas.inference.train.packages import ADULT, MINILM, SENTIMENT_TEXTS, Package, Shelf

CONTENT = b"a package"
PACKAGE = Package("made-up==1", "made_up-1.tar.gz", hashlib.sha256(CONTENT).hexdigest(), "MIT", "nothing")


def test_a_given_file_or_folder_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "given" / PACKAGE.filename
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    for source in (file, file.parent):
        assert Shelf(tmp_path / "cache", source).read(PACKAGE) == CONTENT
    assert not (tmp_path / "cache").exists()


def test_what_was_kept_is_used(tmp_path: Path) -> None:
    (tmp_path / PACKAGE.filename).write_bytes(CONTENT)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert Shelf(tmp_path, empty).path(PACKAGE) == tmp_path / PACKAGE.filename


@pytest.mark.parametrize("given", ["file", "folder"])
def test_another_file_is_refused(tmp_path: Path, given: str) -> None:
    file = tmp_path / PACKAGE.filename
    file.write_bytes(CONTENT + b"!")
    with pytest.raises(ServiceError, match=r"made_up-1\.tar\.gz: not made_up-1\.tar\.gz of made-up==1 \(other SHA"):
        Shelf(tmp_path / "cache", file if given == "file" else tmp_path).read(PACKAGE)


def test_the_pins_are_whole() -> None:
    for package in (SENTIMENT_TEXTS, MINILM, ADULT):
        name, _, version = package.requirement.partition("==")
        assert package.filename.lower().replace("-", "_").startswith(f"{name}_{version}".lower().replace("-", "_"))
        assert len(bytes.fromhex(package.sha256)) == 32
