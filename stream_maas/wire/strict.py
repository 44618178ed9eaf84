"""Keeps how JSON bytes become a typed body: one fast pass, and a second, exact opinion where that one objects.

JSON libraries differ on what RFC 8259 leaves open; here it is settled: UTF-8 without a byte order mark, no lone
surrogates, no NaN, no repeated keys (RFC 7493), and `1.0` is an integer where one is wanted, as in JSON Schema.
msgspec does all of this in one pass except for the last two:

- Repeated keys. msgspec keeps the last value in silence. But in JSON text every string stands between two
  quotes, so a document whose quotes are more than twice the strings of the decoded body has lost a key.
  Counting costs less than a microsecond; a dictionary of pairs would cost ten.
- Integral floats. The exact opinion reads the text again with the standard library.

Error messages name place and rule. msgspec's own texts can hold keys and values of the client, so only those
parts of them are used that match a fixed pattern.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from stream_maas.errors import InvalidInputError, RequestError, UndecodableError

T = TypeVar("T")
B = TypeVar("B")
Pairs = list[tuple[str, Any]]
Build = Callable[[T], tuple[B, int]]
"""Turns a decoded body into what is wanted of it and the number of strings, keys included, in its JSON text.
Raises `InvalidInputError` for what types cannot say."""

_TOO_DEEP = "value: nested too deeply"
_REPEATED = "value: an object repeats a key"

_QUOTE = ord('"')
_KNOWN_FIELDS = (
    "id|model_name|model_version|inputs|outputs|parameters|name|shape|datatype|data"
    "|code|message|retryable|retry_after_ms"
)
_PLACE = re.compile(rf"\$((?:\.(?:{_KNOWN_FIELDS})|\[\d+\]|\[\.\.\.\])*)")
_EXPECTED = re.compile(r"Expected `([a-z| ]+)`, got `([a-z]+)`(?: - at `.*)?", re.DOTALL)
_BOUND = re.compile(r"Expected `([a-z]+)` (of length )?(>=|<=) (-?[0-9.e+]+)(?: - at `.*)?", re.DOTALL)
_MISSING = re.compile(rf"Object missing required field `({_KNOWN_FIELDS})`(?: - at `.*)?", re.DOTALL)
_JSON_NAMES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_STARTS = {
    "Object contains unknown field": "has an unknown member",
    "Invalid enum value": "is not one of the allowed values",
    "Number out of range": "number out of range",
    "Integer value out of range": "number out of range",
}


def read(value: bytes, decoder: msgspec.json.Decoder[T], build: Build[T, B]) -> B:
    """Decode `value` with `decoder` and `build` the result. Raises `UndecodableError` or `InvalidInputError`."""
    try:
        built, strings = build(decoder.decode(value))
        if value.count(b'"') == 2 * strings or quote_count(value) == 2 * strings:
            return built
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RequestError):
        pass  # the exact opinion below says what is wrong, if anything is
    try:
        return build(_convert(value, decoder, _unique))[0]
    except RecursionError:
        raise InvalidInputError(_TOO_DEEP) from None


def read_exactly(value: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The exact opinion alone. Raises `UndecodableError` or `InvalidInputError`."""
    try:
        return _convert(value, decoder, _unique)
    except RecursionError:
        raise InvalidInputError(_TOO_DEEP) from None


def read_tolerantly(value: bytes, decoder: msgspec.json.Decoder[T], build: Callable[[T], B]) -> B:
    """`read` without looking for repeated keys, for readers that pass over members they do not know."""
    try:
        return build(decoder.decode(value))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RequestError):
        pass
    try:
        return build(_convert(value, decoder, dict))
    except RecursionError:
        raise InvalidInputError(_TOO_DEEP) from None


def quote_count(text: bytes) -> int:
    """Quotes of a JSON text that open or close a string: all of them but the escaped ones."""
    quotes = text.count(b'"')
    pieces = iter(text.split(b"\\"))
    next(pieces)
    for piece in pieces:
        if not piece:
            next(pieces, b"")  # two backslashes are one character; what follows them is not escaped
        elif piece[0] == _QUOTE:
            quotes -= 1
    return quotes


def _convert(value: bytes, decoder: msgspec.json.Decoder[T], pairs: Callable[[Pairs], dict[str, Any]]) -> T:
    """The exact opinion.

    Every error is raised outside its `except` block: an exception's context would carry the library's message,
    and with it the client's bytes, to whoever logs it.
    """
    problem = _json_problem(value)
    if problem is None:
        document = json.loads(value, object_pairs_hook=pairs, parse_float=_integral)
        try:
            return msgspec.convert(document, decoder.type)
        except msgspec.ValidationError as error:
            problem = InvalidInputError(_describe(error))
    raise problem


def _json_problem(value: bytes) -> RequestError | None:
    """What is wrong with `value` as JSON, whatever it should contain."""
    try:
        msgspec.json.decode(value)
    except msgspec.ValidationError as error:  # a number that no Python number can hold
        return InvalidInputError(_describe(error))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UndecodableError("value: not JSON in UTF-8")
    return None


def _unique(pairs: Pairs) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise InvalidInputError(_REPEATED)
    return document


def _integral(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _describe(error: msgspec.ValidationError) -> str:
    """Place and rule of a msgspec error, nothing else of its text."""
    text = str(error)
    place = "value"
    if text.endswith("`") and " - at `" in text:
        found = _PLACE.fullmatch(text[text.rindex(" - at `") + 7 : -1])
        place = (found[1].removeprefix(".") if found else "") or "value"
    if match := _EXPECTED.fullmatch(text):
        wanted = " or ".join(_JSON_NAMES.get(name, name) for name in match[1].split(" | "))
        return f"{place}: expected {wanted}, got {_JSON_NAMES.get(match[2], match[2])}"
    if match := _BOUND.fullmatch(text):
        return f"{place}: expected {'length' if match[2] else 'a number'} {match[3]} {match[4]}"
    if match := _MISSING.fullmatch(text):
        return f"{place}: {match[1]} is missing"
    for start, rule in _STARTS.items():
        if text.startswith(start):
            return f"{place}: {rule}"
    return f"{place}: does not fit the schema"
