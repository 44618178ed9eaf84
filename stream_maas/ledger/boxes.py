"""How redacted inputs are kept apart from the log: sealed boxes, one key per data subject or tenant. Pure.

A box holds the redacted requests of one owner in one chunk; events refer to it by the SHA-256 of its bytes. So the
log proves what the inputs were without holding them, and destroying a key erases the inputs without touching the log.

    0x01 || key id (16) || nonce (12) || AES-256-GCM ciphertext and tag (NIST SP 800-38D)

Encryption key and nonce key come from the data key by HKDF-SHA-256 (RFC 5869). The nonce is a keyed digest of the
content, as in RFC 5297's synthetic IV: a repeat of the same content is the same box, and nobody has to be asked for
randomness. Two contents share a nonce with probability 2^-96 per pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from stream_maas.errors import LedgerError
from stream_maas.records import Outgoing, ParameterValue, Request, Tensor

VERSION: Final = b"\x01"
KEY_ID_BYTES: Final = 16
SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(VERSION) + KEY_ID_BYTES + _NONCE_BYTES
_CONTEXT: Final = b"stream-maas/audit-box/v1"
MAX_BOX_BYTES: Final = 256 * 1024
"""Content above this goes into another box; a record has to fit into a produce batch."""

Owner: TypeAlias = tuple[str, str]
"""(tenant, reference of the data subject); either may be empty. Whoever asks for erasure names one of them."""


class DataKey:
    """The key of one owner."""

    __slots__ = ("_cipher", "_nonce_key", "id")

    def __init__(self, key_id: bytes, secret: bytes) -> None:
        if len(key_id) != KEY_ID_BYTES or len(secret) != SECRET_BYTES:
            raise LedgerError("data key: expected an id of 16 bytes and a secret of 32")
        self.id = key_id
        derived = HKDF(SHA256(), 2 * SECRET_BYTES, salt=None, info=_CONTEXT + key_id).derive(secret)
        self._cipher = AESGCM(derived[:SECRET_BYTES])
        self._nonce_key = derived[SECRET_BYTES:]

    def seal(self, content: bytes) -> bytes:
        """The box that holds `content`."""
        nonce = hashlib.blake2b(content, key=self._nonce_key, digest_size=_NONCE_BYTES).digest()
        return b"".join((VERSION, self.id, nonce, self._cipher.encrypt(nonce, content, _CONTEXT)))

    def open(self, box: bytes) -> bytes:
        """What is in it. Raises `LedgerError` for a box of another key or one that was changed."""
        try:
            return self._cipher.decrypt(box[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES], box[_HEAD_BYTES:], _CONTEXT)
        except InvalidTag:
            raise LedgerError("box: it was changed, or belongs to another key") from None


class BoxKeys(Protocol):
    """Where data keys come from (keystore.py)."""

    def for_owners(self, owners: Collection[Owner]) -> Mapping[Owner, DataKey]:
        """A key for each; those that have none get one. Raises `ServiceError` when the store cannot keep it."""
        ...


class BoxedRequest(Struct, frozen=True, omit_defaults=True):
    """What a model was given: enough to run it again, and nothing that identifies the caller."""

    inputs: tuple[Tensor, ...]
    model_name: str | None = None
    model_version: str | None = None
    outputs: tuple[str, ...] = ()
    parameters: dict[str, ParameterValue] = {}

    def to_request(self, request_id: str) -> Request:
        """As the pipeline would hand it to a model."""
        return Request(
            request_id,
            "body",
            self.inputs,
            self.model_name,
            self.model_version,
            self.outputs,
            parameters=self.parameters,
        )


_encode = msgspec.json.Encoder().encode
_decode_content = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_request = msgspec.json.Decoder(BoxedRequest).decode


def entry(event_id: str, request: Request, inputs: bytes) -> bytes:
    """One member of a box. `inputs`: the JSON of `request.inputs`, which the caller has anyway."""
    if not (request.model_name or request.model_version or request.outputs or request.parameters):
        return b'%b:{"inputs":%b}' % (_encode(event_id), inputs)
    rest: dict[str, Any] = {
        name: value
        for name, value in (
            ("model_name", request.model_name),
            ("model_version", request.model_version),
            ("outputs", request.outputs),
            ("parameters", request.parameters),
        )
        if value
    }
    return b'%b:{"inputs":%b,%b' % (_encode(event_id), inputs, _encode(rest)[1:])


def pack(entries: Collection[bytes]) -> bytes:
    """The content of a box."""
    return b"{" + b",".join(entries) + b"}"


def seal_all(entries: Sequence[tuple[Owner, bytes]], keys: BoxKeys) -> tuple[list[str], list[Outgoing]]:
    """For each entry the name of its box, and the records with the boxes: one for each owner, more for large inputs.

    A box for each entry would cost more than all of its audit event; the owner is what a key is destroyed for. Raises
    what `keys` does when a new owner's key cannot be kept.
    """
    names = [""] * len(entries)
    by_owner: dict[Owner, list[int]] = {}
    for index, (owner, _) in enumerate(entries):
        by_owner.setdefault(owner, []).append(index)
    opened = keys.for_owners(by_owner) if by_owner else {}
    rows = []
    for owner, indexes in by_owner.items():
        for group in _fitting(indexes, entries):
            box = opened[owner].seal(pack([entries[index][1] for index in group]))
            name = digest(box)
            rows.append(Outgoing(name.encode(), box, []))
            for index in group:
                names[index] = name
    return names, rows


def _fitting(indexes: Sequence[int], entries: Sequence[tuple[Owner, bytes]]) -> Iterator[list[int]]:
    """Groups that fit into a box; one entry at least."""
    group: list[int] = []
    size_bytes = 0
    for index in indexes:
        entry_bytes = len(entries[index][1])
        if group and size_bytes + entry_bytes > MAX_BOX_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(index)
        size_bytes += entry_bytes
    yield group


def unpack(content: bytes) -> dict[str, BoxedRequest]:
    """Event id -> request. Raises `LedgerError` for content that `pack` did not make."""
    try:
        return {event_id: _decode_request(member) for event_id, member in _decode_content(content).items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LedgerError("box: its content is not what this version writes") from None


def digest(box: bytes) -> str:
    """How events refer to a box: SHA-256, hex."""
    return hashlib.sha256(box).hexdigest()


def key_id(box: bytes) -> bytes:
    """Which key opens it. Raises `LedgerError` for bytes that are no box of this version."""
    if box[:1] != VERSION or len(box) <= _HEAD_BYTES:
        raise LedgerError("box: not a box of this version")
    return box[1 : 1 + KEY_ID_BYTES]
