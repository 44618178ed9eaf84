"""Published vectors: trees, proofs and notes of other implementations, in their exact bytes."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stream_maas.errors import LedgerError
from stream_maas.ledger import proofs, tiles
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import EMPTY_ROOT, leaf_hash, leaf_hashes, node_hash
from stream_maas.ledger.keys import VerifierKey
from stream_maas.ledger.notes import parse_checkpoint, parse_note, parse_proof

DATA = json.loads((Path(__file__).parents[2] / "data" / "merkle_vectors.json").read_text(encoding="utf-8"))
LEAVES_130 = [leaf_hash(bytes([number])) for number in range(130)]
# Conventions of the source for trees without leaves; the file itself says that they may be left out.
SIZE_ZERO = {
    "subtreeconsistency/additional/sizes-are-equal-zero-and-proof-is-empty",
    "subtreeconsistency/additional/subtree-is-empty-sizes-are-equal-zero-roots-match-but-not-valid",
    "subtreeconsistency/additional/subtree-is-empty-sizes-are-equal-zero-subtree-root-valid-tree-root-random-"
    "proof-is-empty",
}


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def hashes(vector: dict[str, Any]) -> list[bytes]:
    return [unhex(node) for node in vector["proof"] or []]


def name(vector: Any) -> str:
    return str(vector["id"]) if isinstance(vector, dict) and "id" in vector else ""


@cache
def node_130(level: int, index: int) -> bytes:
    tree = CompactRange()
    tree.extend(LEAVES_130[index << level : (index + 1) << level])
    return tree.root()


def test_hasher() -> None:
    hasher = DATA["hasher"]
    assert hasher["empty_root"] == EMPTY_ROOT.hex()
    for leaf in hasher["leaf"]:
        assert leaf_hash(unhex(leaf["input_hex"])).hex() == leaf["hash"]
    for pair in hasher["node"]:
        assert node_hash(unhex(pair["left_hex"]), unhex(pair["right_hex"])).hex() == pair["hash"]
        assert leaf_hash(unhex(pair["left_hex"]) + unhex(pair["right_hex"])).hex() != pair["hash"]
        assert node_hash(unhex(pair["right_hex"]), unhex(pair["left_hex"])).hex() != pair["hash"]


def test_tree_of_eight() -> None:
    tree = DATA["tree8"]
    leaves = leaf_hashes(unhex(leaf) for leaf in tree["leaf_inputs_hex"])
    for size, root in enumerate(tree["roots_by_size"]):
        compact = CompactRange()
        compact.extend(leaves[:size])
        assert compact.root().hex() == root
    for level, nodes in enumerate(tree["perfect_subtree_nodes_by_level"]):
        for index, node in enumerate(nodes):
            compact = CompactRange()
            compact.extend(leaves[index << level : (index + 1) << level])
            assert compact.root().hex() == node


@pytest.mark.parametrize("vector", DATA["inclusion"] + DATA["derived_130"]["inclusion"], ids=name)
def test_inclusion(vector: dict[str, Any]) -> None:
    valid = proofs.verify_inclusion(
        vector["leaf_index"], vector["tree_size"], unhex(vector["leaf_hash"]), hashes(vector), unhex(vector["root"])
    )
    assert valid == vector["valid"]


@pytest.mark.parametrize("vector", DATA["consistency"] + DATA["derived_130"]["consistency"], ids=name)
def test_consistency(vector: dict[str, Any]) -> None:
    valid = proofs.verify_consistency(
        vector["size1"], vector["size2"], unhex(vector["root1"]), unhex(vector["root2"]), hashes(vector)
    )
    assert valid == vector["valid"]


@pytest.mark.parametrize("vector", DATA["subtree_inclusion"], ids=name)
def test_subtree_inclusion(vector: dict[str, Any]) -> None:
    valid = proofs.verify_inclusion(
        vector["leafIdx"], vector["end"], unhex(vector["leafHash"]), hashes(vector), unhex(vector["root"]),
        start=vector["start"],
    )  # fmt: skip
    assert valid == vector["valid"]


@pytest.mark.parametrize("vector", [v for v in DATA["subtree_consistency"] if v["id"] not in SIZE_ZERO], ids=name)
def test_subtree_consistency(vector: dict[str, Any]) -> None:
    valid = proofs.verify_subtree(
        vector["start"], vector["end"], vector["size"], unhex(vector["root1"]), unhex(vector["root2"]), hashes(vector)
    )
    assert valid == vector["valid"]


def rolling_lines(kind: str) -> list[str]:
    """Every statement about trees of up to 130 leaves, as the draft prints them."""

    def spelled(proof: list[bytes]) -> str:
        return "".join(f" {node.hex()}" for node in proof)

    ranges = [(start, end) for end in range(131) for start in range(end + 1)]
    subtrees = [(start, end) for start, end in ranges if proofs.is_subtree(start, end)]
    if kind == "subtree_hash":
        return [f"[{s}, {e}) {proofs.subtree_hash(s, e, node_130).hex()}\n" for s, e in subtrees]
    if kind == "subtree_inclusion":
        return [
            f"{index} [{s}, {e}){spelled(proofs.inclusion_proof(index, e, node_130, start=s))}\n"
            for s, e in subtrees
            for index in range(s, e)
        ]
    if kind == "covering":
        both = [proofs.covering(s, e) for s, e in ranges]
        return [f"[{left[0]}, {left[1]}) [{right[0]}, {right[1]})\n" for left, right in both]
    return [
        f"[{s}, {e}) {size}{spelled(proofs.consistency_proof(e, size, node_130, start=s))}\n"
        for size in range(131)
        for s, e in subtrees
        if e <= size
    ]


@pytest.mark.parametrize("kind", ["subtree_hash", "subtree_inclusion", "subtree_consistency", "covering"])
def test_rolling_digests(kind: str) -> None:
    written = "".join(rolling_lines(kind)).encode()
    assert hashlib.sha256(written).hexdigest() == DATA["rolling_digests_130"][kind]


def test_roots_of_130() -> None:
    tree = CompactRange()
    for size, root in enumerate(DATA["derived_130"]["roots_by_size"]):
        assert tree.root().hex() == root
        if size < 130:
            tree.append(LEAVES_130[size])


@pytest.mark.parametrize("vector", DATA["signed_notes"], ids=lambda vector: vector["source"])
def test_signed_notes(vector: dict[str, Any]) -> None:
    key = VerifierKey.parse(vector["vkey"])
    assert key.vkey == vector["vkey"]
    note = parse_note(vector["note"].encode())
    assert note.encode() == vector["note"]
    if vector["valid"]:
        assert note.signers([key]) == [key]
    else:
        with pytest.raises(LedgerError):
            note.signers([key])


@pytest.mark.parametrize("vkey", DATA["bad_verifier_keys"])
def test_bad_verifier_keys(vkey: str) -> None:
    with pytest.raises(LedgerError):
        VerifierKey.parse(vkey)


def test_a_real_log_of_fifteen_entries() -> None:
    log = DATA["checkpoint_log15"]
    key = VerifierKey.parse(log["vkey"])
    leaves = leaf_hashes(entry.encode() for entry in log["entries_utf8"])
    assert b"".join(leaves).hex() == log["tile_0_000_p_15_hex"]
    for size, text in enumerate(log["checkpoints_by_size"]):
        note = parse_note(text.encode())
        assert note.encode() == text
        assert note.signers([key]) == [key]
        checkpoint = parse_checkpoint(note.text)
        tree = CompactRange()
        tree.extend(leaves[:size])
        assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (log["origin"], size, tree.root())
        assert checkpoint.text() == note.text


@pytest.mark.parametrize("vector", DATA["tlog_proof_texts"], ids=lambda vector: vector.get("why", "good"))
def test_tlog_proofs(vector: dict[str, Any]) -> None:
    if not vector["valid"]:
        with pytest.raises(LedgerError):
            parse_proof(vector["text"])
        return
    proof = parse_proof(vector["text"])
    assert proof.encode() == vector["text"]
    assert (proof.index, proof.checkpoint) == (vector["index"], vector["checkpoint"])


@pytest.mark.parametrize("vector", DATA["tile_paths"]["index_path"], ids=lambda vector: vector["path"])
def test_tile_paths(vector: dict[str, Any]) -> None:
    assert tiles.index_path(vector["n"]) == vector["path"]


@pytest.mark.parametrize("vector", DATA["tile_paths"]["layout"], ids=lambda vector: str(vector["size"]))
def test_tile_layout(vector: dict[str, Any]) -> None:
    for key, count in vector.items():
        if key.startswith(("full_l", "partial_l")):
            full, partial = tiles.layout(vector["size"], int(key[-1]))
            assert (full if key.startswith("full") else partial) == count
