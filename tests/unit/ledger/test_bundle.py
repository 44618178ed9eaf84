"""Proof bundles: valid in an empty environment, invalid after any change, and independent of our package."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_maas.errors import LedgerError
from stream_maas.ledger import proofs, verify_bundle
from stream_maas.ledger.bundle import VERIFIER, BundledLog, bundle_files, canonical, checksums, write_bundle
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.keys import COSIGNATURE, NOTE, SigningKey
from stream_maas.ledger.notes import Checkpoint, cosign, sign_note
from stream_maas.ledger.tiles import node_source
from tests.support.audit_log import Writer

LOG, WITNESS = SigningKey("example.org/log", NOTE, b"l" * 32), SigningKey("witness.example.org", COSIGNATURE, b"w" * 32)
WRITER = Writer().key


def bundled(partition: int, values: list[bytes], start: int, end: int) -> BundledLog:
    leaves = leaf_hashes(values)
    tree = CompactRange()
    tree.extend(leaves)

    def tile(level: int, index: int) -> bytes:
        hashes = []
        for at in range(index * 256, min((index + 1) * 256, len(leaves) >> 8 * level)):
            part = CompactRange()
            part.extend(leaves[at << 8 * level : (at + 1) << 8 * level])
            hashes.append(part.root())
        return b"".join(hashes)

    source = node_source(tile, lambda block: leaves[block * 256 : (block + 1) * 256])
    note = sign_note(Checkpoint(f"example.org/log/{partition}", len(values), tree.root()).text(), LOG)
    note = note.with_signatures([cosign(note, WITNESS, time_s=1_790_000_000)])
    proof = proofs.range_proof(start, end, len(values), source)
    return BundledLog(partition, start, values[start:end], (start, end - 1), proof, note)


def make(folder: Path, *logs: BundledLog) -> Path:
    keys = [LOG.public, WITNESS.public, WRITER.public]
    write_bundle(folder, bundle_files("maas.audit", logs, keys, "2026-11-22T12:00:00Z"))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two partitions: one whole, one cut out of its middle."""
    first = Writer(partition=0).run(60, heartbeat_every=10)
    second = Writer(partition=1, session="b" * 32).run(300, heartbeat_every=10)
    return make(tmp_path_factory.mktemp("bundle") / "b", bundled(0, first, 0, 66), bundled(1, second, 77, 222))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The verifier as a reader runs it: no package of ours on the path, no site packages, no environment."""
    command = [sys.executable, "-I", "-S", str(folder / "verify_bundle.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={}, cwd=folder.parent)


def test_a_bundle_is_valid_in_an_empty_environment(bundle: Path) -> None:
    for arguments in ([], [str(bundle)], ["--key", LOG.vkey, "--key", WITNESS.vkey, str(bundle)]):
        done = run(bundle, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "valid: 211 events" in done.stdout
        assert "cosigned at 1790000000" in done.stdout
    document = json.loads(run(bundle, "--json").stdout)
    assert [log["end"] - log["start"] for log in document["logs"]] == [66, 145]
    sums = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=bundle, capture_output=True, check=False)
    assert sums.returncode == 0


def test_it_runs_on_every_python_since_3_8(bundle: Path) -> None:
    """Its syntax, and all of it wherever such an interpreter is at hand."""
    ast.parse((bundle / "verify_bundle.py").read_bytes(), feature_version=(3, 8))
    later = {"removeprefix", "removesuffix", "bit_count", "is_relative_to", "pairwise", "batched"}
    assert not later & {
        node.attr for node in ast.walk(ast.parse((bundle / "verify_bundle.py").read_bytes()))
        if isinstance(node, ast.Attribute)
    }  # fmt: skip
    for name in ("python3.8", "python3.9", "python3.10", "python3.12", "python3.13", "python3.14"):
        if (python := shutil.which(name)) and subprocess.run([python, "-V"], check=False).returncode == 0:
            done = subprocess.run([python, "-I", "-S", str(bundle / "verify_bundle.py")], check=False, timeout=60)
            assert done.returncode == 0, name


def test_who_does_not_trust_the_keys_in_the_bundle_brings_others(bundle: Path) -> None:
    other = SigningKey(LOG.name, NOTE, b"x" * 32)
    done = run(bundle, "--key", other.vkey, str(bundle))
    assert done.returncode == 1
    assert "signed by none of the keys" in done.stdout


def test_anything_else_ends_with_one(bundle: Path, tmp_path: Path) -> None:
    for arguments in ([str(tmp_path)], ["--unknown"], ["--key", "nonsense", str(bundle)], [str(tmp_path / "missing")]):
        assert run(bundle, *arguments).returncode == 1


@settings(max_examples=250)
@given(st.data())
def test_any_changed_byte_in_any_file_is_found(bundle: Path, data: st.DataObject) -> None:
    names = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())
    name = data.draw(st.sampled_from(names))
    path = bundle / name
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))
    try:
        path.write_bytes(good[:at] + bytes([byte]) + good[at + 1 :])
        assert verify_bundle.main([str(bundle)]) == 1
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("what", ["added", "removed", "cut"])
def test_added_missing_and_cut_files_are_found(bundle: Path, tmp_path: Path, what: str) -> None:
    copy = shutil.copytree(bundle, tmp_path / "b")
    events = copy / "partition-0" / "events.jsonl"
    if what == "added":
        (copy / "note.txt").write_text("hello")
    elif what == "removed":
        events.unlink()
    else:
        os.truncate(events, events.stat().st_size - 1)
    done = run(bundle, str(copy))
    assert done.returncode == 1
    assert ("note.txt" if what == "added" else "events.jsonl") in done.stdout


def rewritten(bundle: Path, folder: Path, name: str, old: bytes, new: bytes) -> subprocess.CompletedProcess[str]:
    """A forger who makes the checksums again after a change."""
    copy = shutil.copytree(bundle, folder / "b")
    path = copy / name
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    files = {
        str(file.relative_to(copy)): file.read_bytes()
        for file in copy.rglob("*")
        if file.is_file() and file.name != "SHA256SUMS"
    }
    (copy / "SHA256SUMS").write_bytes(checksums(files))
    return run(bundle, str(copy))


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("partition-0/events.jsonl", b"positive", b"negative", "do not give the checkpoint's root"),
        ("partition-1/range.proof", b"start 77", b"start 78", "tells of another range"),
        ("partition-1/range.proof", b"size 331", b"size 332", "tells of another range"),
        ("partition-1/checkpoint.note", b"\n331\n", b"\n332\n", "another log or size"),
        ("partition-1/checkpoint.note", b"log/1\n", b"log/2\n", "another log or size"),
        ("bundle.json", b'"partition":1', b'"partition":7', "is of another partition"),
        ("partition-0/checkpoint.note", b"\n", b"\r\n", "is of another log or size"),
        ("partition-0/range.proof", b"\n", b"\r\n", "is no range proof"),
        ("partition-0/events.jsonl", b"\n", b"\r\n", "do not give the checkpoint's root"),
        ("bundle.json", b"}\n", b"}\r\n", "canonical"),
        ("bundle.json", b'"maas.audit"', b'"other.audit"', "the writer's signature is wrong"),
        ("bundle.json", b'"format":', b' "format":', "canonical"),
        ("keys.txt", LOG.vkey[:20].encode(), SigningKey("x", NOTE, b"x" * 32).vkey[:20].encode(), "verifier key"),
    ],
)
def test_a_forger_who_fits_the_checksums_meets_the_proofs(
    bundle: Path, tmp_path: Path, name: str, old: bytes, new: bytes, reason: str
) -> None:
    if '"partition":1' in old.decode() or "maas.audit" in old.decode():
        bundle = make(tmp_path / "with-start", bundled(1, Writer(partition=1).run(60, heartbeat_every=10), 0, 50))
    done = rewritten(bundle, tmp_path, name, old, new)
    assert done.returncode == 1
    assert reason in done.stdout, done.stdout


def forge(folder: Path, change: Callable[[dict[str, Any]], Any], **more: bytes) -> subprocess.CompletedProcess[str]:
    """A forger who writes bundle.json and other files anew, checksums included."""
    document = json.loads((folder / "bundle.json").read_bytes())
    change(document)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files |= {"bundle.json": canonical(document) + b"\n", **more}
    del files["SHA256SUMS"]
    for name, data in {**files, "SHA256SUMS": checksums(files)}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return run(folder, str(folder))


def test_a_bundle_shows_nothing_twice_and_nothing_that_is_not_proven(bundle: Path, tmp_path: Path) -> None:
    """Also in a folder with blanks in its name."""
    events, other_note = (bundle / name for name in ("partition-0/events.jsonl", "partition-1/checkpoint.note"))
    other_key = SigningKey(LOG.name, NOTE, b"x" * 32).vkey.encode()
    cases: list[tuple[Callable[[list[Any]], Any], dict[str, bytes], str]] = [
        (list, {}, ""),
        (lambda logs: logs.reverse(), {}, ""),
        (lambda logs: logs.append(logs[0]), {}, "names a log twice"),
        (lambda logs: logs.pop(), {}, "partition-1/checkpoint.note: belongs to no log"),
        (lambda logs: logs.clear(), {}, "has no events"),
        (list, {"partition-2/events.jsonl": events.read_bytes()}, "partition-2/events.jsonl: belongs to no log"),
        (list, {"partition-0/events.jsonl": b""}, "its last line is cut off"),
        (list, {"partition-0/events.jsonl": b"\n"}, "has not the proven number of events"),
        (list, {"keys.txt": b""}, "is signed by none of the keys"),
        (list, {"keys.txt": other_key}, "is signed by none of the keys"),
        (list, {"partition-0/checkpoint.note": other_note.read_bytes()}, "is of another log or size"),
    ]
    for number, (change, more, reason) in enumerate(cases):
        folder = Path(shutil.copytree(bundle, tmp_path / f"a folder {number}"))
        done = forge(folder, lambda document, change=change: change(document["logs"]), **more)  # type: ignore[misc]
        assert (done.returncode, reason in done.stdout) == (1 if reason else 0, True), done.stdout


def test_a_log_that_contradicts_its_own_writers_is_not_valid(tmp_path: Path) -> None:
    """Sealed and proven, but the events do not follow each other: the sealer's word is not enough."""
    values = Writer().run(60, heartbeat_every=10)
    values[5], values[6] = values[6], values[5]
    folder = make(tmp_path / "b", bundled(0, values, 0, len(values)))
    done = run(folder, str(folder))
    assert done.returncode == 1
    assert "does not follow" in done.stdout


def test_events_of_several_lines_are_not_exported(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="newline"):
        make(tmp_path / "b", bundled(0, [b"a\nb"], 0, 1))
    (tmp_path / "x").write_text("")
    with pytest.raises(LedgerError, match="not empty"):
        make(tmp_path, bundled(0, [b"a"], 0, 1))


def test_the_verifier_needs_the_standard_library_alone() -> None:
    text = VERIFIER.read_text(encoding="utf-8")
    imports = {line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imports <= set(sys.stdlib_module_names) | {"__future__"}


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 63), st.integers(1, 255))
@settings(max_examples=25)
def test_its_ed25519_agrees_with_a_library(seed: bytes, message: bytes, at: int, change: int) -> None:
    key = SigningKey("x", NOTE, seed)
    signature = key.sign(message)
    assert verify_bundle.ed25519(key.public.public, signature, message)
    wrong = signature[:at] + bytes([signature[at] ^ change]) + signature[at + 1 :]
    assert not verify_bundle.ed25519(key.public.public, wrong, message)
    assert not verify_bundle.ed25519(key.public.public, signature, message + b"x")


@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [  # RFC 8032, 7.1: TEST 1 and TEST 3
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
            "655141438e7a100b",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
            "c027beceea1ec40a",
        ),
    ],
)  # fmt: skip
def test_the_vectors_of_rfc_8032(public: str, message: str, signature: str) -> None:
    arguments = bytes.fromhex(public), bytes.fromhex(signature), bytes.fromhex(message)
    assert verify_bundle.ed25519(*arguments)
    assert not verify_bundle.ed25519(arguments[0], arguments[1], arguments[2] + b"\x00")
    # s + L is the same number modulo the order and must be refused (RFC 8032, 5.1.7).
    s = int.from_bytes(arguments[1][32:], "little") + verify_bundle.ORDER
    assert not verify_bundle.ed25519(arguments[0], arguments[1][:32] + s.to_bytes(32, "little"), arguments[2])
