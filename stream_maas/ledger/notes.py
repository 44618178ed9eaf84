"""How texts are signed: C2SP signed notes, checkpoints, cosignatures and proofs in their exact bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stream_maas.errors import LedgerError
from stream_maas.ledger.hashing import HASH_BYTES
from stream_maas.ledger.keys import COSIGNATURE, NOTE, SigningKey, VerifierKey, decode_base64, is_key_name

_DASH = "\N{EM DASH} "
_MAX_SIGNATURES = 100
_MAX_NOTE_BYTES = 1 << 20
_ID_BYTES = 4
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_PROOF = "c2sp.org/tlog-proof@v1"
_MAX_SIZE = 1 << 64


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who says to have signed, and the bytes."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """The line with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.data).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note. Nothing in it may be believed before `signers` or `cosigners` says whose it is."""

    text: str
    """With its final newline, without the blank line."""
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> str:
        """The note as it is kept and sent."""
        return self.text + "\n" + "".join(signature.line() for signature in self.signatures)

    def signers(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """The keys of type note that signed this text.

        Raises `LedgerError` when a line of one of them does not verify: such a note is to be refused as a whole.
        """
        return [key for key in keys if key.kind == NOTE and self._signed_by(key)]

    def _signed_by(self, key: VerifierKey) -> bool:
        mine = [line for line in self.signatures if (line.name, line.key_id) == (key.name, key.id)]
        if not all(key.verify(line.data, self.text.encode()) for line in mine):
            raise LedgerError(f"note: the signature of {key.name} is wrong")
        return bool(mine)

    def cosigners(self, keys: Iterable[VerifierKey]) -> dict[str, int]:
        """Name -> POSIX time of each witness among `keys` that cosigned this text. Raises as `signers` does."""
        found = {}
        for key in keys:
            for line in self.signatures:
                if key.kind == COSIGNATURE and (line.name, line.key_id) == (key.name, key.id):
                    time_s = int.from_bytes(line.data[:_TIME_BYTES], "big")
                    if not key.verify(line.data[_TIME_BYTES:], _cosigned(self.text, time_s)):
                        raise LedgerError(f"note: the cosignature of {key.name} is wrong")
                    found[key.name] = time_s
        return found

    def with_signatures(self, more: Iterable[NoteSignature]) -> Note:
        """The same text with further signature lines; a later line of the same key takes the earlier one's place."""
        lines = {(line.name, line.key_id): line for line in (*self.signatures, *more)}
        return Note(self.text, tuple(lines.values()))


def parse_note(data: bytes) -> Note:
    """Raises `LedgerError` for anything that is not a signed note."""
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise LedgerError("note: not UTF-8") from None
    # Control characters are refused so that what a terminal shows is what was signed.
    if len(data) > _MAX_NOTE_BYTES or any(letter < " " and letter != "\n" for letter in whole):
        raise LedgerError("note: too long, or with a control character")
    text, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise LedgerError("note: expected a text, a blank line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise LedgerError("note: too many signatures")
    return Note(text + "\n", tuple(_signature(line) for line in lines))


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = decode_base64(encoded)
    if not line.startswith(_DASH) or not is_key_name(name) or data is None or len(data) <= _ID_BYTES:
        raise LedgerError("note: a signature line is not `— name base64`")
    return NoteSignature(name, data[:_ID_BYTES], data[_ID_BYTES:])


def sign_note(text: str, *keys: SigningKey) -> Note:
    """A note over `text`, which must end in a newline. Raises `LedgerError` otherwise, or for a key of another type."""
    if not text.endswith("\n") or any(key.public.kind != NOTE for key in keys):
        raise LedgerError("note: its text must end in a newline, its keys must be of type 1")
    return Note(text, tuple(NoteSignature(key.name, key.public.id, key.sign(text.encode())) for key in keys))


def cosign(note: Note, key: SigningKey, *, time_s: int) -> NoteSignature:
    """The cosignature/v1 of a witness. `time_s`: POSIX seconds, zero or more."""
    if key.public.kind != COSIGNATURE or not 0 <= time_s < 1 << 63:
        raise LedgerError("cosignature: needs a key of type 4 and a time")
    data = time_s.to_bytes(_TIME_BYTES, "big") + key.sign(_cosigned(note.text, time_s))
    return NoteSignature(key.name, key.public.id, data)


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: what the log `origin` held at `size` (C2SP tlog-checkpoint). Extension lines are kept."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The note text."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a note text. Raises `LedgerError` for anything but the exact form."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise LedgerError("checkpoint: expected origin, size and root hash, a line each")
    origin, size, encoded, *extensions = lines[:-1]
    root = decode_base64(encoded)
    if not is_decimal(size) or int(size) >= _MAX_SIZE or root is None or len(root) != HASH_BYTES:
        raise LedgerError("checkpoint: expected a decimal size and the base64 of 32 bytes")
    return Checkpoint(origin, int(size), root, tuple(extensions))


def is_decimal(text: str) -> bool:
    """ASCII digits without leading zeroes."""
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) <= 20


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Everything that shows offline that a record is in a log (C2SP tlog-proof@v1)."""

    index: int
    hashes: tuple[bytes, ...]
    """From the leaf's sibling up."""
    checkpoint: str
    """The signed note, verbatim."""
    extra: bytes | None = None
    """Opaque, not authenticated."""

    def encode(self) -> str:
        """The text of a `.tlog-proof` file."""
        extra = [f"extra {base64.b64encode(self.extra).decode()}"] if self.extra is not None else []
        hashes = [base64.b64encode(node).decode() for node in self.hashes]
        return "\n".join([_PROOF, *extra, f"index {self.index}", *hashes, "", self.checkpoint])


def parse_proof(text: str) -> TlogProof:
    """Raises `LedgerError` for anything but the exact form. The checkpoint is handed on unread."""
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != _PROOF:
        raise LedgerError(f"proof: expected {_PROOF} and a blank line before the checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
        if extra is None:
            raise LedgerError("proof: the extra data is not base64")
    index = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
    if not is_decimal(index) or int(index) >= _MAX_SIZE:
        raise LedgerError("proof: expected `index N`")
    return TlogProof(int(index), tuple(_hash_lines(lines)), checkpoint, extra)


def _hash_lines(lines: Sequence[str]) -> list[bytes]:
    hashes = [decode_base64(line) for line in lines]
    if any(node is None or len(node) != HASH_BYTES for node in hashes):
        raise LedgerError("proof: a hash is not the base64 of 32 bytes")
    return [node for node in hashes if node is not None]
