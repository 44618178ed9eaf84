#!/usr/bin/env python3
"""Keeps the whole check of a proof bundle in one file on the standard library, for readers who trust none of us.

    python verify_bundle.py [--key VKEY-OR-FILE]... [--json] [DIR]

Needs Python 3.8 or newer and nothing else. DIR is the bundle, by default the folder of this file. Ends with 0 when the
bundle is valid and with 1 for anything else, and says what is wrong and where. What is checked: every file is the one
that SHA256SUMS names, and there is no other; the events of each partition, byte for byte, hash with the range proof to
the root of the checkpoint (RFC 6962, RFC 9162); the checkpoint is signed by the log's key, and by witnesses where keys
of theirs are given (C2SP signed-note, tlog-checkpoint, tlog-cosignature; Ed25519 of RFC 8032); the events of each
writer session follow each other, and its signatures fit.

Keys have to reach you by another way than the bundle: give them with --key. Without, those in keys.txt are used, which
shows that the bundle fits together, not who made it.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Point = tuple[int, int, int, int]

FORMAT = "stream-maas-bundle/v1"
PROOF = "stream-maas/range-proof/v1"
SESSION = "stream-maas/audit-session/v1"
SIGNED = tuple(f"org.stream-maas.audit.session.{name}.v1" for name in ("start", "heartbeat", "end"))
NOTE, COSIGNATURE = 1, 4
LOG_FILES = ("events.jsonl", "range.proof", "checkpoint.note")
OTHER_FILES = ("README.txt", "bundle.json", "events.parquet", "keys.txt", "verify_bundle.py")


class Invalid(Exception):  # noqa: N818 - it is a verdict
    """What is wrong, and where."""


def need(holds: Any, where: str, why: str) -> None:
    if not holds:
        raise Invalid(f"{where}: {why}")


# Ed25519 (RFC 8032, 5.1), for verifying only: public data, so nothing has to take constant time ---------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def add(a: Point, b: Point) -> Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return w * x % P, y * z % P, x * y % P, w * z % P


def multiply(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decode_point(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_M1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) is the key's over `message`."""
    key, r = decode_point(public), decode_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(public) != 32 or len(signature) != 64 or key is None or r is None or BASE is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = multiply(s, BASE), add(r, multiply(h, key))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# Keys and notes (C2SP) ----------------------------------------------------------------------------------------------


def decode64(text: str) -> bytes:
    """Base64 in its one canonical spelling; b"" for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if base64.b64encode(data).decode() == text else b""


class Key:
    """A verifier key: name+keyid+base64(type || public key)."""

    def __init__(self, vkey: str) -> None:
        self.name, _, rest = vkey.partition("+")
        spelled, _, encoded = rest.partition("+")
        data = decode64(encoded)
        self.kind, self.public = data[:1], data[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        right = self.kind in (bytes([NOTE]), bytes([COSIGNATURE])) and len(self.public) == 32
        need(right and self.name and spelled == self.id.hex(), f"key {vkey[:40]}", "is no Ed25519 verifier key")


def signed_by(text: str, signatures: Sequence[str], key: Key, where: str) -> str:
    """How `key` signed the note: "" when it did not. A wrong signature of a known key spoils the note."""
    for line in signatures:
        name, _, encoded = line[2:].partition(" ")
        data = decode64(encoded)
        if name != key.name or data[:4] != key.id:
            continue
        if key.kind == bytes([NOTE]):
            need(ed25519(key.public, data[4:], text.encode()), where, f"wrong signature of {key.name}")
            return "signed"
        seconds = int.from_bytes(data[4:12], "big")
        message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
        need(ed25519(key.public, data[12:], message), where, f"wrong cosignature of {key.name}")
        return f"cosigned at {seconds}"
    return ""


def read_note(data: str, where: str) -> tuple[str, list[str], list[str]]:
    """The text of a checkpoint, its lines, and its signature lines."""
    text, blank, tail = data.rpartition("\n\n")
    need(blank and tail.endswith("\n"), where, "is no signed note")
    lines, signatures = text.split("\n"), tail[:-1].split("\n")
    need(all(line.startswith("— ") for line in signatures), where, "has a line that is no signature")
    need(len(lines) >= 3 and len(decode64(lines[2])) == 32, where, "is no checkpoint")
    need(lines[1].isdigit() and lines[1] == str(int(lines[1])), where, "has no tree size")
    return text + "\n", lines, signatures


# Merkle tree (RFC 6962) ---------------------------------------------------------------------------------------------


def leaf_hash(value: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + value).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of_range(start: int, end: int, size: int, leaves: Sequence[bytes], outside: Iterator[bytes]) -> bytes:
    """Root of the tree: leaves [start, end) are given, `outside` has the largest subtrees around, left to right."""

    def walk(low: int, high: int) -> bytes:
        if high <= start or end <= low:
            return next(outside)
        if high - low == 1:
            return leaves[low - start]
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        left = walk(low, middle)
        return node_hash(left, walk(middle, high))

    return walk(0, size)


def read_proof(text: str, where: str) -> tuple[int, int, int, list[bytes]]:
    lines = text.split("\n")
    need(lines[0] == PROOF and lines[-1] == "" and len(lines) >= 5, where, "is no range proof")
    numbers = []
    for name, line in zip(("start", "end", "size"), lines[1:4]):  # noqa: B905 - `strict` is not in Python 3.8
        word, _, digits = line.partition(" ")
        need(word == name and digits.isdigit() and digits == str(int(digits)), where, f"has no {name}")
        numbers.append(int(digits))
    hashes = [decode64(line) for line in lines[4:-1]]
    need(all(len(node) == 32 for node in hashes), where, "has a line that is no hash")
    return numbers[0], numbers[1], numbers[2], hashes


# Writer sessions ----------------------------------------------------------------------------------------------------


def check_sessions(lines: Sequence[bytes], first: int, topic: str, partition: int, keys: Sequence[Key]) -> int:
    """Whether events follow each other in their sessions. Returns how many sessions there are."""
    heads: dict[str, tuple[int, str]] = {}
    signers: dict[str, Key] = {}
    last_signed: dict[str, tuple[int, Any, Any]] = {}
    for number, line in enumerate(lines):
        where = f"event {first + number}"
        try:
            event = json.loads(line)
            data, session = event["data"], event["data"]["writer"]["session"]
            name, counter, prev = session["id"], session["counter"], session.get("prev")
        except (ValueError, KeyError, TypeError):
            raise Invalid(f"{where}: is no event of a writer session") from None
        leaf = leaf_hash(line).hex()
        if name in heads:
            need((counter, prev) == heads[name], where, "does not follow from the event before it in its session")
        elif counter == 0:
            need(event["type"] == SIGNED[0] and prev is None, where, "a session without its start")
            signers[name] = Key(data.get("key", ""))
            last_signed[f"{name} start"] = (number, event, signers[name])
        heads[name] = (counter + 1, leaf)
        if event["type"] in SIGNED:
            last_signed[name] = (number, event, signers.get(name))
    trusted = [key for key in keys if key.kind == bytes([NOTE])]
    for number, event, own in last_signed.values():
        # The last signature covers all events before it, through the hashes that link them.
        session, signature = event["data"]["writer"]["session"], decode64(event["data"].get("signature") or "")
        place = (event["type"], topic, partition, session["id"], session["counter"], session.get("prev") or "-")
        text = (SESSION + "\n" + "".join(f"{part}\n" for part in place)).encode()
        if own is not None:
            need(ed25519(own.public, signature, text), f"event {first + number}", "the writer's signature is wrong")
        elif trusted and not any(ed25519(key.public, signature, text) for key in trusted):
            # The session began before the bundle; the writer's key may just not be among those at hand.
            continue
    return len(heads)


# The bundle ---------------------------------------------------------------------------------------------------------


def check_files(folder: Path) -> set[str]:
    """SHA256SUMS names every file but itself, in order, and each is what it says. Returns the names."""
    sums = (folder / "SHA256SUMS").read_bytes().decode()
    need(sums.endswith("\n"), "SHA256SUMS", "is cut off")
    named: dict[str, str] = {}
    for number, line in enumerate(sums[:-1].split("\n"), 1):
        digest, _, name = line.partition("  ")
        plain = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        need(plain and name and name not in named, f"SHA256SUMS line {number}", "is not `sha256  name`")
        named[name] = digest
    need(list(named) == sorted(named), "SHA256SUMS", "is not in order")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {"SHA256SUMS"}
    for name in sorted(there - set(named)):
        raise Invalid(f"{name}: is not in SHA256SUMS")
    for name, digest in named.items():
        need(name in there, name, "is missing")
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        need(found == digest, name, "is not the file that SHA256SUMS names")
    return set(named)


def text_of(path: Path) -> str:
    """Exactly what is in the file: `read_text` would take other line ends for newlines."""
    return path.read_bytes().decode("utf-8")


def check_log(folder: Path, log: dict[str, Any], topic: str, keys: Sequence[Key]) -> dict[str, Any]:
    """One partition of the bundle. Raises `Invalid`; returns what it shows."""
    name = log["folder"]
    where = f"{name}/range.proof"
    start, end, size, proof = read_proof(text_of(folder / name / "range.proof"), where)
    text, head, signatures = read_note(text_of(folder / name / "checkpoint.note"), f"{name}/checkpoint.note")
    data = (folder / name / "events.jsonl").read_bytes()
    need(data.endswith(b"\n"), f"{name}/events.jsonl", "its last line is cut off")
    lines = data[:-1].split(b"\n")
    need(
        (log["start"], log["end"], log["size"]) == (start, end, size), where, "tells of another range than bundle.json"
    )
    need(
        0 <= start < end <= size and len(lines) == end - start,
        f"{name}/events.jsonl",
        "has not the proven number of events",
    )
    need(head[0] == log["origin"] and int(head[1]) == size, f"{name}/checkpoint.note", "is of another log or size")
    need(head[0].rpartition("/")[2] == str(log["partition"]), f"{name}/checkpoint.note", "is of another partition")
    outside = iter(proof)
    try:
        root = root_of_range(start, end, size, [leaf_hash(line) for line in lines], outside)
    except StopIteration:
        raise Invalid(f"{where}: has too few hashes") from None
    need(next(outside, None) is None, where, "has too many hashes")
    need(root == decode64(head[2]), f"{name}/events.jsonl", "events and proof do not give the checkpoint's root")
    shown = {key.name: how for key in keys if (how := signed_by(text, signatures, key, f"{name}/checkpoint.note"))}
    need("signed" in shown.values(), f"{name}/checkpoint.note", "is signed by none of the keys")
    sessions = check_sessions(lines, start, topic, log["partition"], keys)
    return {"partition": log["partition"], "origin": head[0], "start": start, "end": end, "size": size,
            "root": root.hex(), "signatures": shown, "sessions": sessions, "proof_hashes": len(proof)}  # fmt: skip


def check(folder: Path, given: Sequence[str]) -> dict[str, Any]:
    """The whole bundle. Raises `Invalid`, or `OSError` and `ValueError` for files that cannot be read."""
    need((folder / "bundle.json").is_file(), str(folder), "has no bundle.json")
    named = check_files(folder)
    raw = text_of(folder / "bundle.json")
    bundle = json.loads(raw)
    plain = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    need(raw == plain, "bundle.json", "is not in canonical form")
    need(bundle.get("format") == FORMAT, "bundle.json", "is of another format")
    keys = [Key(line) for source in (given or [str(folder / "keys.txt")]) for line in key_lines(source)]
    logs = [check_log(folder, log, bundle["topic"], keys) for log in bundle["logs"]]
    need(logs, "bundle.json", "has no events")
    need(len({log["origin"] for log in logs}) == len(logs), "bundle.json", "names a log twice")
    proven = {f"{log['folder']}/{name}" for log in bundle["logs"] for name in LOG_FILES}
    for name in sorted(named - proven - set(OTHER_FILES)):
        raise Invalid(f"{name}: belongs to no log of bundle.json")
    events = sum(log["end"] - log["start"] for log in logs)
    return {"verdict": "valid", "files": len(named), "events": events, "logs": logs,
            "keys": "given" if given else "keys.txt"}  # fmt: skip


def key_lines(source: str) -> list[str]:
    """A key as it is, or the keys of a file."""
    if source.count("+") >= 2 and not Path(source).exists():
        return [source]
    lines = [line.strip() for line in Path(source).read_text("utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def default_folder() -> Path:
    """The folder of this file when it lies in a bundle, else the present one."""
    own = Path(__file__).resolve().parent
    return own if (own / "bundle.json").exists() else Path()


def main(arguments: Sequence[str]) -> int:
    """0 for a valid bundle, 1 for anything else."""
    parser = argparse.ArgumentParser(description="Check a proof bundle offline.")
    parser.add_argument("folder", nargs="?", type=Path, default=None, metavar="DIR")
    parser.add_argument("--key", action="append", default=[], metavar="VKEY", help="a verifier key or a file of them")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as error:
        return 1 if error.code else 0
    try:
        result = check(options.folder or default_folder(), options.key)
    except Exception as error:  # noqa: BLE001 - whatever a broken bundle leads to, it is not valid
        reason = str(error) if isinstance(error, Invalid) else f"cannot be read: {type(error).__name__}: {error}"
        print(json.dumps({"verdict": "invalid", "reason": reason}) if options.json else f"INVALID  {reason}")
        return 1
    if options.json:
        print(json.dumps(result))
        return 0
    for log in result["logs"]:
        signatures = ", ".join(f"{name} ({how})" for name, how in log["signatures"].items())
        print(f"ok  {log['origin']}: events {log['start']} to {log['end'] - 1} of {log['size']}, "
              f"{log['proof_hashes']} proof hashes, {log['sessions']} sessions; {signatures}")  # fmt: skip
    if not options.key:
        print("note  keys come from the bundle itself; compare them with those you were given, or use --key")
    print(f"valid: {result['events']} events, {result['files']} files")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
