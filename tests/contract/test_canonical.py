"""Audit events are canonical JSON (RFC 8785): held against an obvious serialiser, which RFC 8785's own vectors check.

orjson with sorted keys is not RFC 8785 in general (floats, keys beyond the BMP, integers beyond 2^53). The rule for
audit events keeps to where it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.records import Decision, Link, ModelRef, Timings, Writer

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "jcs_vectors.json").read_text(encoding="utf-8"))["vectors"]
GOLDEN = Path(__file__).parent / "golden"
ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def jcs(value: Any) -> str:
    """RFC 8785, section 3.2, written for reading."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{jcs(name)}:{jcs(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(jcs(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(ESCAPES.get(ord(c)) or (c if c >= " " else f"\\u{ord(c):04x}") for c in value) + '"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int) else ecmascript(value)


def ecmascript(number: float) -> str:
    """Number::toString of ECMA 262 from the digits and exponent that Python's shortest representation has."""
    mantissa, _, power = f"{abs(number)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(power or 0) + len(whole) - (len(whole + fraction) - len(digits) if whole.strip("0") == "" else 0)
    digits = digits.rstrip("0")
    sign = "-" if number < 0 else ""
    if not digits:
        return "0"
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def in_the_rule(value: Any) -> bool:
    """ASCII names, no floats, integers below 2^53: the kinds that audit events use."""
    if isinstance(value, dict):
        return all(name.isascii() and in_the_rule(item) for name, item in value.items())
    if isinstance(value, list):
        return all(in_the_rule(item) for item in value)
    return not isinstance(value, float) and (not isinstance(value, int) or abs(value) < 2**53)


def parts(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(part for item in inner for part in parts(item))]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_serialiser_above_is_rfc_8785(vector: Any) -> None:
    assert jcs(json.loads(vector["input_json_text"])).encode().hex() == vector["canonical_hex"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_orjson_writes_the_same_bytes_within_the_rule(vector: Any) -> None:
    canonical = bytes.fromhex(vector["canonical_hex"]).decode()
    compared = 0
    for part in parts(json.loads(vector["input_json_text"])):
        if in_the_rule(part):
            written = orjson.dumps(part, option=orjson.OPT_SORT_KEYS).decode()
            assert written == jcs(part)
            assert written in canonical
            compared += 1
    assert compared


TEXT = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["\u0000\u001f\u007f\u0080", "\u2028😀\ufb33", '"\\/', "</script>"]
)
LINK = Link("0123456789abcdef0123456789abcdef", 7, "ab" * 32)


@given(
    TEXT, TEXT, st.dictionaries(st.from_regex("[A-Z_]+", fullmatch=True), st.integers(1, 99)), st.integers(0, 2**53 - 1)
)
def test_audit_events_are_canonical(text: str, other: str, counts: dict[str, int], number: int) -> None:
    decision = Decision(
        topic=text,
        partition=number,
        offset=number,
        timestamp_ms=-number,
        lane=other,
        request_id=text,
        id_source="body",
        status="prediction",
        tenant=text,
        purpose=other,
        model=ModelRef(text, other, "d" * 64, "MIT"),
        redactions=counts,
        label=other,
        score_ppm=5,
        timings=Timings(number, 0, 0, -number),
    )
    value = wire.encode_audit(
        decision, Writer(other, text, text, {"threads": 1, "provider": other}), time_us=number % 10**15, link=LINK
    )
    assert value.decode() == jcs(json.loads(value))


def test_the_golden_audit_events_are_canonical() -> None:
    paths = sorted(GOLDEN.glob("audit*.json"))
    assert paths
    for path in paths:
        assert path.read_text(encoding="utf-8") == jcs(json.loads(path.read_bytes()))
