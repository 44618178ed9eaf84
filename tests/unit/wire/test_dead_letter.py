"""Dead letters: the redacted document as it is, or the digest; never the data subject."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.records import Redacted

DIGEST = {"digest": "a" * 64, "bytes": 7}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["data_subject", "a"]), inner),
    max_leaves=10,
)


def dead_letter(document: Redacted[object] | None) -> Any:
    value, _ = wire.encode_dead_letter(
        topic="maas.requests",
        partition=3,
        offset=42,
        code="invalid_input",
        message="inputs: missing",
        request_id="r-1",
        source="/maas/app",
        document=document,
        digest=DIGEST["digest"],  # type: ignore[arg-type]
        size_bytes=DIGEST["bytes"],  # type: ignore[arg-type]
    )
    return json.loads(value)


def test_the_document_is_published_as_it_is() -> None:
    document = {"inputs": [{"name": "text", "data": ["mail <EMAIL_ADDRESS>"]}], "surprise": None}
    assert dead_letter(Redacted(document)) == document


def test_without_a_document_there_is_the_digest() -> None:
    assert dead_letter(None) == DIGEST


@pytest.mark.parametrize("falsy", [[], {}, "", 0, False, None])
def test_an_empty_document_is_a_document(falsy: object) -> None:
    assert dead_letter(Redacted(falsy)) == falsy


def deep(levels: int) -> list[Any]:
    node: list[Any] = []
    for _ in range(levels):
        node = [node]
    return node


@pytest.mark.parametrize(
    "document",
    [
        {"digest": "d", "bytes": 1},  # would be read as the digest form
        {"digest": "d", "bytes": 1, "data_subject": "s"},
        {"text": "\ud800"},
        {1: object()},
        deep(100_000),
    ],
    ids=["looks like a digest", "does so without its subject", "lone surrogate", "not JSON", "deep"],
)
def test_a_document_that_cannot_be_written_leaves_its_digest(document: object) -> None:
    assert dead_letter(Redacted(document)) == DIGEST


@given(JSON)
def test_the_data_subject_is_left_out_at_any_depth(document: Any) -> None:
    assert "data_subject" not in json.dumps(dead_letter(Redacted(document)))
