"""Where data keys live: wrapped by a key-encryption key, in one SQLite file with real deletion.

A data key is made for each owner that is met, is random, and is stored only wrapped (AES-256-GCM under the
key-encryption key, bound to its id). Destroying it overwrites the row's key; the row stays, without the key, so that
a reader can say "erased" and not just "unknown". Copies of the file (backups) still hold the wrapped key: `rotate`
wraps all living keys anew under another key-encryption key, and once the old one is destroyed so are the copies.

Another database fits behind `KeyStore`; PostgreSQL is the likely one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stream_maas.errors import KeyStoreError
from stream_maas.ledger.boxes import KEY_ID_BYTES, SECRET_BYTES, DataKey, Owner
from stream_maas.settings import Settings, state_folder

_NONCE_BYTES: Final = 12
_MAX_OPEN_KEYS: Final = 100_000
"""Keys kept opened; a deployment with more data subjects at a time opens some again."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS data_keys (
    id BLOB PRIMARY KEY,
    tenant TEXT NOT NULL,
    subject_ref TEXT NOT NULL,
    wrapped BLOB,
    created_us INTEGER NOT NULL,
    destroyed_us INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS living_key_of_owner ON data_keys (tenant, subject_ref) WHERE wrapped IS NOT NULL;
"""
_LIVING_KEY: Final = "SELECT id, wrapped FROM data_keys WHERE tenant = ? AND subject_ref = ? AND wrapped IS NOT NULL"


class KeyStore(Protocol):
    """What boxes need of a store of keys."""

    def for_owners(self, owners: Collection[Owner]) -> Mapping[Owner, DataKey]:
        """The living key of each owner, made where there is none."""
        ...

    def find(self, key_id: bytes) -> DataKey | None:
        """The key with this id; None when it was destroyed or never was here."""
        ...

    def is_destroyed(self, key_id: bytes) -> bool:
        """Whether it was here once."""
        ...

    def destroy(self, owner: Owner) -> list[bytes]:
        """Make everything of this owner unreadable. Ids of the keys that are gone."""
        ...


class SqliteKeyStore:
    """A store in one file, for one machine; several processes may use it. Methods may block for a disk write."""

    def __init__(self, path: Path, kek: bytes) -> None:
        """`kek`: 32 bytes. Raises `KeyStoreError` for a file that cannot be used or a key that does not open it."""
        self._lock = threading.Lock()
        self._wrapping = AESGCM(kek)
        self._by_owner: dict[Owner, DataKey] = {}
        self._path = path
        try:
            self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A key must be on the disk before a box that needs it is, and nothing may stay of one that was destroyed.
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(_SCHEMA)
            row = self._db.execute("SELECT id, wrapped FROM data_keys WHERE wrapped IS NOT NULL LIMIT 1").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise KeyStoreError(f"key store {path}: cannot be used ({type(error).__name__})") from None
        if row is not None:
            self._open(*row)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def for_owners(self, owners: Collection[Owner]) -> Mapping[Owner, DataKey]:
        """One disk write for all owners that are new, none when there are none."""
        known = self._by_owner
        missing = {owner for owner in owners if owner not in known}
        if missing:
            with self._lock:
                self._load(missing)
        return {owner: known[owner] for owner in owners}

    def find(self, key_id: bytes) -> DataKey | None:
        with self._lock, self._guarded():
            row = self._db.execute("SELECT id, wrapped FROM data_keys WHERE id = ?", (key_id,)).fetchone()
        return self._open(*row) if row is not None and row[1] is not None else None

    def is_destroyed(self, key_id: bytes) -> bool:
        with self._lock, self._guarded():
            row = self._db.execute("SELECT wrapped FROM data_keys WHERE id = ?", (key_id,)).fetchone()
        return row is not None and row[0] is None

    def destroy(self, owner: Owner) -> list[bytes]:
        """Overwritten in the file, the write-ahead log included."""
        with self._lock, self._guarded():
            self._by_owner.pop(owner, None)
            rows = self._db.execute(
                "UPDATE data_keys SET wrapped = NULL, destroyed_us = ? "
                "WHERE tenant = ? AND subject_ref = ? AND wrapped IS NOT NULL RETURNING id",
                (time.time_ns() // 1000, *owner),
            ).fetchall()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return [row[0] for row in rows]

    def rotate(self, kek: bytes) -> int:
        """Wrap every living key anew under `kek`, in one transaction; how many there are. Destroy the old one then."""
        with self._lock, self._guarded(), self._transaction():
            rows = self._db.execute("SELECT id, wrapped FROM data_keys WHERE wrapped IS NOT NULL").fetchall()
            opened = [(key_id, self._unwrap(key_id, wrapped)) for key_id, wrapped in rows]
            self._wrapping = AESGCM(kek)
            self._db.executemany(
                "UPDATE data_keys SET wrapped = ? WHERE id = ?",
                [(self._wrap(key_id, secret), key_id) for key_id, secret in opened],
            )
        with self._lock, self._guarded():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(opened)

    def _load(self, owners: Collection[Owner]) -> None:
        if len(self._by_owner) + len(owners) > _MAX_OPEN_KEYS:
            self._by_owner.clear()
        with self._guarded(), self._transaction():
            now_us = time.time_ns() // 1000
            for owner in owners:
                key_id, secret = secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(SECRET_BYTES)
                # Another process may have met the owner first: then its key is the owner's key.
                self._db.execute(
                    "INSERT INTO data_keys VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING",
                    (key_id, *owner, self._wrap(key_id, secret), now_us),
                )
                row = self._db.execute(
                    "SELECT id, wrapped FROM data_keys WHERE tenant = ? AND subject_ref = ? AND wrapped IS NOT NULL",
                    owner,
                ).fetchone()
                self._by_owner[owner] = self._open(*row)

    def _open(self, key_id: bytes, wrapped: bytes) -> DataKey:
        return DataKey(key_id, self._unwrap(key_id, wrapped))

    def _wrap(self, key_id: bytes, secret: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, secret, key_id)

    def _unwrap(self, key_id: bytes, wrapped: bytes) -> bytes:
        try:
            return self._wrapping.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], key_id)
        except InvalidTag:
            raise KeyStoreError(f"key store {self._path}: the key-encryption key does not open its keys") from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise KeyStoreError(f"key store {self._path}: {type(error).__name__}") from None


def read_kek(path: Path) -> bytes:
    """A key-encryption key: 64 hex digits in a file. Raises `KeyStoreError`, which never quotes it."""
    try:
        kek = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise KeyStoreError(f"key-encryption key {path}: cannot be read ({type(error).__name__})") from None
    if len(kek) != SECRET_BYTES:
        raise KeyStoreError(f"key-encryption key {path}: expected 64 hex digits")
    return kek


def make_kek(path: Path) -> bytes:
    """A new key-encryption key in a file that only its owner may read; the one that is there, if there is one."""
    if not path.exists():
        # Written aside and linked: another process sees either no file or a whole one, and the first one wins.
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(SECRET_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
            draft.unlink()
        except OSError as error:
            raise KeyStoreError(f"key-encryption key {path}: cannot be made ({type(error).__name__})") from None
    return read_kek(path)


def open_store(path: str | Path, kek_path: str | Path = "") -> SqliteKeyStore:
    """The store at `path`, made with its folder if it is not there; its key-encryption key beside it unless one is
    named. Raises `KeyStoreError`."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise KeyStoreError(f"key store {path}: its folder cannot be made ({type(error).__name__})") from None
    kek = read_kek(Path(kek_path)) if kek_path else make_kek(path.with_suffix(".kek"))
    return SqliteKeyStore(path, kek)


def store_path(settings: Settings) -> Path:
    """Where the key store of these settings is."""
    return Path(settings.audit.key_store) if settings.audit.key_store else state_folder() / "keys.sqlite"


def open_existing(settings: Settings) -> SqliteKeyStore | None:
    """The store that a worker with these settings uses, None where there is none: reading never makes one.

    Raises `KeyStoreError` for one that cannot be opened."""
    path = store_path(settings)
    if not path.exists():
        return None
    kek = Path(settings.audit.key_encryption_key) if settings.audit.key_encryption_key else path.with_suffix(".kek")
    return SqliteKeyStore(path, read_kek(kek))
