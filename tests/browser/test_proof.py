"""The browser's own check of the log: green for what the sealer signed, red for whatever was done to it afterwards.

Trees, proofs and signatures are made by the ledger from the bytes of a real audit topic; the page's scripts, written
from the same standards in another language, have to agree with it, and so do the fallbacks for pages without WebCrypto.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream_maas import settings, topics
from stream_maas.dashboard import run_dashboard
from stream_maas.kafka import create_topics
from stream_maas.ledger.compact import CompactRange
from stream_maas.ledger.hashing import leaf_hashes, node_hash
from stream_maas.ledger.keys import SigningKey
from stream_maas.ledger.notes import Checkpoint, sign_note
from stream_maas.ledger.proofs import inclusion_proof
from stream_maas.replay import read
from tests.browser.conftest import Deployment, OpenPage, ended

pytestmark = pytest.mark.asyncio(loop_scope="session")  # one browser for all

KEY = SigningKey("sealer.example.org", 1, bytes(range(32)))
OTHER_KEY = SigningKey("sealer.example.org", 1, bytes(range(1, 33)))


class SealedLog:
    """A tree over the audit values of partition 0, as a sealer would have signed it."""

    def __init__(self, values: list[bytes], *, signer: SigningKey = KEY) -> None:
        self.levels = [leaf_hashes(values)]
        while len(self.levels[-1]) > 1:
            row = self.levels[-1]
            self.levels.append([node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)])
        tree = CompactRange()
        tree.extend(list(self.levels[0]))
        self.size = len(values)
        self.note = sign_note(Checkpoint("example.org/log/0", self.size, tree.root()).text(), signer).encode()

    async def proof_of(self, index: int) -> dict[str, Any]:
        path = inclusion_proof(index, self.size, lambda level, place: self.levels[level][place])
        return {
            "leaf_index": index, "tree_size": self.size, "path": [base64.b64encode(item).decode() for item in path],
            "checkpoint": self.note, "vkey": KEY.public.vkey,
        }  # fmt: skip


class ProvedBy:
    """An archive whose proofs are what a test says; it knows no event by its id."""

    def __init__(self, prove: Callable[[int, int], Any]) -> None:
        self.prove = prove

    async def find(self, _name: str) -> None:
        return None


@asynccontextmanager
async def page_server(bootstrap: str, prefix: str, prove: Any) -> AsyncIterator[str]:
    """A dashboard whose proofs come from `prove(partition, offset)`."""
    named = {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, "dashboard.port": 0}
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        run_dashboard(
            settings.load(named, environ={}),
            on_ready=lambda facts: address.set_result(facts["url"]),
            archive=ProvedBy(prove),
        )
    )
    await asyncio.wait({serving, address}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield address.result()
    finally:
        serving.cancel()
        await asyncio.wait({serving})


async def audit_values(deployment: Deployment) -> list[Any]:
    """All audit records of partition 0."""
    kafka = settings.load({"kafka.bootstrap": deployment.bootstrap}, environ={}).kafka
    records = read(kafka, topics.audit(deployment.prefix), until_end=True)
    return [record async for record in records if record.partition == 0]


async def verdict(page: Any, url: str, event: int | str) -> tuple[str, str]:
    """State and text of the proof that the page shows for an event: a request id, or an offset in partition 0."""
    await page.goto("about:blank")
    await page.goto(f"{url}#decision={event if isinstance(event, str) else f'0:{event}'}")
    box = page.locator("#decision .proof:not([data-state=busy])")
    await box.wait_for(timeout=30_000)
    return await box.get_attribute("data-state"), await box.inner_text()


async def test_genuine_log_is_green(deployment: Deployment, open_page: OpenPage) -> None:
    records = await audit_values(deployment)
    index_of = {record.offset: index for index, record in enumerate(records)}
    log = SealedLog([record.value for record in records])
    sealed = log.size - 1

    async def prove(partition: int, offset: int) -> dict[str, Any] | None:
        assert partition == 0
        return await log.proof_of(index_of[offset]) if index_of[offset] < sealed else None

    async with page_server(deployment.bootstrap, deployment.prefix, prove) as url, open_page(url) as page:
        for record in (records[0], records[len(records) // 2], records[sealed - 1]):
            state, told = await verdict(page, url, record.offset)
            assert (state, "Proven, by this browser" in told) == ("valid", True), told
        state, told = await verdict(page, url, records[-1].offset)
        assert (state, "No checkpoint covers this event yet" in told) == ("none", True)


async def test_sealer_and_page_agree(served: Deployment, open_page: OpenPage, tmp_path: Path) -> None:
    """The whole way by the commands: what `sealer` signs, `dashboard` serves and the browser finds genuine."""
    folder, kept_url = {"STREAM_MAAS_LEDGER_FOLDER": str(tmp_path)}, served.url
    sealing, _ = served.start("sealer", "--web-port", "-1", env=folder)
    serving = served.dashboard(env=folder)
    try:
        async with open_page(served.url) as page:
            state, told = "none", ""
            for _ in range(60):  # a seal is made about every second
                state, told = await verdict(page, served.url, "order-1")
                if state != "none":
                    break
                await asyncio.sleep(0.5)
            assert (state, "Proven, by this browser" in told) == ("valid", True), told
    finally:
        assert ended(serving)
        assert ended(sealing)
        served.url = kept_url


async def test_tampered_log_is_red(deployment: Deployment, open_page: OpenPage) -> None:
    """Somebody who may write to the broker changes one letter of one event, and nothing else."""
    values = [record.value for record in await audit_values(deployment)]
    log, tampered = SealedLog(values), list(values)
    tampered[3] = values[3].replace(b'"lane":"default"', b'"lane":"defauld"')
    assert tampered[3] != values[3]
    prefix = f"{deployment.prefix}-tampered"
    kafka = settings.load({"kafka.bootstrap": deployment.bootstrap}, environ={}).kafka
    await create_topics(kafka, topics.table(prefix), 1, 1)
    producer = AIOKafkaProducer(bootstrap_servers=deployment.bootstrap)
    await producer.start()
    for value in tampered:
        await producer.send_and_wait(topics.audit(prefix), value)
    await producer.stop()

    async def prove(_partition: int, offset: int) -> dict[str, Any]:
        return await log.proof_of(offset)

    async with page_server(deployment.bootstrap, prefix, prove) as url, open_page(url) as page:
        state, told = await verdict(page, url, 3)
        assert state == "invalid"
        assert "tampered" in told
        assert "These bytes lead to the sealed root: no" in told
        assert (await verdict(page, url, 2))[0] == "valid"


def resealed(note: str) -> str:
    """The same root under the seal of partition 1, by the sealer's own key."""
    return sign_note(note.partition("\n\n")[0].replace("/0\n", "/1\n") + "\n", KEY).encode()


FORGERIES: dict[str, tuple[Callable[[dict[str, Any], str], dict[str, Any]], str]] = {
    "signed by another key": (lambda proof, forged: {"checkpoint": forged}, "The sealer signed this root: no"),
    "another place": (
        lambda proof, _: {"leaf_index": proof["leaf_index"] + 1},
        "These bytes lead to the sealed root: no",
    ),
    "a hash left out": (lambda proof, _: {"path": proof["path"][1:]}, "The proof fits the size of the sealed log: no"),
    "another size": (
        lambda proof, _: {"tree_size": proof["tree_size"] + 1},
        "The proof fits the size of the sealed log",
    ),
    "another log": (
        lambda proof, _: {"checkpoint": resealed(proof["checkpoint"])},
        "seal is for this partition: no",
    ),
    "no note at all": (lambda proof, _: {"checkpoint": "nothing"}, "The proof can be read: no"),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged_proofs_are_red(deployment: Deployment, open_page: OpenPage, name: str) -> None:
    forge, told_wanted = FORGERIES[name]
    records = await audit_values(deployment)
    index_of = {record.offset: index for index, record in enumerate(records)}
    values = [record.value for record in records]
    honest, forged = SealedLog(values), SealedLog(values, signer=OTHER_KEY).note

    async def prove(_partition: int, offset: int) -> dict[str, Any]:
        proof = await honest.proof_of(index_of[offset])
        return proof | forge(proof, forged)

    async with page_server(deployment.bootstrap, deployment.prefix, prove) as url, open_page(url) as page:
        state, told = await verdict(page, url, records[1].offset)
        assert state == "invalid"
        assert told_wanted in told


async def test_another_history_is_red_for_a_browser_that_remembers(deployment: Deployment, open_page: OpenPage) -> None:
    """The sealer's own key signs another log of the same size: only somebody who has seen the first one can tell."""
    records = await audit_values(deployment)
    values = [record.value for record in records]
    history = [SealedLog(values), SealedLog([*values[:-1], b"{}"])]
    present = 0

    async def prove(_partition: int, _offset: int) -> dict[str, Any]:
        return await history[present].proof_of(0)

    async with page_server(deployment.bootstrap, deployment.prefix, prove) as url, open_page(url) as page:
        assert (await verdict(page, url, records[0].offset))[0] == "valid"
        present = 1
        state, told = await verdict(page, url, records[0].offset)
        assert state == "invalid"
        assert "At this size the log had this root before: no" in told


CHECK = """async ([messages, key, signatures]) => {
  const own = await import("/static/fallback.js"), page = await import("/static/verify.js");
  const [bytes, [publicKey], signed] = [messages, [key], signatures].map((list) => list.map(page.fromBase64));
  const both = async (signature, message) =>
    [own.ed25519(publicKey, signature, message), await page.ed25519(publicKey, signature, message)];
  const spoilt = signed.map((signature, i) => signature.map((byte, place) => (place === i ? byte ^ 1 : byte)));
  return {
    sha256: await Promise.all(bytes.map(async (b) => [own.sha256(b), await page.sha256(b)].map(page.toHex))),
    sha512: bytes.map((b) => page.toHex(own.sha512(b))),
    genuine: await Promise.all(bytes.map((b, i) => both(signed[i], b))),
    spoilt: await Promise.all(bytes.map((b, i) => both(spoilt[i], b))),
    otherText: bytes.map((b, i) => own.ed25519(publicKey, signed[i], Uint8Array.from([...b, 0]))),
  };
}"""
SIZES = (0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129)
"""Bytes: both sides of every place where SHA-2 begins another block."""


async def test_hashes_and_signatures_without_webcrypto(deployment: Deployment, open_page: OpenPage) -> None:
    """Our own SHA-2 and Ed25519 against Python's, for lengths around every block boundary, and against WebCrypto."""
    messages = [bytes(range(size)) for size in SIZES]
    signatures = [KEY.sign(message) for message in messages]
    encoded = [[base64.b64encode(item).decode() for item in items] for items in (messages, signatures)]
    public = base64.b64encode(base64.b64decode(KEY.public.vkey.split("+", 2)[2])[1:]).decode()
    async with open_page(deployment.url) as page:
        found = await page.evaluate(CHECK, [encoded[0], public, encoded[1]])
    assert found["sha256"] == [[hashlib.sha256(message).hexdigest()] * 2 for message in messages]
    assert found["sha512"] == [hashlib.sha512(message).hexdigest() for message in messages]
    assert found["genuine"] == [[True, True]] * len(messages)
    assert found["spoilt"] == [[False, False]] * len(messages)
    assert found["otherText"] == [False] * len(messages)


async def test_page_and_ledger_agree_for_every_place_and_size(deployment: Deployment, open_page: OpenPage) -> None:
    check = """async (cases) => {
      const { leafHash, rootFromInclusion, fromBase64, toHex } = await import("/static/verify.js");
      return Promise.all(cases.map(async ([value, index, size, path]) => {
        const root = await rootFromInclusion(await leafHash(fromBase64(value)), index, size, path.map(fromBase64));
        return root && toHex(root);
      }));
    }"""
    cases, roots = [], []
    for size in range(1, 20):
        values = [str(number).encode() for number in range(size)]
        log = SealedLog(values)
        for index in range(size):
            proof = await log.proof_of(index)
            cases.append([base64.b64encode(values[index]).decode(), index, size, proof["path"]])
            roots.append(base64.b64decode(log.note.split("\n")[2]).hex())
    async with open_page(deployment.url) as page:
        assert await page.evaluate(check, cases) == roots
        beyond = [[*case[:1], case[2], *case[2:]] for case in cases]
        assert await page.evaluate(check, beyond) == [None] * len(cases)
