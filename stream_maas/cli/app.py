"""Which commands there are, and how any of them ends: exit code, one error line, no traceback."""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_maas import __version__
from stream_maas.cli import (
    audit,
    audit_hold,
    audit_prove,
    audit_prune,
    audit_read,
    audit_rerun,
    broker,
    dashboard,
    demo,
    doctor,
    keys,
    model_init,
    models,
    monitor,
    privacy,
    replay,
    schemas,
    sealer,
    send,
    tail,
    topics,
    train,
    worker,
)
from stream_maas.cli.common import EXIT_OK, EXIT_USAGE, ReaderGoneError, UsageProblem, error_line, exit_code, exit_with

PROGRAM = "stream-maas"
_INTERRUPTED = 130

app = typer.Typer(
    name=PROGRAM,
    help="A model server whose only interface is Kafka: one request record in, exactly one result and one audit "
    "event out, personal data redacted first.",
    epilog="Start with `stream-maas demo`. Settings also come from STREAM_MAAS_* variables and a TOML file: "
    "`stream-maas doctor --settings` prints them all.",
    invoke_without_command=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
_START, _USE, _AUDIT, _CHECK = "Start here", "Run and use", "Prove and replay", "Look and check"
_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    _START: {"demo": demo.demo, "broker": broker.broker},
    _USE: {
        "topics create": topics.create,
        "topics check": topics.check,
        "worker": worker.worker,
        "sealer": sealer.sealer,
        "witness": sealer.witness,
        "monitor": monitor.monitor,
        "send": send.send,
        "tail": tail.tail,
        "model list": models.list_models,
        "model show": models.show,
        "model check": models.check,
        "model init": model_init.init,
        "model train": train.train,
    },
    _AUDIT: {
        "audit tail": audit_read.tail,
        "audit get": audit_read.get,
        "audit search": audit_read.search,
        "audit timeline": audit_read.timeline,
        "audit verify": audit.verify,
        "audit checkpoint": audit.checkpoint,
        "audit prove": audit_prove.prove,
        "audit export": audit_prove.export,
        "audit keygen": audit.keygen,
        "audit rerun": audit_rerun.rerun,
        "audit prune": audit_prune.prune,
        "audit hold": audit_hold.hold,
        "audit release": audit_hold.release,
        "audit holds": audit_hold.holds,
        "keys list": keys.list_keys,
        "keys destroy": keys.destroy,
        "keys rotate": keys.rotate,
    },
    _CHECK: {
        "dashboard": dashboard.dashboard,
        "doctor": doctor.doctor,
        "redact": privacy.redact,
        "replay alerts": replay.alerts,
        "schemas": schemas.schemas,
    },
}
"""Panel of the help screen -> command line -> what it calls."""
_GROUPS = {
    "topics": "Make and check topics.",
    "model": "List, show, check, begin and train models.",
    "audit": "Verify, search, prove and export the audit log.",
    "keys": "List, destroy and rewrap the keys of the encrypted inputs.",
    "replay": "Conclude again from the audit topic, and compare.",
}


def _register() -> None:
    groups = {name: typer.Typer(help=text, no_args_is_help=True) for name, text in _GROUPS.items()}
    for panel, commands in _COMMANDS.items():
        for line, function in commands.items():
            group, _, name = line.rpartition(" ")
            if not group:
                app.command(name, help=_paragraphs(function), rich_help_panel=panel)(function)
                continue
            if not groups[group].registered_commands:
                app.add_typer(groups[group], name=group, rich_help_panel=panel)
            groups[group].command(name, help=_paragraphs(function))(function)


def _paragraphs(function: Callable[..., None]) -> str:
    """The docstring with each paragraph on one line, so that the help screen can wrap it to the terminal."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


_register()


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and the Kafka client's log. Works behind any command.")
    ] = False,
) -> None:
    # `debug` is only declared for the help screen: `run` takes it out of the arguments, wherever it stands.
    if version:
        print(f"{PROGRAM} {__version__}")
        exit_with(EXIT_OK)
    if context.invoked_subcommand is None:
        print(context.get_help())
        exit_with(EXIT_OK)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Errors are printed here and nowhere else."""
    kept = [argument for argument in arguments if argument != "--debug"]
    debug = len(kept) < len(arguments)
    if debug:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    _open_standard_streams()
    try:
        code = typer.main.get_command(app).main(args=kept, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except UsageProblem as error:
        return _usage(error)
    except (ReaderGoneError, BrokenPipeError):
        _give_up_output()
        return EXIT_OK
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except Exception as error:
        if debug:
            raise
        _print_error(error_line(error))
        if isinstance(error, OSError):
            _give_up_output()
        return exit_code(error, about_the_log=kept[:1] == ["audit"])
    return code if isinstance(code, int) else EXIT_OK


def _open_standard_streams() -> None:
    """Python has None for a stream that was closed before it started: nothing comes from there, and nobody reads it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open until the end


def _give_up_output() -> None:
    """What could not be written is forgotten: Python would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = error.format_message().replace("\n", " ")
    message = message if message.endswith("..") else message.rstrip(".")  # FROM.. is a range
    if message:  # a group without a command has printed its help already
        _print_error(f"error: {message}; next: `{path} --help` shows how it is used")
    return EXIT_USAGE


def _print_error(line: str) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(line, style="red", markup=False)
