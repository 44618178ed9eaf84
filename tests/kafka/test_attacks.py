"""Every way to change a log that stands in docs/audit-format.md, on a real topic, found by the checks that it names.

One honest log of three writers is sealed, witnessed and anchored by the real processes; then an administrator of the
broker, who may do anything to topics, rewrites them; then `stream-maas audit verify` looks. What lies outside the
broker (the witness's memory, the anchor, receipts that consumers of results hold) is out of his reach.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from stream_maas import topics
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import leaf_hashes
from stream_maas.ledger.keyring import load_signing_key
from stream_maas.ledger.keys import NOTE, SigningKey
from stream_maas.ledger.notes import Checkpoint, sign_note
from tests.support.audit_log import TYPE, Writer, canonical, leaf_hex
from tests.support.deployment import create_topics
from tests.support.ledger import Audit, remake, sealer, witness, write

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
SEAL_EVERY, SEALS = 100, 4
TAIL = 40
MALLORY = SigningKey("mallory", NOTE, b"m" * 32)


@dataclass
class Honest:
    """The log as it was, and everything outside the broker that remembers it."""

    bootstrap: str
    prefix: str
    values: list[bytes]
    notes: list[bytes]
    """Checkpoints, oldest first."""
    audit: Audit
    evidence: list[str]
    sealer_key: SigningKey

    @property
    def sealed(self) -> int:
        return SEAL_EVERY * SEALS

    def place(self, kind: str, first: int) -> int:
        """Index of the first event of this type from `first` on."""
        return next(at for at in range(first, len(self.values)) if f'"{TYPE}{kind}'.encode() in self.values[at])

    async def attack(self, values: list[bytes], notes: list[bytes] | None = None) -> None:
        """Put these values, and these checkpoints, in the place of what the topics had."""
        await remake(self.bootstrap, topics.audit(self.prefix))
        await write(self.bootstrap, topics.audit(self.prefix), values)
        topic = topics.audit_checkpoints(self.prefix)
        await remake(self.bootstrap, topic)
        await write(self.bootstrap, topic, self.notes if notes is None else notes)


def three_writers(topic: str) -> list[bytes]:
    """Decisions of three sessions in turns, each with a heartbeat after five, up to the tail's end."""
    writers = [
        Writer(f"worker-{n}", str(n) * 32, topic=topic, key=SigningKey(f"maas/worker-{n}", NOTE, bytes([n]) * 32))
        for n in range(3)
    ]
    for number, writer in enumerate(writers):
        writer.events = number * 100_000
    values = [writer.start() for writer in writers]
    while len(values) < SEAL_EVERY * SEALS + TAIL - 3:
        values += [writer.decision() for writer in writers]
        if len(values) % 5 == 0:
            values += [writer.heartbeat() for writer in writers]
    values = values[: SEAL_EVERY * SEALS + TAIL - 3]
    # Cut anywhere: the writers go on from what was really written.
    for writer in writers:
        own = [value for value in values if f'"id":"{writer.session}"'.encode() in value]
        writer.counter, writer.prev = len(own), leaf_hex(own[-1])
    return [*values, *(writer.heartbeat() for writer in writers)]


def relinked(values: list[bytes]) -> list[bytes]:
    """All chains computed again, as anybody can; signatures stay, because nobody has the writers' keys."""
    heads: dict[str, tuple[int, str]] = {}
    written = []
    for value in values:
        event = json.loads(value)
        session = event["data"]["writer"]["session"]
        counter, prev = heads.get(session["id"], (0, None))
        session |= {"counter": counter, "prev": prev}
        if prev is None:
            del session["prev"]
        value = canonical(event)
        heads[session["id"]] = (counter + 1, leaf_hex(value))
        written.append(value)
    return written


def checkpoints(honest: Honest, values: list[bytes], key: SigningKey) -> list[bytes]:
    """Checkpoints over other values, signed by whoever has a key."""
    tree, notes = CompactRange(), []
    for at in range(0, honest.sealed, SEAL_EVERY):
        tree.extend(leaf_hashes(values[at : at + SEAL_EVERY]))
        head = Checkpoint(f"stream-maas.org/{honest.prefix}.audit/0", tree.size, tree.root())
        notes.append(sign_note(head.text(), key).encode().encode())
    return notes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def honest(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Honest]:
    folder, prefix = tmp_path_factory.mktemp("attacks"), "attacked"
    await create_topics(kafka, prefix, 1)
    values = three_writers(topics.audit(prefix))
    sealing = sealer(kafka, prefix, "sealer", folder / "sealer", LEDGER_SEAL_INTERVAL_MS="100")
    await sealing.start().ready()
    key_file = folder / "sealer" / "state" / "sealer.vkey"
    watching = witness(kafka, prefix, folder / "witness", str(key_file), LEDGER_WITNESS_INTERVAL_MS="100")
    try:
        await watching.start().ready()
        audit = Audit(kafka, prefix, folder, [str(key_file), str(folder / "witness" / "memory" / "witness.vkey")])
        notes = []
        for at in range(SEALS):
            await write(kafka, topics.audit(prefix), values[at * SEAL_EVERY : (at + 1) * SEAL_EVERY])
            checkpoint = await audit.sealed((at + 1) * SEAL_EVERY)
            notes.append(checkpoint["note"].partition("\n— witness")[0].rstrip("\n").encode() + b"\n")
        async with asyncio.timeout(30):
            while not (await audit.sealed(SEAL_EVERY * SEALS))["cosigned"]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.2)
        assert await sealing.stop() == 0
        assert await watching.stop() == 0
        # The tail is seen by a sealer that anchors what writers signed and dies before it seals.
        anchor = folder / "sealer" / "state" / "anchor.jsonl"
        dying = sealer(
            kafka, prefix, "sealer", folder / "sealer", LEDGER_SEAL_INTERVAL_MS="3600000",
            LEDGER_ANCHOR_INTERVAL_MS="100",
        )  # fmt: skip
        await dying.start().ready()
        await asyncio.sleep(1.0)  # its first tick seals at once; there is nothing new yet
        await write(kafka, topics.audit(prefix), values[SEAL_EVERY * SEALS :])
        last = leaf_hex(values[-1])
        async with asyncio.timeout(30):
            while last not in anchor.read_text():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        dying.kill()
        dying.close()
    finally:
        sealing.close()
        watching.close()
    receipts, writer_keys = folder / "receipts.jsonl", folder / "writers.vkey"
    rows = [{"id": json.loads(value)["id"], "leaf": leaf_hex(value)} for value in values if b"decision.v2" in value]
    receipts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = [SigningKey(f"maas/worker-{n}", NOTE, bytes([n]) * 32).vkey for n in range(3)]
    writer_keys.write_text("\n".join(keys) + "\n")
    evidence = [
        "--witness", str(folder / "witness" / "memory"), "--anchor", str(anchor), "--receipts", str(receipts),
        "--writer-key", str(writer_keys), "--wait", "0",
    ]  # fmt: skip
    own = load_signing_key(Path(folder / "sealer" / "state" / "sealer.key"))
    yield Honest(kafka, prefix, values, notes, audit, evidence, own)


async def test_the_honest_log_passes(honest: Honest) -> None:
    """Valid but for its tail, which is under no checkpoint yet."""
    report = honest.audit.verify(*honest.evidence)
    assert report["findings"] == []
    assert (report["events"], report["sealed"], report["unsealed"]) == (len(honest.values), honest.sealed, TAIL)
    assert set(report["checks"].values()) == {"ok"}
    assert set(report["checks"]) >= {"signature", "root", "chain", "witness", "receipt", "heartbeat", "anchor"}
    assert report["exit_code"] == 3
    assert report["receipts"] == sum(b"decision.v2" in value for value in honest.values)


Rewrite = Callable[[Honest], tuple[list[bytes], list[bytes] | None]]


def changed(honest: Honest, at: int) -> list[bytes]:
    values = list(honest.values)
    values[at] = values[at].replace(b'"positive"', b'"negative"')
    assert values != honest.values
    return values


def without(honest: Honest, at: int) -> list[bytes]:
    return honest.values[:at] + honest.values[at + 1 :]


def neighbours(honest: Honest) -> list[bytes]:
    """Two decisions of different writers, swapped."""
    at = honest.place("decision", 210)
    while b"decision.v2" not in honest.values[at + 1]:
        at += 1
    values = list(honest.values)
    values[at], values[at + 1] = values[at + 1], values[at]
    return values


def forged(honest: Honest, at: int) -> list[bytes]:
    """A record in the form of ours, by somebody who may write to the topic and has no writer's key."""
    event = Writer("worker-1", "f" * 32, topic=topics.audit(honest.prefix), key=MALLORY).decision(request_offset=7_777)
    return [*honest.values[:at], event, *honest.values[at:]]


def rewritten(honest: Honest) -> list[bytes]:
    return relinked([value.replace(b'"positive"', b'"negative"') for value in honest.values])


def sealed_decision(honest: Honest) -> int:
    return honest.place("decision", 150)


def tail_decision(honest: Honest) -> int:
    return honest.place("decision", honest.sealed + 5)


def recreated(honest: Honest) -> list[bytes]:
    """A new history: other sessions, other events."""
    writer = Writer("worker-0", "9" * 32, topic=topics.audit(honest.prefix), key=MALLORY)
    return writer.run(honest.sealed + TAIL, heartbeat_every=10)


ATTACKS: dict[str, tuple[Rewrite, set[str]]] = {
    "change one sealed record": (
        lambda h: (changed(h, sealed_decision(h)), None), {"root", "chain", "witness", "receipt"}),
    "change one sealed record, recompute all chains": (
        lambda h: (relinked(changed(h, sealed_decision(h))), None), {"root", "witness", "receipt", "heartbeat"}),
    "drop one sealed record": (
        lambda h: (without(h, sealed_decision(h)), None), {"root", "chain", "witness", "receipt"}),
    "drop one sealed record, recompute all chains": (
        lambda h: (relinked(without(h, sealed_decision(h))), None), {"root", "witness", "receipt", "heartbeat"}),
    "swap neighbours of two writers": (
        lambda h: (neighbours(h), None), {"root", "witness"}),
    "insert a forged record among sealed ones": (
        lambda h: (forged(h, 222), None), {"root", "witness", "heartbeat"}),
    "truncate the sealed tail, keep checkpoints": (
        lambda h: (h.values[:350], None), {"root", "witness", "receipt", "heartbeat"}),
    "truncate the tail and the last checkpoints": (
        lambda h: (h.values[:300], h.notes[:3]), {"witness", "receipt", "heartbeat"}),
    "drop the last, unsealed records": (
        lambda h: (h.values[:-10], None), {"receipt", "heartbeat"}),
    "drop one inside the unsealed tail": (
        lambda h: (without(h, tail_decision(h)), None), {"chain", "receipt"}),
    "change an unsealed record, recompute": (
        lambda h: (relinked(changed(h, tail_decision(h))), None), {"receipt", "heartbeat"}),
    "rewrite all, seal with an own key": (
        lambda h: (rewritten(h), checkpoints(h, rewritten(h), MALLORY)),
        {"signature", "witness", "receipt", "heartbeat"}),
    "rewrite all, seal with the stolen sealer key": (
        lambda h: (rewritten(h), checkpoints(h, rewritten(h), h.sealer_key)), {"witness", "receipt", "heartbeat"}),
    "recreate the topic, stolen key": (
        lambda h: (recreated(h), checkpoints(h, recreated(h), h.sealer_key)), {"witness", "receipt", "heartbeat"}),
    "append a forged record": (
        lambda h: (forged(h, len(h.values)), None), {"heartbeat"}),
    "duplicate of the last record": (
        lambda h: ([*h.values, h.values[-1]], None), {"chain"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
async def test_each_attack_is_found_by_the_checks_of_the_table(honest: Honest, name: str) -> None:
    rewrite, named = ATTACKS[name]
    values, notes = rewrite(honest)
    await honest.attack(values, notes)
    report = honest.audit.verify(*honest.evidence)
    failed = {check for check, verdict in report["checks"].items() if verdict == "failed"}
    assert report["exit_code"] == 1
    assert named <= failed, f"{sorted(named - failed)} did not see it"
    # More checks may see it than the table needs, but no checkpoint is called forged that the sealer's key signed.
    assert ("signature" in failed) == ("signature" in named)
