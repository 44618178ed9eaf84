"""Keys, notes, cosignatures and proofs: whose words they are, and everything that is no note."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.errors import LedgerError
from stream_maas.ledger.keys import COSIGNATURE, NOTE, SigningKey, VerifierKey
from stream_maas.ledger.notes import Checkpoint, TlogProof, cosign, parse_checkpoint, parse_note, parse_proof, sign_note

LOG = SigningKey("example.org/log", NOTE, bytes(range(32)))
OTHER = SigningKey("example.org/log", NOTE, bytes(32))
WITNESS = SigningKey("witness.example.org", COSIGNATURE, bytes(range(1, 33)))
HEAD = Checkpoint("example.org/log", 1234, bytes(range(32)))


def test_the_example_of_the_cosignature_specification() -> None:
    """The checkpoint printed in C2SP tlog-cosignature; its keys are not published, so only the form is checked."""
    text = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE"
        "+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5"
        "nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    note = parse_note(text.encode())
    assert note.encode() == text
    assert parse_checkpoint(note.text).size == 20852163
    # 1679315147 is the time in the specification's own signed message.
    assert int.from_bytes(note.signatures[1].data[:8], "big") == 1679315147
    assert len(note.signatures[1].data) == 8 + 64


def test_a_key_is_read_back_from_its_text() -> None:
    for key in (LOG, WITNESS):
        assert SigningKey.parse(key.encode() + "\n").vkey == key.vkey
        assert VerifierKey.parse(key.vkey).verify(key.sign(b"x"), b"x")
    assert LOG.public.id != VerifierKey(LOG.name, COSIGNATURE, LOG.public.public).id


@given(st.data())
def test_a_key_with_one_changed_character_is_refused(data: st.DataObject) -> None:
    for text, parse in ((LOG.encode(), SigningKey.parse), (LOG.vkey, VerifierKey.parse)):
        at = data.draw(st.integers(0, len(text) - 1))
        letter = data.draw(st.sampled_from("ABCxyz019+/= "))
        changed = text[:at] + letter + text[at + 1 :]
        if changed.strip() != text:
            with pytest.raises(LedgerError) as raised:
                parse(changed)
            assert LOG.encode().rpartition("+")[2] not in str(raised.value)


def test_who_signed() -> None:
    note = sign_note(HEAD.text(), LOG)
    assert note.signers([LOG.public]) == [LOG.public]
    assert note.signers([WITNESS.public]) == []
    # Same name, another key: its id differs, so it is an unknown key and not a wrong signature.
    assert note.signers([OTHER.public]) == []
    assert parse_checkpoint(note.text) == HEAD


def test_a_witness_adds_a_line_and_the_text_stays() -> None:
    note = sign_note(HEAD.text(), LOG)
    both = note.with_signatures([cosign(note, WITNESS, time_s=1_700_000_000)])
    again = parse_note(both.encode().encode())
    assert again.text == note.text
    assert again.signers([LOG.public]) == [LOG.public]
    assert again.cosigners([WITNESS.public]) == {WITNESS.name: 1_700_000_000}
    later = again.with_signatures([cosign(note, WITNESS, time_s=1_700_000_001)])
    assert len(later.signatures) == 2
    assert later.cosigners([WITNESS.public]) == {WITNESS.name: 1_700_000_001}


@given(st.data())
def test_no_byte_of_a_note_can_change(data: st.DataObject) -> None:
    note = sign_note(HEAD.text(), LOG)
    whole = bytearray(note.with_signatures([cosign(note, WITNESS, time_s=7)]).encode().encode())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    try:
        changed = parse_note(bytes(whole))
        believed = bool(changed.signers([LOG.public])) and bool(changed.cosigners([WITNESS.public]))
    except LedgerError:
        return
    assert not believed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n- name AAAAAAA=\n",
        "text\n\n— name\n".encode(),
        "text\n\n— na+me AAAAAAA=\n".encode(),
        "text\n\n— name AAAA\n".encode(),
        "text\n\n— name AAAAAAB=\n".encode(),
        "te\rxt\n\n— name AAAAAAA=\n".encode(),
        b"\xff\n\n",
    ],
)
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(LedgerError):
        parse_note(data)


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n+1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n18446744073709551616\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n1\nAAAA\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nx\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(LedgerError):
        parse_checkpoint(text)


@given(st.integers(0, 2**64 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=64), st.binary() | st.none())
def test_a_proof_is_read_back(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = TlogProof(index, tuple(hashes), sign_note(HEAD.text(), LOG).encode(), extra)
    assert parse_proof(proof.encode()) == proof
