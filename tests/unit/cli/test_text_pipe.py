"""Text in pipes: all blocks together are the text, what crosses lines is not cut, nobody waits for the end."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas.cli.text_pipe import BLOCK_CHARS, Blocks, Source

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\n-----END PRIVATE KEY-----\n"
LINES = st.lists(st.sampled_from(["a\n", "\n", "longer than a block\n", KEY, KEY[:40], "no end of line"]))


def blocks_of(pieces: Sequence[str], block_chars: int) -> list[str]:
    blocks = Blocks(block_chars)
    made = [block for piece in pieces for block in blocks.feed(piece)]
    return [*made, blocks.end()]


@given(LINES, st.integers(1, 200))
def test_all_blocks_together_are_the_text(pieces: list[str], block_chars: int) -> None:
    made = blocks_of(pieces, block_chars)
    assert "".join(made) == "".join(pieces)
    assert all(block.endswith("\n") for block in made[:-1])


@given(st.lists(st.sampled_from(["a\n", "b c d e f\n", KEY])), st.integers(150, 400))
def test_no_key_is_cut(pieces: list[str], block_chars: int) -> None:
    for block in blocks_of(pieces, block_chars):
        assert block.count("-----BEGIN") == block.count("-----END")


@given(st.integers(0, 9))
def test_the_last_lines_of_a_full_block_are_kept(lines: int) -> None:
    text = "0123456789\n" * lines + "x" * 200
    made = list(Blocks(20).feed(text))
    assert made == (["0123456789\n" * (lines - 3)] if lines > 3 else [])


def test_a_key_waits_for_its_end_while_the_pipe_pauses() -> None:
    blocks = Blocks()
    assert list(blocks.feed("before\n" + KEY[:50])) == []
    assert (blocks.pause(), blocks.pause()) == ("before\n", "")
    assert list(blocks.feed(KEY[50:] + "part of a line")) == []
    assert (blocks.pause(), blocks.end()) == (KEY, "part of a line")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"one", b"\n one\ntwo", b"one\ntwo\n", b"\r\none\r\ntwo\r\n"])
def test_lines_after_the_first_was_looked_at(content: bytes) -> None:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    source = Source(io.FileIO(reader))
    assert source.first_line().strip() == next((line for line in content.split() if line), b"")
    assert [line.strip() for line in source.lines() if line.strip()] == content.split()


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "stream_maas", "redact", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("arguments", "sent", "answered"),
    [
        ((), b"Write to ada@example.org\n", b"Write to [EMAIL]\n"),
        (("--plain",), b'{"text": "ada@example.org"}\n', b'{"text":"[EMAIL]"}\n'),
        ((), b'{"text": "ada@example.org"}\n', b'"text":"[EMAIL]"'),
    ],
)
def test_an_answer_comes_while_the_pipe_is_open(arguments: tuple[str, ...], sent: bytes, answered: bytes) -> None:
    with start(*arguments) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        for _ in range(2):
            command.stdin.write(sent)
            command.stdin.flush()
            assert answered in command.stdout.readline()
        command.stdin.close()
        assert command.wait(30) == 0


def test_a_text_longer_than_any_block() -> None:
    line = "Write to ada@example.org about it, please.\n"
    count = 5 * BLOCK_CHARS // len(line)
    with start("--plain") as command:
        out, err = command.communicate((line * count).encode())
    assert out.decode() == line.replace("ada@example.org", "[EMAIL]") * count
    assert (command.returncode, err.decode().splitlines()[-1]) == (0, f"redacted: EMAIL {count}")


def test_json_of_a_plain_text_is_one_answer() -> None:
    with start("--json") as command:
        out, _ = command.communicate(b"ada@example.org\n" * 3)
    assert orjson.loads(out) == {"text": "[EMAIL]\n" * 3, "redactions": {"EMAIL": 3}}


def test_what_is_no_utf_8_is_refused() -> None:
    with start() as command:
        out, err = command.communicate(b"one\nada@example.org \xff\n")
    assert (command.returncode, out) == (2, b"")
    assert b"line 2 is not UTF-8" in err
    assert b"ada" not in err


@pytest.mark.parametrize(
    "first",
    [
        b'{"id": 1, "text": null}',
        b'{"text": 5}',
        b'{"id": 1, "txt": "a@b.org"}',
        b'{"text": "a@b.org"',
        b'{"text": "\xff"}',
    ],
)
def test_json_lines_whose_first_is_wrong_are_still_json_lines(first: bytes) -> None:
    with start() as command:
        out, err = command.communicate(first + b'\n{"id": 2, "text": "ada@example.org"}\n')
    assert command.returncode == 1
    assert [orjson.loads(line)["text"] for line in out.splitlines()] == ["[EMAIL]"]
    assert b"line 1: " in err
    assert b"b.org" not in err


@pytest.mark.parametrize(
    ("redirection", "exit_code", "told"),
    [(">/dev/full", 1, "error: No space left on device"), ("<&-", 0, "nothing to redact"), ("2>&-", 0, "")],
)
def test_streams_that_are_full_or_closed(redirection: str, exit_code: int, told: str) -> None:
    program = f"{sys.executable} -m stream_maas redact {redirection}"
    run = subprocess.run(["sh", "-c", program], input="hello\n", capture_output=True, text=True)
    assert run.returncode == exit_code
    assert run.stderr.startswith(told)
    assert len(run.stderr.splitlines()) == bool(told)
