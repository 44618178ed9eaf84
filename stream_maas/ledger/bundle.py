"""What a proof bundle consists of: the exact bytes of events, their range proof, a checkpoint, keys, and a verifier.

`verify_bundle.py` in the same folder reads this format, shares no code with it, and goes into every bundle.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from stream_maas.errors import LedgerError
from stream_maas.ledger.keys import VerifierKey
from stream_maas.ledger.notes import Note, parse_checkpoint

FORMAT = "stream-maas-bundle/v1"
PROOF = "stream-maas/range-proof/v1"
VERIFIER = Path(__file__).with_name("verify_bundle.py")
_README = """Proof bundle of an audit log
============================

events.jsonl      audit events, their exact bytes, one a line
range.proof       hashes of everything around them in the Merkle tree of the log (RFC 6962)
checkpoint.note   what the log's key, and witnesses, signed: size and root of that tree (C2SP)
keys.txt          verifier keys; get them from their owners by another way and compare, or give them with --key
bundle.json       which events these are
SHA256SUMS        digests of all files; `sha256sum -c SHA256SUMS` checks them as well

    python verify_bundle.py --key KEYS .

needs Python 3.8 or newer and nothing else, and ends with 0 when everything fits. What it shows: these events, in this
order and without omission in their range, were in the log when the checkpoint was signed. It does not show that what
they say is true.
"""


@dataclass(frozen=True, slots=True)
class BundledLog:
    """The part of one partition."""

    partition: int
    start: int
    """Leaf index of the first event."""
    values: Sequence[bytes]
    offsets: tuple[int, int]
    """Kafka offsets of the first and the last event."""
    proof: Sequence[bytes]
    """`range_proof(start, end, size)`."""
    note: Note


def bundle_files(topic: str, logs: Sequence[BundledLog], keys: Sequence[VerifierKey], created: str) -> dict[str, bytes]:
    """Name -> content of every file, the checksums last. `created`: RFC 3339 time of the export.

    Raises `LedgerError` for an event that is no single line, which no event of ours is."""
    files: dict[str, bytes] = {}
    described = []
    for log in logs:
        checkpoint, name = parse_checkpoint(log.note.text), f"partition-{log.partition}"
        broken = next((log.start + at for at, value in enumerate(log.values) if b"\n" in value or not value), None)
        if broken is not None:
            raise LedgerError(
                f"partition {log.partition}: event {broken} is empty or has a newline; nothing is exported"
            )
        end = log.start + len(log.values)
        files[f"{name}/events.jsonl"] = b"".join(value + b"\n" for value in log.values)
        files[f"{name}/range.proof"] = encode_range(log.start, end, checkpoint.size, log.proof)
        files[f"{name}/checkpoint.note"] = log.note.encode().encode()
        described.append(
            {"partition": log.partition, "origin": checkpoint.origin, "folder": name, "start": log.start, "end": end,
             "size": checkpoint.size, "first_offset": log.offsets[0], "last_offset": log.offsets[1]}
        )  # fmt: skip
    document = {"format": FORMAT, "topic": topic, "created": created, "logs": described}
    files["bundle.json"] = canonical(document) + b"\n"
    files["keys.txt"] = "".join(f"{key.vkey}\n" for key in keys).encode()
    files["README.txt"] = _README.encode()
    files["verify_bundle.py"] = VERIFIER.read_bytes()
    return files


def checksums(files: Mapping[str, bytes]) -> bytes:
    """The file SHA256SUMS over all others."""
    return "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files and SHA256SUMS into a new or empty folder. Raises `LedgerError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise LedgerError(f"{folder}: is not empty; a bundle has its folder for itself")
        for name, data in {**files, "SHA256SUMS": checksums(files)}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise LedgerError(f"{folder}: cannot be written ({type(error).__name__})") from error


def encode_range(start: int, end: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The text of a range proof."""
    hashes = "".join(f"{base64.b64encode(node).decode()}\n" for node in proof)
    return f"{PROOF}\nstart {start}\nend {end}\nsize {size}\n{hashes}".encode()


def canonical(document: object) -> bytes:
    """As `verify_bundle.py` wants it: sorted names, no white space."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
