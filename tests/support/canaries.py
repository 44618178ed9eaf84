"""Personal values planted in every field of a request, and how any trace of them is found in what came out.

The values are the redactor's own canaries (none belongs to anybody) plus values that only their surroundings give
away. `traces` looks for each of them in the forms in which a value can leave: as it is, folded, grouped in another
way, inside of JSON escapes, base64, hex, percent-encoded, and as an unkeyed hash.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import orjson
import re2

from stream_maas.privacy.canaries import ANNOUNCED, CANARIES
from stream_maas.privacy.fold import fold

SUBJECT = "subject-quillfeather-7781"
"""A data subject that looks like nothing that a recognizer knows."""
_SEPARATORS = r"[ ./()_\-]{0,3}"
_FEWEST_CHARS = 8
"""Shorter values, such as a postcode, stand in other values by chance."""
_FEWEST_DIGITS = 9
"""Fewer digits stand in coordinates and durations by chance."""
PLAIN = [(kind, value) for kind, values in CANARIES.items() for value in values]
FIRST = [(kind, values[0]) for kind, values in CANARIES.items()]
SUBJECTS = [("DATA_SUBJECT", SUBJECT)]


def text_of(value: str) -> str:
    return f"I wrote twice, {value} is where you find me, and nobody answered."


PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "text": lambda v: {"inputs": [tensor(text_of(v))]},
    "whole text": lambda v: {"inputs": [tensor(v)]},
    "second row": lambda v: {"inputs": [tensor("The parcel was late.", text_of(v))]},
    "JSON in the text": lambda v: {"inputs": [tensor(orjson.dumps({"a": [{"b": v}], v: 1}).decode())]},
    "JSON in JSON": lambda v: {"inputs": [tensor(orjson.dumps({"a": orjson.dumps([v]).decode()}).decode())]},
    "base64": lambda v: {"inputs": [tensor(base64.b64encode(text_of(v).encode()).decode())]},
    "id": lambda v: {"id": v, "inputs": [tensor("Nice.")]},
    "model_name": lambda v: {"model_name": v, "inputs": [tensor("Nice.")]},
    "model_version": lambda v: {"model_version": v, "inputs": [tensor("Nice.")]},
    "parameter": lambda v: {"parameters": {"note": v}, "inputs": [tensor("Nice.")]},
    "parameter name": lambda v: {"parameters": {v: "note"}, "inputs": [tensor("Nice.")]},
    "tenant": lambda v: {"parameters": {"tenant": v}, "inputs": [tensor("Nice.")]},
    "purpose": lambda v: {"parameters": {"purpose": v}, "inputs": [tensor("Nice.")]},
    "consent": lambda v: {"parameters": {"consent_ref": v}, "inputs": [tensor("Nice.")]},
    "subject": lambda v: {"parameters": {"data_subject": v}, "inputs": [tensor("Nice.")]},
    "output": lambda v: {"outputs": [{"name": v}], "inputs": [tensor("Nice.")]},
    "tensor name": lambda v: {"inputs": [{**tensor("Nice."), "name": v}]},
    "tensor parameter": lambda v: {"inputs": [{**tensor("Nice."), "parameters": {"x": v}}]},
    # Requests that are refused, at every step at which one can be.
    "unknown member": lambda v: {"inputs": [tensor("Nice.")], "extra": {"x": [v]}},
    "name of a member": lambda v: {"inputs": [tensor("Nice.")], v: 1},
    "datatype": lambda v: {"inputs": [{**tensor("Nice."), "datatype": v}]},
    "shape": lambda v: {"inputs": [{**tensor(v), "shape": [7]}]},
    "shape of texts": lambda v: {"inputs": [{**tensor("Nice."), "shape": [v]}]},
    "number for a text": lambda v: {"inputs": [{**tensor("Nice."), "data": [[v], {"x": v}, 1]}]},
    "text for a number": lambda v: {"inputs": [{**tensor(v), "datatype": "FP32"}]},
    "no inputs": lambda v: {"id": v, "inputs": []},
    "deep": lambda v: {"inputs": [tensor("[" * 40 + f'"{v}"' + "]" * 40)]},
    "expired": lambda v: {"parameters": {"timeout": 1, "note": v}, "inputs": [tensor(text_of(v))]},
    "bad timeout": lambda v: {"parameters": {"timeout": v}, "inputs": [tensor("Nice.")]},
    "bad priority": lambda v: {"parameters": {"priority": v}, "inputs": [tensor("Nice.")]},
    "failing batch": lambda v: {"model_name": "lookup", "parameters": {"note": v}, "inputs": [
        {"name": "index", "shape": [1, 1], "datatype": "INT64", "data": [10**6]}]},
}  # fmt: skip
"""Where -> a request with the value there."""
TOO_LARGE_BYTES = 1 << 17


def tensor(*texts: str) -> dict[str, Any]:
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": list(texts)}


def requests() -> Iterator[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    """(key, value, headers): a value of every type in every field of every kind of request, and the other values and
    those that need a word before them in the fields that are searched as text."""
    model = {"model_name": "sentiment-lite"}
    for (_, plain), make in itertools.product([*FIRST, *SUBJECTS], PLACES.values()):
        document = make(plain)
        if plain == SUBJECT:
            document["parameters"] = {**document.get("parameters", {}), "data_subject": SUBJECT}
        yield plain.encode(), orjson.dumps(model | document), []
    texts = [plain for _, plain in PLAIN if (_, plain) not in FIRST] + [around.format(v) for around, v in announced()]
    for text, place in itertools.product(texts, ("text", "JSON in the text", "base64", "parameter", "unknown member")):
        yield text.encode(), orjson.dumps(model | PLACES[place](text)), []
    for _, plain in FIRST:
        yield from _odd(plain, orjson.dumps(model | PLACES["text"](plain)))


def _odd(plain: str, good: bytes) -> Iterator[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    """Records that are wrong before they are JSON, and headers."""
    raw = plain.encode()
    yield raw, good[:-20], []
    yield raw, raw, []
    yield raw, b"\xff\xfe" + raw, []
    yield raw, None, [("x-request-id", raw)]
    yield b"\xff" + raw, good.replace(b"{", b"{{", 1), [("ce_id", raw)]
    yield raw, good + b" " * TOO_LARGE_BYTES, [("x-request-id", raw)]
    yield None, good, [("x-request-id", raw), ("traceparent", raw), ("ce_source", raw), ("customer", raw), (plain, raw)]
    yield None, orjson.dumps({"inputs": [tensor("Nice.")]}), [("mlserver-model", raw), ("mlserver-version", raw)]
    yield None, orjson.dumps({"inputs": [tensor("Nice.")]}), [("ce_model", raw), ("ce_modelversion", raw)]


def announced() -> list[tuple[str, str]]:
    """(text around, value) of the canaries that only a word before them gives away."""
    return list(ANNOUNCED.values())


def traces(contents: Iterable[str]) -> list[str]:
    """Which planted values are in `contents`, as "TYPE (form)"; the values themselves are not repeated.

    One linear pass of RE2 over everything; only what it points at is looked at more closely.
    """
    text = "\n".join(contents)
    unescaped = _unescaped(text)
    readings = [text, unescaped, fold(text).text, fold(unescaped).text]
    return sorted({
        f"{kind} ({form})"
        for reading in dict.fromkeys(readings)
        for search in _searches()
        for match in search.finditer(reading)
        for kind, form in _meanings(match[0])
    })  # fmt: skip


@cache
def _literals() -> dict[str, tuple[str, str]]:
    """Form -> (type, name of the form)."""
    found = {}
    for kind, plain in [*PLAIN, *SUBJECTS, *((kind, value) for kind, (_, value) in ANNOUNCED.items())]:
        if len(plain) >= _FEWEST_CHARS:
            found |= {literal: (kind, form) for form, literal in _forms(plain)}
    return found


@cache
def _numbers() -> dict[str, str]:
    """Digits -> type, of the values that are numbers."""
    numbers = {re.sub("[^0-9]", "", plain): kind for kind, plain in PLAIN if not re.search("[A-Za-z@]", plain)}
    return {digits: kind for digits, kind in numbers.items() if len(digits) >= _FEWEST_DIGITS}


@cache
def _searches() -> list[Any]:
    options = re2.Options()
    options.max_mem = 1 << 28
    literals = "|".join(re2.escape(literal) for literal in sorted(_literals(), key=len, reverse=True))
    return [
        re2.compile(literals, options),
        re2.compile(rf"[0-9](?:{_SEPARATORS}[0-9]){{{_FEWEST_DIGITS - 1},30}}", options),
    ]


def _meanings(found: str) -> Iterator[tuple[str, str]]:
    if found in _literals():
        yield _literals()[found]
    elif (digits := re.sub("[^0-9]", "", found)) in _numbers():
        yield _numbers()[digits], "digits"


def _forms(plain: str) -> Iterator[tuple[str, str]]:
    raw = plain.encode()
    yield "as it is", plain
    yield "percent-encoded", quote(plain, safe="")
    yield "hex", raw.hex()
    for shift in range(3):
        yield "base64", base64.b64encode(b"\0" * shift + raw).decode()[4 * (shift > 0) : -4]
    for name in ("md5", "sha1", "sha256", "blake2b"):
        yield name, hashlib.new(name, raw, usedforsecurity=False).hexdigest()[:32]


def _unescaped(content: str) -> str:
    """JSON escapes read, wherever they stand."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), content.replace("\\/", "/"))
