"""The key store: keys stay the same, are never stored in the clear, and are gone for good when they are destroyed."""

from __future__ import annotations

import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stream_maas.errors import KeyStoreError, LedgerError
from stream_maas.keystore import SqliteKeyStore, make_kek, open_store, read_kek, rotate_in_place

KEK = b"k" * 32
ANNA, BERT = ("acme", "a" * 64), ("acme", "b" * 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.sqlite"


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_an_owner_keeps_the_key_across_processes(path: Path) -> None:
    first = SqliteKeyStore(path, KEK)
    box = first.for_owners([ANNA])[ANNA].seal(b"content")
    second = SqliteKeyStore(path, KEK)
    key = second.for_owners([ANNA, BERT])
    assert key[ANNA].open(box) == b"content"
    assert key[ANNA].id != key[BERT].id
    found = second.find(key[ANNA].id)
    assert found is not None
    assert found.open(box) == b"content"
    assert second.find(b"?" * 16) is None


def test_two_stores_that_meet_an_owner_at_once_agree(path: Path) -> None:
    stores = [SqliteKeyStore(path, KEK) for _ in range(4)]
    owners = [("", f"{number:064x}") for number in range(20)]
    with ThreadPoolExecutor(len(stores)) as threads:
        made = list(threads.map(lambda store: store.for_owners(owners), stores))
    assert all({owner: key.id for owner, key in keys.items()} == {o: k.id for o, k in made[0].items()} for keys in made)


def test_a_destroyed_key_is_gone_from_the_file_and_from_memory(path: Path) -> None:
    store = SqliteKeyStore(path, KEK)
    keys = store.for_owners([ANNA, BERT])
    box, other = keys[ANNA].seal(b"anna"), keys[BERT].seal(b"bert")
    wrapped = store._db.execute("SELECT wrapped FROM data_keys WHERE id = ?", (keys[ANNA].id,)).fetchone()[0]
    assert wrapped in everything(path)
    assert store.destroy(ANNA) == [keys[ANNA].id]
    assert wrapped not in everything(path)
    assert store.find(keys[ANNA].id) is None
    assert store.is_destroyed(keys[ANNA].id)
    assert not store.is_destroyed(b"?" * 16)
    fresh = store.for_owners([ANNA, BERT])
    assert fresh[BERT].open(other) == b"bert"
    with pytest.raises(LedgerError):
        fresh[ANNA].open(box)
    assert store.destroy(("acme", "nobody")) == []


def test_an_old_backup_opens_nothing_once_the_keys_are_rotated(path: Path, tmp_path: Path) -> None:
    store = SqliteKeyStore(path, KEK)
    box = store.for_owners([ANNA, BERT])[BERT].seal(b"bert")
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = tmp_path / "backup.sqlite"
    shutil.copy(path, backup)
    store.destroy(ANNA)
    assert store.rotate(b"n" * 32) == 1
    assert store.for_owners([BERT])[BERT].open(box) == b"bert"
    assert SqliteKeyStore(path, b"n" * 32).for_owners([BERT])[BERT].open(box) == b"bert"
    with pytest.raises(KeyStoreError):
        SqliteKeyStore(path, KEK)
    with pytest.raises(KeyStoreError):
        SqliteKeyStore(backup, b"n" * 32)


def test_no_secret_stands_in_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_bytes", lambda count: b"\xa5" * count)
    SqliteKeyStore(path, KEK).for_owners([ANNA])
    assert b"\xa5" * 32 not in everything(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_no_store_is_named(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a database, and long enough to be looked at " * 50)
    with pytest.raises(KeyStoreError, match=r"keys\.sqlite"):
        SqliteKeyStore(path, KEK)
    with pytest.raises(KeyStoreError, match="cannot be used"):
        SqliteKeyStore(tmp_path / "nowhere" / "keys.sqlite", KEK)


def test_a_key_encryption_key_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(make_kek, [path] * 8))
    assert made == {read_kek(path)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["kek"]


@pytest.mark.parametrize("text", ["", "abc", "00" * 31, "zz" * 32, "00" * 33])
def test_a_bad_key_encryption_key_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kek"
    path.write_text(text)
    with pytest.raises(KeyStoreError) as failure:
        read_kek(path)
    assert text == "" or text not in str(failure.value)


def hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look find that time has passed."""
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("stream_maas.keystore.time.monotonic", lambda: float(next(clock)))


def test_a_process_does_not_go_on_with_a_key_that_another_one_destroyed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours(monkeypatch)
    worker, operator = SqliteKeyStore(path, KEK), SqliteKeyStore(path, KEK)
    before = worker.for_owners([ANNA, BERT])
    assert operator.destroy(ANNA) == [before[ANNA].id]
    after = worker.for_owners([ANNA, BERT])
    assert after[ANNA].id != before[ANNA].id, "what comes next has a key that can be destroyed again"
    assert after[BERT].id == before[BERT].id


def test_a_tenant_goes_with_all_its_data_subjects_and_no_other_tenant(path: Path) -> None:
    store = SqliteKeyStore(path, KEK)
    other = ("acme-2", "a" * 64)
    keys = store.for_owners([ANNA, BERT, ("acme", ""), other])
    assert set(store.destroy_tenant("acme")) == {keys[ANNA].id, keys[BERT].id, keys["acme", ""].id}
    assert store.for_owners([other])[other].id == keys[other].id
    entries = {entry.id: entry for entry in store.entries()}
    assert {(entry.tenant, entry.destroyed_us is None) for entry in entries.values()} == {
        ("acme", False), ("acme-2", True)
    }  # fmt: skip


def test_rotation_in_place_reaches_running_processes_and_survives_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours(monkeypatch)
    path, kek = tmp_path / "keys.sqlite", tmp_path / "keys.kek"
    worker = open_store(path)
    box = worker.for_owners([ANNA])[ANNA].seal(b"anna")
    old = kek.read_bytes()
    assert rotate_in_place(open_store(path), kek) == 1
    assert kek.read_bytes() != old
    assert [file.name for file in tmp_path.glob("*.kek*")] == ["keys.kek"]
    assert worker.for_owners([ANNA, BERT])[ANNA].open(box) == b"anna"
    assert open_store(path).for_owners([BERT])[BERT].id == worker.for_owners([BERT])[BERT].id

    following = tmp_path / "keys.kek.next"
    worker.rotate(make_kek(following))  # and here it dies: the file still has the key from before
    assert open_store(path).for_owners([ANNA])[ANNA].open(box) == b"anna"
    assert rotate_in_place(open_store(path), kek) == 2
    assert not following.exists()
    assert open_store(path).for_owners([ANNA])[ANNA].open(box) == b"anna"


def test_a_new_key_is_never_wrapped_under_one_that_was_replaced(path: Path) -> None:
    """This process does not know the new key-encryption key: it makes nothing that nobody could open."""
    late, operator = SqliteKeyStore(path, KEK), SqliteKeyStore(path, KEK)
    late.for_owners([ANNA])
    operator.rotate(b"n" * 32)
    with pytest.raises(KeyStoreError, match="does not open"):
        late.for_owners([BERT])
    assert [entry.subject_ref for entry in operator.entries()] == [ANNA[1]]
