"""`sealer` and `witness`: the two processes that make the audit log provable, and the line that says when they work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from stream_maas.cli.common import Bootstrap, ConfigFile, Json, Output, Prefix, assignments, exit_with, load_settings

Instance = Annotated[
    str | None,
    typer.Option(
        "--instance",
        metavar="NAME",
        help="Stable name of this process. Default: STREAM_MAAS_INSTANCE, else the host name.",
        show_default=False,
    ),
]
Folder = Annotated[
    str | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="Where its state is kept. Keep it: it is what stops a changed log from being signed.",
        show_default=False,
    ),
]
KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="Private key, made with `stream-maas audit keygen`. Default: one in its folder, made when missing.",
        show_default=False,
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other setting. May be given again.", show_default=False),
]
WebPort = Annotated[
    int | None,
    typer.Option(
        "--web-port", min=-1, max=65_535, show_default="a free port",
        help="Port of /healthz, /readyz and /metrics; -1 switches them off.",
    ),
]  # fmt: skip


def sealer(
    instance: Instance = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            metavar="FILE",
            help="File outside the broker that checkpoints and heartbeats are appended to; a folder (DIR/) gets an "
            "object for each interval, never changed, as in a bucket with object lock.",
            show_default="anchor.jsonl in its folder",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="NAME",
            help="Consumer group. One of another group seals the same partitions as well, for a second opinion.",
            show_default="PREFIX-sealer",
        ),
    ] = None,
    web_port: WebPort = None,
    more_settings: More = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Seal the audit log until SIGTERM: one Merkle tree per partition, signed at most once a second.

    Prints one line with "ready" and its verifier key. Signs nothing that contradicts what it signed before. A second
    one with the same folder or key does no harm: both reach the same roots.

    Example: stream-maas sealer --key-file sealer.key --folder /var/lib/stream-maas/ledger
    """
    settings = load_settings(
        config,
        {
            **assignments(more_settings or ()),
            "kafka.bootstrap": bootstrap, "topics.prefix": prefix, "worker.instance": instance,
            "worker.web_port": web_port, "ledger.folder": folder, "ledger.key_file": key_file, "ledger.anchor": anchor,
        },
    )  # fmt: skip
    from stream_maas.worker.sealer import run_sealer

    exit_with(run_sealer(settings, on_ready=_announcer(Output(as_json=as_json)), group_id=group))


def witness(
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="VKEY",
            help="Verifier key (or a file of them) of a sealer whose checkpoints are looked at. May be given again.",
            show_default="ledger.keys",
        ),
    ] = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    more_settings: More = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Remember what the sealer has signed, and cosign what is consistent with it, until SIGTERM.

    Run it under another account, best on another machine, with its own key. Whoever rewrites the log together with the
    sealer's key is found out by what the witness remembers.

    Example: stream-maas witness --key sealer.vkey --key-file witness.key --folder /var/lib/witness
    """  # fmt: skip
    settings = load_settings(
        config,
        {
            **assignments(more_settings or ()),
            "kafka.bootstrap": bootstrap, "topics.prefix": prefix,
            "ledger.witness_folder": folder, "ledger.witness_key_file": key_file,
        },
    )  # fmt: skip
    from stream_maas.cli.audit_trust import trusted_keys
    from stream_maas.errors import SettingsError
    from stream_maas.ledger.keys import NOTE
    from stream_maas.worker.witness import run_witness

    sealers = trusted_keys(settings, keys)
    if not any(key.kind == NOTE for key in sealers):
        raise SettingsError(
            "no key of a sealer is known, so nothing could ever be cosigned; next: --key sealer.vkey, which the sealer "
            "writes into its folder when it starts"
        )
    exit_with(run_witness(settings, sealers, on_ready=_announcer(Output(as_json=as_json))))


def _announcer(output: Output) -> Any:
    def ready(facts: Mapping[str, Any]) -> None:
        if output.as_json:
            output.emit({"status": "ready", **facts})
        output.print("ready: " + ", ".join(f"{name}={value}" for name, value in facts.items() if name != "status"))

    return ready
