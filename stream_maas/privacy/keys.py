"""Where the keys of pseudonyms come from: one narrow question, and the answer that needs no store.

A pseudonym joins records only within one tenant, one purpose and one epoch, because each of these has a key of its
own. Keys never stand in a policy, an audit event or a log.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from typing import Final, Protocol

from stream_maas.errors import SettingsError
from stream_maas.privacy.transform import EPOCH_PATTERN

_MIN_SECRET_CHARS: Final = 32
_MOST_KEPT: Final = 4096
"""Derived keys kept; a purpose is the client's word, so their number must be bounded."""
_BLOCK_BYTES: Final = 64
"""Of SHA-256."""
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
_EPOCH: Final = re.compile(EPOCH_PATTERN)


class PseudonymKey:
    """A key and the epoch that every pseudonym made with it names. `secret` has 32 bytes or more."""

    __slots__ = ("_inner", "_outer", "kid", "secret")

    def __init__(self, kid: str, secret: bytes) -> None:
        self.kid: Final = kid
        self.secret: Final = secret
        block = (secret if len(secret) <= _BLOCK_BYTES else sha256(secret).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER_PAD))
        self._outer = sha256(block.translate(_OUTER_PAD))

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 (RFC 2104), 32 bytes. Both hashes go on from where the key has left them, which the standard
        library's object does as well, at twice the price."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PseudonymKey) and (self.kid, self.secret) == (other.kid, other.secret)

    def __hash__(self) -> int:
        return hash((self.kid, self.secret))

    def __repr__(self) -> str:
        return f"PseudonymKey(kid={self.kid!r})"


class PseudonymKeys(Protocol):
    """Whoever can answer this may hold the keys: a secret of the environment, a file, a key store."""

    def current(self, tenant: str, purpose: str) -> PseudonymKey:
        """The key for new pseudonyms; "" where a record names no tenant or purpose. Any exception rejects the
        record."""
        ...


class DerivedKeys:
    """Keys derived from one secret: HMAC-SHA256 over epoch, tenant and purpose (NIST SP 800-108, as a PRF).

    To rotate, change the secret and the epoch's name together: old and new pseudonyms then differ visibly.
    """

    def __init__(self, secret: str, epoch: str = "k1") -> None:
        """Raises SettingsError for a secret below 32 characters or a name that would not fit into a pseudonym."""
        if len(secret) < _MIN_SECRET_CHARS:
            raise SettingsError(f"privacy.pseudonym_key: must have at least {_MIN_SECRET_CHARS} characters")
        if not _EPOCH.fullmatch(epoch):
            raise SettingsError(
                "privacy.pseudonym_epoch: expected a letter and up to 7 more letters or digits, a-z 0-9"
            )
        self._secret = secret.encode()
        self._epoch = epoch
        self._keys: dict[tuple[str, str], PseudonymKey] = {}

    def current(self, tenant: str, purpose: str) -> PseudonymKey:
        """The key of this tenant and purpose in the present epoch."""
        key = self._keys.get((tenant, purpose))
        if key is None:
            if len(self._keys) >= _MOST_KEPT:
                self._keys.clear()
            # Lengths keep ("ab", "c") and ("a", "bc") apart.
            context = f"stream-maas pseudonym\0{self._epoch}\0{len(tenant)}\0{tenant}\0{purpose}"
            secret = hmac.digest(self._secret, context.encode("utf-8", "surrogatepass"), "sha256")
            self._keys[tenant, purpose] = key = PseudonymKey(self._epoch, secret)
        return key
