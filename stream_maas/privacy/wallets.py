"""Which strings are addresses of crypto-currencies: their checksums."""

from __future__ import annotations

import hashlib
from typing import Final

_BASE58: Final = {c: i for i, c in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BECH32: Final = {c: i for i, c in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CONSTANTS: Final = (1, 0x2BC830A3)
"""BIP 173 and, for taproot, BIP 350 (bech32m)."""


def base58check(address: str) -> bool:
    """A version byte, 20 bytes and the first four of their double SHA-256 (Bitcoin, Litecoin, Dogecoin, Tron ...)."""
    number = 0
    for character in address:
        number = number * 58 + _BASE58[character]
    try:
        raw = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def bech32(address: str) -> bool:
    """A human-readable part, "1", and data whose polynomial leaves one of two constants."""
    prefix, _, data = address.lower().rpartition("1")
    if address not in (address.lower(), address.upper()) or any(character not in _BECH32 for character in data):
        return False
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32[c] for c in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for index, generator in enumerate(_GENERATORS):
            if top >> index & 1:
                check ^= generator
    return check in _BECH32_CONSTANTS


def trim_base58(candidate: str) -> tuple[int, int] | None:
    return (0, len(candidate)) if 26 <= len(candidate) <= 35 and base58check(candidate) else None


def trim_bech32(candidate: str) -> tuple[int, int] | None:
    return (0, len(candidate)) if bech32(candidate) else None
