"""Documents are held against the code: settings, metrics, codes, topics, commands, targets, links, code blocks.

The tables between `<!-- NAME: generated -->` and `<!-- end -->` are made from the code by `make docs`, which runs this
file.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import uuid
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
from stream_maas.privacy.catalogue import catalogue
from stream_maas.settings import Settings
from stream_maas.worker.metrics import Metrics
from stream_maas.worker.monitor_metrics import MonitorMetrics

ROOT = Path(__file__).parents[1]
OPERATIONS = ROOT / "docs" / "operations.md"
PRIVACY = ROOT / "docs" / "privacy.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = sorted(
    path for folder in (".", "docs", "tests", "examples", "benchmarks") for path in (ROOT / folder).glob("*.md")
)
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
    return _metrics_table(Metrics())


def monitor_metrics_table() -> str:
    return _metrics_table(MonitorMetrics())


def _metrics_table(metrics: Metrics | MonitorMetrics) -> str:
    rows = []
    labels = {getattr(metric, "_name", ""): getattr(metric, "_labelnames", ()) for metric in vars(metrics).values()}
    for family in metrics.registry.collect():
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


def commands_table() -> str:
    rows = []
    for name in all_commands(typer.main.get_command(app)):
        command = typer.main.get_command(app)
        for word in name.split()[1:]:
            command = command.commands[word]
        rows.append((f"`{name}`", (command.help or "").strip().partition("\n\n")[0].replace("\n", " ")))
    return table(("command", "what it does"), *rows)


def file_map() -> str:
    """Every module that holds something, with the first line of its docstring."""
    package = ROOT / "stream_maas"
    rows = []
    sources = [*package.rglob("*.py"), *package.rglob("*.pyx")]
    for path in sorted(sources, key=lambda path: (len(path.relative_to(package).parts), path)):
        text = path.read_text(encoding="utf-8")
        if text.strip():
            secret = re.match('(?:#.*\n)*"""(.+)', text)
            rows.append((f"`{path.relative_to(package)}`", secret.group(1).removesuffix('"""') if secret else ""))
    return table(("file", "secret"), *rows)


def recognizers_table() -> str:
    rows = [
        (known.entity_type, known.pack, f"`{known.name}`", known.found_by, known.checked_by, known.needs)
        for known in catalogue()
    ]
    return table(("type", "pack", "recognizer", "found by", "verified by", "needs"), *rows)


GENERATED: dict[str, tuple[Path, Callable[[], str]]] = {
    "topics": (OPERATIONS, topics_table),
    "commands": (OPERATIONS, commands_table),
    "settings": (OPERATIONS, settings_table),
    "metrics": (OPERATIONS, metrics_table),
    "monitor-metrics": (OPERATIONS, monitor_metrics_table),
    "codes": (OPERATIONS, codes_table),
    "recognizers": (PRIVACY, recognizers_table),
    "files": (ARCHITECTURE, file_map),
}


def generate() -> None:
    """Write every generated block anew."""
    for name, (path, make) in GENERATED.items():
        before, _, rest = path.read_text(encoding="utf-8").partition(f"<!-- {name}: generated -->")
        path.write_text(
            f"{before}<!-- {name}: generated -->\n{make()}\n{rest[rest.index('<!-- end -->') :]}", encoding="utf-8"
        )


@pytest.mark.parametrize("name", GENERATED)
def test_generated_tables_are_current(name: str) -> None:
    path, make = GENERATED[name]
    text = path.read_text(encoding="utf-8")
    block = text.partition(f"<!-- {name}: generated -->\n")[2].partition("\n<!-- end -->")[0]
    assert block == make(), "run `make docs`"


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


@pytest.fixture(scope="module")
def served(embedded_broker: str) -> Iterator[dict[str, str]]:
    """Environment in which README's commands find a broker with topics and a worker; the bootstrap is in it."""
    environment = os.environ | {
        "STREAM_MAAS_BOOTSTRAP": embedded_broker,
        "STREAM_MAAS_PREFIX": f"readme-{uuid.uuid4().hex[:8]}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run([PROGRAM, "topics", "create"], env=environment, check=True, capture_output=True, timeout=60)
    with subprocess.Popen([PROGRAM, "worker"], env=environment, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            assert any("ready" in line for line in worker.stdout), "the worker ended before it was ready"
            yield environment
        finally:
            worker.terminate()


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.embedded
@pytest.mark.parametrize("block", [block for block in blocks("python") if block.runnable], ids=str)
def test_runnable_blocks_run(block: Block, served: dict[str, str]) -> None:
    text = block.text.replace("127.0.0.1:9092", served["STREAM_MAAS_BOOTSTRAP"])
    printed = run([sys.executable, "-c", text], served)
    assert set(re.findall(r"\b(positive|negative)\b", printed.lower()))


@pytest.mark.embedded
def test_send_of_readme_runs(served: dict[str, str]) -> None:
    lines = [line for line in shell_lines((ROOT / "README.md").read_text()) if "| stream-maas send" in line]
    assert lines
    for line in lines:
        printed = run(["bash", "-c", line.replace("kafka-1:9092", served["STREAM_MAAS_BOOTSTRAP"])], served)
        assert json.loads(printed)["status"] == "prediction"


def test_data_blocks_parse() -> None:
    for block in blocks("json", "yaml"):
        assert (json.loads if block.language == "json" else yaml.safe_load)(block.text), str(block)


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
    by_themselves = {"STREAM_MAAS_CONFIG", "STREAM_MAAS_TEST_BOOTSTRAP", "STREAM_MAAS_NATIVE"}
    known = {row.env for row in settings.describe(Settings())} | by_themselves
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


def test_layers_are_documented_as_they_are_checked() -> None:
    """The picture of the layers in docs/architecture.md is that of tests/test_architecture.py, without later rooms."""
    source = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    (layers,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "LAYERS" and node.value is not None
    )
    drawn = ARCHITECTURE.read_text(encoding="utf-8").partition("## Layers")[2].split("```")[1]
    rows = [tuple(room.strip() for room in line.split("|")) for line in drawn.strip().splitlines()]
    present = {path.stem for path in (ROOT / "stream_maas").iterdir()} - {"__main__"}
    assert rows == [kept for row in layers if (kept := tuple(room for room in row if room in present))]


if __name__ == "__main__":
    generate()
