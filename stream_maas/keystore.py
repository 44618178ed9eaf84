"""Where data keys live: wrapped by a key-encryption key, in one SQLite file with real deletion.

A data key is made for each owner that is met, is random, and is stored only wrapped (AES-256-GCM under the
key-encryption key, bound to its id). Destroying it overwrites the row's key; the row stays, without the key, so that
a reader can say "erased" and not just "unknown". Copies of the file (backups) still hold the wrapped key: `rotate`
wraps all living keys anew under another key-encryption key, and once the old one is destroyed so are the copies.
Several processes may use a file: a counter in it (`user_version`) tells them that keys were destroyed or wrapped anew,
so that within a second none of them goes on with a key that is gone.

Another database fits behind `KeyStore`; PostgreSQL is the likely one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from stream_maas.errors import KeyStoreError
from stream_maas.ledger.boxes import KEY_ID_BYTES, SECRET_BYTES, DataKey, Owner
from stream_maas.pipeline import digest
from stream_maas.settings import Settings, state_folder

_NONCE_BYTES: Final = 12
_NEXT: Final = ".next"
_MAX_OPEN_KEYS: Final = 100_000
"""Keys kept opened; a deployment with more data subjects at a time opens some again."""
_LOOK_S: Final = 1.0
"""How long a process may go on with a key that another one has destroyed."""
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


class Entry(Struct, frozen=True):
    """What may be told of a key. Times are epoch microseconds."""

    id: bytes
    tenant: str
    subject_ref: str
    created_us: int
    destroyed_us: int | None


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

    def destroy_tenant(self, tenant: str) -> list[bytes]:
        """The same for everything of a tenant, its data subjects included."""
        ...

    def rotate(self, kek: bytes) -> int:
        """Wrap every living key anew under another key-encryption key; how many there are."""
        ...

    def entries(self) -> list[Entry]:
        """All keys that are or were here, oldest first; never the keys themselves."""
        ...


class SqliteKeyStore:
    """A store in one file, for one machine; several processes may use it. Methods may block for a disk write."""

    def __init__(self, path: Path, kek: bytes, reread: Callable[[], Sequence[bytes]] = tuple) -> None:
        """`kek`: 32 bytes; `reread` gives the ones to try when another process has wrapped the keys anew.

        Raises `KeyStoreError` for a file that cannot be used or a key that does not open it."""
        self._lock = threading.Lock()
        self._wrapping = AESGCM(kek)
        self._reread = reread
        self._by_owner: dict[Owner, DataKey] = {}
        self._path = path
        self._looked_s = time.monotonic()
        try:
            self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A key must be on the disk before a box that needs it is, and nothing may stay of one that was destroyed.
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(_SCHEMA)
            self._generation = self._read_generation()
            self._agree()
        except (OSError, sqlite3.Error) as error:
            raise KeyStoreError(f"key store {path}: cannot be used ({type(error).__name__})") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def for_owners(self, owners: Collection[Owner]) -> Mapping[Owner, DataKey]:
        """One disk write for all owners that are new, none when there are none."""
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self._looked_s = time.monotonic()
            with self._lock, self._guarded():
                self._notice_changes()
        known = self._by_owner
        found = {owner: key for owner in owners if (key := known.get(owner)) is not None}
        missing = [owner for owner in owners if owner not in found]
        if missing:
            with self._lock:
                found |= self._load(missing)
        return found

    def find(self, key_id: bytes) -> DataKey | None:
        with self._lock, self._guarded():
            self._notice_changes()
            row = self._db.execute("SELECT id, wrapped FROM data_keys WHERE id = ?", (key_id,)).fetchone()
        return self._open(*row) if row is not None and row[1] is not None else None

    def is_destroyed(self, key_id: bytes) -> bool:
        with self._lock, self._guarded():
            row = self._db.execute("SELECT wrapped FROM data_keys WHERE id = ?", (key_id,)).fetchone()
        return row is not None and row[0] is None

    def destroy(self, owner: Owner) -> list[bytes]:
        """Overwritten in the file, the write-ahead log included."""
        return self._destroy("tenant = ? AND subject_ref = ?", owner)

    def destroy_tenant(self, tenant: str) -> list[bytes]:
        return self._destroy("tenant = ?", (tenant,))

    def _destroy(self, condition: str, values: tuple[str, ...]) -> list[bytes]:
        with self._lock, self._guarded():
            with self._transaction():
                rows = self._db.execute(
                    f"UPDATE data_keys SET wrapped = NULL, destroyed_us = ? "  # noqa: S608 - two constants, above
                    f"WHERE {condition} AND wrapped IS NOT NULL RETURNING id",
                    (time.time_ns() // 1000, *values),
                ).fetchall()
                self._count_change()
            self._clear_log()
        return [row[0] for row in rows]

    def entries(self) -> list[Entry]:
        with self._lock, self._guarded():
            rows = self._db.execute(
                "SELECT id, tenant, subject_ref, created_us, destroyed_us FROM data_keys ORDER BY created_us, id"
            ).fetchall()
        return [Entry(*row) for row in rows]

    def rotate(self, kek: bytes) -> int:
        """Wrap every living key anew under `kek`, in one transaction; how many there are. Destroy the old one then."""
        with self._lock, self._guarded(), self._transaction():
            self._notice_changes()
            rows = self._db.execute("SELECT id, wrapped FROM data_keys WHERE wrapped IS NOT NULL").fetchall()
            opened = [(key_id, self._unwrap(key_id, wrapped)) for key_id, wrapped in rows]
            self._wrapping = AESGCM(kek)
            self._count_change()
            self._db.executemany(
                "UPDATE data_keys SET wrapped = ? WHERE id = ?",
                [(self._wrap(key_id, secret), key_id) for key_id, secret in opened],
            )
        with self._lock, self._guarded():
            self._clear_log()
        return len(opened)

    def _read_generation(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _count_change(self) -> None:
        """Within a transaction: tell the other processes, and forget what this one holds opened."""
        self._generation = self._read_generation() + 1
        self._db.execute(f"PRAGMA user_version = {self._generation}")
        self._by_owner = {}

    def _notice_changes(self) -> None:
        """Forget the opened keys when another process has destroyed some, or wrapped all of them anew."""
        generation = self._read_generation()
        if generation != self._generation:
            self._by_owner = {}
            self._agree()
            self._generation = generation

    def _agree(self) -> None:
        """Find the key-encryption key that opens what is here. Raises `KeyStoreError` when it is not at hand."""
        row = self._db.execute("SELECT id, wrapped FROM data_keys WHERE wrapped IS NOT NULL LIMIT 1").fetchone()
        if row is None:
            return
        for wrapping in (self._wrapping, *map(AESGCM, self._reread())):
            with contextlib.suppress(InvalidTag):
                wrapping.decrypt(row[1][:_NONCE_BYTES], row[1][_NONCE_BYTES:], row[0])
                self._wrapping = wrapping
                return
        raise KeyStoreError(f"key store {self._path}: the key-encryption key does not open its keys")

    def _clear_log(self) -> None:
        """Nothing of a destroyed key may stay in the write-ahead log."""
        busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise KeyStoreError(f"key store {self._path}: done, but its write-ahead log is in use; next: once more")

    def _load(self, owners: Collection[Owner]) -> dict[Owner, DataKey]:
        if len(self._by_owner) + len(owners) > _MAX_OPEN_KEYS:
            self._by_owner = {}
        found = {}
        with self._guarded(), self._transaction():
            self._notice_changes()  # a key that is wrapped under an old key-encryption key would be lost
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
                found[owner] = self._open(*row)
        self._by_owner |= found
        return found

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
    place = Path(kek_path) if kek_path else path.with_suffix(".kek")
    kek = read_kek(place) if kek_path else make_kek(place)
    return SqliteKeyStore(path, kek, lambda: _keks(place))


def rotate_in_place(store: KeyStore, kek_path: Path) -> int:
    """Wrap all keys anew under a new key-encryption key that takes the old one's place in its file; how many.

    A crash at any moment leaves a pair that opens: until the file is replaced, the new one lies beside it."""
    following = kek_path.with_name(f"{kek_path.name}{_NEXT}")
    count = store.rotate(make_kek(following))
    try:
        following.replace(kek_path)
    except OSError as error:
        raise KeyStoreError(f"key-encryption key {kek_path}: cannot be replaced ({type(error).__name__})") from None
    return count


def _keks(path: Path) -> list[bytes]:
    """What may open a store now: the file, and the one that is about to replace it."""
    places = (path, path.with_name(f"{path.name}{_NEXT}"))
    return [read_kek(place) for place in places if place.exists()]


def store_path(settings: Settings) -> Path:
    """Where the key store of these settings is."""
    return Path(settings.audit.key_store) if settings.audit.key_store else state_folder() / "keys.sqlite"


def open_existing(settings: Settings) -> SqliteKeyStore | None:
    """The store that a worker with these settings uses, None where there is none: reading never makes one.

    Raises `KeyStoreError` for one that cannot be opened."""
    path = store_path(settings)
    if not path.exists():
        return None
    kek = kek_place(settings)
    return SqliteKeyStore(path, read_kek(kek), lambda: _keks(kek))


def digest_key(settings: Settings) -> bytes:
    """Key of digests and references: the configured one, else one that anybody can compute."""
    text = settings.worker.digest_key or f"stream_maas/{settings.topics.prefix}/{settings.worker.app_id}"
    return hashlib.sha256(text.encode()).digest()


def reference_of(settings: Settings, tenant: str | None, subject: str) -> str:
    """How audit events and boxes name a data subject of a tenant."""
    return digest(digest_key(settings), "subject", tenant, subject.encode())


def kek_place(settings: Settings) -> Path:
    """Where the key-encryption key of these settings is."""
    named = settings.audit.key_encryption_key
    return Path(named) if named else store_path(settings).with_suffix(".kek")
