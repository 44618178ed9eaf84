"""The dependency rule, and the other promises about the shape of the source that a reader may rely on.

The rule is an AST check and not a tool, so that nothing has to be learned to read it. `violations` takes
sources and gives messages; the tests at the end plant a violation of every kind and ask that it is found.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = "stream_maas"
ROOT = Path(__file__).parents[1]
SOURCES = ROOT / PACKAGE

# Top may import below; rooms in one row never see each other. `registry`, `ledger`, `monitor` and `replay` have
# their place before they have files. `brokers` starts brokers for the demo and the tests and stands beside `kafka`.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("worker", "client", "replay", "dashboard"),
    ("kafka", "brokers", "keystore", "ner"),
    ("settings",),
    ("pipeline", "rerun"),
    ("plan",),
    ("admission",),
    ("privacy", "inference", "registry", "ledger", "monitor", "asyncapi"),
    ("wire", "topics"),
    ("records",),
    ("errors", "native"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
CORE_FROM = LEVEL["pipeline"]

# The core decides; the shell waits, connects, logs and knows what time it is.
CORE_BANNED_LIBRARIES = {"faust", "mode", "aiokafka", "aiohttp", "asyncio", "structlog", "threading", "socket"}
CORE_BANNED_NAMES = {
    "random",
    "secrets",
    "numpy.random",
    "os.urandom",
    "uuid.uuid1",
    "uuid.uuid4",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.process_time",
    "time.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}
ENVIRONMENT_NAMES = {"os.environ", "os.environb", "os.getenv", "os.putenv"}

# Module -> why it may. Each entry is an exception that somebody has to defend.
ENVIRONMENT_READERS = {
    f"{PACKAGE}.settings": "it is the one reader",
    f"{PACKAGE}.native": "a kernel is chosen while modules are loaded, before there are settings",
}
MAY_USE: dict[str, set[str]] = {}

MAX_LINES = 600


@dataclass
class Module:
    """One parsed module: what it imports at run time and which dotted names it uses."""

    name: str
    tree: ast.Module
    imports: dict[str, int] = field(default_factory=dict)
    """Dotted target -> first line."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Local name -> dotted target."""
    is_package: bool = False

    @property
    def room(self) -> str:
        """Second part of the dotted name; "" for the package itself."""
        return self.name.partition(".")[2].partition(".")[0]


def violations(sources: Mapping[str, str]) -> list[str]:
    """Every broken rule in `sources` (dotted module name -> text; a package ends in `.__init__`) as one line."""
    modules = [_parse(name, text) for name, text in sources.items()]
    known = {module.name for module in modules}
    found = [line for module in modules for line in _layer_violations(module)]
    found += [line for module in modules for line in _name_violations(module)]
    found += [line for module in modules for line in _redacted_violations(module)]
    return sorted({*found, *_cycles(modules, known)})


def _parse(name: str, text: str) -> Module:
    is_package = name.endswith(".__init__")
    module = Module(name.removesuffix(".__init__"), ast.parse(text), is_package=is_package)
    for node in _runtime_nodes(module.tree):
        for local, meaning, target in _imported(node, module):
            module.imports.setdefault(target, getattr(node, "lineno", 0))
            if local:
                module.aliases[local] = meaning
    return module


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for other in node.orelse:
                yield other
                yield from _runtime_nodes(other)
            continue
        yield node
        yield from _runtime_nodes(node)


def _imported(node: ast.AST, module: Module) -> Iterator[tuple[str, str, str]]:
    """(local name, what it stands for, dotted target) of every import in `node`, dynamic ones by a literal included."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]  # `import a.b` loads a.b and binds a
            yield (alias.asname, alias.name, alias.name) if alias.asname else (first, first, alias.name)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.name.split(".")
            kept = parts[: len(parts) - node.level + module.is_package]
            base = ".".join([*kept, base] if base else kept)
        for alias in node.names:
            yield alias.asname or alias.name, f"{base}.{alias.name}", f"{base}.{alias.name}"
    elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"import_module", "__import__"}:
        for argument in node.args[:1]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield "", "", argument.value


def _layer_violations(module: Module) -> Iterator[str]:
    if module.room and module.room not in LEVEL:
        yield f"{module.name}: not placed; add its room to LAYERS in {Path(__file__).name}"
        return
    for target, line in module.imports.items():
        package, _, rest = target.partition(".")
        room = rest.partition(".")[0]
        if package != PACKAGE or room not in LEVEL or room == module.room:
            continue
        if not module.room:
            if room != "client":
                yield f"{module.name}:{line}: the package itself may only offer the client, not {room}"
        elif LEVEL[room] <= LEVEL[module.room]:
            side = "a sibling" if LEVEL[room] == LEVEL[module.room] else "a higher layer"
            yield f"{module.name}:{line}: {module.room} imports {target}, {side}"


def _name_violations(module: Module) -> Iterator[str]:
    is_core = LEVEL.get(module.room, -1) >= CORE_FROM
    allowed = MAY_USE.get(module.name, set())
    seen: dict[str, int] = dict(module.imports)
    for node in _runtime_nodes(module.tree):
        if isinstance(node, ast.Attribute):
            seen.setdefault(_dotted(node, module.aliases), node.lineno)
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            seen.setdefault("os.environ", node.value.lineno)  # Typer would read the environment on its own
    for name, line in seen.items():
        if _banned(name, ENVIRONMENT_NAMES) and module.name not in ENVIRONMENT_READERS:
            yield f"{module.name}:{line}: reads the environment; only settings may"
        if is_core and (library := _banned(name, CORE_BANNED_LIBRARIES - allowed)):
            yield f"{module.name}:{line}: the core imports {library}"
        if is_core and (used := _banned(name, CORE_BANNED_NAMES - allowed)):
            yield f"{module.name}:{line}: the core uses {used}; hand the value in"


def _banned(name: str, entries: set[str]) -> str:
    """The entry that is `name` or contains it; "" when none does."""
    return next((entry for entry in entries if name == entry or name.startswith(f"{entry}.")), "")


def _dotted(node: ast.AST, aliases: Mapping[str, str]) -> str:
    """The dotted name that an attribute chain stands for, import aliases resolved; "" when it is not one."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in aliases:
        return ""
    return ".".join([aliases[node.id], *reversed(attributes)])


def _redacted_violations(module: Module) -> Iterator[str]:
    """`Redacted` outside `privacy` may be a type, never a value: whoever can build one can skip the redactor."""
    if module.room in {"privacy", "records"}:
        return
    parents = {child: parent for parent in ast.walk(module.tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(module.tree):
        name = module.aliases.get(node.id, "") if isinstance(node, ast.Name) else _dotted(node, module.aliases)
        if name != f"{PACKAGE}.records.Redacted":
            continue
        outer: ast.AST = node
        while isinstance(parents.get(outer), ast.Subscript | ast.Tuple | ast.BinOp):
            outer = parents[outer]
        parent = parents.get(outer)
        is_annotation = isinstance(parent, ast.arg | ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(parent, ast.AnnAssign) and parent.annotation is outer
        )
        is_check = isinstance(parent, ast.MatchClass) or (
            isinstance(parent, ast.Call) and parent.func is not outer and ast.unparse(parent.func) == "isinstance"
        )
        if not is_annotation and not is_check:
            yield f"{module.name}:{getattr(node, 'lineno', 0)}: builds or hands on Redacted; only privacy may"


def _cycles(modules: list[Module], known: set[str]) -> list[str]:
    """Import cycles between modules, imports inside functions included (they hide cycles, they do not end them)."""
    graph = {
        module.name: {t for i in module.imports if (t := _module_of(i, known))} - {module.name} for module in modules
    }
    found: set[frozenset[str]] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            found.add(frozenset(path[path.index(name) :]))
        elif name not in done:
            for target in sorted(graph[name]):
                walk(target, (*path, name))
            done.add(name)

    done: set[str] = set()
    for name in graph:
        walk(name, ())
    return [f"import cycle: {', '.join(sorted(cycle))}" for cycle in found]


def _module_of(target: str, known: set[str]) -> str:
    """The module that an import of `target` loads; "" outside the package or for the package itself (version)."""
    while target and target not in known:
        target = target.rpartition(".")[0]
    return "" if target == PACKAGE else target


def package_sources() -> dict[str, str]:
    """Every module of the package: dotted name (a package's ends in `.__init__`) -> text."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in sorted(SOURCES.rglob("*.py"))
    }


def test_dependency_rule_holds() -> None:
    assert violations(package_sources()) == []


def test_exceptions_are_still_needed() -> None:
    """An exception whose module is gone, or no longer uses it, is deleted and not kept for later."""
    sources = {name.removesuffix(".__init__"): text for name, text in package_sources().items()}
    for name in ENVIRONMENT_READERS:
        assert name in sources, f"{name} no longer exists"
        assert "environ" in sources[name] or "getenv" in sources[name], f"{name} no longer reads the environment"
    for name, uses in MAY_USE.items():
        assert name in sources, f"{name} no longer exists"
        for used in uses:
            assert used.rpartition(".")[2] in sources[name], f"{name} no longer uses {used}"


def test_files_are_short_and_say_what_they_keep() -> None:
    long = {name: len(text.splitlines()) for name, text in package_sources().items() if text.count("\n") > MAX_LINES}
    assert long == {}, f"files above {MAX_LINES} lines"
    silent = [
        name for name, text in package_sources().items() if text.strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == [], "modules without a docstring"


@pytest.mark.parametrize("what", ["the package", "the core"])
def test_import_brings_no_kafka_library(what: str) -> None:
    """Somebody who validates a payload or reads an audit event should not pay for, or depend on, a Kafka client."""
    core = [
        module.name
        for module in (_parse(name, text) for name, text in package_sources().items())
        if LEVEL.get(module.room, -1) >= CORE_FROM
    ]
    wanted = [PACKAGE] if what == "the package" else core
    program = f"import importlib, sys\nfor name in {wanted!r}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert PACKAGE in loaded
    assert loaded & {"faust", "mode", "aiokafka", "kafka", "aiohttp", "structlog", "typer"} == set()


def plant(module: str, text: str) -> list[str]:
    """Violations of one planted module beside two innocent ones."""
    return violations(
        {f"{PACKAGE}.errors": "X = 1", f"{PACKAGE}.records": "class Redacted: ...", f"{PACKAGE}.{module}": text}
    )


PLANTED = {
    "upward": ("records", "from stream_maas.pipeline import serve", "a higher layer"),
    "upward by import": ("wire.decode", "import stream_maas.worker.app", "a higher layer"),
    "upward inside a function": ("wire", "def f():\n    from stream_maas import settings", "a higher layer"),
    "upward, relative": ("privacy.detect", "from ..pipeline import serve", "a higher layer"),
    "sibling": ("privacy.detect", "from stream_maas.inference import config", "a sibling"),
    "sibling in the shell": ("client", "from stream_maas.worker.app import create_app", "a sibling"),
    "not placed": ("helpers", "X = 1", "not placed"),
    "package imports a room": ("__init__", "from stream_maas import worker", "may only offer the client"),
    "library in the core": ("pipeline", "import asyncio", "the core imports asyncio"),
    "library by name": (
        "inference",
        "import importlib\nimportlib.import_module('aiokafka.errors')",
        "imports aiokafka",
    ),
    "logging in the core": ("privacy.detect", "from structlog import get_logger", "the core imports structlog"),
    "clock": ("pipeline", "import time\ndef f(): return time.time()", "uses time.time"),
    "clock by name": ("admission", "from time import monotonic as m", "uses time.monotonic"),
    "now": ("wire", "from datetime import UTC, datetime\ndatetime.now(UTC)", "uses datetime.datetime.now"),
    "now by module": ("wire", "import datetime as d\nd.datetime.utcnow()", "uses datetime.datetime.utcnow"),
    "randomness": ("inference", "import random", "uses random"),
    "numpy's randomness": ("inference", "import numpy as np\nnp.random.default_rng()", "uses numpy.random"),
    "random id": ("wire", "import uuid\nuuid.uuid4()", "uses uuid.uuid4"),
    "environment": ("client", "import os\nos.environ['HOME']", "reads the environment"),
    "environment by name": ("kafka", "from os import getenv", "reads the environment"),
    "environment through Typer": ("cli", "import typer\ntyper.Option(envvar='X')", "reads the environment"),
    "Redacted built": ("pipeline", "from stream_maas.records import Redacted\nRedacted(1)", "only privacy may"),
    "Redacted built, typed": ("wire", "from stream_maas.records import Redacted as R\nR[int](1)", "only privacy may"),
    "Redacted built, dotted": ("wire", "from stream_maas import records\nrecords.Redacted(1)", "only privacy may"),
    "Redacted renamed": ("worker", "from stream_maas.records import Redacted\nmake = Redacted", "only privacy may"),
    "Redacted handed on": (
        "worker",
        "from stream_maas.records import Redacted\nmap(Redacted, [1])",
        "only privacy may",
    ),
}


@pytest.mark.parametrize(("module", "text", "message"), PLANTED.values(), ids=PLANTED)
def test_planted_violation_is_found(module: str, text: str, message: str) -> None:
    found = plant(module, text)
    assert len(found) == 1, found
    assert message in found[0]
    assert f"{PACKAGE}.{module}".removesuffix(".__init__") in found[0]


def test_cycle_is_found() -> None:
    found = violations({
        f"{PACKAGE}.wire.__init__": "from stream_maas.wire.a import f",
        f"{PACKAGE}.wire.a": "def f():\n    from .b import g",
        f"{PACKAGE}.wire.b": "from . import a",
    })  # fmt: skip
    assert found == ["import cycle: stream_maas.wire.a, stream_maas.wire.b"]


ALLOWED = {
    "downward": ("pipeline", "from stream_maas.records import Redacted\nfrom stream_maas import errors"),
    "for types only": (
        "records",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stream_maas.worker, asyncio",
    ),
    "within a room": ("privacy.detect", "from . import config\nfrom stream_maas.privacy.config import X"),
    "time as data": ("wire", "from datetime import UTC, datetime\ndatetime.fromtimestamp(1, UTC)"),
    "the shell's clock": ("worker.app", "import asyncio, time\ntime.monotonic()"),
    "an attribute of the same name": ("pipeline", "def f(clock): return clock.time() + clock.random.x"),
    "Redacted as a type": (
        "pipeline",
        "from stream_maas.records import Redacted\nx: Redacted[int] | None = None\n"
        "def f(a: dict[str, Redacted[int]]) -> list[Redacted[int]]: return isinstance(a, Redacted)",
    ),
}


@pytest.mark.parametrize(("module", "text"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_passes(module: str, text: str) -> None:
    assert plant(module, text) == []
