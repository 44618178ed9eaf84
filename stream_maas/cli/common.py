"""What all commands share: options, settings, where output goes, and how an error becomes one line.

Options are declared once as annotated types, so that every command that touches Kafka has the same ones.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_maas.errors import (
    IncompleteError,
    LedgerError,
    ServiceError,
    SettingsError,
    StreamMaasError,
    TopicsError,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from stream_maas.settings import Settings

EXIT_OK, EXIT_PROBLEM, EXIT_USAGE = 0, 1, 2
EXIT_INCOMPLETE = 3
"""Of the commands about the audit log: something is missing for a verdict (no trusted key, an unreachable broker)."""

KAFKA_PANEL = "Kafka"
OUTPUT_PANEL = "Output"

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap",
        metavar="HOST:PORT",
        help="Brokers to start from, comma separated. Default: STREAM_MAAS_BOOTSTRAP, else 127.0.0.1:9092.",
        show_default=False,
        rich_help_panel=KAFKA_PANEL,
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        metavar="NAME",
        help="Topic names are NAME.requests, NAME.results, ... Default: STREAM_MAAS_PREFIX, else maas.",
        show_default=False,
        rich_help_panel=KAFKA_PANEL,
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file of settings, TLS and SASL among them. Default: STREAM_MAAS_CONFIG.",
        show_default=False,
        rich_help_panel=KAFKA_PANEL,
    ),
]
Kek = Annotated[
    Path | None,
    typer.Option("--kek", metavar="FILE", help="Key that wraps them.", show_default="audit.key_encryption_key"),
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log. No personal data.")
]
Purpose = Annotated[
    str | None, typer.Option("--purpose", metavar="TEXT", help="What for, for the audit log. No personal data.")
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON lines only on standard output.", rich_help_panel=OUTPUT_PANEL),
]
Lanes = Annotated[
    str | None,
    typer.Option(
        "--lanes", metavar="A,B", help="Lanes: further request topics PREFIX.requests.LANE.", show_default=False
    ),
]

T = TypeVar("T")


def load_settings(config_file: str | None, overrides: Mapping[str, Any]) -> Settings:
    """Settings with the command line on top: {"kafka.bootstrap": ...}; None overrides nothing."""
    from stream_maas import settings, topics

    loaded = settings.load(overrides, config_file=config_file)
    try:
        topics.table(loaded.topics.prefix, loaded.topics.lanes)
    except TopicsError as error:  # a name that cannot be one: that is wrong use, whatever the cluster has
        raise SettingsError(str(error)) from error
    return loaded


def kafka_settings(
    bootstrap: str | None, prefix: str | None, config_file: str | None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """`load_settings` with the three options of every command that touches Kafka."""
    return load_settings(config_file, {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, **(overrides or {})})


def assignments(texts: Iterable[str]) -> dict[str, str]:
    """["worker.web_port=0"] -> {"worker.web_port": "0"}."""
    values = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            usage_error("--set takes NAME=VALUE, for example --set worker.chunk_max_records=64")
        values[name.strip()] = value
    return values


class ReaderGoneError(Exception):
    """Whoever reads standard output (`| head`) has seen enough. Typer would make exit code 1 of a BrokenPipeError."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise ReaderGoneError


class Output:
    """Standard output and standard error of one command.

    `emit` is for results. With `--json` they are JSON lines; otherwise the command prints text or tables itself
    through `print` and `table`, which do nothing with `--json`. `note` and `warn` go to standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def emit(self, document: Mapping[str, Any]) -> None:
        """One JSON line on standard output, flushed: the reader may be waiting for it."""
        self._write(json_line(document))

    def write(self, text: str) -> None:
        """Text that is the result itself, as it is, on standard output, flushed."""
        self._write(text.encode())

    def _write(self, content: bytes) -> None:
        try:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise ReaderGoneError from None

    def print(self, text: Any = "", *, style: str | None = None) -> None:
        """Text for people on standard output; nothing with `--json`."""
        if not self.as_json:
            self._out.print(text, style=style, markup=False)

    def table(
        self,
        columns: Iterable[str],
        rows: Iterable[Iterable[Any]],
        *,
        title: str | None = None,
        cut: str | None = None,
    ) -> None:
        """A table for people on standard output; nothing with `--json`. Cells are text, never markup.

        The column `cut` is shortened where the terminal is too narrow; all others wrap.
        """
        if self.as_json:
            return
        columns = tuple(columns)
        cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
        table = Table(
            title=title, show_header=any(columns), show_edge=False, pad_edge=False,
            title_justify="left", title_style="bold",
        )  # fmt: skip
        widths = [max((row[index].cell_len for row in cells), default=0) for index in range(len(columns))]
        for name in columns:
            others = sum(
                max(width, len(other)) + 3 for width, other in zip(widths, columns, strict=True) if other != name
            )
            room = max(20, self._out.width - others) if name == cut else None
            table.add_column(
                name, max_width=room, no_wrap=cut is not None, overflow="ellipsis" if name == cut else "fold"
            )
        for row in cells:
            table.add_row(*row)
        self._out.print(table)

    def note(self, text: str) -> None:
        """Something worth knowing, on standard error."""
        self.err.print(text, style="dim", markup=False)

    def warn(self, text: str) -> None:
        """Something that may need attention, on standard error."""
        self.err.print(f"warning: {text}", style="yellow", markup=False)

    def progress(self, label: str, *, wanted: bool = True) -> Progress:
        """A bar on standard error; invisible where that is not a terminal or it is not wanted. A context manager."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        return Progress(
            TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self.err, transient=True, disable=not (wanted and self.err.is_terminal),
        )  # fmt: skip


def json_line(document: Mapping[str, Any]) -> bytes:
    """Compact JSON and a newline. Numpy scalars and arrays are written as numbers and lists."""
    import orjson

    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


# Typer 0.29 brings its own copy of Click; the base classes of either copy are found through what Typer exports.
UsageProblem: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


def usage_error(message: str) -> NoReturn:
    """End with exit code 2; `message` names the option and what to write instead."""
    raise UsageProblem(message)


def exit_with(code: int) -> NoReturn:
    """End the command with this exit code, quietly."""
    raise typer.Exit(code)


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run one command's coroutine. Nothing is started before and nothing outlives it."""
    if not logging.getLogger().handlers:  # there are some with --debug
        # The Kafka client logs what the error line says anyway, and more than once.
        for name in ("aiokafka", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return asyncio.run(main)


_NOT_OURS: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EROFS, errno.EACCES, errno.EPERM)
)
"""What a system answers whose disk is full or broken, or that forbids something."""


def error_line(error: BaseException) -> str:
    """The one line that people and scripts see: `error: what; next: what to do`."""
    if isinstance(error, StreamMaasError):
        message = " | ".join(line.strip() for line in str(error).splitlines() if line.strip())
        advice = "" if "next:" in message else f"; next: {_advice(error)}"
        return f"error: {message}{advice}"
    if isinstance(error, OSError) and error.errno in _NOT_OURS:
        place = f": {error.filename}" if error.filename else ""
        return f"error: {error.strerror}{place}; next: look at where the command reads and writes"
    return f"error: {_where(error)}; next: this is a bug, please report it with the output of --debug"


def exit_code(error: BaseException, *, about_the_log: bool = False) -> int:
    """2 where the caller wrote something wrong, 1 where something went wrong.

    `about_the_log`: of an `audit` command, where 1 means that the log is not what it was and nothing else: what could
    not be reached or is not there is 3.
    """
    if isinstance(error, SettingsError):
        return EXIT_USAGE
    if isinstance(error, IncompleteError):
        return EXIT_INCOMPLETE
    unknown = isinstance(error, ServiceError) and not isinstance(error, LedgerError)
    return EXIT_INCOMPLETE if about_the_log and unknown else EXIT_PROBLEM


def _advice(error: StreamMaasError) -> str:
    return {
        "settings": "`stream-maas doctor --settings` prints every setting, its source and its unit",
        "bundle": "`stream-maas model check DIR` says what is wrong with it",
        "broker": "`stream-maas doctor` checks broker, topics and rights",
        "topics": "`stream-maas topics create` makes what is missing",
    }.get(error.code, "`stream-maas doctor` looks for the cause")


def _where(error: BaseException) -> str:
    """Type and place of an unexpected error. Not its text: that may quote a record."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    at = "" if place is None else f" at {place.tb_frame.f_globals.get('__name__', '?')}:{place.tb_lineno}"
    return f"unexpected {type(error).__name__}{at}"
