"""`monitor`: one monitoring process, and the line that says when it watches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_maas.cli.common import (
    EXIT_OK,
    Bootstrap,
    ConfigFile,
    Json,
    Lanes,
    Output,
    Prefix,
    assignments,
    exit_with,
    load_settings,
)
from stream_maas.errors import SettingsError


def monitor(
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules", metavar="FILE", help="Alert rules, YAML. Default: the packaged ones (--print-rules).",
            show_default=False,
        ),
    ] = None,
    time_scale: Annotated[
        float | None,
        typer.Option(
            "--time-scale", metavar="FACTOR", show_default="the rules' own",
            help="Shrink all windows and waits, 0.02 to 1: with 0.02 an hour is 72 seconds. For trying out.",
        ),
    ] = None,
    print_rules: Annotated[
        bool, typer.Option("--print-rules", help="Print the packaged rules, to start a file of your own from, and end.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the rules, list them, and end.")] = False,
    alertmanager: Annotated[
        str | None,
        typer.Option(
            "--alertmanager", metavar="URL", help="Post firing alerts to this Alertmanager.", show_default=False
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option("--webhook", metavar="URL", help="Post every alert event as JSON there.", show_default=False),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance", metavar="NAME", show_default=False,
            help="Stable name of this process; two live ones never share it. Default: STREAM_MAAS_INSTANCE, else the "
            "host name.",
        ),
    ] = None,
    lanes: Lanes = None,
    web_port: Annotated[
        int | None,
        typer.Option(
            "--web-port", min=-1, max=65_535, show_default="a free port",
            help="Port of /healthz, /readyz and /metrics; -1 switches them off.",
        ),
    ] = None,
    more_settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any other setting. May be given again.", show_default=False
        ),
    ] = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Watch the audit topic and raise alerts until SIGTERM or SIGINT.

    Prints one line with "ready" when it watches, or stands by for the process that does: a second monitor takes over
    when the first one ends. Alert events go to PREFIX.alerts and, as sentences, to standard error.

    Example: stream-maas monitor --rules rules.yaml
    """
    output = Output(as_json=as_json)
    if print_rules:
        from stream_maas.monitor.rules_file import default_text

        output.print(default_text().rstrip())
        exit_with(EXIT_OK)
    settings = load_settings(
        config,
        {
            **assignments(more_settings or ()),
            "kafka.bootstrap": bootstrap,
            "topics.prefix": prefix,
            "topics.lanes": lanes,
            "monitor.rules_file": rules,
            "monitor.time_scale": time_scale,
            "monitor.alertmanager_url": alertmanager,
            "monitor.webhook_url": webhook,
            "worker.instance": instance,
            "worker.web_port": web_port,
        },
    )
    ruleset = read_rules(settings.monitor.rules_file, settings.monitor.time_scale)
    if check:
        _list_rules(ruleset, output)
        exit_with(EXIT_OK)
    from stream_maas.replay import read
    from stream_maas.worker.monitor_agent import run_monitor

    def ready(facts: Mapping[str, Any]) -> None:
        if as_json:
            output.emit(facts)
        output.print("ready: " + ", ".join(f"{name}={value}" for name, value in facts.items() if name != "status"))

    exit_with(run_monitor(settings, ruleset, read=read, on_ready=ready))


def read_rules(path: str, time_scale: float) -> Any:
    """The ruleset in a file, or the packaged one. Raises `SettingsError` that names file or place."""
    from stream_maas.monitor.rules_file import default_text, parse_rules

    if not path:
        text = default_text()
    else:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"monitor.rules_file: {path} cannot be read ({type(error).__name__})") from error
    return parse_rules(text, time_scale=time_scale or None)


def _list_rules(ruleset: Any, output: Output) -> None:
    from stream_maas.monitor.alerts import duration
    from stream_maas.monitor.rules import UNITS

    rows = []
    for rule in ruleset.rules:
        windows = " & ".join(duration(length_us) for length_us in rule.windows_us)
        rows.append((rule.id, rule.severity, rule.per, f"{rule.threshold:g} {UNITS[rule.measure]}", windows))
        if output.as_json:
            output.emit(
                {
                    "rule": rule.id, "revision": rule.revision, "severity": rule.severity, "per": rule.per,
                    "measure": rule.measure, "threshold": rule.threshold, "unit": UNITS[rule.measure],
                    "windows_ms": [length_us // 1000 for length_us in rule.windows_us],
                    "for_ms": rule.for_us // 1000, "keep_firing_for_ms": rule.keep_us // 1000,
                    "muted_by": list(rule.muted_by),
                }
            )  # fmt: skip
    output.table(("rule", "severity", "per", "threshold", "windows"), rows)
