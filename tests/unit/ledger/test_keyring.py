"""Keys in files: who may read them, what they are refused for, and that nothing prints a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_maas.errors import LedgerError
from stream_maas.ledger.keyring import load_or_make, load_signing_key, load_verifier_keys, store_signing_key
from stream_maas.ledger.keys import NOTE, SigningKey

KEY = SigningKey("example.org/log", NOTE, b"k" * 32)


def test_a_key_pair_is_stored_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sealer.key"
    public = store_signing_key(path, KEY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_signing_key(path).vkey == KEY.vkey == public.read_text().strip()
    with pytest.raises(LedgerError, match="not written"):
        store_signing_key(path, SigningKey("other", NOTE, bytes(32)))
    assert load_signing_key(path).vkey == KEY.vkey


def test_a_private_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sealer.key"
    store_signing_key(path, KEY)
    path.chmod(0o644)
    with pytest.raises(LedgerError, match="chmod 600"):
        load_signing_key(path)


def test_what_is_no_key_is_refused_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "sealer.key"
    path.write_text(KEY.encode()[:-5])
    path.chmod(0o600)
    with pytest.raises(LedgerError) as raised:
        load_signing_key(path)
    assert KEY.encode()[-40:-8] not in str(raised.value)
    with pytest.raises(LedgerError, match="keygen"):
        load_signing_key(tmp_path / "missing")


def test_a_missing_key_is_made_and_then_kept(tmp_path: Path) -> None:
    seeds = iter([b"1" * 32, b"2" * 32])
    first = load_or_make(tmp_path / "k", "name", NOTE, lambda: next(seeds))
    assert load_or_make(tmp_path / "k", "name", NOTE, lambda: next(seeds)).vkey == first.vkey


def test_verifier_keys_from_words_and_files(tmp_path: Path) -> None:
    other = SigningKey("other", NOTE, bytes(32))
    file = tmp_path / "keys.txt"
    file.write_text(f"# sealers\n\n{KEY.vkey}\n{other.vkey}\n")
    assert [key.vkey for key in load_verifier_keys([KEY.vkey, str(file)])] == [KEY.vkey, other.vkey]
    for bad in ("nonsense", str(tmp_path / "missing"), KEY.vkey[:-4]):
        with pytest.raises(LedgerError):
            load_verifier_keys([bad])
