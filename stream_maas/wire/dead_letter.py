"""Keeps the form of a dead letter: the redacted document, or its digest, and headers that existing tools read.

KIP-1034 puts the failed record itself into the value and the story into headers; so do we, after redaction. A
mended document can then be sent again as it is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream_maas.errors import ERRORS_BY_CODE, StreamMaasError
from stream_maas.records import Redacted
from stream_maas.wire.headers import dead_letter_headers
from stream_maas.wire.request_fields import DATA_SUBJECT

_DIGEST_MEMBERS = frozenset({"digest", "bytes"})
_ENCODER = msgspec.json.Encoder()


def encode_dead_letter(
    *,
    topic: str,
    partition: int,
    offset: int,
    code: str,
    message: str,
    request_id: str,
    source: str,
    document: Redacted[object] | None,
    digest: str,
    size_bytes: int,
) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of a dead letter for the request record at topic, partition and offset.

    `document`: the parsed and redacted JSON document, or None where it could not be parsed or redacted; then the
    value is `{"digest", "bytes"}` (keyed digest in hex, size of the original). Members called `data_subject` are
    left out wherever they stand: the subject never leaves the worker. Raises nothing for odd documents.
    """
    headers = dead_letter_headers(
        topic=topic,
        partition=partition,
        offset=offset,
        exception=_exception(code),
        code=code,
        message=message,
        request_id=request_id,
        source=source,
    )
    value = _document(document.value) if document is not None else None
    return value or _ENCODER.encode({"digest": digest, "bytes": size_bytes}), headers


def _document(document: object) -> bytes | None:
    """None for what cannot be written, and for a document that a reader would take for the digest form."""
    try:
        kept = _without_subject(document)
        if isinstance(kept, dict) and kept.keys() == _DIGEST_MEMBERS:
            return None
        return _ENCODER.encode(kept)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _without_subject(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: _without_subject(member) for name, member in document.items() if name != DATA_SUBJECT}
    if isinstance(document, list):
        return [_without_subject(member) for member in document]
    return document


def _exception(code: str) -> str:
    error: type[StreamMaasError] = ERRORS_BY_CODE.get(code, StreamMaasError)
    return f"{error.__module__}.{error.__qualname__}"
