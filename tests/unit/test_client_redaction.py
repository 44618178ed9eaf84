"""Client-side redaction: what is sent instead, and that the worker finds nothing more in it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from stream_maas import wire
from stream_maas.client.answers import Call, encode
from stream_maas.client.redaction import redacted, redactor_for
from stream_maas.errors import InvalidInputError, SettingsError
from stream_maas.privacy import Policy, RedactionConfig, Redactor
from stream_maas.records import InputRecord
from stream_maas.wire.headers import REDACTED_BY, redacted_by

KEYED = RedactionConfig(pseudonym_key="a secret for tests, 32 characters or more")
PSEUDONYMS = Policy.parse("{name: shop, version: 2, rules: [{for: DATA_SUBJECT, do: pseudonym}]}")
CALL = Call(
    model="sentiment-lite", text="mail ada@example.org", id="ada@example.org", tenant="shop", data_subject="u-17",
    purpose="support", consent_ref="c-1", priority=3, timeout_us=5_000_000, explain=True,
    parameters={"note": "u-17 called", "app": "till", "n": 1},
)  # fmt: skip


def test_what_is_sent_instead() -> None:
    redactor = redactor_for(PSEUDONYMS, KEYED)
    assert redactor is not None
    sent = redacted(redactor, encode(CALL, "ada@example.org"), b"u-17", "fresh")
    document = orjson.loads(sent.value)
    subject = document["parameters"].pop("data_subject")
    assert subject.startswith("DATA_SUBJECT_k1_")
    assert (document["id"], sent.request_id, sent.key, sent.policy) == (
        "fresh", "fresh", subject.encode(), redactor.policy,
    )  # fmt: skip
    assert document["inputs"][0]["data"] == ["mail [EMAIL]"]
    assert document["parameters"] == {
        "note": f"{subject} called", "app": "till", "n": 1, "tenant": "shop", "purpose": "support",
        "consent_ref": "c-1", "priority": 3, "timeout": 5_000_000, "explain": True,
    }  # fmt: skip
    request = wire.decode_request(InputRecord("t", 0, 0, 0, sent.key, sent.value))  # type: ignore[arg-type]
    at_the_worker = Redactor().redact_request(request, key=sent.key)
    assert (at_the_worker.counts, at_the_worker.key) == ({}, sent.key)
    assert at_the_worker.value.inputs == request.inputs


def test_without_a_pseudonym_the_subject_stays_at_home() -> None:
    redactor = redactor_for(True, RedactionConfig())
    assert redactor is not None
    sent = redacted(redactor, encode(CALL, "r-1"), b"k", "fresh")
    assert sent.request_id == "r-1"
    assert b"u-17" not in sent.value
    assert "data_subject" not in orjson.loads(sent.value)["parameters"]


def test_what_a_client_may_hand_in(tmp_path: Path) -> None:
    assert redactor_for(False, RedactionConfig()) is None
    path = tmp_path / "policy.yaml"
    path.write_text("{name: acme, version: 1}")
    for given in (path, str(path), Policy.load(path), Redactor(RedactionConfig(), Policy.load(path))):
        made = redactor_for(given, RedactionConfig())
        assert made is not None
        assert made.policy.startswith("acme-1/")
    with pytest.raises(SettingsError, match="pseudonym_key"):
        redactor_for(PSEUDONYMS, RedactionConfig())


def test_a_request_that_nobody_could_read_is_refused_here() -> None:
    redactor = Redactor()
    value = encode(Call(model="m", inputs=[{"name": "x", "data": "ada@example.org"}]), "r-1")
    with pytest.raises(InvalidInputError) as caught:
        redacted(redactor, value, None, "fresh")
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"shop-2/0a1b2c3d4e5f", "shop-2/0a1b2c3d4e5f"),
        (b"default-2026-03-01/0a1b2c3d4e5f", "default-2026-03-01/0a1b2c3d4e5f"),
        (b"ada@example.org", ""), (b"shop-4111111111111111/0a1b2c3d4e5f", ""), (b"shop-2/0A1B2C3D4E5F", ""), (b"", ""),
        (b"\xff", ""), (b"shop-2/0a1b2c3d4e5f ", ""), (None, ""),
    ],
)  # fmt: skip
def test_the_header_holds_a_policy_or_is_not_repeated(value: bytes | None, told: str) -> None:
    assert redacted_by([("other", b"shop-2/0a1b2c3d4e5f"), (REDACTED_BY, value)]) == told  # type: ignore[list-item]
