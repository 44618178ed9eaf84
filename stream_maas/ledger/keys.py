"""How keys are spelled: C2SP signed-note verifier keys, and Go's form for the private half.

A verifier key is `name+keyid+base64(type || public key)`, where the key id is the first four bytes of
SHA-256(name || "\\n" || type || public key). A private key is one line `PRIVATE+KEY+name+keyid+base64(type || seed)`.
Types: 0x01 signs notes, 0x04 cosigns checkpoints with a time (C2SP signed-note, tlog-cosignature).
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stream_maas.errors import LedgerError

NOTE: Final = 0x01
"""Ed25519 over the note text."""
COSIGNATURE: Final = 0x04
"""Ed25519 over time and checkpoint, by a witness."""
_TYPES = (NOTE, COSIGNATURE)
_KEY_BYTES = 32
_PRIVATE = "PRIVATE+KEY+"


class VerifierKey:
    """A public key with its name."""

    __slots__ = ("_key", "id", "kind", "name", "public")

    def __init__(self, name: str, kind: int, public: bytes) -> None:
        """Raises `LedgerError` for a name that a note cannot carry or bytes that are no Ed25519 key."""
        if not is_key_name(name):
            raise LedgerError("key: its name is empty or has a space or a plus sign")
        if kind not in _TYPES or len(public) != _KEY_BYTES:
            raise LedgerError(f"key {name}: not an Ed25519 key of type 1 (notes) or 4 (cosignatures)")
        self.name, self.kind, self.public = name, kind, public
        self.id = sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]
        self._key = Ed25519PublicKey.from_public_bytes(public)

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read `name+keyid+base64`. Raises `LedgerError` for anything else, a wrong key id among it."""
        name, _, rest = vkey.strip().partition("+")
        spelled, _, encoded = rest.partition("+")
        data = decode_base64(encoded)
        if data is None or len(data) != 1 + _KEY_BYTES:
            raise LedgerError("key: expected name+keyid+base64 of an Ed25519 verifier key (C2SP signed-note)")
        key = cls(name, data[0], data[1:])
        if key.id.hex() != spelled:
            raise LedgerError(f"key {name}: its id does not belong to it; was it copied whole?")
        return key

    @property
    def vkey(self) -> str:
        """The line that `parse` reads."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether this key made `signature` (64 bytes, RFC 8032) over `message`."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key. Its text form is a secret; nothing here prints it."""

    __slots__ = ("_key", "_seed", "public")

    def __init__(self, name: str, kind: int, seed: bytes) -> None:
        """`seed`: 32 random bytes, chosen by the caller. Raises `LedgerError` as `VerifierKey` does."""
        if len(seed) != _KEY_BYTES:
            raise LedgerError("private key: its seed must have 32 bytes")
        self._seed, self._key = seed, Ed25519PrivateKey.from_private_bytes(seed)
        self.public = VerifierKey(name, kind, self._key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read the line that `encode` writes. Raises `LedgerError`; the message never quotes it."""
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        spelled, _, encoded = rest.partition("+")
        data = decode_base64(encoded)
        if not text.startswith(_PRIVATE) or data is None or len(data) != 1 + _KEY_BYTES:
            raise LedgerError("private key: expected one line PRIVATE+KEY+name+keyid+base64")
        key = cls(name, data[0], data[1:])
        if key.public.id.hex() != spelled:
            raise LedgerError("private key: its id does not belong to it; was it copied whole?")
        return key

    def encode(self) -> str:
        """One line for a file that only its owner may read."""
        encoded = base64.b64encode(bytes([self.public.kind]) + self._seed).decode()
        return f"{_PRIVATE}{self.name}+{self.public.id.hex()}+{encoded}"

    @property
    def name(self) -> str:
        """Name of the key in notes."""
        return self.public.name

    @property
    def vkey(self) -> str:
        """The public half, as readers keep it."""
        return self.public.vkey

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032)."""
        return self._key.sign(message)


def is_key_name(name: str) -> bool:
    """Whether a note may name a key so: not empty, no space of any kind, no plus sign."""
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


def decode_base64(text: str) -> bytes | None:
    """Standard base64 with padding (RFC 4648, 4) in its one canonical spelling, else None."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if base64.b64encode(data).decode() == text else None
