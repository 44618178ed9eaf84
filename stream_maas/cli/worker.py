"""`worker`: one worker process, and the line that says when it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from stream_maas.cli.common import (
    Bootstrap,
    ConfigFile,
    Json,
    Lanes,
    Output,
    Prefix,
    assignments,
    exit_with,
    load_settings,
    usage_error,
)


def worker(
    more_models: Annotated[list[str] | None, typer.Argument(metavar="DIR", hidden=True)] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="DIR...",
            help="Model bundles, or folders of bundles: several behind one --models, comma separated, or --models "
            "again. Default: STREAM_MAAS_MODELS, else the packaged sentiment-lite.",
            show_default=False,
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance",
            metavar="NAME",
            help="Stable name of this worker, so that a restart takes over at once. Two live workers never share one. "
            "Default: STREAM_MAAS_INSTANCE, else the host name.",
            show_default=False,
        ),
    ] = None,
    delivery: Annotated[
        Literal["auto", "exactly-once", "at-least-once"] | None,
        typer.Option("--delivery", help="auto: exactly-once where the broker has transactions.", show_default="auto"),
    ] = None,
    lanes: Lanes = None,
    web_port: Annotated[
        int | None,
        typer.Option(
            "--web-port",
            min=-1,
            max=65_535,
            show_default="a free port",
            help="Port of /healthz, /readyz and /metrics; -1 switches them off.",
        ),
    ] = None,
    more_settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, for example worker.chunk_max_records=64. May be given again.",
            show_default=False,
        ),
    ] = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Serve models until SIGTERM or SIGINT.

    Prints one line with "ready" on standard output when models are warm, the redactor has tested itself, topics are
    checked and partitions are assigned. Logs go to standard error. Ends with 0 after a clean stop, and with 75 when
    it stopped un-acknowledged: nothing is lost then, and a restart goes on.

    Example: stream-maas worker --models ./models --instance worker-0
    """
    if more_models and not models:
        usage_error(f"unexpected argument; write --models {more_models[0]}")
    named = [*(models or ()), *(more_models or ())]
    settings = load_settings(
        config,
        {
            **assignments(more_settings or ()),
            "kafka.bootstrap": bootstrap,
            "topics.prefix": prefix,
            "topics.lanes": lanes,
            "inference.models": ",".join(named) or None,
            "worker.instance": instance,
            "worker.delivery": delivery,
            "worker.web_port": web_port,
        },
    )
    output = Output(as_json=as_json)
    from stream_maas.worker import run_worker

    def ready(facts: Mapping[str, Any]) -> None:
        document = {"status": "ready", **facts}
        if as_json:
            output.emit(document)
        output.print("ready: " + ", ".join(f"{name}={value}" for name, value in facts.items() if name != "status"))

    exit_with(run_worker(settings, on_ready=ready))
