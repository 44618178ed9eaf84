"""Documents are held against the code: settings, metrics, codes, topics, commands, targets, links, code blocks.

The tables that stand between `<!-- NAME: generated -->` and `<!-- end -->` are written by `make docs`.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import stream_maas
from stream_maas import errors, settings, topics
from stream_maas.cli.app import app
from stream_maas.settings import Settings
from stream_maas.worker.metrics import Metrics

ROOT = Path(__file__).parents[1]
OPERATIONS = ROOT / "docs" / "operations.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "README.md"])
README_MAX_LINES = 150
PROGRAM = "stream-maas"


# --- generated tables -------------------------------------------------------------------------------------------


def table(*rows: tuple[str, ...]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def settings_table() -> str:
    rows = [
        (f"`{row.name}`", f"`{row.env}`", f"`{row.value}`" if row.value else "", row.unit, row.help)
        for row in settings.describe(Settings())
    ]
    return table(("setting", "environment", "default", "unit", "meaning"), *rows)


def metrics_table() -> str:
    rows = []
    labels = {getattr(metric, "_name", ""): getattr(metric, "_labelnames", ()) for metric in vars(Metrics()).values()}
    for family in Metrics().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        named = ", ".join(f"`{label}`" for label in labels[family.name])
        rows.append((f"`{name}`", family.type, named, family.documentation))
    return table(("metric", "type", "labels", "meaning"), *rows)


def codes_table() -> str:
    rows = [
        (
            f"`{error.code}`",
            "yes" if error.retryable else "no",
            "yes" if error.dead_letter else "no",
            " ".join((error.__doc__ or "").split()),
        )
        for error in errors.REQUEST_ERRORS
    ]
    return table(("code", "retryable", "dead letter", "meaning"), *rows)


def topics_table() -> str:
    rows = []
    for spec in topics.table(Settings().topics.prefix):
        kept = "last value of each key"
        if spec.retention_ms is not None:
            kept = "for ever" if spec.retention_ms == topics.FOR_EVER else f"{spec.retention_ms // 3_600_000} h"
        partitions = "1" if spec.partitions == "one" else "as requests"
        users = (", ".join(spec.written_by), ", ".join(spec.read_by))
        rows.append((f"`{spec.name}`", spec.description, spec.key, spec.value, partitions, kept, *users))
    return table(("topic", "what", "key", "value", "partitions", "kept", "written by", "read by"), *rows)


GENERATED: dict[str, Callable[[], str]] = {
    "topics": topics_table,
    "settings": settings_table,
    "metrics": metrics_table,
    "codes": codes_table,
}


def regenerated(text: str) -> str:
    """`text` with every generated block written anew."""
    for name, make in GENERATED.items():
        opening = f"<!-- {name}: generated -->"
        assert text.count(opening) == 1, f"{opening} is missing"
        before, _, rest = text.partition(opening)
        after = rest[rest.index("<!-- end -->") :]
        text = f"{before}{opening}\n{make()}\n{after}"
    return text


@pytest.mark.parametrize("name", GENERATED)
def test_generated_tables_are_current(name: str) -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    block = text.partition(f"<!-- {name}: generated -->\n")[2].partition("\n<!-- end -->")[0]
    assert block == GENERATED[name](), "run `make docs`"


# --- code blocks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, its text, and whether `<!-- runnable -->` stands before it."""

    path: Path
    line: int
    language: str
    text: str
    runnable: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"(<!-- runnable -->\n)?^```(\w*)\n(.*?)^```$", text, re.M | re.S):
            if match[2] in languages:
                line = text.count("\n", 0, match.start(2)) + 1
                found.append(Block(path, line, match[2], match[3], bool(match[1])))
    return found


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_blocks_compile(block: Block) -> None:
    compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", blocks("json", "yaml"), ids=str)
def test_data_blocks_parse(block: Block) -> None:
    assert (json.loads if block.language == "json" else yaml.safe_load)(block.text)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_blocks_are_settings(block: Block, tmp_path: Path) -> None:
    assert tomllib.loads(block.text)
    path = tmp_path / "stream_maas.toml"
    path.write_text(block.text, encoding="utf-8")
    loaded = settings.load(environ={}, config_file=str(path))
    assert any(source.startswith("file") for source in loaded.sources.values())


def variables() -> set[str]:
    return {
        name for path in DOCUMENTS for name in re.findall(r"\bSTREAM_MAAS_[A-Z_]+\b", path.read_text(encoding="utf-8"))
    }


def test_variables_exist() -> None:
    known = {row.env for row in settings.describe(Settings())} | {"STREAM_MAAS_CONFIG", "STREAM_MAAS_TEST_BOOTSTRAP"}
    patterns = {"STREAM_MAAS_", "STREAM_MAAS_SECTION_FIELD"}
    assert variables() - patterns <= known


# --- commands ---------------------------------------------------------------------------------------------------


def shell_lines(text: str) -> Iterator[str]:
    """Commands of shell blocks and of inline code, continuation lines joined."""
    for match in re.finditer(r"^```(?:sh|bash|console)\n(.*?)^```$", text, re.M | re.S):
        yield from re.sub(r"\\\n\s*", " ", match[1]).splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def commands(text: str) -> Iterator[list[str]]:
    """Arguments of every use of our program in `text`."""
    for line in shell_lines(text):
        if PROGRAM not in line:
            continue
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for start in (index for index, word in enumerate(words) if word.rpartition("/")[2] == PROGRAM):
            arguments = words[start + 1 :]
            ends = [
                index
                for index, word in enumerate(arguments)
                if word in {"|", ";", "&", "&&", "||", "<", ">", ">>", "2>"}
            ]
            yield arguments[: ends[0]] if ends else arguments


def problem(arguments: list[str], command: Any = None) -> str | None:
    """What is wrong with a command line, judged by the commands and options that exist."""
    command = command or typer.main.get_command(app)
    for index, argument in enumerate(arguments):
        if argument.startswith("-"):
            options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            if argument.partition("=")[0] not in options | {"--help", "-h"}:
                return f"no option {argument} of {command.name}"
        elif hasattr(command, "commands"):
            if argument not in command.commands:
                return f"no command {argument} of {command.name}"
            return problem(arguments[index + 1 :], command.commands[argument])
    return None


USES = [(path, arguments) for path in DOCUMENTS for arguments in commands(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("path", "arguments"), USES, ids=[f"{path.name}: {' '.join(words)}" for path, words in USES])
def test_commands_exist(path: Path, arguments: list[str]) -> None:
    assert problem(arguments) is None


@pytest.mark.parametrize(
    "line",
    [
        "stream-maas frobnicate",
        "stream-maas topics destroy",
        "stream-maas worker --turbo",
        "echo x | stream-maas send --modle m",
    ],
)
def test_wrong_command_is_found(line: str) -> None:
    (arguments,) = commands(f"```sh\n{line}\n```\n")
    assert problem(arguments)


def all_commands(command: Any, path: str = PROGRAM) -> Iterator[str]:
    for name, child in getattr(command, "commands", {}).items():
        yield from all_commands(child, f"{path} {name}") if hasattr(child, "commands") else [f"{path} {name}"]


def test_every_command_is_documented() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    missing = [name for name in all_commands(typer.main.get_command(app)) if name not in text]
    assert missing == []


def test_every_command_has_help() -> None:
    for name in all_commands(typer.main.get_command(app)):
        command = typer.main.get_command(app)
        for word in name.split()[1:]:
            command = command.commands[word]
        assert (command.help or "").strip(), name
        for parameter in command.params:
            if getattr(parameter, "opts", [""])[0].startswith("--") and parameter.name != "help":
                assert getattr(parameter, "help", None), f"{name} {parameter.opts[0]}"


# --- the rest ---------------------------------------------------------------------------------------------------


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def test_make_targets_exist() -> None:
    used = {
        name
        for path in DOCUMENTS
        for line in shell_lines(path.read_text())
        for name in re.findall(r"^make ([\w-]+)", line)
    }
    assert {"demo", "test"} <= used
    assert used <= targets()


def test_make_lists_its_targets() -> None:
    done = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert {line.split()[1] for line in done.stdout.splitlines()} == targets()
    assert len(targets()) <= 12


def test_links_lead_somewhere() -> None:
    broken = []
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            linked = (path.parent / name).resolve() if name else path
            if not linked.exists() or (anchor and anchor not in anchors(linked)):
                broken.append(f"{path.name}: {target}")
    assert broken == []


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a document, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_fits_and_says_what_it_does_not_do() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < README_MAX_LINES
    assert "## What it does not do" in text


def test_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(stream_maas.__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.M)


def test_every_code_is_documented() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [code for code in errors.ERRORS_BY_CODE if f"`{code}`" not in text] == []


def test_file_map_is_complete() -> None:
    """docs/architecture.md names every module that holds something, and no module that is gone."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "stream_maas"
    modules = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if path.read_text(encoding="utf-8").strip()
    }
    named = set(re.findall(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+\.py)`", text))
    assert modules - named == set(), "not in the file map"
    assert {name for name in named - modules if not (ROOT / name).exists()} == set(), "in the file map, but gone"


if __name__ == "__main__":
    OPERATIONS.write_text(regenerated(OPERATIONS.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {OPERATIONS.relative_to(ROOT)}", file=sys.stderr)
