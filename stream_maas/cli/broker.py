"""`broker`: a development broker in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_maas.cli.common import Json, Output


def broker(
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Apache Kafka (from Docker, else with this machine's Java and Maven).")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65_535, help="Default: a free port.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a broker for development on loopback until Ctrl-C or SIGTERM.

    The embedded one starts at once and keeps everything in memory, but has no transactions: delivery is
    at-least-once on it. With --kafka it is Apache Kafka itself, where delivery is exactly-once.
    """
    from stream_maas.brokers import run_embedded, run_kafka

    output = Output(as_json=as_json)

    def ready(bootstrap: str) -> None:
        if as_json:
            output.emit({"status": "ready", "bootstrap": bootstrap})
        output.print(f"ready: {bootstrap}")
        output.note(f"In another terminal: export STREAM_MAAS_BOOTSTRAP={bootstrap}; stream-maas topics create")

    if kafka:
        run_kafka(port, ready, output.note)
    else:
        run_embedded(port, ready)
