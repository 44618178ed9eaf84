"""`send`: what an input line may say, and that what is wrong with one is told without quoting it."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.cli.send import LineError, lines, parse_line

DEFAULTS: dict[str, str | None] = {"model": "sentiment-lite", "model_version": None, "tenant": None}
SCALARS = st.one_of(st.text(max_size=20), st.integers(-(2**53), 2**53), st.booleans(), st.floats(allow_nan=False))
JSON = st.recursive(
    st.none() | SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8
)


def test_line_becomes_a_call() -> None:
    call = parse_line(
        b'{"id": "7", "text": "hello", "tenant": "acme", "data_subject": "s", "purpose": "p", "consent_ref": "c",'
        b' "priority": 1, "timeout": 5000, "explain": true, "key": "k", "version": "2", "shop": "north",'
        b' "parameters": {"table": 4}}',
        DEFAULTS,
    )
    assert (call.id, call.text, call.inputs, call.model, call.model_version) == (
        "7",
        "hello",
        None,
        "sentiment-lite",
        "2",
    )
    assert (call.tenant, call.data_subject, call.purpose, call.consent_ref) == ("acme", "s", "p", "c")
    assert (call.priority, call.timeout_us, call.explain, call.key) == (1, 5000, True, "k")
    assert call.parameters == {"shop": "north", "table": 4}


def test_line_wins_over_the_options() -> None:
    defaults = {"model": "a", "model_version": "1", "tenant": "t"}
    call = parse_line(b'{"text": "x", "model": "b", "tenant": "u"}', defaults)
    assert (call.model, call.model_version, call.tenant) == ("b", "1", "u")


def test_the_value_of_a_request_record_is_a_line() -> None:
    call = parse_line(
        b'{"id": "1", "model_name": "b", "model_version": "2", "inputs": [], "outputs": [{"name": "label"}, "scores"]}',
        DEFAULTS,
    )
    assert (call.model, call.model_version, call.outputs, call.parameters) == ("b", "2", ("label", "scores"), {})


def test_inputs_are_kept_as_they_are() -> None:
    """Wrong tensors are sent: whoever asks for a rejection must be able to get one."""
    inputs = [{"name": "x", "datatype": "FP999", "shape": "none"}, 3]
    assert parse_line(orjson.dumps({"inputs": inputs}), DEFAULTS).inputs == inputs


def test_a_number_may_be_an_id() -> None:
    assert parse_line(b'{"id": 12, "text": "x"}', DEFAULTS).id == "12"


WRONG = {
    "not JSON": b"secret@example.org",
    "lone surrogate": b'{"text": "\\ud800secret"}',
    "no names of outputs": b'{"text": "x", "outputs": [{"title": "secret"}]}',
    "not an object": b'["secret"]',
    "nothing to predict": b'{"id": "secret"}',
    "both": b'{"text": "secret", "inputs": []}',
    "text of another type": b'{"text": {"secret": 1}}',
    "true is no number": b'{"text": "secret", "priority": true}',
    "nested parameter": b'{"text": "x", "secret": {"secret": 1}}',
    "null field": b'{"text": "x", "tenant": null, "purpose": ["secret"]}',
    "empty id": b'{"id": "", "text": "secret"}',
    "id of another type": b'{"id": ["secret"], "text": "x"}',
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_wrong_line_is_refused_without_being_quoted(line: bytes) -> None:
    with pytest.raises(LineError) as caught:
        parse_line(line, DEFAULTS)
    assert "secret" not in str(caught.value)


@given(JSON)
def test_any_json_is_a_call_or_a_line_error(document: Any) -> None:
    try:
        call = parse_line(orjson.dumps(document), DEFAULTS)
    except LineError:
        return
    assert (call.text is None) != (call.inputs is None)


@given(
    st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=12),
    st.booleans(),
    st.integers(1, 50),
)
async def test_lines_and_their_numbers_survive_any_blocks(parts: list[bytes], ends: bool, block: int) -> None:
    whole = b"\n".join(parts) + (b"\n" if ends else b"")

    class Blocks(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(block)

    expected = [(number, line) for number, line in enumerate(whole.split(b"\n"), 1) if line.strip()]
    assert [found async for found in lines(Blocks(whole))] == expected


async def test_a_line_without_end_is_not_read_into_memory_for_ever() -> None:
    class Endless(io.BytesIO):
        read_bytes = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            self.read_bytes += size
            return b"x" * size

    stream = Endless()
    with pytest.raises(LineError, match="line 1"):
        async for _ in lines(stream):
            pass
    assert stream.read_bytes < 64 << 20


def test_an_end_while_somebody_could_still_type_is_no_crash() -> None:
    program = (
        "import asyncio, contextlib\n"
        "from stream_maas.cli.send import lines\n"
        "from stream_maas.cli.text_pipe import standard_input\n"
        "async def main():\n"
        "    with contextlib.suppress(TimeoutError):\n"
        "        async with asyncio.timeout(0.5):\n"
        "            async for number, line in lines(standard_input()):\n"
        "                print(number, line.decode())\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        assert process.wait(60) == 0
        assert process.stdout.read() == b"1 typed\n"
