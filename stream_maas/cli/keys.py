"""`keys`: whose inputs can still be read, and how that ends: the log stays as it is, what its boxes held is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_maas.cli.common import (
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Kek,
    Output,
    Prefix,
    Reason,
    exit_with,
    kafka_settings,
    run_async,
    usage_error,
)
from stream_maas.cli.times import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_maas.keystore import Entry, SqliteKeyStore
    from stream_maas.settings import Settings

KeyStoreFile = Annotated[
    Path | None, typer.Option("--key-store", metavar="FILE", help="Data keys.", show_default="audit.key_store")
]
_IDS_PER_EVENT = 500
"""An audit event has to stay below 64 KiB."""


def list_keys(
    key_store: KeyStoreFile = None, kek: Kek = None, config: ConfigFile = None, as_json: Json = False
) -> None:
    """List the owners of boxes on this machine: tenant, keyed reference of the data subject, since when, until when.

    Example: stream-maas keys list --json
    """
    store, _ = _opened(None, None, config, key_store, kek)
    output = Output(as_json=as_json)
    entries = store.entries()
    for entry in entries if as_json else ():
        output.emit(
            {"key": entry.id.hex(), "tenant": entry.tenant, "subject_ref": entry.subject_ref or None,
             "created": written(entry.created_us), "destroyed": _end_of(entry)}
        )  # fmt: skip
    rows = [
        (entry.tenant or "(none)", entry.subject_ref[:16] or "(all)", written(entry.created_us),
         _end_of(entry) or "living")
        for entry in entries
    ]  # fmt: skip
    output.table(("tenant", "data subject", "made", "destroyed"), rows)
    living = sum(entry.destroyed_us is None for entry in entries)
    output.print(f"{living} keys living, {len(entries) - living} destroyed")


def destroy(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="Tenant of the requests.", show_default="no tenant")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="ID", help="Data subject as the requests name it (`data_subject`)."),
    ] = None,
    subject_ref: Annotated[
        str | None,
        typer.Option("--subject-ref", metavar="HEX", help="The same by its reference in audit events."),
    ] = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, it is only said what would go.")] = False,
    key_store: KeyStoreFile = None,
    kek: Kek = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Erase what is kept of a data subject, or of a whole tenant: the keys of its boxes are destroyed.

    The audit log does not change and verifies as before; the redacted inputs behind its digests cannot be read any
    more, here or anywhere. Running workers notice within a second. That it was done is an event in the audit log.
    Each machine has a key store of its own: visit all of them, and `keys rotate` afterwards, which makes every
    backup of the store worthless. Ends with 1 when nothing here belongs to the owner.

    Example: stream-maas keys destroy --tenant shop --subject customer-4711 --reason "request 17" --yes
    """
    if tenant is None and subject is None and subject_ref is None:
        usage_error("say whose keys: --tenant NAME, --subject ID, or both")
    if subject is not None and subject_ref is not None:
        usage_error("--subject and --subject-ref exclude each other")
    if subject_ref is not None and (len(subject_ref) != 64 or not set(subject_ref) <= set("0123456789abcdef")):
        usage_error("--subject-ref takes 64 hex digits, as in data.caller.subject_ref of an event")
    from stream_maas.keystore import reference_of

    store, settings = _opened(bootstrap, prefix, config, key_store, kek)
    if subject is not None:
        subject_ref = reference_of(settings, tenant, subject)
    output = Output(as_json=as_json)
    exit_with(_destroy(store, settings, tenant or "", subject_ref, reason, yes, output))


def _destroy(
    store: SqliteKeyStore, settings: Settings, tenant: str, subject_ref: str | None, reason: str | None, yes: bool,
    output: Output,
) -> int:  # fmt: skip
    meant = [
        entry for entry in store.entries()
        if entry.tenant == tenant and (subject_ref is None or entry.subject_ref == subject_ref)
    ]  # fmt: skip
    living = [entry for entry in meant if entry.destroyed_us is None]
    if not meant:
        output.warn("no key of this owner was ever in this key store")
        return EXIT_PROBLEM
    if yes:
        gone = store.destroy((tenant, subject_ref)) if subject_ref is not None else store.destroy_tenant(tenant)
        assert all(store.find(key_id) is None for key_id in gone)
        run_async(_record(settings, meant, tenant, subject_ref, reason))
    if output.as_json:
        output.emit({"tenant": tenant, "subject_ref": subject_ref, "keys": [entry.id.hex() for entry in living],
                     "destroyed_before": len(meant) - len(living), "done": yes})  # fmt: skip
    did = "are destroyed" if yes else "would be destroyed; --yes does it"
    output.print(f"{len(living)} keys {did}", style="bold yellow")
    return EXIT_OK


async def _record(
    settings: Settings, entries: Sequence[Entry], tenant: str, subject_ref: str | None, reason: str | None
) -> None:
    """Those that were destroyed before are named again: their event may be what is missing."""
    from stream_maas.errors import BrokerError
    from stream_maas.kafka.acts import by_operator, record_act

    body: dict[str, Any] = {"tenant": tenant, **by_operator(reason=reason)}
    body |= {"subject_ref": subject_ref} if subject_ref is not None else {}
    ids = [entry.id.hex() for entry in entries]
    try:
        for at in range(0, len(ids), _IDS_PER_EVENT):
            await record_act(settings, "key.destroyed", body | {"keys": ids[at : at + _IDS_PER_EVENT]})
    except BrokerError as error:
        raise BrokerError(
            f"the keys are destroyed, but that is not in the audit log; next: run it again ({error})"
        ) from error


def rotate(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Wrap under the key in this file, made when missing. Default: a new one takes the old one's place.",
            show_default=False,
        ),
    ] = None,
    reason: Reason = None,
    key_store: KeyStoreFile = None,
    kek: Kek = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Wrap all data keys anew under another key-encryption key, so that every older copy of the key store is worthless.

    Running workers take the new key up by themselves where it takes the old one's place. With --to they stop at the
    next new owner until `audit.key_encryption_key` names the new file. Destroy the old key and its copies then.

    Example: stream-maas keys rotate
    """
    from stream_maas.keystore import kek_place, make_kek, rotate_in_place

    store, settings = _opened(bootstrap, prefix, config, key_store, kek)
    count = store.rotate(make_kek(to)) if to is not None else rotate_in_place(store, kek_place(settings))
    run_async(_record_rotation(settings, count, reason))
    output = Output(as_json=as_json)
    if output.as_json:
        output.emit({"keys": count, "kek": str(to or kek_place(settings))})
    output.print(f"{count} keys are wrapped anew", style="bold green")
    if to is not None:
        output.note(f"set audit.key_encryption_key to {to} for every process that uses this store, and restart them")


async def _record_rotation(settings: Settings, count: int, reason: str | None) -> None:
    from stream_maas.kafka.acts import by_operator, record_act

    await record_act(settings, "key.rotated", {"keys": count, **by_operator(reason=reason)})


def _opened(
    bootstrap: str | None, prefix: str | None, config: str | None, key_store: Path | None, kek: Path | None
) -> tuple[SqliteKeyStore, Settings]:
    """The store that the workers of these settings use. Raises `KeyStoreError` where there is none."""
    from stream_maas.errors import KeyStoreError
    from stream_maas.keystore import open_existing, store_path

    names = {
        "audit.key_store": str(key_store) if key_store else None,
        "audit.key_encryption_key": str(kek) if kek else None,
    }
    settings = kafka_settings(bootstrap, prefix, config, names)
    store = open_existing(settings)
    if store is None:
        raise KeyStoreError(f"key store {store_path(settings)}: there is none; next: --key-store FILE")
    return store, settings


def _end_of(entry: Entry) -> str:
    return "" if entry.destroyed_us is None else written(entry.destroyed_us)
