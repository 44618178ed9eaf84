"""`dashboard`: the live page, and the line that says where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from stream_maas.cli.common import (
    Bootstrap,
    ConfigFile,
    Json,
    Lanes,
    Output,
    Prefix,
    assignments,
    load_settings,
    run_async,
)


def dashboard(
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address to listen on. One that others can reach needs STREAM_MAAS_DASHBOARD_VIEWER_TOKEN or "
            "STREAM_MAAS_DASHBOARD_OPERATOR_TOKEN.",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one.", show_default="8088"),
    ] = None,
    lanes: Lanes = None,
    more_settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, for example dashboard.history_ms=600000. May be given again.",
            show_default=False,
        ),
    ] = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Serve the live page until SIGTERM or SIGINT: requests, latency, lag, alerts, budgets, and the audit explorer.

    Prints one line with the page's address when it answers. Reads topics only; needs no worker, monitor or sealer to
    be reachable. Users of this machine may look and act unless a token is set.

    Example: stream-maas dashboard --bootstrap kafka-1:9092 --port 8088
    """
    settings = load_settings(
        config,
        {
            **assignments(more_settings or ()),
            "kafka.bootstrap": bootstrap,
            "topics.prefix": prefix,
            "topics.lanes": lanes,
            "dashboard.host": host,
            "dashboard.port": port,
        },
    )
    output = Output(as_json=as_json)
    from stream_maas.cli.page_archive import Archive
    from stream_maas.dashboard import run_dashboard

    def ready(facts: Mapping[str, Any]) -> None:
        if as_json:
            output.emit({"status": "ready", **facts})
        output.print(f"ready: {facts['url']}")

    run_async(run_dashboard(settings, on_ready=ready, archive=Archive(settings)))
